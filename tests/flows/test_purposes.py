"""What a run may be for is asked before anything is written or started, whoever starts it; what was done is kept."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import moodreel
from pydantic import ValidationError

from moodreel.flows.rerun import rerun_models
from moodreel.flows.run import run_night
from moodreel.schemas.config import NightRequest
from moodreel.schemas.purposes import PROHIBITED, Ground, check_purpose
from moodreel.warehouse.ask import ask
from moodreel.warehouse.audit import FILE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder: a night over it is a whole run without a network."""
    (tmp_path / "videos").mkdir()
    return tmp_path / "videos"


def entries(warehouse: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(warehouse / FILE)) as connection:
        return connection.execute(
            "SELECT action, purpose, detail, num_rows, follows FROM entries ORDER BY entry_id"
        ).fetchall()


@pytest.mark.parametrize(
    "purpose",
    [
        "Mood of our EMPLOYEES",
        "call centre staff",
        "job_applicants",
        "Are the students attentive?",
        "exam proctoring",
        "School",
        "Mitarbeiter im Büro",
        "Bu\u0308ro",  # the same letter, written as two
        "SCHÜLER",
    ],
)
def test_work_and_education_are_refused_without_an_exception(purpose: str) -> None:
    with pytest.raises(
        ValueError, match=r"Article 5\(1\)\(f\) of the EU AI Act \(Regulation \(EU\) 2024/1689\)"
    ) as told:
        check_purpose(purpose, None)
    assert len(str(told.value).splitlines()) == 1
    for ground in Ground:
        check_purpose(purpose, ground)


@pytest.mark.parametrize(
    "purpose",
    [
        None,
        "nightly job",
        "market research",
        "the work of art",
        "Nachtbetrieb",
        "the network of frameworks",
        "Schulter",
        "test",
    ],
)
def test_other_purposes_are_no_concern_of_the_guard(purpose: str | None) -> None:
    check_purpose(purpose, None)


def test_every_declared_word_is_caught() -> None:
    for words in PROHIBITED.values():
        for word in words:
            with pytest.raises(ValueError, match=r"Article 5\(1\)\(f\)"):
                check_purpose(f"for the {word.upper()}, mostly", None)


def test_an_exception_wants_a_purpose() -> None:
    with pytest.raises(ValidationError, match="give --purpose TEXT too"):
        NightRequest(folder="x", exception=Ground.SAFETY)


def test_the_command_line_refuses_before_anything_is_made(folder: Path, tmp_path: Path) -> None:
    for told, variables in ((["--purpose", "the workplace"], {}), ([], {"MOODREEL_PURPOSE": "the workplace"})):
        place = ["--warehouse", str(tmp_path / "w"), *told]
        for command in (["run", str(folder)], ["rerun", "--models", "small-vgg"]):
            refused = moodreel(*command, *place, **variables)
            assert (refused.returncode, refused.stdout) == (2, "")
            [line] = refused.stderr.strip().splitlines()
            assert "Article 5(1)(f)" in line and "--exception" in line
            assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_the_prefect_flow_refuses_before_anything_is_made(folder: Path, tmp_path: Path, prefect_home: Path) -> None:
    from moodreel.flows.nightly import nightly

    request = {"folder": str(folder), "warehouse": str(tmp_path / "w"), "purpose": "classroom", "workers": 0}
    with pytest.raises(Exception, match=r"Article 5\(1\)\(f\)"):
        nightly(request)  # type: ignore[arg-type]  # as a deployment's parameters come
    assert not (tmp_path / "w").exists()
    nightly({**request, "exception": "medical"})  # type: ignore[arg-type]  # as above
    [row] = ask(tmp_path / "w", "SELECT run_id, config->>'exception' AS exception FROM runs").to_pylist()
    assert row["exception"] == "medical"
    assert entries(tmp_path / "w") == [("run", "classroom", f"run {row['run_id']}", None, None)]


def test_purpose_and_exception_are_kept_with_the_run(folder: Path, tmp_path: Path) -> None:
    request = NightRequest(
        folder=str(folder), warehouse=str(tmp_path), workers=0, purpose="tired workers", exception=Ground.SAFETY
    )
    night = run_night(request).summary.run_id
    again = rerun_models(["small-vgg"], tmp_path, "tired workers", Ground.SAFETY).run_id
    rows = ask(tmp_path, "SELECT flow, purpose, config->>'exception' AS exception FROM runs ORDER BY started_at")
    kept = {"purpose": "tired workers", "exception": "safety"}
    assert rows.to_pylist() == [{"flow": "nightly", **kept}, {"flow": "rerun", **kept}]
    told = [
        ("run", "tired workers", f"run {night}", None, None),
        ("rerun", "tired workers", f"run {again}", None, None),
    ]
    assert entries(tmp_path) == told


def test_the_configured_purpose_is_the_default(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOODREEL_PURPOSE", "museum visitors")
    assert NightRequest(folder="x").purpose == NightRequest(folder="x", purpose=None).purpose == "museum visitors"
    run_night(NightRequest(folder=str(folder), warehouse=str(tmp_path), workers=0))
    run_night(NightRequest(folder=str(folder), warehouse=str(tmp_path), workers=0, purpose="another"))
    rerun_models(["small-vgg"], tmp_path)
    rows = ask(tmp_path, "SELECT purpose FROM runs ORDER BY started_at").to_pylist()
    assert [row["purpose"] for row in rows] == ["museum visitors", "another", "museum visitors"]


def test_who_reads_and_who_exports_is_kept_with_the_number_of_rows(folder: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "w"
    run_night(NightRequest(folder=str(folder), warehouse=str(warehouse), workers=0))
    query, place = "SELECT state FROM runs", ["--warehouse", str(warehouse)]
    for words in ([], ["--format", "json"], ["-o", str(tmp_path / "a.csv")]):
        assert moodreel("sql", query, *place, *words, MOODREEL_PURPOSE="curiosity").stderr == ""
    assert moodreel("sql", "DROP TABLE runs", *place).returncode == 2
    read, export = ("read", "curiosity", query), ("export", "curiosity", query)
    expected = [(*read, None, None), (*read, 1, 2), (*read, None, None), (*read, 1, 4), (*export, None, None)]
    assert entries(warehouse)[1:] == [*expected, (*export, 1, 6)]


def test_a_run_goes_on_where_nothing_can_be_recorded(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "w" / FILE).mkdir(parents=True)
    run = moodreel("run", str(folder), "--warehouse", str(tmp_path / "w"), "--workers", "0", "--json")
    assert run.returncode == 0 and json.loads(run.stdout)["num_videos"] == 0
    [line] = [line for line in run.stderr.splitlines() if "not recorded" in line]
    assert "this run" in line and FILE in line
