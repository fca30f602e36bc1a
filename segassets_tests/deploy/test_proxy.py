"""The two worked proxies before the guarded webserver: who comes in, under which name, and from which page."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from segassets_tests.deploy.templates import DEPLOY

PUBLIC = "https://data.example.org"
LOGIN = ("group", "only-of-this-test")
QUERY = {"query": "{ version }"}
DEFINITIONS = "import dagster as dg\n\n@dg.asset\ndef one():\n    pass\n\ndefs = dg.Definitions(assets=[one])\n"
WORKSPACE = "load_from: [{python_module: {module_name: behind_a_proxy, location_name: segassets}}]\n"
START_SECONDS = 120


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, "ended before it answered"
        assert time.monotonic() < deadline, "does not answer"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)


def end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def webserver(tmp_path_factory) -> Iterator[int]:
    """`segassets ui`, as the deployments start it, over one asset; its port."""
    if not (shutil.which("caddy") or shutil.which("nginx")):
        pytest.skip("no proxy (apt-get install -y --no-install-recommends caddy nginx-light)")
    home = tmp_path_factory.mktemp("webserver")
    (home / "behind_a_proxy.py").write_text(DEFINITIONS)
    (home / "workspace.yaml").write_text(WORKSPACE)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from segassets.cli import console; console()",
        "ui",
        "--no-daemon",
        "--port",
        port,
    ]
    command += ["--workspace", home / "workspace.yaml", "--public-url", PUBLIC]
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(home)}
    process = subprocess.Popen(list(map(str, command)), cwd=home, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        # It takes connections before it answers them.
        assert any("segassets UI on" in line for line in process.stdout), "ended before it answered"
        yield port
        assert not (home / "daemon.log").exists()
    finally:
        end(process)


@pytest.fixture(scope="module", params=["caddy", "nginx"])
def proxy(request, webserver, tmp_path_factory) -> Iterator[str]:
    """The address of the proxy, with nothing changed in its file but ports, and TLS that there is no certificate for."""
    if not shutil.which(request.param):
        pytest.skip(f"no {request.param}")
    folder = tmp_path_factory.mktemp(request.param)
    port = free_port()
    command, environment = {"caddy": caddy, "nginx": nginx}[request.param](folder, port, webserver)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


def caddy(folder: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
    text = (DEPLOY / "Caddyfile").read_text().replace("3000", str(upstream)).replace("8080", str(port))
    (folder / "Caddyfile").write_text(text)
    hashed = subprocess.run(
        ["caddy", "hash-password", "--plaintext", LOGIN[1]], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = {
        **os.environ,
        "HOME": str(folder),
        "SEGASSETS_UI_USER": LOGIN[0],
        "SEGASSETS_UI_PASSWORD_HASH": hashed,
    }
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")], environment


def nginx(folder: Path, port: int, upstream: int) -> tuple[list[str], dict[str, str]]:
    site = (DEPLOY / "nginx.conf").read_text().replace("3000", str(upstream))
    site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};").replace("/etc/nginx/", f"{folder}/")
    site = "\n".join(line for line in site.splitlines() if "ssl_certificate" not in line)
    (folder / "segassets.users").write_text(f"{LOGIN[0]}:{{PLAIN}}{LOGIN[1]}\n")
    (folder / "segassets.users").chmod(0o644)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # The master's user, who may read pytest's folder.
    user = f"user {os.environ.get('USER', 'root')};" if os.getuid() == 0 else ""
    (folder / "all.conf").write_text(
        f"daemon off; pid {folder}/pid; {user} error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {paths}\n{site}\n}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "all.conf")], dict(os.environ)


@pytest.fixture
def client(proxy) -> Iterator[httpx.Client]:
    """A browser that has typed the public address."""
    name = {"Host": PUBLIC.removeprefix("https://")}
    with httpx.Client(base_url=proxy, auth=LOGIN, headers=name, timeout=60) as client:
        yield client


def test_nobody_comes_in_without_a_login(proxy):
    assert httpx.get(proxy, timeout=60).status_code == 401
    assert httpx.post(f"{proxy}/graphql", json=QUERY, timeout=60).status_code == 401
    assert httpx.get(proxy, auth=(LOGIN[0], "a guess"), timeout=60).status_code == 401


def test_with_a_login_the_ui_works_from_its_own_pages_and_from_programs(client):
    assert client.get("/").status_code == 200
    assert client.post("/graphql", json=QUERY).json()["data"]["version"]
    own = {"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/graphql", json=QUERY, headers=own).json()["data"]["version"]


@pytest.mark.parametrize("origin", ["https://evil.example", "http://data.example.org", "http://127.0.0.1:3000", "null"])
def test_another_sites_page_is_refused_with_the_visitors_login(client, origin):
    assert client.post("/graphql", json=QUERY, headers={"Origin": origin}).status_code == 403
    assert client.get("/", headers={"Origin": origin}).status_code == 403


def test_what_the_guard_refuses_stays_refused(client):
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/graphql", params={"query": "mutation { reloadWorkspace { __typename } }"}).status_code == 403
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/graphql", content="{}", headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize(("origin", "status"), [(PUBLIC, "101"), ("https://evil.example", "403")])
def test_websockets(proxy, origin, status):
    host, _, port = proxy.removeprefix("http://").partition(":")
    login = base64.b64encode(":".join(LOGIN).encode()).decode()
    request = (
        f"GET /graphql HTTP/1.1\r\nHost: data.example.org\r\nOrigin: {origin}\r\nAuthorization: Basic {login}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-ws\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request.encode())
        assert connection.recv(4096).decode().split()[1] == status
