"""Dagster's webserver in this process, its daemon as a child, and the end of both.

Dagster starts a code server of its own for the webserver and one for the daemon, and these start the runs, so a whole
tree of processes hangs on this one. All of it ends with it: in order on SIGINT and SIGTERM; and when this process is
killed outright, the daemon notices by a pipe that closes, the webserver's code server by missing heartbeats.

It uses names that Dagster does not publish, as `daemon` does; they are imported late, since they take a second.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import DagsterInstance

from segassets.errors import SegassetsError, UsageError
from segassets.instance import opened
from segassets.runs import free_dead_runs
from segassets.ui.daemon import Daemon, Target, start_daemon
from segassets.ui.ending import end
from segassets.ui.guard import Guard, public_names
from segassets.ui.saying import complain, say

if TYPE_CHECKING:
    from dagster._core.workspace.context import WorkspaceProcessContext

ADDRESS = "127.0.0.1"
MODULE = "segassets.definitions"

# How long connections may take to end by themselves.
CONNECTIONS_SECONDS = 1


class Chosen(NamedTuple):
    """How the UI is served."""

    port: int
    read_only: bool
    daemon: bool
    public_urls: tuple[str, ...]


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
            return complain(error, status=2)
        except SegassetsError as error:
            return complain(error, status=1)
    return 0


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
    daemon: Daemon | None = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(listening)
        instance = stack.enter_context(opened())
        try:
            if not chosen.read_only:
                _report_dead_runs(instance)
            context = stack.enter_context(_webserver_context(instance, chosen.read_only, target))
            if chosen.daemon:
                daemon = start_daemon(instance, target)
            _run_webserver(context, listening, chosen, interrupts)
        finally:
            interrupts.raising = False
            end(daemon, stack.pop_all())


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
        say(f"run {run_id} marked as ended: its process is gone")


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
        complain(f"the definitions cannot be loaded, the UI shows why: {_first_line(error.message)}", status=1)
    return context


def _run_webserver(
    context: WorkspaceProcessContext, listening: socket.socket, chosen: Chosen, interrupts: _Interrupts
) -> None:
    """Answer requests until a signal comes."""
    import uvicorn
    from dagster_webserver.app import create_app_from_workspace_process_context

    port = listening.getsockname()[1]
    told = logging.StreamHandler()
    told.setFormatter(logging.Formatter("segassets ui: %(message)s"))
    logging.getLogger("segassets.ui").addHandler(told)

    class Server(uvicorn.Server):
        """Uvicorn, saying where it is as soon as it answers."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            for url in chosen.public_urls:
                say(f"also answers to {url}, for a proxy before it")
            say(f"segassets UI on http://{ADDRESS}:{port} (Ctrl-C ends it)")

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
