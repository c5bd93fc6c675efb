import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("flows", "tasks", "models", "schemas", "warehouse")


def test_every_folder_with_code_is_in_the_wheel() -> None:
    """A folder that is not listed works here and is silently missing from the wheel."""
    found = {path.parent.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert {f"moodreel.{'.'.join(path.parts)}" for path in found} == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_data_file_is_in_the_wheel() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    for folder in FOLDERS:
        listed = {path for pattern in data.get(f"moodreel.{folder}", []) for path in (ROOT / folder).glob(pattern)}
        present = {
            path
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and path.suffix not in {".py", ".pyc"} and "__pycache__" not in path.parts
        }
        assert present == listed, folder


def test_constraints_pin_every_requirement_and_name_no_host() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all("==" in line and "://" not in line and "@" not in line for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *project["optional-dependencies"]["demo"],
    ]
    for requirement in wanted:
        name = requirement
        for mark in "[<>=!~ ":
            name = name.split(mark)[0]
        assert name.lower() in pinned, name


def test_files_stay_small() -> None:
    sizes = sorted(len(path.read_text().splitlines()) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    assert sizes[-1] <= 400 and sizes[len(sizes) // 2] <= 140
