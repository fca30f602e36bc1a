"""A PostgreSQL server of a test's own: Debian's package, in a folder, on a free port of the loopback address."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60
USER, PASSWORD, DATABASE = "dagster", "only-of-this-test", "dagster"


@dataclass(frozen=True)
class Server:
    """A running server with an empty database."""

    port: int
    programs: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the template of `dagster.yaml` asks for."""
        return {
            "SEGASSETS_PG_HOST": "127.0.0.1",
            "SEGASSETS_PG_USER": USER,
            "SEGASSETS_PG_PASSWORD": PASSWORD,
            "SEGASSETS_PG_DB": DATABASE,
        }

    def query(self, sql: str) -> str:
        """What `psql` answers, without headings."""
        call = [self.programs / "psql", "-h", "127.0.0.1", "-p", self.port, "-U", USER, "-d", DATABASE, "-Atc", sql]
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        return subprocess.run(list(map(str, call)), env=environment, capture_output=True, text=True, check=True).stdout


def programs() -> Path | None:
    """The folder of the newest installed server's programs; Debian does not put them on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def missing() -> str | None:
    """What is not installed, or None."""
    if programs() is None:
        return "no PostgreSQL server (apt-get install -y --no-install-recommends postgresql)"
    if os.getuid() == 0 and _unprivileged() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody"
    return None


def _unprivileged() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Start a server; it is ended and its folder deleted at the end."""
    where = programs()
    assert where is not None
    as_root = os.getuid() == 0
    user = _unprivileged() if as_root else pwd.getpwuid(os.getuid())
    # Not below pytest's folder: that is the tester's alone, and the server may have to be another user.
    with tempfile.TemporaryDirectory(prefix="segassets-postgres-") as folder:
        data, secret = Path(folder, "data"), Path(folder, "secret")
        secret.write_text(PASSWORD)
        if as_root:
            for path in (folder, secret):
                os.chown(path, user.pw_uid, user.pw_gid)
        become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if as_root else {}
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": folder}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def call(*command: object) -> list[str]:
            return [str(where / str(command[0])), *map(str, command[1:])]

        init = call("initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", "--pwfile", secret, "-N", "-E", "UTF8")
        subprocess.run(init, env=environment, cwd=folder, check=True, capture_output=True, **become)
        run = call("postgres", "-D", data, "-p", port, "-h", "127.0.0.1", "-k", folder, "-F")
        with open(Path(folder, "log"), "wb") as log:
            server = subprocess.Popen(run, env=environment, cwd=folder, stdout=log, stderr=log, **become)
        try:
            found = Server(port, where)
            _wait(found, server, Path(folder, "log"))
            subprocess.run(
                call("createdb", "-h", "127.0.0.1", "-p", port, "-U", USER, DATABASE),
                env={**os.environ, "PGPASSWORD": PASSWORD},
                check=True,
                capture_output=True,
            )
            yield found
        finally:
            server.send_signal(signal.SIGINT)  # a fast end: connections are broken off
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(found: Server, server: subprocess.Popen, log: Path) -> None:
    """Until it takes connections."""
    deadline = time.monotonic() + START_SECONDS
    ready = [str(found.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(found.port)]
    while subprocess.run(ready).returncode != 0:
        assert server.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)
