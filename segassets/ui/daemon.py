"""Dagster's daemon as a child of the UI, and the one lock on being an instance's daemon.

It uses names that Dagster does not publish; they are imported late, since they take a second. `python -m
segassets.ui.daemon TARGET` is how it is started; it is no command for people.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dagster import DagsterInstance
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget, WorkspaceLoadTarget

from segassets.instance import opened
from segassets.ui.saying import complain, say

LOCATION = "segassets"
# A daemon writes a heartbeat every 30 s; older ones are remains.
HEARTBEAT_SECONDS = 60
# A daemon whose server was killed a moment ago needs this long to go.
LOCK_SECONDS = 6
LOCK_HELD_STATUS = 3
# How many of our own ended daemons are known by name: several may have come and gone before the first heartbeat.
OWN_DAEMONS = 20
LOG_BYTES = 10_000_000


class Target(NamedTuple):
    """The code that is served: a module of definitions, or a workspace file in its place."""

    module: str
    workspace: str | None

    def load_target(self) -> WorkspaceLoadTarget:
        """The same for Dagster. A module is found by import alone, so that the working directory does not matter."""
        if self.workspace is not None:
            return WorkspaceFileTarget([self.workspace])
        return ModuleTarget(self.module, None, None, LOCATION)


class Daemon:
    """Dagster's daemon as a child that lives no longer than this process.

    It holds the reading end of a pipe whose writing end is here: however this process ends, the kernel closes it. It
    has a session of its own, so that Ctrl-C in the terminal reaches only this process, which then ends it in order.
    """

    def __init__(self, target: Target, log: Path) -> None:
        command = [sys.executable, "-m", "segassets.ui.daemon", json.dumps(target)]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._log = log
        self._ending = False
        threading.Thread(target=self._watch, name="daemon-watch", daemon=True).start()

    def _watch(self) -> None:
        """Say so when the daemon ends by itself: queued runs would wait for it for ever."""
        status = self.process.wait()
        if self._ending:
            return
        if status == LOCK_HELD_STATUS:
            say(_no_second("another `segassets ui` started one at the same moment"))
            return
        complain(
            f"the daemon ended (status {status}, see {self._log}): schedules, sensors and queued runs wait. "
            "Start the UI again.",
            status=1,
        )

    def tell_to_end(self) -> None:
        """Let it end by itself."""
        self._ending = True
        assert self.process.stdin is not None
        self.process.stdin.close()

    def make_end(self, deadline: float) -> None:
        """See to it that it has ended."""
        try:
            self.process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()


def start_daemon(instance: DagsterInstance, target: Target) -> Daemon | None:
    """The daemon, unless another one serves this instance: two would start everything twice."""
    home = Path(instance.root_directory)
    other = other_daemon(instance, home)
    if other:
        say(_no_second(other))
        return None
    log = home / "daemon.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return Daemon(target, log)


def _no_second(why: str) -> str:
    return f"no second daemon is started: {why}"


def other_daemon(instance: DagsterInstance, home: Path) -> str | None:
    """Why it must be believed that a daemon runs already; None when there is none.

    Ours hold a lock. Others (`dagster dev`, another host's) are known only by their heartbeats, which outlast them.
    """
    with contextlib.suppress(BlockingIOError), daemon_lock(home, wait=LOCK_SECONDS) as lock:
        own = lock.read().split()
        beats = instance.get_daemon_heartbeats().values()
        ages = [time.time() - beat.timestamp for beat in beats if beat.daemon_id not in own]
        if not ages or min(ages) > HEARTBEAT_SECONDS:
            return None
        return (
            f"one gave a sign of life {min(ages):.0f} s ago (`dagster dev`, or another host's). "
            f"If it has ended, start the UI again in a minute."
        )
    return f"another `segassets ui` has one for {home}"


@contextlib.contextmanager
def daemon_lock(home: Path, wait: float = 0) -> Iterator[Any]:
    """Hold the lock on being this instance's daemon; the file names the last holders as their heartbeats do.

    Raises BlockingIOError. The kernel gives the lock back when its holder dies, however that happens.
    """
    deadline = time.monotonic() + wait
    with (home / "daemon.lock").open("a+", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        lock.seek(0)
        yield lock


def _run_daemon(target: Target) -> int:
    """The daemon's own process: run until standard input closes."""
    _end_when_closed(0)
    from dagster._daemon.controller import daemon_controller_from_instance
    from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

    setup_interrupt_handlers()
    try:
        with (
            opened() as instance,
            daemon_lock(Path(instance.root_directory)) as lock,
            capture_interrupts(),
            daemon_controller_from_instance(
                instance, target.load_target(), code_server_log_level="warning"
            ) as controller,
        ):
            known = [*lock.read().split()[1 - OWN_DAEMONS :], controller._daemon_uuid]
            lock.truncate(0)
            lock.write("\n".join(known) + "\n")
            lock.flush()
            controller.check_daemon_loop()
    except BlockingIOError:
        return LOCK_HELD_STATUS
    except KeyboardInterrupt:
        pass
    return 0


def _end_when_closed(descriptor: int) -> None:
    """End this process and its children once the pipe has no writer any more: in order, or else at once."""

    def watch() -> None:
        while os.read(descriptor, 1024):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(LOCK_SECONDS - 1)
        # The group is ours alone: the daemon was started in a session of its own.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-server", daemon=True).start()


if __name__ == "__main__":
    sys.exit(_run_daemon(Target(*json.loads(sys.argv[1]))))
