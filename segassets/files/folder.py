"""A local folder as a file system of the platform: plain `os` calls, single files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from segassets.files.paths import Entry, check_relative

PRUNED_MEANWHILE = 50  # how often a folder that another process removes as empty is made again
#: What a path is not: there, or reachable; a symbolic link in a circle leads nowhere.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


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
        except OSError as problem:
            if problem.errno in _ABSENT:
                return None
            raise
        # A pipe or a device is no file of anybody's dataset, and opening a pipe would wait for ever.
        return Entry(found.st_size, str(found.st_mtime_ns)) if stat.S_ISREG(found.st_mode) else None

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self.path(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def folders(self, folder: str) -> list[str]:
        """The names in a folder that are folders themselves, links to folders not among them."""
        try:
            with os.scandir(self.path(folder)) as scan:
                return sorted(entry.name for entry in scan if entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def walk(self, folder: str) -> dict[str, Entry]:
        """Every file below, symbolic links followed; a link back to a folder that it lies in is not."""
        found: dict[str, Entry] = {}
        pending: list[tuple[str, str, frozenset]] = [(folder, self.path(folder), frozenset())]
        while pending:
            here, path, above = pending.pop()
            try:
                about = os.stat(path)
                known = above | {(about.st_dev, about.st_ino)}
                if len(known) == len(above):
                    continue
                scan = os.scandir(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            with scan:
                for item in scan:
                    name = f"{here}/{item.name}" if here else item.name
                    try:
                        if item.is_dir():
                            pending.append((name, item.path, known))
                        elif item.is_file():
                            about = item.stat()
                            found[name] = Entry(about.st_size, str(about.st_mtime_ns))
                    except OSError as problem:  # renamed since, by a download that has just ended; or a link to itself
                        if problem.errno not in _ABSENT:
                            raise
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
            if os.path.dirname(path) not in made:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                made.add(os.path.dirname(path))
            fd = open_new(path)
            try:
                _write_all(fd, data)
            finally:
                os.close(fd)

    @contextlib.contextmanager
    def create(self, path: str, durable: bool = False) -> Iterator[BinaryIO]:
        """A file that appears under its name only when the block ends well."""
        target = self.path(path)
        temporary = _partial(target)
        with _in_folder(temporary, lambda: _open_alone(temporary)) as file:
            try:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                os.replace(temporary, target)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise

    def move(self, source: str, target: str) -> None:
        """Rename, replacing the target. FileNotFoundError when there is no source."""
        start, end = self.path(source), self.path(target)
        try:
            _in_folder(end, lambda: os.replace(start, end), needs=start)
        except OSError as problem:
            if problem.errno != errno.EXDEV:
                raise
            with open(start, "rb") as file, self.create(target) as out:  # a folder of the store lies on another disk
                shutil.copyfileobj(file, out, 1 << 24)
            os.unlink(start)

    def delete(self, paths: Iterable[str]) -> None:
        parents = set()
        for name in paths:
            path = self.path(name)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
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
        path = self.path(folder)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
        self._prune(os.path.dirname(path))


def _partial(target: str) -> str:
    """The temporary name of a file: always the same, so that the next attempt replaces what a kill has left, and not
    derived by adding to the name, which may have 255 bytes already."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.partial")


def _open_alone(path: str) -> BinaryIO:
    """Open for writing from the start, when no other process does; the kernel frees the lock of one that was killed."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                file.truncate(0)
                return file
        file.close()  # whoever had it has renamed it meanwhile


def open_new(path: str) -> int:
    """A descriptor of a new file. One that is there is replaced: it may be a hard link to a raw file."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, 0o666)


def _in_folder(path: str, act: Callable[[], Any], needs: str | None = None) -> Any:
    """Do something that needs the folder of `path`, which another run may remove as empty at the same instant."""
    for attempt in range(PRUNED_MEANWHILE):
        try:
            return act()
        except FileNotFoundError:
            if attempt == PRUNED_MEANWHILE - 1 or (needs is not None and not os.path.lexists(needs)):
                raise
            with contextlib.suppress(FileNotFoundError, FileExistsError):  # made or removed while it is being made
                os.makedirs(os.path.dirname(path), exist_ok=True)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
