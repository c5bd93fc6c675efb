"""Nothing is unpickled: opening a pickle can run whatever its author wished."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("flows", "tasks", "models", "schemas", "warehouse")
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_NAMES = {"torch.load", "torch.jit.load", "torch.hub.load"}  # a bare `load` could be anything
UNSAFE_CALLS = ("read_pickle", "PackageImporter", "hub.load", "jit.load")


def unpickling(source: str) -> Iterator[str]:
    """Say what in a source opens pickles, or could."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = []
        for name in names:
            if name.split(".")[0] in PICKLES or name in UNSAFE_NAMES:
                yield f"line {node.lineno}: imports {name}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        if called == "torch.load" and options.get("weights_only") != "True":
            yield f"line {node.lineno}: torch.load without weights_only=True"
        if options.get("allow_pickle", "False") != "False":
            yield f"line {node.lineno}: allow_pickle"
        if called.endswith(UNSAFE_CALLS):
            yield f"line {node.lineno}: {called}"


@pytest.mark.parametrize("path", sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")), ids=str)
def test_no_file_of_ours_opens_a_pickle(path: Path) -> None:
    assert list(unpickling(path.read_text(encoding="utf-8"))) == []


def test_torch_loads_nothing_but_checkpoints_of_training() -> None:
    """With weights_only: tensors, numbers and text of a run of one's own; models ship as safetensors."""
    loading = [
        path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "torch.load(" in path.read_text("utf-8")
    ]
    assert loading == [ROOT / "tasks" / "learning" / "checkpoint.py"]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib.numpy_pickle",
        "from cloudpickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "from torch import load",
        "np.load(path, allow_pickle=True)",
        "pandas.read_pickle(path)",
        "torch.package.PackageImporter(path)",
        "torch.hub.load(repository, name)",
        "torch.jit.load(path)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert len(list(unpickling(source))) == 1
