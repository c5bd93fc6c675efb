"""What `moodreel sql` answers, and that nobody gets out of it."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rows import reader

from moodreel.flows.answers import write_answer
from moodreel.schemas.values import Outcome, StepKey, StepResult
from moodreel.warehouse.ask import answering, ask
from moodreel.warehouse.commit import commit_steps
from moodreel.warehouse.lake import Lake, WarehouseError

MOODREEL = str(Path(sys.executable).with_name("moodreel"))
NUM_FRAMES = 5000  # more than DuckLake keeps in its catalog, so that there is a Parquet file


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse `w`, and beside it what nobody may read: a text and a database."""
    home = tmp_path_factory.mktemp("home")
    lake = Lake(home / "w")
    frames = [{"video_id": "v", "config_id": "c", "ts_s": i / 5, "num_faces": 0} for i in range(NUM_FRAMES)]
    step = StepResult(StepKey("faces", "c", None), Outcome.OK, None, {"frames": reader("frames", frames)})
    commit_steps(lake, "r", "v", [step], 1.0)
    lake.close()
    (home / "secret.csv").write_text("word\nswordfish\n")
    (home / "w" / "data" / "link.csv").symlink_to(home / "secret.csv")
    (home / "w" / "data" / "link").symlink_to(home)
    with sqlite3.connect(home / "secret.sqlite") as database:
        database.execute("CREATE TABLE words AS SELECT 'swordfish' AS word")
    database.close()
    return home


def contents(home: Path) -> dict[str, str]:
    """Every file's digest, without what SQLite makes for a reader of the catalog."""
    files = [path for path in home.rglob("*") if path.is_file() and path.suffix not in (".sqlite-wal", ".sqlite-shm")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


ESCAPES = [
    "SELECT * FROM read_csv('{home}/secret.csv')",
    "SELECT * FROM read_text('{home}/secret.csv')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM glob('{home}/*')",
    "SELECT * FROM glob('{home}/w/data/**')",
    "SELECT * FROM '{home}/secret.csv'",
    "SELECT * FROM 'secret.csv'",
    "SELECT * FROM '{home}/w/data/main/frames/*.parquet'",
    "DESCRIBE '{home}/secret.csv'",
    "SUMMARIZE FROM read_csv('{home}/secret.csv')",
    "SELECT (SELECT max(word) FROM read_csv('{home}/secret.csv'))",
    "WITH a AS (FROM read_csv('{home}/secret.csv')) SELECT * FROM a",
    "SELECT * FROM read_csv('{home}/w/data/link.csv')",
    "SELECT * FROM read_csv('{home}/w/data/link/secret.csv')",
    "SELECT * FROM read_csv('{home}/w/data/../../secret.csv')",
    "SELECT * FROM read_parquet('{home}/w/data/main/frames/*.parquet')",
    "SELECT * FROM parquet_metadata('{home}/w/data/main/frames/*.parquet')",
    "SELECT * FROM sqlite_scan('{home}/secret.sqlite', 'words')",
    "SELECT * FROM sqlite_scan('{home}/new.sqlite', 'words')",
    "SELECT * FROM sqlite_attach('{home}/secret.sqlite')",
    "SELECT * FROM sqlite_query('__ducklake_metadata_lake', 'SELECT 1')",
    "SELECT * FROM query('FROM sqlite_scan(''{home}/secret.sqlite'', ''words'')')",
    "SELECT * FROM query_table('frames')",
    "SELECT * FROM __ducklake_metadata_lake.ducklake_table",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT json_serialize_plan('FROM sqlite_attach(''{home}/secret.sqlite'')')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM 'https://example.com/a.parquet'",
    "SELECT * FROM read_csv('https://example.com/a.csv')",
    "SELECT * FROM read_parquet('s3://bucket/a.parquet')",
    "SELECT getenv('HOME')",
    "SELECT * FROM duckdb_secrets()",
    "COPY frames TO '{home}/stolen.csv'",
    "COPY frames TO '{home}/w/data/stolen.csv'",
    "EXPLAIN COPY frames TO '{home}/w/data/stolen.csv'",
    "EXPLAIN ANALYZE COPY frames TO '{home}/w/data/stolen.csv'",
    "EXPLAIN ANALYZE /* SELECT */ COPY frames TO '{home}/w/data/stolen.csv'",
    "explain (analyze, format json) COPY frames TO '{home}/w/data/stolen.csv'",
    "/**/ EXPLAIN ANALYZE COPY frames TO '{home}/w/data/stolen.csv'",
    "WITH a AS (COPY frames TO '{home}/w/data/stolen.csv') SELECT 1",
    "SELECT 1 --EXPLAIN\n; COPY frames TO '{home}/w/data/stolen.csv'",
    "SELECT 1 --EXPLAIN ANALYZE\n; COPY frames TO '{home}/w/data/stolen.csv'",
    "--EXPLAIN\nCOPY frames TO '{home}/w/data/stolen.csv'",
    "--EXPLAIN\nFROM sqlite_scan('{home}/secret.sqlite', 'words')",
    "EXPLAIN --EXPLAIN\nANALYZE COPY frames TO '{home}/w/data/stolen.csv'",
    "EXPORT DATABASE '{home}/w/data'",
    "SELECT * FROM enable_logging(storage_path = '{home}/w/data')",
    "SELECT * FROM ducklake_flush_inlined_data('lake')",
    "SELECT * FROM ducklake_delete_orphaned_files('lake', cleanup_all => true)",
    "SELECT * FROM ducklake_expire_snapshots('lake', older_than => now())",
    "SELECT * FROM force_checkpoint()",
    "CALL ducklake_flush_inlined_data('lake')",
    "ATTACH '{home}/secret.sqlite' AS other",
    "ATTACH '{home}/new.db'",
    "USE memory",
    "CREATE TABLE memory.main.t AS SELECT 1",
    "EXPLAIN ANALYZE CREATE TABLE memory.main.t AS SELECT 1",
    "INSERT INTO frames FROM frames",
    "EXPLAIN ANALYZE INSERT INTO frames FROM frames",
    "WITH gone AS (DELETE FROM frames RETURNING *) SELECT * FROM gone",
    "DELETE FROM __ducklake_metadata_lake.ducklake_table",
    "DROP TABLE frames",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET memory_limit",
    "PRAGMA database_list",
    "PRAGMA version",
    "PRAGMA threads = 64",
    "EXPLAIN PRAGMA database_list",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE frames",
    "BEGIN",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_nobody_gets_out_and_nothing_changes(home: Path, monkeypatch: pytest.MonkeyPatch, escape: str) -> None:
    monkeypatch.chdir(home)
    before = contents(home)
    with pytest.raises(WarehouseError) as refusal:
        ask(home / "w", escape.format(home=home))
    assert "\n" not in str(refusal.value) and "swordfish" not in str(refusal.value)
    assert contents(home) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM frames",
        "FROM frames ORDER BY ts_s DESC LIMIT 3;",
        "-- how many\nSELECT count(*) FROM frames WHERE ts_s < 10",
        "WITH a AS (SELECT ts_s FROM frames) SELECT max(ts_s) FROM a",
        "SELECT (SELECT count(*) FROM frames), [x + 1 FOR x IN [1, 2]], 'a;b'",
        "SELECT unnest([1, 2]), i FROM range(3) AS numbers(i)",
        "SELECT ts_s, row_number() OVER (ORDER BY ts_s) AS n FROM frames QUALIFY n < 4",
        "PIVOT frames ON num_faces IN (0, 1) USING count(*) GROUP BY video_id",
        "SELECT count(*) FROM frames AT (VERSION => 1)",
        "EXPLAIN SELECT * FROM frames",
        "explain analyze FROM frames",
        "SELECT ts_s AS explain FROM frames --EXPLAIN all",
        "DESCRIBE frames",
        "SUMMARIZE frames",
        "SHOW TABLES",
        "SELECT table_name FROM duckdb_tables()",
        "SELECT table_name FROM information_schema.tables",
        "SELECT snapshot_id FROM ducklake_snapshots('lake')",
        "VALUES (1)",
    ],
)
def test_questions_are_answered(home: Path, query: str) -> None:
    if "VERSION" in query:
        query = query.replace("1)", str(ask(home / "w", "FROM ducklake_snapshots('lake')").num_rows - 1) + ")")
    assert ask(home / "w", query).num_rows > 0


def test_a_query_that_takes_too_long_is_given_up(home: Path) -> None:
    started = time.monotonic()
    with pytest.raises(WarehouseError, match=r"more than 0\.5 s: ask for less, or raise --timeout"):
        ask(home / "w", "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5", 0.5)
    assert time.monotonic() - started < 10


def test_rows_that_come_too_slowly_are_given_up_too(home: Path) -> None:
    with answering(home / "w", "FROM range(100000000000)", timeout_s=0.5) as answer:
        next(answer.batches)
        time.sleep(0.7)
        with pytest.raises(WarehouseError, match=r"more than 0\.5 s"):
            list(answer.batches)


def test_rows_come_before_all_are_computed(home: Path) -> None:
    started = time.monotonic()
    with answering(home / "w", "SELECT range AS i FROM range(1000000000000)") as answer:
        assert answer.schema.names == ["i"]
        assert next(answer.batches).num_rows > 0
    assert time.monotonic() - started < 10


def test_memory_and_the_disk_space_of_a_query_have_a_limit(home: Path) -> None:
    """That nobody lifts it is among the escapes above."""
    names = "current_setting('memory_limit'), current_setting('max_temp_directory_size')"
    [row] = ask(home / "w", f"SELECT {names}").to_pylist()
    assert list(row.values()) == ["953.6 MiB", "7.4 GiB"]
    [spill] = ask(home / "w", "SELECT current_setting('temp_directory') AS folder").to_pylist()
    assert Path(spill["folder"]).parent == Path(tempfile.gettempdir())  # not .tmp in the folder one happens to be in


def test_a_question_waits_for_no_pandas(home: Path) -> None:
    program = """
import sys
from moodreel.flows import cli
try:
    cli.main()
finally:
    print("pandas" in sys.modules)
"""
    command = [sys.executable, "-c", program, "sql", "SELECT 'it''s'", "--warehouse", str(home / "w")]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert told.stdout.splitlines()[-1] == "False", told.stderr


def sql(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [MOODREEL, "sql", *words, "--warehouse", str(home / "w")]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, timeout=120)


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_an_output_file_is_replaced_whole_or_not_at_all(home: Path, tmp_path: Path, format: str) -> None:
    output = tmp_path / "answer"
    output.write_text("what was there")
    late_error = f"SELECT if(range < {NUM_FRAMES}, range, error('broken')) AS i FROM range(100000)"
    refused = sql(home, late_error, "--format", format, "-o", str(output))
    assert refused.returncode == 2 and "broken" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["answer"] and output.read_text() == "what was there"
    assert sql(home, "FROM frames ORDER BY ts_s", "--format", format, "-o", str(output)).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["answer"]
    if format == "parquet":
        assert pq.read_metadata(output).num_rows == NUM_FRAMES and pq.read_metadata(output).num_row_groups == 1
    elif format == "json":
        assert len(json.loads(output.read_text())) == NUM_FRAMES
    else:
        assert output.read_text().count("\n") == NUM_FRAMES + 1


def test_no_rows_are_an_answer_in_every_format(home: Path, tmp_path: Path) -> None:
    query = "SELECT ts_s FROM frames WHERE false"
    assert sql(home, query, "--format", "json").stdout == "[]\n"
    assert sql(home, query, "--format", "csv").stdout == "ts_s\n"
    assert sql(home, query, "--format", "parquet", "-o", str(tmp_path / "a.parquet")).returncode == 0
    assert pq.read_schema(tmp_path / "a.parquet").names == ["ts_s"]


def test_columns_of_one_name_keep_their_places(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT 1 AS a, 2 AS a, 3 AS b"
    write_answer(home / "w", query, "csv", None)
    assert capsys.readouterr().out == "a,a,b\n1,2,3\n"
    write_answer(home / "w", query, "table", None)
    shown = capsys.readouterr().out
    assert [cell.strip() for cell in shown.splitlines()[3].strip("│").split("│")] == ["1", "2", "3"]
    for format, output in (("json", None), ("parquet", tmp_path / "a.parquet")):
        with pytest.raises(ValueError, match="two columns are named a: give one another name with AS"):
            write_answer(home / "w", query, format, output)
    assert list(tmp_path.iterdir()) == []


def test_json_keeps_numbers_and_maps(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT sum(num_faces) AS n, 1.5 AS share, map {'timeout': 1::HUGEINT} AS reasons FROM frames"
    write_answer(home / "w", query, "json", None)
    [row] = json.loads(capsys.readouterr().out)
    assert row == {"n": 0, "share": 1.5, "reasons": {"timeout": 1}} and isinstance(row["n"], int)


def test_what_json_has_no_number_for_is_null(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_answer(
        home / "w", "SELECT 'nan'::DOUBLE AS a, ['inf'::FLOAT, 1] AS b, {'c': '-inf'::DOUBLE} AS d", "json", None
    )
    assert json.loads(capsys.readouterr().out) == [{"a": None, "b": [None, 1], "d": {"c": None}}]


def test_an_output_among_the_tables_is_refused(home: Path) -> None:
    before = contents(home)
    refused = sql(home, "FROM frames", "-o", str(home / "w" / "catalog.sqlite"))
    assert refused.returncode == 2 and "name a file elsewhere" in refused.stderr
    assert contents(home) == before


def test_the_time_limit_is_an_option(home: Path) -> None:
    endless = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5"
    refused = sql(home, endless, "--timeout", "0.5")
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1
    assert "more than 0.5 s" in refused.stderr


def test_a_folder_that_cannot_be_written_is_read_and_the_missing_record_said(home: Path) -> None:
    """A read-only mount in a name space of its own: its owner, root too, can write nothing there."""
    folder = home / "w"
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm", "audit.sqlite", "audit.key"):
        (folder / name).unlink(missing_ok=True)
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
    own = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*own, "sh", "-c", mount, str(folder)], capture_output=True).returncode:
        pytest.skip("this system lets no test mount a folder read-only")
    command = f'{mount} && exec "$1" sql "SELECT count(*) AS n FROM frames" --format csv --warehouse "$0"'
    asked = subprocess.run([*own, "sh", "-c", command, str(folder), MOODREEL], capture_output=True, text=True)
    assert (asked.returncode, asked.stdout) == (0, f"n\n{NUM_FRAMES}\n"), asked.stderr
    [line] = asked.stderr.splitlines()
    assert "not recorded" in line and "audit.sqlite" in line
