"""What the docs say is compared with the program, and what they show is run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from clips import SPEECH, portrait_clip

from moodreel.flows.run import run_night
from moodreel.models.card import card
from moodreel.models.registry import REGISTERED, read_manifest
from moodreel.schemas.config import NightRequest
from moodreel.schemas.reasons import MEANING, RETRY_NEXT_NIGHT, RETRY_TONIGHT, Reason
from moodreel.schemas.tables import describe_tables
from moodreel.warehouse.ask import ask

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MOODREEL = str(Path(sys.executable).with_name("moodreel"))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    (folder / "videos").mkdir()
    portrait_clip(folder / "videos" / "a.mp4", 1, SPEECH)
    (folder / "videos" / "bad.mp4").touch()
    models = ("inception-resnet-v2", "small-vgg")
    run_night(NightRequest(folder=str(folder / "videos"), warehouse=str(folder / "w"), workers=0, models=models))
    return folder / "w"


def test_every_query_of_the_readme_has_an_answer(warehouse: Path) -> None:
    block = re.search(r"```sql\n(.*?)```", README, re.S)
    assert block is not None
    queries = [query for query in block[1].split(";") if query.strip()]
    queries += re.findall(r'moodreel sql "(.*?)"', README)
    assert len(queries) >= 5
    for query in queries:
        assert ask(warehouse, query).num_rows > 0, query


def test_every_command_of_the_readme_exists_with_its_options() -> None:
    commands = re.findall(r"^moodreel (\w+)([^#\n]*)", README, re.M)
    assert {name for name, _ in commands} == {
        "run",
        "rerun",
        "failures",
        "maintain",
        "erase",
        "notice",
        "sql",
        "models",
        "doctor",
        "train",
        "evaluate",
        "reproduce",
    }
    for name, rest in commands:
        text = subprocess.run([MOODREEL, name, "--help"], capture_output=True, text=True).stdout
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in text, f"moodreel {name} {option}"


def test_the_readmes_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"^make (\w+)", README, re.M) == ["demo", "test"]
    for target in ("demo", "test", "setup", "lint"):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_tables_and_reasons_are_documented_as_declared() -> None:
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == describe_tables()
    reasons = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (.*?) \| (.*?) \|", reasons, re.M)[1:]
    assert rows == [(reason.value, MEANING[reason], _tried_again(reason)) for reason in Reason]


def test_every_registered_model_has_its_card() -> None:
    """After a change of a manifest: moodreel models --cards docs/models."""
    written = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "models").iterdir()}
    assert written == {name: card(read_manifest(name)) for name in REGISTERED}


def _tried_again(reason: Reason) -> str:
    if reason in RETRY_TONIGHT:
        return "this night and the next"
    return "the next night" if reason in RETRY_NEXT_NIGHT else "when bytes or version change"


def test_the_files_to_read_first_exist_and_tell_their_story() -> None:
    for path in re.findall(r"`((?:tasks|flows|schemas|warehouse|models)/\w+\.py)`", README):
        assert (ROOT / path).is_file(), path
    story = (ROOT / "tasks" / "video.py").read_text()
    for path in re.findall(r"((?:tasks|warehouse)/\w+\.py)", story):
        assert (ROOT / path).is_file(), path
