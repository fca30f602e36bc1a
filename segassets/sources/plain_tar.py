"""A tar that can be read at any offset: the raw file itself, or its unpacked copy when it is gzip-compressed.

Some SA-1B shards are gzip files despite their name. gzip has no index, so such a shard is unpacked once, into the
store's work area under a name made of the raw file's path, size and time; it is made again when it is gone, and the
one of an earlier download of the same name goes.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from segassets.files.ref import Ref, files_at
from segassets.findings import BadItem, Finding, error
from segassets.formats import tar_index
from segassets.formats.file_kinds import is_gzip
from segassets.sources.raw import Raw
from segassets.store import names

PIECE = 8 * 2**20
MAX_RATIO = 50  # JPEGs hardly shrink; something that unpacks to fifty times its size is no shard


@dataclass(frozen=True)
class PlainTar:
    """An uncompressed tar: `whole` is where it lies, `damage` what was wrong with the gzip file that it came in."""

    whole: Ref
    damage: Finding | None = None

    def open(self) -> BinaryIO:
        return files_at(self.whole.root).open(self.whole.path)

    def scan(self) -> tar_index.TarScan:
        """What the tar holds. A gzip file that failed behind the tar's end mark is not believed either."""
        with self.open() as stream:
            found = tar_index.scan(stream)
        if found.complete and self.damage is not None:
            found.complete = False
            found.problems.append(self.damage)
        return found

    def part(self, offset: int, size: int, member: str) -> Ref:
        """A reference to a member's data."""
        return Ref(self.whole.root, self.whole.path, offset, size, member, shown=self.whole.shown)


def plain_tar(raw: Raw, path: str) -> PlainTar:
    """The uncompressed tar of the raw file `path`. BadItem (`missing`, or `tar_unreadable` for a bomb).

    A gzip stream that is cut short or damaged gives what can be unpacked of it, and `scan` says so.
    """
    if path not in raw:
        told = f"there is no {path} in {raw.root}/{raw.dataset}; download it, or correct SEGASSETS_RAW"
        raise BadItem(error("missing", told, path=path))
    if not is_gzip(raw.ref(path).read(limit=4)):
        return PlainTar(raw.ref(path))
    entry = raw.files[path]
    which = f"{names.HOME}/unpacked/{_token(f'{raw.root}/{raw.dataset}/{path}')}"
    target = f"{which}/{_token(f'{entry.size} {entry.version}')}.tar"
    damage = f"{target}.damage"  # beside it, so that later runs know it too
    files = files_at(raw.scratch)
    if files.stat(target) is None:
        with contextlib.suppress(FileExistsError), files.create(target) as out:
            if files.stat(target) is not None:
                raise FileExistsError(target)  # another run has made it while this one waited
            unpacking = _Unpacking(path, entry.size)
            for piece in unpacking.pieces(raw):
                out.write(piece)
            if unpacking.damage is not None:
                files.write(damage, json.dumps(unpacking.damage).encode())
        files.delete(other for other in files.walk(which) if ".tar" in other and other not in (target, damage))
    found = json.loads(files.read(damage)) if files.stat(damage) is not None else None
    shown = f"{raw.dataset}/{path}"
    return PlainTar(Ref(raw.scratch, target, shown=shown), error(*found, path=path) if found else None)


def _token(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]


class _Unpacking:
    """One pass over a gzip file; `damage` is then the code and the message of what was wrong with it, or None."""

    def __init__(self, path: str, size: int):
        self.path, self.size = path, size
        self.damage: tuple[str, str] | None = None

    def pieces(self, raw: Raw) -> Iterator[bytes]:
        written = 0
        with raw.open(self.path) as packed, gzip.GzipFile(fileobj=packed) as stream:
            while piece := self._read(stream):
                written += len(piece)
                if written > MAX_RATIO * self.size + PIECE:
                    told = (
                        f"its gzip data unpack to more than {MAX_RATIO} times its {self.size:,} bytes; this is no shard"
                    )
                    raise BadItem(error("tar_unreadable", told, path=self.path))
                yield piece
        if not written:
            told = "its gzip data end before anything can be unpacked: the file was cut; download it again"
            raise BadItem(error("tar_truncated", told, path=self.path))

    def _read(self, stream: gzip.GzipFile) -> bytes:
        """The next piece; nothing where the compressed data are cut or damaged.

        `read` would lose what it has unpacked before the cut, `read1` gives it.
        """
        try:
            return stream.read1(PIECE)
        except EOFError:
            self.damage = (
                "tar_truncated",
                "its gzip data end before their check sum: the file was cut; download it again",
            )
        except (gzip.BadGzipFile, zlib.error) as problem:
            self.damage = "tar_unreadable", f"its gzip data are damaged ({problem}); download it again"
        return b""
