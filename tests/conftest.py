import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import moodreel.flows.prefect_environment  # noqa: F401  # some tests import Prefect before the flows do

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # its last words come when pytest has closed the output

os.environ["MOODREEL_MODELS"] = str(Path(__file__).parent / "none")  # no models of the developer's own

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_videos() -> Path:
    return _shared("videos")


@pytest.fixture
def fer2013() -> Path:
    return _shared("fer2013.parquet")


@pytest.fixture
def muxspace() -> Path:
    return _shared("muxspace_faces.parquet")


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the project's data folder is not beside the checkout: {name}")
    return path


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Prefect database of the tests' own, for this process and all that it starts."""
    home = tmp_path_factory.mktemp("prefect")
    before = {name: os.environ.get(name) for name in ("PREFECT_HOME", "PREFECT_API_URL")}
    os.environ["PREFECT_HOME"] = str(home)
    os.environ.pop("PREFECT_API_URL", None)
    yield home
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as users have it: a face with speech, a face without sound, no face, text posing as video."""
    from clips import SPEECH, numbered, portrait_clip, write_clip

    folder = tmp_path_factory.mktemp("videos")
    (folder / "sub [1]").mkdir()
    portrait_clip(folder / "Gespräch 1.mp4", seconds=3, sound=SPEECH)
    portrait_clip(folder / "sub [1]" / "mute.mkv", seconds=2)
    write_clip(folder / "numbers.mov", numbered(20), fps=10)
    (folder / "notes.mp4").write_text("not a video")
    (folder / "readme.txt").write_text("ignored")
    return folder
