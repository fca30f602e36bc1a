"""Where the members of a tar lie, read from its headers alone.

Belongs here: the walk over the headers. Not here: the fields of one header (`tar_header`), which names a shard may hold
(`sa1b_members`), nor opening files. Python's `tarfile` is not used because it takes an archive that just stops on a
block boundary for a complete one, and decodes, resolves and allocates more than a header needs.

Findings have no `path`: the caller knows the archive's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from gzip import GzipFile
from typing import BinaryIO

from segassets.findings import Finding, capped, error, warning
from segassets.formats.file_kinds import looks_like, quoted
from segassets.formats.tar_header import BLOCK, Damaged, is_header, number, pax_records

ZEROS = bytes(BLOCK)
#: A shard has about 22,400 headers; a crafted archive of headers only must end, too.
MAX_HEADERS = 1_000_000
#: Long names and pax records are short texts; nobody needs a megabyte.
MAX_EXTENSION = 1 << 20
#: tar pads to a record (10 KiB unless told otherwise). More than this after the end mark is not padding.
MAX_PADDING = 16 << 20

REGULAR = b"0\x007"
WITHOUT_DATA = b"123456"
KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"S": "a sparse file",
    b"M": "a part of a multi-volume archive",
}


@dataclass(frozen=True, slots=True)
class TarMember:
    """A regular file in a tar: `name` as it stands there, `offset` of its first data byte, `size` in bytes."""

    name: str
    offset: int
    size: int


@dataclass(slots=True)
class TarScan:
    """What a tar holds. `complete`: every header was sound and the end mark (two zero blocks) was seen."""

    members: list[TarMember] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    complete: bool = False


class _Cut(Exception):
    """The stream ends, or cannot be decompressed, at this place. `missing` is None when nobody can know."""

    def __init__(self, missing: int | None, why: str = "the file ends"):
        super().__init__(why)
        self.missing = missing


class _Reader:
    """Position and bounds over a stream; a stream that cannot seek is read through."""

    def __init__(self, stream: BinaryIO, size: int | None):
        self.stream, self.pos, self.size = stream, 0, size
        if size is None:
            self.size = self._find_size()
        if self.size is not None:
            stream.seek(0)

    def _find_size(self) -> int | None:
        if isinstance(self.stream, GzipFile) or not self.stream.seekable():
            return None  # a GzipFile finds its end only by decompressing everything
        return self.stream.seek(0, 2)

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the end."""
        pieces = []
        while count > 0:
            try:
                piece = self.stream.read(count)
            except EOFError:
                raise _Cut(None, "the compressed data end too early") from None
            except Exception as problem:
                # gzip, zlib and ISA-L each have their own errors; those of the disk or the network have a number.
                if not isinstance(self.stream, GzipFile) or getattr(problem, "errno", None) is not None:
                    raise
                raise _Cut(None, f"the compressed data are damaged ({problem})") from None
            if not piece:
                break
            pieces.append(piece)
            count -= len(piece)
            self.pos += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, count: int) -> None:
        """Go on by `count` bytes; `_Cut` when there are not so many."""
        end = self.pos + count
        if self.size is not None:
            if end > self.size:
                raise _Cut(end - self.size)
            self.stream.seek(end)
            self.pos = end
            return
        while self.pos < end:
            if not self.read(min(1 << 20, end - self.pos)):
                raise _Cut(end - self.pos)


class _Scanner:
    """The state of one walk over the headers."""

    def __init__(self, stream: BinaryIO, size: int | None):
        self.reader = _Reader(stream, size)
        self.result = TarScan()
        self.global_pax: dict[str, bytes] = {}
        self.pax: dict[str, bytes] = {}
        self.long_name: bytes | None = None
        self.last: str | None = None
        self.current: str | None = None
        self.start = 0

    def run(self) -> TarScan:
        for _ in range(MAX_HEADERS):
            try:
                if not self._step():
                    break
            except _Cut as cut:
                self._truncated(cut)
                break
            except Damaged as damage:
                self._problem(
                    "tar_unreadable",
                    f"byte {self.start:,}{self._after()} should be a member's header but is not: {damage}. "
                    "Download the tar again, or check it with `tar tf`",
                )
                break
        else:
            self._problem("tar_unreadable", f"more than {MAX_HEADERS:,} headers: this is no SA-1B shard")
        if not self.result.members and not any(problem.severity == "error" for problem in self.result.problems):
            self.result.complete = False
            self._problem("tar_empty", "the tar holds no regular file; expected pairs of sa_N.jpg and sa_N.json")
        self.result.problems = capped(self.result.problems)
        return self.result

    def _step(self) -> bool:
        """Read one header and pass its data; False at the end."""
        self.start, self.current = self.reader.pos, None
        block = self.reader.read(BLOCK)
        if not block and self.start == 0:
            self._problem("tar_empty", "the file is empty (0 bytes); download it again")
            return False
        if self.start == 0 and block != ZEROS and not is_header(block):
            return self._not_a_tar(block)
        if len(block) < BLOCK:
            raise _Cut(2 * BLOCK - len(block), "the file ends without tar's end mark (two blocks of zeros)")
        if block == ZEROS:
            return self._end()
        if not is_header(block):
            raise Damaged("its checksum is wrong")
        self._member(block)
        return True

    def _member(self, block: bytes) -> None:
        kind = block[156:157]
        size = number(block[124:136])
        if kind in b"xXgLK":
            return self._extension(kind, size)
        pax, long_name = {**self.global_pax, **self.pax}, self.long_name
        self.pax, self.long_name = {}, None
        name = self._name(block, pax, long_name)
        if "size" in pax:
            size = self._pax_size(pax["size"])
        self.current = name
        if kind == b"S":
            self._skip_sparse_map(block)
        offset = self.reader.pos
        has_data = kind not in WITHOUT_DATA
        if has_data:
            self.reader.skip(size)
        if name is None:
            pass  # reported already
        elif kind == b"5" or (kind == b"\0" and name.endswith("/")) or kind == b"V":
            return
        elif any(key.startswith("GNU.sparse.") for key in pax):
            self._ignored(name, KINDS[b"S"])
        elif kind in REGULAR:
            self.result.members.append(TarMember(name, offset, size))
            self.last = name
        else:
            self._ignored(name, KINDS.get(kind, f"of the unknown type {kind!r}"))
        if has_data:
            self._pad(size)

    def _pad(self, size: int) -> None:
        """Data fill whole blocks. A file that ends in the filling has all of the member, but no end mark."""
        self.current = None
        try:
            self.reader.skip(-size % BLOCK)
        except _Cut as cut:
            missing = None if cut.missing is None else cut.missing + 2 * BLOCK
            raise _Cut(missing, "the file ends without tar's end mark (two blocks of zeros)") from None

    def _extension(self, kind: bytes, size: int) -> None:
        """A header about the next one: GNU long name (L) or link target (K), pax (x, Solaris X, global g)."""
        if size > MAX_EXTENSION:
            raise Damaged(f"a header of type {kind.decode()} claims {size:,} bytes")
        data = self.reader.read(size)
        if len(data) < size:
            raise _Cut(size - len(data), "the file ends in a header")
        self.reader.skip(-size % BLOCK)
        if kind == b"L":
            self.long_name = data.split(b"\0", 1)[0]
        elif kind == b"g":
            # The keys of names and sizes are for one file each; a global one would give all members the same name.
            self.global_pax.update((key, value) for key, value in pax_records(data).items() if key in ("path", "size"))
        elif kind in b"xX":
            self.pax = pax_records(data)

    def _skip_sparse_map(self, block: bytes) -> None:
        more = block[482]
        while more:
            block = self.reader.read(BLOCK)
            if len(block) < BLOCK:
                raise _Cut(BLOCK - len(block), "the file ends in a header")
            more = block[504]

    def _name(self, block: bytes, pax: dict[str, bytes], long_name: bytes | None) -> str | None:
        """The member's name, or None (and a finding) when it is not UTF-8."""
        raw = block[:100].split(b"\0", 1)[0]
        if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0", 1)[0]):
            raw = prefix + b"/" + raw
        raw = pax.get("path", raw if long_name is None else long_name)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            shown = raw.decode("utf-8", "backslashreplace")
            self.result.problems.append(
                error("unsafe_member", "the name is not UTF-8; the member is left out. Rename it", member=shown)
            )
            return None

    @staticmethod
    def _pax_size(value: bytes) -> int:
        if not re.fullmatch(rb"\d{1,20}", value):
            raise Damaged(f"the pax size {value[:30]!r} is not a number")
        return int(value)

    def _end(self) -> bool:
        """The first zero block: a second one must follow, and nothing but padding after it."""
        second = self.reader.read(BLOCK)
        if len(second) < BLOCK:
            raise _Cut(BLOCK - len(second), "the file ends in the middle of tar's end mark (two blocks of zeros)")
        if second != ZEROS:
            raise Damaged("a single block of zeros (a gap in the download?)")
        # Reading on to the end also makes a gzip stream check its checksum.
        after = self.reader.read(MAX_PADDING + 1)
        rest = len(after) if self.reader.size is None else self.reader.size - self.start - 2 * BLOCK
        if rest > MAX_PADDING:
            self._problem(
                "tar_truncated",
                f"tar's end mark stands at byte {self.start:,}{self._after()}, but the file goes on (by {rest:,} bytes "
                "or more): an unfinished download into space allocated beforehand, or several tars in one. Fetch anew",
            )
            return False
        self.result.complete = True
        if after.strip(b"\0"):
            message = (
                f"{rest:,} bytes that are not zeros follow tar's end mark at byte {self.start:,}; they are ignored"
            )
            self.result.problems.append(warning("tar_trailing_data", message))
        return False

    def _not_a_tar(self, block: bytes) -> bool:
        head = block + self.reader.read(8 * BLOCK - len(block))
        if len(block) < BLOCK and block[257:262] == b"ustar":
            raise _Cut(BLOCK - len(block), "the file ends in the first header")
        self._problem("tar_unreadable", f"not a tar but {looks_like(head)}; download it again")
        return False

    def _after(self) -> str:
        return f" after member {quoted(self.last)}" if self.last is not None else ", before the first member"

    def _truncated(self, cut: _Cut) -> None:
        inside = f" inside member {quoted(self.current)}" if self.current is not None else ""
        missing = "an unknown number of bytes" if cut.missing is None else f"at least {cut.missing:,} bytes"
        self._problem(
            "tar_truncated",
            f"{cut} at byte {self.reader.size if self.reader.size is not None else self.reader.pos:,}{inside}"
            f"{self._after()}: {missing} missing. Download the tar again",
        )

    def _ignored(self, name: str, kind: str) -> None:
        message = f"{kind}; only regular files are read, so it is ignored"
        self.result.problems.append(warning("unexpected_member", message, member=name))

    def _problem(self, code: str, message: str) -> None:
        self.result.problems.append(error(code, message))


def scan(stream: BinaryIO, size: int | None = None) -> TarScan:
    """The regular files of an uncompressed tar, in the order of their headers.

    `stream` is read from its beginning; data are seeked over. A stream that cannot seek to its end (gzip, a pipe) is
    read through, and offsets count its decompressed bytes. Never raises for what is in the stream: problems are
    findings (`tar_truncated`, `tar_unreadable`, `tar_empty`: the shard; `unsafe_member`, `unexpected_member`,
    `tar_trailing_data`). An OSError of the stream itself is the caller's. Source: SA-1B specification, section 5.
    """
    return _Scanner(stream, size).run()
