"""Memory that is given back and asked for again, a hundred times an image, costs more than the work on it."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 256 * 2**20


@cache
def keep_freed_memory() -> None:
    """Let this process keep up to 256 MiB of freed memory: the kernel need not clear every new picture's pages again.

    A sixth of the processor time of synthesis (measured). Only where the C library is GNU's; elsewhere nothing happens.
    """
    set_thresholds(_KEPT, _KEPT)


def set_thresholds(trim: int, mmap: int) -> None:
    """Bytes of free memory that are kept, and of the largest piece that is taken from it."""
    if sys.platform != "linux":
        return
    try:
        adjust = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    adjust(_TRIM_THRESHOLD, trim)
    adjust(_MMAP_THRESHOLD, mmap)
