"""One maker a partition: who is refused, who waits, who may take over."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segassets.errors import Busy
from segassets.files.folder import Folder
from segassets.processes import process_start
from segassets.store import locks
from segassets.store.store import Store
from segassets_tests.store.making import ASSET, KEY, publish, seen

LOCK = f".segassets/locks/{ASSET}/{KEY}.lock"
HOLD = """
import sys
from segassets.store.store import Store
with Store(sys.argv[1]).locked("toys/blocks", "red"):
    print("held", flush=True)
    sys.stdin.read()
"""
OTHER_HOST = {"host": "elsewhere", "machine": "elsewhere", "pid": 1, "started": "1", "token": "theirs"}


@pytest.fixture
def holder(root):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def _take(root):
    with Store(root).locked(ASSET, KEY):
        return True


def test_a_second_run_of_the_same_partition_is_refused(root, holder):
    with pytest.raises(Busy, match=rf"toys/blocks red: process {holder.pid} on .* is making it right now"):
        _take(root)
    with Store(root).locked(ASSET, "blue"):
        pass


def test_in_one_process_too(root):
    with Store(root).locked(ASSET, KEY), pytest.raises(Busy):
        _take(root)
    assert _take(root)


def test_a_dead_owner_is_taken_over_at_once(root, holder):
    holder.kill()
    holder.wait()
    assert _take(root)


def test_a_dead_owner_that_nobody_has_waited_for_is_dead_all_the_same(root, holder):
    holder.kill()
    deadline = time.monotonic() + 10
    while process_start(holder.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert _take(root)


def test_the_lock_is_free_after_an_error(root):
    with pytest.raises(ZeroDivisionError), Store(root).locked(ASSET, KEY):
        _ = 1 / 0
    assert _take(root)


def test_the_next_run_waits_for_the_workers_of_the_last_one(root, monkeypatch):
    store = Store(root)
    with store.locked(ASSET, KEY) as lock:
        path = lock.workers_path
    worker = subprocess.Popen(
        [sys.executable, "-c", "import fcntl,sys,time\nf=open(sys.argv[1],'a')\nfcntl.flock(f,fcntl.LOCK_SH)\n"
         "print('held',flush=True)\ntime.sleep(0.5)", path],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert worker.stdout.readline() == "held\n"
    assert _take(root)
    assert worker.wait() == 0
    with open(path, "a") as file:
        locks.fcntl.flock(file, locks.fcntl.LOCK_SH)
        monkeypatch.setattr(locks, "ORPHAN_SECONDS", 0.1)
        with pytest.raises(Busy, match="workers of an earlier run are still writing"):
            _take(root)
    assert _take(root)


def test_a_lease_leaves_nothing_in_the_temporary_folder(s3):
    """Thousands of empty files lay there, one a partition. One that a worker still holds stays."""
    root = s3.at().root
    with Store(root).locked(ASSET, KEY) as lock:
        path = Path(lock.workers_path)
        assert path.exists()
    assert not path.exists()
    with path.open("a") as file:
        with Store(root).locked(ASSET, KEY):
            locks.fcntl.flock(file, locks.fcntl.LOCK_SH)
        assert path.exists()
    assert _take(root) and not path.exists()


def _write_lease(s3, owner):
    s3.at().write(LOCK, json.dumps(owner).encode())


def test_a_live_lease_of_another_host_is_respected(s3):
    _write_lease(s3, OTHER_HOST)
    with pytest.raises(Busy, match="process 1 on elsewhere"):
        _take(s3.url())


def test_an_expired_lease_of_another_host_is_taken_over(s3, monkeypatch):
    _write_lease(s3, OTHER_HOST)
    monkeypatch.setattr(locks, "LEASE_SECONDS", 1)
    time.sleep(2.1)  # the server's clock counts whole seconds
    assert _take(s3.url())
    assert s3.keys("store/.segassets/locks") == []


def test_a_process_of_another_container_with_the_same_host_name_is_not_taken_for_dead(s3):
    _write_lease(s3, {**locks.whoami(), "machine": "another pid namespace", "pid": 2**22 + 1})
    with pytest.raises(Busy):
        _take(s3.url())


def test_of_two_that_take_over_at_once_one_wins(s3, monkeypatch):
    _write_lease(s3, {**locks.whoami(), "started": "long ago"})
    plain = locks.BucketLock._put

    def put_after_another(self, **condition):
        if "IfMatch" in condition:
            _write_lease(s3, OTHER_HOST)
        plain(self, **condition)

    monkeypatch.setattr(locks.BucketLock, "_put", put_after_another)
    with pytest.raises(Busy):
        _take(s3.url())
    assert json.loads(s3.at().read(LOCK))["token"] == "theirs"


def test_a_lease_is_renewed_while_it_is_held(s3, monkeypatch):
    monkeypatch.setattr(locks, "LEASE_SECONDS", 0.4)
    with Store(s3.url()).locked(ASSET, KEY) as lock:
        first = s3.at().stat(LOCK).version
        time.sleep(1)
        assert s3.at().stat(LOCK).version != first
        lock.confirm()
    assert s3.keys("store/.segassets/locks") == []


def test_a_lost_lease_publishes_nothing(s3, monkeypatch):
    store = Store(s3.url())
    publish(store, {"a.png": b"old"})
    monkeypatch.setattr(locks, "LEASE_SECONDS", 0.4)

    def foreign(*_):
        _write_lease(s3, OTHER_HOST)  # another run has taken over
        time.sleep(0.6)
        return []

    monkeypatch.setattr("segassets.store.publish.foreign", foreign)
    with pytest.raises(Busy, match="lost its lease"):
        publish(store, {"a.png": b"new"})
    assert seen(store) == {"a.png": b"old"}
    assert json.loads(s3.at().read(LOCK))["token"] == "theirs"  # and the other's lease stays


def test_a_try_whose_answer_was_lost_still_has_the_lease(s3):
    lost = []

    def fault(request):
        if request.key.endswith(".lock") and request.method == "PUT" and not lost:
            lost.append(request)
            return "lost"
        return None

    s3.proxy.fault = fault
    assert _take(s3.url())
    assert len(lost) == 1
    assert s3.keys("store/.segassets/locks") == []


def test_folders_that_become_empty_and_are_needed_again_at_once(tmp_path):
    """Two processes publish two partitions of one asset: the one prunes folders that the other is about to use."""
    code = """
import sys
from segassets.files.folder import Folder
folder = Folder(sys.argv[1])
for n in range(400):
    folder.write(f"a/b/c/{sys.argv[2]}.json", b"1")
    folder.write(f"x/{sys.argv[2]}", b"1")
    folder.move(f"x/{sys.argv[2]}", f"d/e/{sys.argv[2]}")
    folder.delete([f"a/b/c/{sys.argv[2]}.json", f"d/e/{sys.argv[2]}"])
"""
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "12"]
    assert [process.wait() for process in both] == [0, 0]
    assert Folder(str(tmp_path)).walk("") == {}
