"""The end of the UI: of its daemon, of Dagster's code servers, and of the runs that hang on them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from segassets.processes import process_start
from segassets.ui.daemon import Daemon

# How long the parts may take to end by themselves; with uvicorn's connections below five seconds.
PROCESSES_SECONDS = 3.5


def end(daemon: Daemon | None, resources: contextlib.ExitStack) -> None:
    """End the daemon, the code servers and their runs, and close what is open here."""
    deadline = time.monotonic() + PROCESSES_SECONDS
    daemon_pid = None if daemon is None else daemon.process.pid
    if daemon is not None:
        daemon.tell_to_end()
    # A code server that is closed waits for its runs; a run that is interrupted records so itself, and ends.
    for pid in descendants(os.getpid()):
        if pid != daemon_pid:
            _signal(pid, signal.SIGINT)
    # Closing talks to servers that may hang or be gone, so it must not hold up the rest.
    closing = threading.Thread(target=_close, args=(resources,), daemon=True)
    closing.start()
    _end_descendants(deadline)
    if daemon is not None:
        daemon.make_end(deadline)
    closing.join(timeout=1)


def _close(resources: contextlib.ExitStack) -> None:
    """Nothing depends on the success of this any more."""
    with contextlib.suppress(Exception):
        resources.close()


def _end_descendants(deadline: float) -> None:
    """Wait until no process that hangs on this one is left; kill those that are at the deadline."""
    seen: dict[int, str] = {}
    while True:
        # Looked up each time, and remembered: when a child has gone, its own children hang on somebody else.
        seen |= descendants(os.getpid())
        left = [pid for pid, started in seen.items() if process_start(pid) == started]
        if not left:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    for pid in left:
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(root: int) -> dict[int, str]:
    """The living processes that hang on `root`, with their start times."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: dict[int, str] = {}
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), []):
            todo.append(pid)
            started = process_start(pid)
            if started is not None:
                found[pid] = started
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """Every process with its parent. Empty without /proc: then code servers end by Dagster's own means only."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            yield int(stat.parent.name), int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
