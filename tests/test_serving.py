"""The ways of reading that docs/serving.md and docs/answerable-use.md show work as they stand there."""

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import duckdb_extensions
import pytest
from rows import reader

from moodreel.schemas.values import Outcome, StepKey, StepResult
from moodreel.warehouse.audit import FILE, hashed, record_access
from moodreel.warehouse.commit import commit_steps
from moodreel.warehouse.lake import Lake, open_reader

DOCS = Path(__file__).parents[1] / "docs"
SERVING = (DOCS / "serving.md").read_text(encoding="utf-8")
ANSWERABLE = (DOCS / "answerable-use.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
NUM_FRAMES = 100  # more than DuckLake keeps in its catalog, so that there is a Parquet file


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("w") / "w"
    frames = [{"video_id": "v", "config_id": "c", "ts_s": i / 5, "num_faces": 0} for i in range(NUM_FRAMES)]
    step = StepResult(StepKey("faces", "c", None), Outcome.OK, None, {"frames": reader("frames", frames)})
    with closing(Lake(folder)) as lake:
        commit_steps(lake, "r", "v", [step], 1.0)
    for extension in ("ducklake", "sqlite"):  # what INSTALL fetches, without a network
        duckdb_extensions.import_extension(extension)
    return folder


def blocks(text: str, language: str, warehouse: Path) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", text, re.S)
    return [block.replace("WAREHOUSE", str(warehouse)) for block in found]


def test_the_sql_of_the_page_opens_the_lake_read_only_and_locks_it(warehouse: Path) -> None:
    opening, locking = blocks(SERVING, "sql", warehouse)
    with closing(duckdb.connect()) as connection:
        connection.execute(opening)
        with pytest.raises(duckdb.Error, match="read-only"):
            connection.execute("DELETE FROM videos")
        connection.execute(locking)
        assert connection.execute("FROM video_emotions").fetchall() == []
        with pytest.raises(duckdb.Error, match="file system operations are disabled"):
            connection.execute("FROM read_text('/etc/hosts')")


@pytest.mark.parametrize("number", [0, 1])
def test_the_python_of_the_page_runs(warehouse: Path, number: int) -> None:
    code = blocks(SERVING, "python", warehouse)[number] + "\nprint(list(frame.columns))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    # a slow machine gets to see DuckDB's progress first
    assert run.stdout.splitlines()[-1] == "['path', 'model_id', 'dominant_emotion']"


def test_a_moved_warehouse_opens_as_the_page_says(warehouse: Path, tmp_path: Path) -> None:
    moved = (tmp_path / "w").resolve()
    warehouse.rename(moved)
    try:
        [option] = re.findall(r"`, (DATA_PATH [^`]*)`", SERVING)
        code = blocks(SERVING, "python", moved)[1] + "\nprint(connection.sql('FROM frames').df().shape[0])"
        lost = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert lost.returncode != 0
        code = code.replace("READ_ONLY", f"READ_ONLY, {option.replace('WAREHOUSE', str(moved))}")
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.returncode == 0 and run.stdout.splitlines()[-1] == str(NUM_FRAMES), run.stderr
    finally:
        moved.rename(warehouse)


def test_the_limits_of_a_query_are_those_of_the_page(warehouse: Path) -> None:
    [(memory, disk)] = re.findall(r"has (\d+) GB of memory and (\d+) GB of temporary disk", SERVING)
    settings = "SELECT current_setting('memory_limit'), current_setting('max_temp_directory_size')"
    with closing(duckdb.connect()) as stated, closing(open_reader(warehouse)) as found:
        stated.execute(f"SET memory_limit = '{memory}GB'; SET max_temp_directory_size = '{disk}GB'")
        assert found.execute(settings).fetchall() == stated.execute(settings).fetchall()


def test_the_commands_of_both_pages_run(warehouse: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    record_access(warehouse, "erase", subjects=["v"])
    for line in re.findall(r"^    (\S.*)$", SERVING + ANSWERABLE, re.M):
        words = [
            {"WAREHOUSE": str(warehouse), "FOLDER": "videos", "VIDEO_ID": "v"}.get(word, word)
            for word in shlex.split(line)
        ]
        if words[1] == "run":
            words += ["--warehouse", str(warehouse), "--workers", "0"]
        run = subprocess.run([BIN / words[0], *words[1:]], capture_output=True, text=True, cwd=tmp_path)
        assert run.returncode == 0, (line, run.stderr)
        if words[0] == "python":
            assert run.stdout.strip() == hashed(warehouse, "v")
    assert (tmp_path / "answer.csv").read_text() == "path,dominant_emotion\n"
    [question] = blocks(ANSWERABLE, "sql", warehouse)
    with closing(sqlite3.connect(warehouse / FILE)) as connection:
        assert connection.execute(question).fetchall()[-1][-1] == 0


def test_the_audits_columns_are_documented(warehouse: Path) -> None:
    record_access(warehouse, "read")
    with closing(sqlite3.connect(warehouse / FILE)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(entries)")]
    assert re.findall(r"^\| (\w+) \|", ANSWERABLE, re.M)[1:] == columns
