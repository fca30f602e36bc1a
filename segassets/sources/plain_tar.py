"""A tar that can be read at any offset: the raw file itself, or its unpacked copy when it is gzip-compressed.

Some SA-1B shards are gzip files despite their name. gzip has no index, so such a shard is unpacked once, into the
store's work area under a name made of the raw file's path, size and time; it is made again when it is gone, and the
one of an earlier download of the same name goes.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from segassets.findings import BadItem, error
from segassets.formats.file_kinds import is_gzip
from segassets.sources.raw import Raw
from segassets.sources.ref import Ref, files_at
from segassets.store import names

PIECE = 8 * 2**20
MAX_RATIO = 50  # JPEGs hardly shrink; something that unpacks to fifty times its size is no shard


@dataclass(frozen=True)
class PlainTar:
    """An uncompressed tar: `whole` is where it lies."""

    whole: Ref

    def open(self) -> BinaryIO:
        return files_at(self.whole.root).open(self.whole.path)

    def part(self, offset: int, size: int, member: str) -> Ref:
        """A reference to a member's data."""
        return Ref(self.whole.root, self.whole.path, offset, size, member, shown=self.whole.shown)


def plain_tar(raw: Raw, path: str) -> PlainTar:
    """The uncompressed tar of the raw file `path`. BadItem (`missing`, or `tar_unreadable` for a bomb).

    A gzip stream that is cut short or damaged gives what can be unpacked of it: the tar then ends early, which its
    reader reports.
    """
    if path not in raw:
        told = f"there is no {path} in {raw.root}/{raw.dataset}; download it, or correct SEGASSETS_RAW"
        raise BadItem(error("missing", told, path=path))
    if not is_gzip(raw.ref(path).read(limit=4)):
        return PlainTar(raw.ref(path))
    entry = raw.files[path]
    which = f"{names.HOME}/unpacked/{_token(f'{raw.root}/{raw.dataset}/{path}')}"
    target = f"{which}/{_token(f'{entry.size} {entry.version}')}.tar"
    files = files_at(raw.scratch)
    if files.stat(target) is None:
        with contextlib.suppress(FileExistsError), files.create(target) as out:
            if files.stat(target) is not None:
                raise FileExistsError(target)  # another run has made it while this one waited
            for piece in _unpacked(raw, path, entry.size):
                out.write(piece)
        files.delete(other for other in files.walk(which) if other.endswith(".tar") and other != target)
    return PlainTar(Ref(raw.scratch, target, shown=f"{raw.dataset}/{path}"))


def _token(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]


def _unpacked(raw: Raw, path: str, size: int) -> Iterator[bytes]:
    written = 0
    with raw.open(path) as packed, gzip.GzipFile(fileobj=packed) as stream:
        while piece := _read(stream):
            written += len(piece)
            if written > MAX_RATIO * size + PIECE:
                told = f"its gzip data unpack to more than {MAX_RATIO} times its {size:,} bytes; this is no shard"
                raise BadItem(error("tar_unreadable", told, path=path))
            yield piece
    if not written:
        told = "its gzip data end before anything can be unpacked: the file was cut; download it again"
        raise BadItem(error("tar_truncated", told, path=path))


def _read(stream: gzip.GzipFile) -> bytes:
    """The next piece; nothing where the compressed data are cut or damaged.

    `read` would lose what it has unpacked before the cut, `read1` gives it.
    """
    try:
        return stream.read1(PIECE)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return b""
