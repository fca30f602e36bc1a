"""How unchanged bytes get into a local stage: linked where that can be, else copied by the kernel; then read once.

What was put there is what is hashed, so a source that changes meanwhile cannot give a wrong digest. A linked file is
never written into: every write of the store makes a new file (`files.folder.open_new`, `Folder.create`) or renames one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os

from segassets.errors import SegassetsError
from segassets.files.folder import Folder, open_new
from segassets.files.ref import Ref, files_at

FICLONE = 0x40049409  # linux/fs.h
PIECE = 16 * 2**20
#: What a kernel or file system answers when it has no such way; EMLINK: the file has too many names already.
NO_SUCH_WAY = {
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTTY,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EACCES,
    errno.EMLINK,
    errno.ETXTBSY,
}


def bring(folder: Folder, target: str, source: Ref, mode: str) -> tuple[int, bytes]:
    """Put the bytes of a local reference under a staged name: their number and sha256.

    `mode`: SEGASSETS_COPY. A range of a file is always copied. FileNotFoundError or EOFError when the source has gone
    or is shorter; SegassetsError when the file systems cannot link as `mode` demands.
    """
    path = folder.path(target)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    origin = os.path.realpath(files_at(source.root).path(source.path))  # a link to a symbolic link would be one, too
    whole = source.offset == 0 and source.length is None
    if not (whole and _linked(origin, path, mode)):
        _copy(origin, source, path)
    with open(path, "rb", buffering=0) as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        size = file.tell()
    if source.digest not in (None, digest):
        raise source.replaced()
    return size, digest


def _linked(origin: str, path: str, mode: str) -> bool:
    """Whether the file could be linked; False when it has to be copied."""
    ways = {"auto": (_reflink, _hardlink), "reflink": (_reflink,), "hardlink": (_hardlink,), "copy": ()}[mode]
    for way in ways:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        try:
            way(origin, path)
            return True
        except OSError as problem:
            if problem.errno not in NO_SUCH_WAY:
                raise
            why = problem.strerror
    if mode in ("reflink", "hardlink"):
        raise SegassetsError(
            f"SEGASSETS_COPY={mode}: {origin} cannot be linked into the store ({why}); use auto or copy"
        )
    return False


def _reflink(origin: str, path: str) -> None:
    with open(origin, "rb", buffering=0) as source:
        target = open_new(path)
        try:
            fcntl.ioctl(target, FICLONE, source.fileno())
        finally:
            os.close(target)


def _hardlink(origin: str, path: str) -> None:
    os.link(origin, path)


def _copy(origin: str, source: Ref, path: str) -> None:
    with open(origin, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        length = size - source.offset if source.length is None else source.length
        if source.offset + length > size:
            found = max(0, size - source.offset)
            raise EOFError(f"{source.label}: expected {length} bytes at {source.offset}, found {found}")
        target = open_new(path)
        try:
            copy_range(file.fileno(), source.offset, length, target, 0, source.label)
        finally:
            os.close(target)


def copy_range(source: int, offset: int, length: int, target: int, at: int, label: str) -> None:
    """`length` bytes of a file from `offset` on, to `at` in the target. EOFError, naming `label`, when there are fewer.

    By the kernel, which shares blocks where it can; through this process where it will not.
    """
    done, by_kernel = 0, hasattr(os, "copy_file_range")
    while done < length:
        if by_kernel:
            try:
                moved = os.copy_file_range(source, target, length - done, offset + done, at + done)
            except OSError as problem:
                if problem.errno not in NO_SUCH_WAY:
                    raise
                by_kernel = False
                continue
        else:
            moved = os.pwrite(target, os.pread(source, min(PIECE, length - done), offset + done), at + done)
        if not moved:
            raise too_short(label, length - done)
        done += moved


def too_short(label: str, missing: int) -> EOFError:
    return EOFError(f"{label} has become shorter: {missing} bytes are missing")
