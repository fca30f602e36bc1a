"""A real S3 server on loopback for tests: one-node Ceph, that is a monitor, one OSD and a radosgw.

`with serving(folder) as url:` starts it, or joins the one that another process on the same folder has started (workers
of pytest-xdist). A keeper process holds the daemons as its children and ends when nobody uses the server any more: it
asks the kernel, by a file lock that every user shares and that vanishes with its process, however that ends.

By hand, until Ctrl-C: `python -m segassets_tests.s3.ceph`. Debian's packages: ceph-mon ceph-osd ceph-mgr radosgw.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

# Of this server only: it listens on loopback, is made for one test session and holds nothing else.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
START_SECONDS = 120
END_SECONDS = 10

# No mgr and no authentication: what is tested is S3's own protocol, and radosgw checks its signatures all the same.
CONFIG = """\
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
keyring = {folder}/keyring
run dir = {folder}
admin socket =
log file = {folder}/$name.log
pid file =
ms bind msgr2 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 500
[mon]
mon data = {folder}/mon
[osd]
osd data = {folder}/osd
osd objectstore = bluestore
# A sparse file: it takes what is written to it.
bluestore block create = true
bluestore block size = 6442450944
bluestore block wal size = 67108864
bluestore cache size = 134217728
bluestore cache autotune = false
osd op num shards = 2
osd memory target = 939524096
osd class dir = {classes}
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw dns name = localhost
rgw enable usage log = false
rgw thread pool size = 64
"""


def missing() -> str | None:
    """What is not installed, or None."""
    absent = [program for program in PROGRAMS if not shutil.which(program)]
    if absent:
        return f"no {absent[0]} (apt-get install -y --no-install-recommends ceph-mon ceph-osd ceph-mgr radosgw)"
    return None if sys.platform == "linux" else "Ceph's daemons are tied to their keeper by Linux's means"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL of the server of `folder`, started if nobody has yet; it ends with its last user."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users").open("a") as users:
        with _gate(folder):
            url = folder / "url"
            if not url.exists():
                _start_keeper(folder)
            fcntl.flock(users, fcntl.LOCK_SH)
        yield url.read_text()


@contextlib.contextmanager
def _gate(folder: Path, block: bool = True) -> Iterator[None]:
    """Only one process at a time starts, joins or ends the server."""
    with (folder / "gate").open("a") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX | (0 if block else fcntl.LOCK_NB))
        yield


def _start_keeper(folder: Path) -> None:
    with (folder / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "segassets_tests.s3.ceph", str(folder)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def ready() -> bool:
        assert keeper.poll() is None, (
            f"Ceph did not start; see {folder}:\n{(folder / 'keeper.log').read_text()[-2000:]}"
        )
        return (folder / "url").exists()

    _until(ready, START_SECONDS)


def _keep(folder: Path) -> None:
    """Start the server, wait until nobody uses it, end it."""
    daemons: list[subprocess.Popen] = []
    data = Path(tempfile.mkdtemp(prefix="data-", dir=folder))
    url = folder / "url"
    try:
        address = _start(data, daemons)
        (data / "url").write_text(address)
        (data / "url").replace(url)
        with (folder / "users").open("a") as users:
            while True:
                time.sleep(0.3)
                # Who starts or joins holds the gate until he is a user.
                with contextlib.suppress(BlockingIOError), _gate(folder, block=False):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    url.unlink()
                    _end(daemons)
                    return
    finally:
        _end(daemons)
        url.unlink(missing_ok=True)
        shutil.rmtree(data / "osd", ignore_errors=True)


def _start(folder: Path, daemons: list[subprocess.Popen]) -> str:
    """Start the three daemons with their data in `folder`; the URL."""
    port, mon_port = _free_ports(2)
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    fsid = str(uuid.uuid4())
    config = folder / "ceph.conf"
    classes = next(Path("/usr/lib").glob("**/rados-classes"), "/usr/lib/rados-classes")
    config.write_text(CONFIG.format(folder=folder, fsid=fsid, port=port, mon_port=mon_port, classes=classes))
    log = (folder / "daemons.log").open("ab")

    def run(*command: object) -> str:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=START_SECONDS)
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
        return done.stdout

    def asked(*command: object) -> str:
        """The monitor's answer; nothing while it has none: now and then a new one refuses for a moment (EPERM)."""
        try:
            return run("ceph", "-c", config, "--connect-timeout", "60", *command)
        except AssertionError as problem:
            log.write(f"{problem}\n".encode())
            return ""

    def daemon(*command: object) -> subprocess.Popen:
        process = subprocess.Popen(
            [*map(str, command), "-c", str(config), "-f"],
            stdout=log,
            stderr=log,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - the keeper has one thread
        )
        daemons.append(process)
        return process

    keyring, monmap = folder / "keyring", folder / "monmap"
    run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    caps = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
    run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *caps)
    run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"v1:127.0.0.1:{mon_port}", monmap)
    run("ceph-mon", "-c", config, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
    daemon("ceph-mon", "-i", "a", "--public-addr", f"127.0.0.1:{mon_port}")
    osd = str(uuid.uuid4())
    _until(lambda: asked("osd", "new", osd).strip() == "0", START_SECONDS)
    run("ceph-osd", "-c", config, "-i", "0", "--mkfs", "--osd-uuid", osd, "--fsid", fsid)
    _start_osd(daemon, lambda: "1 up" in asked("osd", "stat"))
    daemon("radosgw", "-n", "client.rgw", "--keyring", keyring)
    url = f"http://127.0.0.1:{port}"
    _until(lambda: _answers(url), START_SECONDS)
    keys = [f"--access-key={CREDENTIALS['AWS_ACCESS_KEY_ID']}", f"--secret-key={CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"]
    run("radosgw-admin", "-c", config, "user", "create", "--uid=tests", "--display-name=tests", *keys)
    return url


def _start_osd(daemon: Callable[..., subprocess.Popen], is_up: Callable[[], bool]) -> None:
    """Start the OSD. One in three times it ends at once with `wrong fsid`: it asks before it has the monitor's map."""
    for _ in range(8):
        process = daemon("ceph-osd", "-i", "0")

        def up_or_ended(process=process) -> bool:
            return process.poll() is not None or is_up()

        _until(up_or_ended, START_SECONDS)
        if process.poll() is None:
            return
    raise AssertionError("the OSD does not stay; see daemons.log")


def _end_with_parent() -> None:
    """Between fork and exec: the kernel ends this process when the keeper dies, also when that is killed."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _end(daemons: list[subprocess.Popen]) -> None:
    """Gateway, OSD, monitor. What they hold is thrown away, so that a slow one is killed."""
    for process in reversed(daemons):
        process.terminate()
    deadline = time.monotonic() + END_SECONDS
    for process in reversed(daemons):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        process.kill()
        process.wait()
    daemons.clear()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def _by_hand() -> None:
    with tempfile.TemporaryDirectory(prefix="ceph-") as folder, serving(Path(folder)) as url:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": url}.items():
            print(f"export {name}={value}")
        print("# serving until Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    _keep(Path(sys.argv[1])) if sys.argv[1:] else _by_hand()
