"""Whether a process still runs. Process numbers are used again, so a process is its number and its start time."""

from __future__ import annotations

import os
from pathlib import Path

IN_USE = "in use"


def process_start(pid: int) -> str | None:
    """When a process started, in the kernel's clock ticks since boot; None when it has ended.

    Without procfs (macOS) all that can be told is whether the number is in use: `IN_USE`.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if os.path.isdir("/proc/self") else _in_use(pid)
    # The second field, the command's name, may hold blanks and parentheses: count from its end.
    state, *fields = stat.rpartition(")")[2].split()
    # A zombie is a process that has ended and that nobody has asked about yet.
    return None if state in "ZXx" else fields[18]


def _in_use(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        return IN_USE  # another user's
    return IN_USE
