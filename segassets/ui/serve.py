"""Dagster's webserver in this process, its daemon as a child, and the end of both.

Dagster starts a code server of its own for the webserver and one for the daemon, and these start the runs, so a whole
tree of processes hangs on this one. All of it ends with it: in order on SIGINT and SIGTERM; and when this process is
killed outright, the daemon notices by a pipe that closes, the webserver's code server by missing heartbeats.

This is the one file that uses names which Dagster does not publish; they are imported late, since the webserver's alone
take a second. `python -m segassets.ui.serve TARGET` is how the daemon is started; it is no command for people.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import DagsterInstance
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget, WorkspaceLoadTarget

from segassets.errors import SegassetsError, UsageError
from segassets.instance import opened
from segassets.processes import process_start
from segassets.runs import free_dead_runs
from segassets.ui.guard import Guard, public_names

if TYPE_CHECKING:
    from dagster._core.workspace.context import WorkspaceProcessContext

ADDRESS = "127.0.0.1"
LOCATION = "segassets"
MODULE = "segassets.definitions"

# How long the parts may take to end by themselves: connections, then runs and servers. Together below five seconds.
CONNECTIONS_SECONDS = 1
PROCESSES_SECONDS = 3.5
# A daemon writes a heartbeat every 30 s; older ones are remains.
HEARTBEAT_SECONDS = 60
# A daemon whose server was killed a moment ago needs this long to go.
LOCK_SECONDS = 6
LOCK_HELD_STATUS = 3
# How many of our own ended daemons are known by name: several may have come and gone before the first heartbeat.
OWN_DAEMONS = 20
LOG_BYTES = 10_000_000


class Chosen(NamedTuple):
    """How the UI is served."""

    port: int
    read_only: bool
    daemon: bool
    public_urls: tuple[str, ...]


class Target(NamedTuple):
    """The code that is served: a module of definitions, or a workspace file in its place."""

    module: str
    workspace: str | None

    def load_target(self) -> WorkspaceLoadTarget:
        """The same for Dagster. A module is found by import alone, so that the working directory does not matter."""
        if self.workspace is not None:
            return WorkspaceFileTarget([self.workspace])
        return ModuleTarget(self.module, None, None, LOCATION)


def serve(
    port: int = 3000,
    read_only: bool = False,
    workspace: Path | None = None,
    *,
    daemon: bool = True,
    public_urls: Sequence[str] = (),
    module: str = MODULE,
) -> int:
    """Serve the UI on the loopback address until SIGINT or SIGTERM; returns the exit status.

    `port` 0 takes a free one. `read_only` refuses every change and starts no daemon; nor is one started without
    `daemon`, where another service has it. `workspace` names a workspace file to be served in place of `module`.
    `public_urls`: where a proxy makes the UI reachable. The instance is that of DAGSTER_HOME. All children of this
    process end with it.
    """
    target = Target(module, str(workspace.absolute()) if workspace else None)
    chosen = Chosen(port, read_only, daemon and not read_only, tuple(public_urls))
    with _Interrupts() as interrupts:
        try:
            _serve(chosen, target, interrupts)
        except KeyboardInterrupt:
            pass  # ended before it answered
        except UsageError as error:
            return _complain(error, status=2)
        except SegassetsError as error:
            return _complain(error, status=1)
    return 0


def _complain(error: object, status: int) -> int:
    print(f"segassets ui: {error}", file=sys.stderr, flush=True)
    return status


def _say(text: str) -> None:
    print(text, flush=True)


class _Interrupts:
    """SIGINT and SIGTERM alike: they break off the start, and are left to uvicorn while it serves.

    Set explicitly, since a shell that starts a job in the background lets it ignore SIGINT. While everything is being
    ended they do nothing: that takes a few seconds at most, and half an ending would leave processes behind.
    """

    def __init__(self) -> None:
        self.raising = True
        self._asked = False
        self._server: Any = None
        self._before: dict[int, Any] = {}
        self._hook = sys.unraisablehook

    def serving(self, server: Any) -> None:
        """From now on signals end this server of uvicorn's. It has handlers of its own, but not at once: one that comes
        in between would be lost. KeyboardInterrupt when one was: Python ignores what is raised in some callbacks of
        imports and clean-ups."""
        self._server = server
        self.raising = False
        if self._asked:
            raise KeyboardInterrupt

    def __enter__(self) -> _Interrupts:
        sys.unraisablehook = self._on_unraisable
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        sys.unraisablehook = self._hook
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_unraisable(self, problem: Any) -> None:
        """An interrupt that Python could not raise where it came is remembered, and no reason for a stack trace."""
        if not issubclass(problem.exc_type, KeyboardInterrupt):
            self._hook(problem)

    def _on_signal(self, *_: object) -> None:
        self._asked = True
        if self.raising:
            raise KeyboardInterrupt
        if self._server is not None:
            self._server.should_exit = True


def _serve(chosen: Chosen, target: Target, interrupts: _Interrupts) -> None:
    """Start everything, serve, end everything."""
    # Everything that can be wrong at once is looked at before the definitions are loaded, which takes seconds.
    _check(chosen, target)
    listening = _listen(chosen.port)
    daemon: _Daemon | None = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(listening)
        instance = stack.enter_context(opened())
        try:
            if not chosen.read_only:
                _report_dead_runs(instance)
            context = stack.enter_context(_webserver_context(instance, chosen.read_only, target))
            if chosen.daemon:
                daemon = _start_daemon(instance, target)
            _run_webserver(context, listening, chosen, interrupts)
        finally:
            interrupts.raising = False
            _end(daemon, stack.pop_all())


def _check(chosen: Chosen, target: Target) -> None:
    """UsageError for addresses and files that cannot be meant."""
    for url in chosen.public_urls:
        try:
            public_names(url)
        except ValueError as error:
            raise UsageError(f"--public-url: {error}") from None
    if target.workspace is not None and not os.path.isfile(target.workspace):
        raise UsageError(f"--workspace: there is no file {target.workspace}")


def _listen(port: int) -> socket.socket:
    """A socket that takes connections already: they wait until the server answers, and nobody else takes the port."""
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: expected a number from 0 to 65535 (0 takes a free one).")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ADDRESS, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise SegassetsError(
            f"port {port} on {ADDRESS} cannot be used ({error.strerror}). Another UI may run there: end it, "
            "or choose another port with --port N (0 takes a free one)."
        ) from error
    return listening


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(" .")


def _report_dead_runs(instance: DagsterInstance) -> None:
    for run_id in free_dead_runs(instance):
        _say(f"run {run_id} marked as ended: its process is gone")


# The webserver


def _webserver_context(instance: DagsterInstance, read_only: bool, target: Target) -> WorkspaceProcessContext:
    """The loaded workspace. Definitions that cannot be loaded are shown by the UI, which then can reload them."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster_webserver.version import __version__

    # A statement's limit in ms, a connection's age in s, connections beyond the pool: as Dagster's own command has it.
    instance.optimize_for_webserver(15_000, 3600, 20)
    with warnings.catch_warnings():
        # What cannot be loaded is said below in one line; as a warning and by the code server it would be a hundred.
        warnings.simplefilter("ignore")
        context = WorkspaceProcessContext(
            instance,
            version=__version__,
            read_only=read_only,
            workspace_load_target=target.load_target(),
            code_server_log_level="CRITICAL",
        )
    for error in context.create_request_context().code_location_errors():
        _complain(f"the definitions cannot be loaded, the UI shows why: {_first_line(error.message)}", status=1)
    return context


def _run_webserver(
    context: WorkspaceProcessContext, listening: socket.socket, chosen: Chosen, interrupts: _Interrupts
) -> None:
    """Answer requests until a signal comes."""
    import uvicorn
    from dagster_webserver.app import create_app_from_workspace_process_context

    port = listening.getsockname()[1]

    class Server(uvicorn.Server):
        """Uvicorn, saying where it is as soon as it answers."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            for url in chosen.public_urls:
                _say(f"also answers to {url}, for a proxy before it")
            _say(f"segassets UI on http://{ADDRESS}:{port} (Ctrl-C ends it)")

    config = uvicorn.Config(
        Guard(create_app_from_workspace_process_context(context), port, chosen.public_urls, chosen.read_only),
        log_level="error",
        access_log=False,
        server_header=False,
        # There is no proxy whose word on where a request comes from could be believed.
        proxy_headers=False,
        timeout_graceful_shutdown=CONNECTIONS_SECONDS,
    )
    server = Server(config)
    interrupts.serving(server)
    server.run(sockets=[listening])


# The daemon


class _Daemon:
    """Dagster's daemon as a child that lives no longer than this process.

    It holds the reading end of a pipe whose writing end is here: however this process ends, the kernel closes it. It
    has a session of its own, so that Ctrl-C in the terminal reaches only this process, which then ends it in order.
    """

    def __init__(self, target: Target, log: Path) -> None:
        command = [sys.executable, "-m", "segassets.ui.serve", json.dumps(target)]
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
            _say(_no_second("another `segassets ui` started one at the same moment"))
            return
        _complain(
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


def _start_daemon(instance: DagsterInstance, target: Target) -> _Daemon | None:
    """The daemon, unless another one serves this instance: two would start everything twice."""
    home = Path(instance.root_directory)
    other = _other_daemon(instance, home)
    if other:
        _say(_no_second(other))
        return None
    log = home / "daemon.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return _Daemon(target, log)


def _no_second(why: str) -> str:
    return f"no second daemon is started: {why}"


def _other_daemon(instance: DagsterInstance, home: Path) -> str | None:
    """Why it must be believed that a daemon runs already; None when there is none.

    Ours hold a lock. Others (`dagster dev`, another host's) are known only by their heartbeats, which outlast them.
    """
    with contextlib.suppress(BlockingIOError), _daemon_lock(home, wait=LOCK_SECONDS) as lock:
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
def _daemon_lock(home: Path, wait: float = 0) -> Iterator[Any]:
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
            _daemon_lock(Path(instance.root_directory)) as lock,
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


# The end


def _end(daemon: _Daemon | None, resources: contextlib.ExitStack) -> None:
    """End the daemon, the code servers and their runs, and close what is open here."""
    deadline = time.monotonic() + PROCESSES_SECONDS
    daemon_pid = None if daemon is None else daemon.process.pid
    if daemon is not None:
        daemon.tell_to_end()
    # A code server that is closed waits for its runs; a run that is interrupted records so itself, and ends.
    for pid in _descendants(os.getpid()):
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
        seen |= _descendants(os.getpid())
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


def _descendants(root: int) -> dict[int, str]:
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


if __name__ == "__main__":
    sys.exit(_run_daemon(Target(*json.loads(sys.argv[1]))))
