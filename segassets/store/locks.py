"""One maker a partition: a kernel lock on a folder, an object with a renewed lease on S3.

The kernel frees a lock when its process dies, so a killed run never blocks the next one. On S3 a lease that is not
renewed for a minute, by the server's own clock, may be taken over, and at once when its owner is a dead process of
this machine. Workers share a second, local lock: it can be had only when those of a killed run have ended too, so that
none of them writes into the stage of the next run.
"""

from __future__ import annotations

import contextlib
import email.utils
import fcntl
import hashlib
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from functools import lru_cache

from segassets.errors import Busy
from segassets.files.bucket import Bucket, s3_code
from segassets.files.folder import Folder
from segassets.processes import process_start

LEASE_SECONDS = 60
DYING_SECONDS = 5
ORPHAN_SECONDS = 30


@lru_cache(maxsize=1)
def _machine() -> str:
    """Where process numbers mean the same: containers of one host name may have numbers of their own."""
    marks = [socket.gethostname()]
    with contextlib.suppress(OSError):
        marks.append(os.readlink("/proc/self/ns/pid"))
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            marks.append(file.read().strip())
    return " ".join(marks)


def whoami() -> dict:
    pid = os.getpid()
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "started": process_start(pid)}


def is_dead(owner: dict) -> bool:
    """Whether an owner is known to have ended: a process of this machine that is gone."""
    return owner.get("machine") == _machine() and process_start(int(owner.get("pid", 0))) != owner.get("started")


def _held_by(what: str, owner: dict) -> Busy:
    by = f"process {owner.get('pid', '?')} on {owner.get('host', 'another host')}"
    return Busy(f"{what}: {by} is making it right now; wait for that run or end it, then try again")


def _wait_for_workers(path: str, what: str) -> None:
    """Until no worker of an earlier run writes any more. They end by themselves when their parent has."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    with open(path, "a", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise Busy(f"{what}: workers of an earlier run are still writing; end them") from None
                time.sleep(0.02)


def _remove_if_free(path: str) -> None:
    """Leave nothing in the machine's temporary folder, unless a worker still writes."""
    with open(path, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)


class FolderLock:
    """`flock` on a file."""

    def __init__(self, folder: Folder, path: str, what: str):
        self._path = folder.path(path)
        self._what = what
        self._file = None
        self.workers_path = f"{self._path}.workers"

    def acquire(self) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        file = open(self._path, "a+", encoding="utf-8")  # noqa: SIM115 - it stays open for as long as the lock is held
        deadline = time.monotonic() + DYING_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                file.seek(0)
                owner = _json_or_empty(file.read())
                # A process counts as dead before its last thread has closed its files.
                if not is_dead(owner) or time.monotonic() > deadline:
                    file.close()
                    raise _held_by(self._what, owner) from None
                time.sleep(0.02)
        self._file = file
        try:
            file.truncate(0)
            file.write(json.dumps(whoami()))
            file.flush()
            _wait_for_workers(self.workers_path, self._what)
        except BaseException:
            self.release()
            raise

    def confirm(self) -> None:
        """Busy when the lock was lost; a kernel lock never is."""

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class BucketLock:
    """An object made by a conditional PUT and renewed while the lock is held."""

    def __init__(self, bucket: Bucket, path: str, what: str):
        self._bucket = bucket
        self._path = path
        self._what = what
        self._etag = ""
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._renewed = 0.0
        self._renewing: threading.Thread | None = None
        name = hashlib.sha256(bucket.uri(path).encode()).hexdigest()[:32]
        self.workers_path = os.path.join(tempfile.gettempdir(), f"segassets-{os.getuid()}-{name}.workers")

    def acquire(self) -> None:
        try:
            self._put(IfNoneMatch="*")
        except FileExistsError:
            self._take_over()
        self._stop.clear()
        self._renewing = threading.Thread(target=self._renew, daemon=True, name="segassets-lease")
        self._renewing.start()
        try:
            _wait_for_workers(self.workers_path, self._what)
        except BaseException:
            self.release()
            raise

    def _read(self) -> tuple[dict, str, float] | None:
        """Who holds the lease, its ETag, and its age in seconds by the server's clock."""
        try:
            answer, body = self._bucket.get(self._path)
        except FileNotFoundError:
            return None
        now = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        now = email.utils.parsedate_to_datetime(now).timestamp() if now else time.time()
        return _json_or_empty(body.decode()), answer["ETag"].strip('"'), now - answer["LastModified"].timestamp()

    def _take_over(self) -> None:
        found = self._read()
        if found is None:
            condition = {"IfNoneMatch": "*"}
        else:
            owner, etag, age = found
            if owner.get("token") == self._token:  # our first try had got through; only its answer was lost
                self._etag, self._renewed = etag, time.time()
                return
            if not is_dead(owner) and age < LEASE_SECONDS:
                raise _held_by(self._what, owner)
            condition = {"IfMatch": etag}
        try:
            self._put(**condition)
        except (FileExistsError, FileNotFoundError):
            raise _held_by(self._what, {}) from None

    def _put(self, **condition: str) -> None:
        body = json.dumps({**whoami(), "token": self._token, "renewed": time.time()}).encode()
        begun = time.time()
        try:
            answer = self._bucket.call("put_object", Key=self._bucket.key(self._path), Body=body, **condition)
        except OSError as problem:
            if s3_code(problem) in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                raise FileExistsError(self._path) from None
            raise
        self._etag = answer["ETag"].strip('"')
        self._renewed = begun

    def _renew(self) -> None:
        while not self._stop.wait(LEASE_SECONDS / 4):
            try:
                self._put(IfMatch=self._etag)
            except (FileExistsError, FileNotFoundError):
                found = self._read_quietly()
                if found is None or found[0].get("token") != self._token:
                    self._renewed = 0.0
                    return
                self._etag = found[1]
            except Exception:  # the server is away for a moment: the next turn tries again
                continue

    def _read_quietly(self):
        with contextlib.suppress(Exception):
            return self._read()
        return None

    def confirm(self) -> None:
        """Busy when the lease was lost: another run may have begun. Asked before what cannot be taken back."""
        if time.time() - self._renewed > LEASE_SECONDS:
            raise Busy(
                f"{self._what}: this run was held up for more than {LEASE_SECONDS} seconds and lost its lease in "
                f"{self._bucket.root}; nothing was published; run again, finished batches are kept"
            )

    def release(self) -> None:
        if self._renewing is None:
            return
        self._stop.set()
        self._renewing.join()
        self._renewing = None
        found = self._read_quietly()
        if found is not None and found[0].get("token") == self._token:
            with contextlib.suppress(OSError):  # while the lease is held nobody else looks at this file
                _remove_if_free(self.workers_path)
            with contextlib.suppress(OSError):
                self._bucket.delete([self._path])


def make(files: Folder | Bucket, path: str, what: str) -> FolderLock | BucketLock:
    return FolderLock(files, path, what) if isinstance(files, Folder) else BucketLock(files, path, what)


def _json_or_empty(text: str) -> dict:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
