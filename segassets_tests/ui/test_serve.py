"""The served UI as a process: it answers on the loopback address only, and everything ends with it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import httpx
import pytest
from dagster._daemon.types import DaemonHeartbeat

from segassets.processes import process_start
from segassets.ui.daemon import LOCK_HELD_STATUS, Target, daemon_lock, other_daemon
from segassets.ui.ending import descendants
from segassets.ui.serve import _listen, serve

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")

DEFINITIONS = """
import os, time
from pathlib import Path
import dagster as dg

@dg.asset
def slow():
    Path(os.environ["DAGSTER_HOME"], "slow.pid").write_text(str(os.getpid()))
    time.sleep(300)

defs = dg.Definitions(assets=[slow], executor=dg.in_process_executor)
"""
LAUNCH = """mutation { launchRun(executionParams: {selector: {
    repositoryLocationName: "segassets", repositoryName: "__repository__",
    jobName: "__ASSET_JOB", assetSelection: [{path: ["slow"]}]}})
    { __typename ... on LaunchRunSuccess { run { runId } } } }"""
# Generous, since the tests share their cores with others; what is promised is about five seconds.
END_SECONDS = 40


class UI:
    """`serve` in a process of its own."""

    def __init__(self, home: Path, arguments: str = "") -> None:
        code = f"from segassets.ui.serve import serve; raise SystemExit(serve(port=0, module='served_defs'{arguments}))"
        self.process = subprocess.Popen(
            # As a background job of a shell, which ignores SIGINT.
            ["/bin/sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home,
            env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(home)},
        )
        self.said = ""
        self.started: dict[int, str] = {}

    def wait_until_it_answers(self) -> UI:
        for line in iter(self.process.stdout.readline, ""):
            self.said += line
            if match := re.fullmatch(r"segassets UI on (http://127\.0\.0\.1:(\d+)) \(Ctrl-C ends it\)\n", line):
                self.url, self.port = match[1], int(match[2])
                return self
        raise AssertionError(f"the UI ended before it answered:\n{self.said}")

    def remember_processes(self) -> dict[int, str]:
        self.started |= descendants(self.process.pid)
        return self.started

    def living(self) -> list[int]:
        return [pid for pid, started in self.started.items() if process_start(pid) == started]

    def end(self, number: int) -> int:
        self.remember_processes()
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=END_SECONDS)
        self.said += output
        return self.process.returncode

    def clean_up(self) -> None:
        self.remember_processes()
        if self.process.poll() is None:
            self.process.kill()
        for pid in self.living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=END_SECONDS)
        self.process.stdout.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "served_defs.py").write_text(DEFINITIONS)
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    return tmp_path


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., UI]]:
    started: list[UI] = []

    def start_ui(arguments: str = "") -> UI:
        started.append(UI(home, arguments))
        return started[-1]

    yield start_ui
    for ui in started:
        ui.clean_up()


def until(condition: Callable[[], object], seconds: float = 60) -> object:
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return result


def upgrade(port: int, origin: str) -> str:
    """The first line of the answer to a websocket upgrade."""
    request = (
        f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: graphql-ws\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        return connection.recv(4096).decode().partition("\r\n")[0]


def test_serves_guarded_and_ends_with_daemon_code_servers_and_runs(home: Path, start):
    ui = start().wait_until_it_answers()
    with httpx.Client(base_url=ui.url) as client:
        answer = client.post(
            "/graphql",
            json={
                "query": "{ workspaceOrError { ... on Workspace { "
                "locationEntries { name loadStatus locationOrLoadError { __typename } } } } }"
            },
        )
        (entry,) = answer.json()["data"]["workspaceOrError"]["locationEntries"]
        assert entry["name"] == "segassets"
        assert entry["locationOrLoadError"]["__typename"] == "RepositoryLocation"
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
        assert client.get("/", headers={"Host": f"evil.example:{ui.port}"}).status_code == 403
        assert client.post("/graphql", json={"query": LAUNCH}, headers={"Origin": "http://evil.example"}).is_error
        assert client.post("/report_asset_materialization/slow").status_code == 415
        page = client.get("/")
        assert page.status_code == 200 and page.headers["x-frame-options"] == "DENY"
        assert "101" in upgrade(ui.port, ui.url)
        assert "403" in upgrade(ui.port, "http://evil.example")

        run_id = client.post("/graphql", json={"query": LAUNCH}).json()["data"]["launchRun"]["run"]["runId"]
    pid = home / "slow.pid"
    until(lambda: pid.exists() and pid.read_text())
    # The daemon, its code server, the webserver's code server, the run.
    assert int(pid.read_text()) in ui.remember_processes()
    assert len(ui.started) >= 4

    assert ui.end(signal.SIGINT) == 0
    assert ui.living() == []
    assert "Traceback" not in ui.said
    assert (home / "daemon.log").stat().st_size > 0
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE
        # What our own daemon left is not taken for a living one.
        assert other_daemon(instance, home) is None


def test_second_ui_starts_no_second_daemon_and_a_killed_ui_leaves_none(start):
    first = start().wait_until_it_answers()
    (daemon,) = until(lambda: daemons(first))
    second, read_only = start(), start(", read_only=True")
    second.wait_until_it_answers()
    assert "no second daemon is started: another `segassets ui`" in second.said
    assert daemons(second) == []
    read_only.wait_until_it_answers()
    assert daemons(read_only) == []

    first.remember_processes()
    in_group = [pid for pid in first.started if os.getpgid(pid) == daemon]
    assert daemon in in_group
    first.process.kill()
    until(lambda: not set(in_group) & set(first.living()), seconds=30)
    # A UI that starts right afterwards has a daemon again.
    third = start().wait_until_it_answers()
    until(lambda: daemons(third))
    for ui in (second, third, read_only):
        assert ui.end(signal.SIGTERM) == 0
        assert ui.living() == []


def daemons(ui: UI) -> list[int]:
    """The leaders of sessions of their own among the UI's processes."""
    return [pid for pid in ui.remember_processes() if pid in ui.living() and os.getpgid(pid) == pid]


def test_without_a_daemon_for_a_proxy(home: Path, start):
    (home / "workspace.yaml").write_text(
        "load_from:\n  - python_module: {module_name: served_defs, location_name: own}\n"
    )
    workspace = f"__import__('pathlib').Path({str(home / 'workspace.yaml')!r})"
    ui = start(
        f", daemon=False, workspace={workspace}, public_urls=['https://data.example.org']"
    ).wait_until_it_answers()
    with httpx.Client(base_url=ui.url, headers={"Host": "data.example.org"}) as client:
        assert client.get("/", headers={"Origin": "https://data.example.org"}).status_code == 200
        assert client.get("/", headers={"Origin": ui.url}).status_code == 403
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
        locations = "{ workspaceOrError { ... on Workspace { locationEntries { name } } } }"
        answer = client.post("/graphql", json={"query": locations}).json()
        assert answer["data"]["workspaceOrError"]["locationEntries"] == [{"name": "own"}]
    assert daemons(ui) == [] and not (home / "daemon.log").exists()
    assert ui.end(signal.SIGTERM) == 0
    assert "also answers to https://data.example.org" in ui.said
    assert ui.living() == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"public_urls": ["data.example.org"]}, "--public-url"),
        ({"public_urls": ["https://a/b"]}, "--public-url"),
        ({"workspace": Path("no-such-file.yaml")}, "--workspace"),
    ],
)
def test_addresses_and_files_that_cannot_be_meant(capsys, monkeypatch, home: Path, arguments, told):
    status, error = complaint(capsys, monkeypatch, home, port=0, **arguments)
    assert status == 2 and told in error


@pytest.mark.parametrize("seconds", [1.0, 2.0])
def test_interrupted_while_starting(start, seconds):
    ui = start()
    # Before that Python itself is starting, and our handler is not set yet.
    until(lambda: ignores_no_interrupt(ui.process.pid))
    time.sleep(seconds)
    assert ui.end(signal.SIGINT) == 0
    assert ui.living() == []
    assert "Traceback" not in ui.said


def ignores_no_interrupt(pid: int) -> bool:
    """Has the process set a handler for SIGINT?"""
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(caught and int(caught[1], 16) & (1 << (signal.SIGINT - 1)))


def test_a_request_that_dagster_fails_on_is_one_line_of_the_terminal(start):
    ui = start(", read_only=True").wait_until_it_answers()
    assert httpx.get(f"{ui.url}/logs/x", timeout=30).status_code == 500
    assert ui.end(signal.SIGTERM) == 0
    assert "segassets ui: GET /logs/x: ValueError" in ui.said and "Traceback" not in ui.said


def test_definitions_that_cannot_be_loaded_are_one_line(home: Path, start):
    (home / "served_defs.py").write_text("import no_such_module")
    ui = start(", read_only=True").wait_until_it_answers()
    (line,) = [line for line in ui.said.splitlines() if "cannot be loaded" in line]
    assert "no_such_module" in line
    assert "Traceback" not in ui.said
    assert ui.end(signal.SIGTERM) == 0


def complaint(capsys, monkeypatch, home: Path | None, **arguments) -> tuple[int, str]:
    if home is None:
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
    else:
        monkeypatch.setenv("DAGSTER_HOME", str(home))
    status = serve(**arguments)
    error = capsys.readouterr().err
    assert error.startswith("segassets ui: ") and error.count("\n") == 1
    return status, error


def test_port_in_use(capsys, monkeypatch, home: Path):
    with _listen(0) as taken:
        port = taken.getsockname()[1]
        status, error = complaint(capsys, monkeypatch, home, port=port)
    assert status == 1
    assert str(port) in error and "--port" in error


@pytest.mark.parametrize("port", [-1, 65536])
def test_impossible_port(capsys, monkeypatch, home: Path, port):
    status, error = complaint(capsys, monkeypatch, home, port=port)
    assert status == 2 and "--port" in error


def test_dagster_home_missing(capsys, monkeypatch, home: Path):
    for wrong in (None, home / "absent", Path("relative")):
        status, error = complaint(capsys, monkeypatch, wrong, port=0)
        assert status == 2 and "DAGSTER_HOME" in error
    (home / "dagster.yaml").write_text("nonsense: {a: b}")
    status, error = complaint(capsys, monkeypatch, home, port=0)
    assert status == 2 and "dagster.yaml" in error


def test_workspace_file_in_place_of_the_module(home: Path):
    (home / "workspace.yaml").write_text("load_from:\n  - python_module: {module_name: a.b, location_name: own}\n")
    (origin,) = Target("unused", str(home / "workspace.yaml")).load_target().create_origins()
    assert origin.location_name == "own"
    (origin,) = Target("segassets.definitions", None).load_target().create_origins()
    assert origin.location_name == "segassets"
    assert origin.loadable_target_origin.working_directory is None


def test_signal_handlers_are_put_back(capsys, monkeypatch, home: Path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    complaint(capsys, monkeypatch, None, port=0)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def testother_daemons_are_known_by_their_heartbeats(home: Path):
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert other_daemon(instance, home) is None
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 3600, "SENSOR", "old", []))
        assert other_daemon(instance, home) is None
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "other", []))
        assert "sign of life" in other_daemon(instance, home)
        (home / "daemon.lock").write_text("one\nother\n")
        assert other_daemon(instance, home) is None


def test_daemon_does_not_start_twice(home: Path):
    command = [sys.executable, "-m", "segassets.ui.daemon", '["served_defs", null]']
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(home)}
    with daemon_lock(home), subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as daemon:
        try:
            assert daemon.wait(timeout=60) == LOCK_HELD_STATUS
        finally:
            daemon.kill()
