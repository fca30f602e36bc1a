"""One maker a partition: a kernel lock on a folder, an object with a renewed lease on S3.

The kernel frees a lock when its process dies, so a killed run never blocks the next one. On S3 a lease that is not
renewed for a minute may be taken over, and at once when its owner is a dead process of this host.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid

from segassets.errors import Busy
from segassets.store.files import Bucket, Folder

LEASE_SECONDS = 60


def process_start(pid: int) -> str:
    """A token that differs for two processes which had the same id one after the other; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        pass
    if not os.path.isdir("/proc/self"):  # no procfs (macOS): all that can be told is whether the id is in use
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return "alive"
    return ""


def whoami() -> dict:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": process_start(os.getpid())}


def _held_by(what: str, owner: dict) -> Busy:
    by = f"process {owner.get('pid', '?')} on {owner.get('host', 'another host')}"
    return Busy(f"{what}: {by} is making it right now; wait for that run or end it, then try again")


class FolderLock:
    """`flock` on a file. `workers` is a second lock that the run's worker processes share: it can be had only when
    the workers of a killed run have ended too, so that none of them writes into the stage of the next run."""

    def __init__(self, folder: Folder, path: str, what: str):
        self._path = folder.path(path)
        self._what = what
        self._file = None

    @property
    def workers_path(self) -> str:
        return f"{self._path}.workers"

    def acquire(self) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        file = open(self._path, "a+", encoding="utf-8")  # noqa: SIM115 - it stays open for as long as the lock is held
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = _json_or_empty(file.read())
            file.close()
            raise _held_by(self._what, owner) from None
        file.truncate(0)
        file.write(json.dumps(whoami()))
        file.flush()
        self._file = file
        self._wait_for_orphans()

    def _wait_for_orphans(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        with open(self.workers_path, "a", encoding="utf-8") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except OSError:
                    if time.monotonic() > deadline:
                        self.release()
                        raise Busy(f"{self._what}: workers of an earlier run are still writing; end them") from None
                    time.sleep(0.02)

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class BucketLock:
    """An object made by a conditional PUT and renewed while the lock is held."""

    workers_path = None

    def __init__(self, bucket: Bucket, path: str, what: str):
        self._bucket = bucket
        self._path = path
        self._what = what
        self._etag = ""
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._lost = False

    def acquire(self) -> None:
        try:
            self._put(IfNoneMatch="*")
        except FileExistsError:
            self._take_over()
        self._stop.clear()
        threading.Thread(target=self._renew, daemon=True, name="segassets-lease").start()

    def _take_over(self) -> None:
        entry = self._bucket.stat(self._path)
        owner = _json_or_empty(self._bucket.read(self._path).decode()) if entry else {}
        same_host = owner.get("host") == socket.gethostname()
        dead = same_host and process_start(int(owner.get("pid", 0))) != owner.get("started")
        if entry and not dead and owner.get("expires", 0) > time.time():
            raise _held_by(self._what, owner)
        try:
            self._put(**({"IfMatch": entry.version} if entry else {"IfNoneMatch": "*"}))
        except (FileExistsError, FileNotFoundError):
            raise _held_by(self._what, {}) from None

    def _put(self, **condition: str) -> None:
        import botocore.exceptions

        body = json.dumps({**whoami(), "token": self._token, "expires": time.time() + LEASE_SECONDS}).encode()
        bucket, _, key = self._bucket.key(self._path).partition("/")
        try:
            answer = self._bucket.fs.call_s3("put_object", Bucket=bucket, Key=key, Body=body, **condition)
        except (OSError, botocore.exceptions.ClientError) as problem:
            cause = problem if isinstance(problem, botocore.exceptions.ClientError) else problem.__cause__
            code = getattr(cause, "response", {}).get("Error", {}).get("Code", "")
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                raise FileExistsError(self._path) from None
            raise
        self._etag = answer["ETag"].strip('"')

    def _renew(self) -> None:
        while not self._stop.wait(LEASE_SECONDS / 4):
            try:
                self._put(IfMatch=self._etag)
            except FileExistsError:
                self._lost = True
                return
            except Exception:  # the server is away for a moment: the next turn tries again
                continue

    def release(self) -> None:
        if self._etag and not self._stop.is_set():
            self._stop.set()
            if not self._lost:
                self._bucket.delete([self._path])
        self._etag = ""


def make(files: Folder | Bucket, path: str, what: str) -> FolderLock | BucketLock:
    return FolderLock(files, path, what) if isinstance(files, Folder) else BucketLock(files, path, what)


def _json_or_empty(text: str) -> dict:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
