"""Putting ranges of files and literal bytes into one file of a folder, with one write of the data.

Belongs here: how the bytes get there. Not here: which (`formats.split_zip_merge`), objects on S3 (`joining`).
Source: the MaGGIe specification 1.6.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import mmap
import os
import struct
from collections.abc import Iterable, Sequence

from segassets.files.folder import Folder
from segassets.files.ref import Ref, files_at
from segassets.formats.inflate import crc32
from segassets.store.copying import copy_range, too_short

BUFFER = 4 * 2**20
STEP = 2**18  # stays in the processor's cache
BLOCK = 4096
FICLONERANGE = 0x4020940D  # linux/fs.h


def merge_on_disk(pieces: Iterable[bytes | Ref], path: str) -> tuple[int, int]:
    """Write the pieces into a new file: its size and the CRC-32 of its bytes. EOFError for a source too short.

    Where the file system shares blocks, `copy_file_range` moves no data at all. Elsewhere it goes through the page
    cache, a page at a time, at the price of reading and writing; so the file is then written past the cache, from one
    small buffer, in which the CRC costs next to nothing.
    """
    pieces = list(pieces)
    with open(path, "x+b", buffering=0) as out:
        if _shares_blocks(pieces, out.fileno()) or not _set_direct(out.fileno(), True):
            size = _copy_pieces(pieces, out)
            return size, _crc_of(out.fileno(), size)
        with contextlib.closing(_Aligned(out.fileno())) as aligned:
            for piece in pieces:
                aligned.add(piece)
        return aligned.size, aligned.crc


class _Aligned:
    """Writes through a buffer that is aligned as writing past the page cache demands."""

    def __init__(self, out: int):
        self._out, self._memory = out, mmap.mmap(-1, BUFFER)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # two pages to be held for each write instead of a thousand
            with contextlib.suppress(OSError):
                self._memory.madvise(mmap.MADV_HUGEPAGE)
        self._buffer = memoryview(self._memory)
        self._filled = self.size = self.crc = 0

    def add(self, piece: bytes | Ref) -> None:
        if isinstance(piece, bytes):
            source = io.BytesIO(piece)
            while count := source.readinto(self._room()):
                self._take(count)
            return
        with _opened(piece) as source:
            offset, end = piece.offset, piece.offset + piece.length
            while offset < end:
                count = os.preadv(source.fileno(), [self._room()[: min(STEP, end - offset)]], offset)
                if count == 0:
                    raise too_short(piece.label, end - offset)
                self._take(count)
                offset += count

    def _room(self) -> memoryview:
        return self._buffer[self._filled :]

    def _take(self, count: int) -> None:
        self.crc = crc32(self._buffer[self._filled : self._filled + count], self.crc)
        self._filled += count
        self.size += count
        if self._filled == BUFFER:
            self._write(BUFFER)

    def _write(self, count: int) -> None:
        done = 0
        while done < count:
            try:
                done += os.write(self._out, self._buffer[done:count])
            except OSError as problem:  # larger blocks than ours, or a file system that only pretends
                if problem.errno != errno.EINVAL or not _set_direct(self._out, False):
                    raise
            if done % BLOCK:  # a short write: what follows is no longer aligned
                _set_direct(self._out, False)
        self._filled = 0

    def close(self) -> None:
        if self._filled % BLOCK:
            _set_direct(self._out, False)
        self._write(self._filled)
        self._buffer.release()
        self._memory.close()


def _set_direct(file: int, wanted: bool) -> bool:
    """Whether writing past the page cache was switched as wanted, and was not before."""
    direct = getattr(os, "O_DIRECT", 0)
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    if not direct or bool(flags & direct) == wanted:
        return False
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, flags ^ direct)
    except OSError:
        return False
    return True


def _shares_blocks(pieces: Sequence[bytes | Ref], out: int) -> bool:
    """Whether blocks of the first source can be shared with the new, empty file (XFS, btrfs); tried, and undone."""
    first = next((piece for piece in pieces if isinstance(piece, Ref) and piece.length >= BLOCK), None)
    if first is None or not hasattr(os, "copy_file_range"):
        return False
    with _opened(first) as source:
        try:
            fcntl.ioctl(out, FICLONERANGE, struct.pack("qQQQ", source.fileno(), 0, BLOCK, 0))
        except OSError:
            return False
    os.ftruncate(out, 0)
    return True


def _opened(piece: Ref) -> io.FileIO:
    origin = files_at(piece.root)
    assert isinstance(origin, Folder)
    return open(origin.path(piece.path), "rb", buffering=0)


def _copy_pieces(pieces: Iterable[bytes | Ref], out: io.FileIO) -> int:
    size = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            out.seek(size)
            rest = memoryview(piece)
            while rest:
                rest = rest[out.write(rest) :]
            size += len(piece)
        else:
            with _opened(piece) as source:
                copy_range(source.fileno(), piece.offset, piece.length, out.fileno(), size, piece.label)
            size += piece.length
    return size


def _crc_of(file: int, size: int) -> int:
    crc, room = 0, memoryview(bytearray(BUFFER))
    for offset in range(0, size, BUFFER):
        crc = crc32(room[: os.preadv(file, [room], offset)], crc)
    return crc
