"""What training asks of the machine: the kind of its matrix products, and memory that stays when it is freed."""

import ctypes
import sys
from typing import Final

import torch

from moodreel.models.inference import cpu_has_bf16
from moodreel.schemas.training import Precision

# parameters of mallopt, see its manual page
_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context in which matrix products are computed so, in fp32 on CPUs without bf16."""
    is_bf16 = precision == "bf16" and (device.type != "cpu" or cpu_has_bf16())
    return torch.autocast(device.type, torch.bfloat16, enabled=is_bf16)


def keep_freed_memory() -> None:
    """Let this process keep what it frees for what it needs next; elsewhere than with glibc nothing changes.

    By default glibc gives every large tensor back to the kernel, which then clears new pages for the next one of the
    same size: at each layer of each step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
