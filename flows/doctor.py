"""`moodreel doctor`: is this machine ready?"""

import json
import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

_NEEDED_DISK_GB = 2.0
_NEEDED_MEMORY_GB = 4.0
_PACKAGES = ("torch", "facenet-pytorch", "openvino", "ray", "prefect", "duckdb", "av", "opensmile", "silero-vad")


def check_machine(as_json: bool) -> bool:
    """Run every check, print it with what was found, and return whether all are good."""
    results = []
    for name, check in _CHECKS.items():
        try:
            results.append({"check": name, "ok": True, "found": check()})
        except Exception as error:  # a doctor reports whatever is wrong
            results.append({"check": name, "ok": False, "found": f"{type(error).__name__}: {error}"})
    if as_json:
        print(json.dumps({"checks": results}))
    else:
        table = Table("check", "", "found")
        for result in results:
            table.add_row(str(result["check"]), "ok" if result["ok"] else "NOT READY", str(result["found"]))
        Console().print(table)
    return all(result["ok"] for result in results)


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("moodreel", *_PACKAGES))


def _weights() -> str:
    from moodreel.models.registry import checked_weights, read_manifest, registered

    return ", ".join(f"{checked_weights(read_manifest(name)).name} matches its manifest" for name in registered())


def _processor() -> str:
    from moodreel.models.inference import cpu_has_bf16

    kind = "bfloat16" if cpu_has_bf16() else "float32 (no native bfloat16, so slower)"
    return f"{os.cpu_count()} processors, networks run in {kind}"


def _memory() -> str:
    free = psutil.virtual_memory().available / 2**30
    if free < _NEEDED_MEMORY_GB:
        raise RuntimeError(f"{free:.1f} GB free, {_NEEDED_MEMORY_GB:.0f} needed: close programs or use fewer --workers")
    return f"{free:.1f} GB free"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < _NEEDED_DISK_GB:
        raise RuntimeError(f"{free:.1f} GB free here, {_NEEDED_DISK_GB:.0f} needed")
    return f"{free:.1f} GB free here"


def _lake() -> str:
    import tempfile

    from moodreel.warehouse.lake import Lake

    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        tables = lake.query("SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database()")[0][0]
        lake.close()
    return f"a new warehouse has {tables} tables"


def _ray() -> str:
    import ray

    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        return f"a cluster of {len(ray.nodes())} node answers"
    finally:
        ray.shutdown()


def _prefect() -> str:
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    import moodreel.flows.prefect_environment  # isort: skip  # noqa: F401  # Prefect reads it when it is imported

    from prefect import flow

    @flow(name="doctor")
    def answer() -> str:
        return "a flow ran to its end"

    return answer()


_CHECKS: dict[str, Callable[[], str]] = {
    "versions": _versions,
    "weights": _weights,
    "processor": _processor,
    "memory": _memory,
    "disk": _disk,
    "warehouse": _lake,
    "Ray": _ray,
    "Prefect": _prefect,
}
