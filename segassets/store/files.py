"""One small interface over a folder and a bucket: list, read ranges, write whole files, move, delete.

Belongs here: the two file systems and nothing about artifacts. Paths are relative, with `/`, and checked: a path
that would leave the root is refused. `Folder` is plain `os` calls; `Bucket` is s3fs through fsspec.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import BinaryIO, Protocol

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Entry:
    """One listed file: its size in bytes and a token that changes when its content does (mtime or ETag)."""

    size: int
    version: str


def check_relative(path: str) -> str:
    """The path itself, when it is relative, normalised and stays below its root; ValueError says why not."""
    if not path or path.startswith("/") or "\\" in path or _CONTROL.search(path):
        raise ValueError(f"{path!r} is not a plain relative path")
    for name in path.split("/"):
        if name in ("", ".", ".."):
            raise ValueError(f"{path!r} has the part {name!r}, which could leave the store")
        if len(name.encode()) > MAX_NAME_BYTES:
            raise ValueError(f"{path[:80]!r}... has a name longer than {MAX_NAME_BYTES} bytes")
    return path


class Files(Protocol):
    """What the store and the sources need of a file system."""

    root: str

    def uri(self, path: str) -> str: ...
    def stat(self, path: str) -> Entry | None: ...
    def names(self, folder: str) -> list[str]: ...
    def walk(self, folder: str) -> dict[str, Entry]: ...
    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes: ...
    def open(self, path: str) -> BinaryIO: ...
    def write(self, path: str, data: bytes) -> None: ...
    def write_many(self, files: Mapping[str, bytes]) -> None: ...
    def create(self, path: str) -> contextlib.AbstractContextManager[BinaryIO]: ...
    def move(self, source: str, target: str) -> None: ...
    def delete(self, paths: Iterable[str]) -> None: ...
    def delete_tree(self, folder: str) -> None: ...


class Folder:
    """A local folder. Single files are written whole: a temporary name, then a rename."""

    def __init__(self, root: str):
        self.root = root

    def path(self, path: str) -> str:
        return os.path.join(self.root, check_relative(path)) if path else self.root

    def uri(self, path: str) -> str:
        return self.path(path)

    def stat(self, path: str) -> Entry | None:
        try:
            found = os.stat(self.path(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if stat.S_ISDIR(found.st_mode) else Entry(found.st_size, str(found.st_mtime_ns))

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self.path(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def walk(self, folder: str) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        pending = [folder]
        while pending:
            here = pending.pop()
            try:
                scan = os.scandir(self.path(here))
            except (FileNotFoundError, NotADirectoryError):
                continue
            with scan:
                for item in scan:
                    name = f"{here}/{item.name}" if here else item.name
                    if item.is_dir():
                        if not _is_loop(item):
                            pending.append(name)
                    elif item.is_file():
                        about = item.stat()
                        found[name] = Entry(about.st_size, str(about.st_mtime_ns))
        return dict(sorted(found.items()))

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        with open(self.path(path), "rb") as file:
            if start:
                file.seek(start)
            return file.read() if end is None else file.read(max(0, end - start))

    def open(self, path: str) -> BinaryIO:
        return open(self.path(path), "rb")

    def write(self, path: str, data: bytes) -> None:
        with self.create(path) as file:
            file.write(data)

    def write_many(self, files: Mapping[str, bytes]) -> None:
        """Many small files, straight under their names: for stages, where a half-written file is never believed."""
        made: set[str] = set()
        for name, data in files.items():
            path = self.path(name)
            parent = os.path.dirname(path)
            if parent not in made:
                os.makedirs(parent, exist_ok=True)
                made.add(parent)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            try:
                _write_all(fd, data)
            finally:
                os.close(fd)

    @contextlib.contextmanager
    def create(self, path: str, durable: bool = False) -> Iterator[BinaryIO]:
        """A file that appears under its name only when the block ends well."""
        target = self.path(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        name = f".{uuid.uuid4().hex}.partial"  # not derived from the target: that may have a name of 255 bytes
        temporary = os.path.join(os.path.dirname(target), name)
        try:
            with open(temporary, "wb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    def move(self, source: str, target: str) -> None:
        end = self.path(target)
        os.makedirs(os.path.dirname(end), exist_ok=True)
        os.replace(self.path(source), end)

    def delete(self, paths: Iterable[str]) -> None:
        parents = set()
        for name in paths:
            path = self.path(name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            parents.add(os.path.dirname(path))
        for parent in sorted(parents, key=len, reverse=True):
            self._prune(parent)

    def _prune(self, folder: str) -> None:
        """Remove a folder that has become empty, and its parents, up to the root."""
        while len(folder) > len(self.root):
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)

    def delete_tree(self, folder: str) -> None:
        shutil.rmtree(self.path(folder), ignore_errors=True)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _is_loop(item: os.DirEntry) -> bool:
    """A symbolic link to a folder that contains it would be walked for ever."""
    return item.is_symlink() and os.path.realpath(os.path.dirname(item.path)).startswith(os.path.realpath(item.path))


@lru_cache(maxsize=4)
def _s3(pid: int):
    import s3fs

    # Listings are never cached: another process may have published since. Credentials, endpoint and region come
    # from the SDK's own environment. Standard retry mode backs off on 500, 503, throttling and dropped connections.
    return s3fs.S3FileSystem(
        use_listings_cache=False,
        skip_instance_cache=True,
        config_kwargs={"retries": {"max_attempts": 8, "mode": "standard"}, "max_pool_connections": 32},
    )


class Bucket:
    """A prefix in an S3 bucket. Writes are whole objects, so every single write is atomic."""

    def __init__(self, root: str):
        self.root = root
        self._prefix = root.removeprefix("s3://").rstrip("/")

    def __reduce__(self):
        return (Bucket, (self.root,))

    @property
    def fs(self):
        return _s3(os.getpid())

    def key(self, path: str) -> str:
        return f"{self._prefix}/{check_relative(path)}" if path else self._prefix

    def uri(self, path: str) -> str:
        return f"s3://{self.key(path)}"

    def stat(self, path: str) -> Entry | None:
        try:
            return _entry(self.fs.info(self.key(path)))
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        try:
            found = self.fs.ls(self.key(folder), detail=False)
        except FileNotFoundError:
            return []
        here = self.key(folder)
        return sorted(name.rsplit("/", 1)[-1] for name in found if name.rstrip("/") != here)

    def walk(self, folder: str) -> dict[str, Entry]:
        found = self.fs.find(self.key(folder), detail=True)
        cut = len(self._prefix) + 1
        listed = {name[cut:]: _entry(about) for name, about in found.items()}
        return {name: entry for name, entry in sorted(listed.items()) if entry is not None}

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        if start == 0 and end is None:
            return self.fs.cat_file(self.key(path))
        if end is not None and end <= start:
            return b""
        return self.fs.cat_file(self.key(path), start=start, end=end)

    def open(self, path: str) -> BinaryIO:
        return self.fs.open(self.key(path), "rb", block_size=8 * 2**20, cache_type="readahead")

    def write(self, path: str, data: bytes) -> None:
        self.fs.pipe_file(self.key(path), data)

    def write_many(self, files: Mapping[str, bytes]) -> None:
        self.fs.pipe({self.key(name): data for name, data in files.items()})

    @contextlib.contextmanager
    def create(self, path: str, durable: bool = False) -> Iterator[BinaryIO]:
        """A multipart upload that is completed when the block ends well and aborted when it does not."""
        file = self.fs.open(self.key(path), "wb", block_size=16 * 2**20)
        try:
            yield file
        except BaseException:
            with contextlib.suppress(Exception):
                file.discard()
            file.closed = True
            raise
        file.close()

    def move(self, source: str, target: str) -> None:
        self.fs.mv(self.key(source), self.key(target))

    def copy_many(self, pairs: list[tuple[str, str]]) -> None:
        """Server-side copies, concurrently: (source, target)."""
        if pairs:
            self.fs.copy([self.key(source) for source, _ in pairs], [self.key(target) for _, target in pairs])

    def delete(self, paths: Iterable[str]) -> None:
        names = [self.key(path) for path in paths]
        for start in range(0, len(names), 1000):
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm(names[start : start + 1000])

    def delete_tree(self, folder: str) -> None:
        self.delete(self.walk(folder))

    @cached_property
    def bucket_and_prefix(self) -> tuple[str, str]:
        bucket, _, prefix = self._prefix.partition("/")
        return bucket, prefix


def _entry(about: dict) -> Entry | None:
    if about.get("type") == "directory":
        return None
    return Entry(int(about["size"]), str(about.get("ETag", "")).strip('"'))


def open_root(root: str) -> Folder | Bucket:
    """The file system of a root that `settings` has checked."""
    return Bucket(root) if root.startswith("s3://") else Folder(root)
