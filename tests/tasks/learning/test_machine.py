"""What training makes of the machine that it finds."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from moodreel.tasks.learning.machine import autocast

# how many new pages 20 tensors of 64 MiB cost, one after the other
_AGAIN = """
import resource
import torch
from moodreel.tasks.learning.machine import keep_freed_memory
{call}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(64 * 2**20, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(sum(faults() for _ in range(20)))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the flags of an x86-64 processor")
@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="reads Linux's /proc/cpuinfo")
def test_bf16_is_for_processors_that_have_it() -> None:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    with autocast("bf16", torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert (product.dtype == torch.bfloat16) == ("avx512_bf16" in flags or "amx_bf16" in flags)


def test_fp32_stays_fp32() -> None:
    with autocast("fp32", torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again() -> None:
    pages = 20 * 64 * 2**20 // 4096

    def faults(call: str) -> int:
        code = _AGAIN.format(call=call)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("") >= pages
    assert faults("keep_freed_memory()") < pages // 2  # the heap needs some rounds until it holds one such hole
