"""Where the members of a tar lie, read from its headers alone, and which of them an SA-1B shard may hold.

Belongs here: the tar format (ustar, GNU long names, pax) and the rules for the names in a shard. Not here: what is in
the members (`sa1b`, `jpeg`), nor opening files. Python's `tarfile` is not used because it takes an archive that just
stops on a block boundary for a complete one, and decodes, resolves and allocates more than a header needs.

Findings have no `path`: the caller knows the archive's name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from gzip import GzipFile
from html import unescape
from typing import BinaryIO

from segassets.findings import Finding, error, warning

BLOCK = 512
ZEROS = bytes(BLOCK)
#: A shard has about 22,400 headers; a crafted archive of headers only must end, too.
MAX_HEADERS = 1_000_000
#: Long names and pax records are short texts; nobody needs a megabyte.
MAX_EXTENSION = 1 << 20
#: tar pads to a record (10 KiB unless told otherwise). More than this after the end mark is not padding.
MAX_PADDING = 16 << 20
#: Of one kind of finding, that many are listed; the rest is counted.
MAX_LISTED = 1000

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
MAGIC = (
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip file"),
    (b"PK\x05\x06", "an empty zip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"(\xb5/\xfd", "a zstd file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
)


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


class _Damaged(Exception):
    """A header that is none, or one that makes no sense."""


# --- what a file is that is not what it should be ---------------------------------------------------------------------


def is_gzip(first_bytes: bytes) -> bool:
    """True when the first bytes are those of a gzip file (RFC 1952: 1f 8b, method 8)."""
    return first_bytes[:3] == b"\x1f\x8b\x08"


def looks_like(head: bytes) -> str:
    """What a file seems to be, from its first few kilobytes: `an HTML page titled 'URL signature expired'`."""
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return "zeros only (a download that was allocated but never written?)"
    for magic, name in MAGIC:
        if head.startswith(magic):
            return name
    if _is_header(head[:BLOCK]):
        return "a tar"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (the file itself comes with `git lfs pull`)"
    if re.match(rb"<!doctype html|<html|<head|<body", text, re.IGNORECASE):
        title = re.search(rb"<title[^>]*>([^<]{0,200})", text, re.IGNORECASE)
        return f"an HTML page titled {_quoted(unescape(_text(title[1])))}" if title else "an HTML page"
    if text.startswith(b"<"):
        return f"an XML document that begins with {_quoted(_text(text))}"
    if _is_text(text[:200]):
        return f"text that begins with {_quoted(_text(text))}"
    return f"binary data that begins with {head[:8].hex(' ')}"


def _is_text(data: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r" for byte in data) and "�" not in data[:-3].decode("utf-8", "replace")


def _text(data: bytes) -> str:
    return data[:200].decode("utf-8", "replace")


def _quoted(text: str, most: int = 80) -> str:
    """One printable line in quotation marks, cut to `most` characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return repr(line if len(line) <= most else line[: most - 3] + "...")


# --- reading ----------------------------------------------------------------------------------------------------------


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


def _number(data: bytes) -> int:
    """A number field: octal digits, or base 256 with the top bit set (GNU, for 8 GiB and more)."""
    if data[:1] == b"\x80":
        return int.from_bytes(data[1:], "big")
    digits = data.rstrip(b" \0").lstrip(b" ")
    if not digits:
        return 0
    if not re.fullmatch(rb"[0-7]+", digits):
        raise _Damaged(f"the number field {data!r} is not octal")
    return int(digits, 8)


def _is_header(block: bytes) -> bool:
    """True when the checksum is right: the sum of all bytes, its own eight counted as blanks."""
    if len(block) < BLOCK:
        return False
    try:
        stated = _number(block[148:156])
    except _Damaged:
        return False
    rest = block[:148] + block[156:]
    total = sum(rest) + 256
    # Some old tars summed signed bytes.
    return stated == total or stated == total - 256 * sum(byte > 127 for byte in rest)


def _pax_records(data: bytes) -> dict[str, bytes]:
    """The records `<length> <key>=<value>\\n` of a pax header (POSIX.1-2001); later ones win."""
    records, position = {}, 0
    while position < len(data) and data[position]:
        match = re.compile(rb"(\d{1,7}) ([^=\n]+)=").match(data, position)
        end = position + int(match[1]) if match else 0
        if not match or end > len(data) or end <= match.end() or data[end - 1 : end] != b"\n":
            raise _Damaged("a pax record's length is wrong")
        records[match[2].decode("utf-8", "replace")] = data[match.end() : end - 1]
        position = end
    return records


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
            except _Damaged as damage:
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
        if self.start == 0 and block != ZEROS and not _is_header(block):
            return self._not_a_tar(block)
        if len(block) < BLOCK:
            raise _Cut(2 * BLOCK - len(block), "the file ends without tar's end mark (two blocks of zeros)")
        if block == ZEROS:
            return self._end()
        if not _is_header(block):
            raise _Damaged("its checksum is wrong")
        self._member(block)
        return True

    def _member(self, block: bytes) -> None:
        kind = block[156:157]
        size = _number(block[124:136])
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
            raise _Damaged(f"a header of type {kind.decode()} claims {size:,} bytes")
        data = self.reader.read(size)
        if len(data) < size:
            raise _Cut(size - len(data), "the file ends in a header")
        self.reader.skip(-size % BLOCK)
        if kind == b"L":
            self.long_name = data.split(b"\0", 1)[0]
        elif kind == b"g":
            # The keys of names and sizes are for one file each; a global one would give all members the same name.
            self.global_pax.update((key, value) for key, value in _pax_records(data).items() if key in ("path", "size"))
        elif kind in b"xX":
            self.pax = _pax_records(data)

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
            raise _Damaged(f"the pax size {value[:30]!r} is not a number")
        return int(value)

    def _end(self) -> bool:
        """The first zero block: a second one must follow, and nothing but padding after it."""
        second = self.reader.read(BLOCK)
        if len(second) < BLOCK:
            raise _Cut(BLOCK - len(second), "the file ends in the middle of tar's end mark (two blocks of zeros)")
        if second != ZEROS:
            raise _Damaged("a single block of zeros (a gap in the download?)")
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
        return f" after member {_quoted(self.last)}" if self.last is not None else ", before the first member"

    def _truncated(self, cut: _Cut) -> None:
        inside = f" inside member {_quoted(self.current)}" if self.current is not None else ""
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


def capped(findings: list[Finding], most: int = MAX_LISTED) -> list[Finding]:
    """The findings, at most `most` of a code and severity; what was left out is counted in one more finding.

    Errors of an image are all kept, because the share of rejected images is counted from them.
    """
    kept, counts = [], Counter()
    for finding in findings:
        if finding.severity == "error" and finding.image is not None:
            kept.append(finding)
            continue
        kind = finding.severity, finding.code
        counts[kind] += 1
        if counts[kind] <= most:
            kept.append(finding)
    for (severity, code), count in counts.items():
        if count > most:
            kept.append(Finding(severity, code, f"{count - most:,} more of these are not listed"))
    return kept


# --- the names of a shard ---------------------------------------------------------------------------------------------

_SHARD_MEMBER = re.compile(r"(?:\./)?sa_(0|[1-9][0-9]{0,17})\.(jpg|json)")
_DRIVE = re.compile(r"[A-Za-z]:")


def _unsafe(name: str) -> str | None:
    """Why a member's name could lead out of a folder, or None."""
    if not name:
        return "the name is empty"
    if name.startswith("/"):
        return "the name is an absolute path"
    if "\\" in name:
        return "the name has a backslash"
    if _DRIVE.match(name):
        return "the name begins with a drive letter"
    if ".." in name.split("/"):
        return "the name has a '..' part"
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in name):
        return "the name has a control character"
    return None


def classify(members: Iterable[TarMember]) -> tuple[dict[int, dict[str, TarMember]], list[Finding]]:
    """The complete images of an SA-1B shard: `{1: {"jpg": member, "json": member}}`, by ascending id, and findings.

    Only `sa_N.jpg` and `sa_N.json` at the root, with or without `./`, belong to a shard; members come in any order.
    Codes: `unexpected_member`, `duplicate_member` (the last one wins, as with `tar x`) are warnings; `unsafe_member`,
    `missing_jpg`, `missing_json` errors. An image without its partner is in the findings only.
    Source: SA-1B specification, sections 1 and 5; golden data policies 2, 3 and 8.
    """
    images: dict[int, dict[str, TarMember]] = {}
    findings: list[Finding] = []
    for member in members:
        if why := _unsafe(member.name):
            shown = member.name.encode("unicode_escape").decode("ascii")[:200]
            findings.append(error("unsafe_member", f"{why}; the member is not read", member=shown))
            continue
        match = _SHARD_MEMBER.fullmatch(member.name)
        if not match:
            message = "only sa_N.jpg and sa_N.json at the root belong to a shard; it is ignored"
            findings.append(warning("unexpected_member", message, member=member.name))
            continue
        number, kind = int(match[1]), match[2]
        pair = images.setdefault(number, {})
        if kind in pair:
            message = f"the name comes more than once; the last one (at byte {member.offset:,}) is used"
            findings.append(warning("duplicate_member", message, member=member.name, image=f"sa_{number}"))
        pair[kind] = member
    complete = {number: images[number] for number in sorted(images) if len(images[number]) == 2}
    for number in sorted(images.keys() - complete.keys()):
        have = next(iter(images[number]))
        lacks = "json" if have == "jpg" else "jpg"
        message = f"the tar has sa_{number}.{have} but no sa_{number}.{lacks}; the image is left out"
        where = {"image": f"sa_{number}", "member": f"sa_{number}.{lacks}"}
        findings.append(error(f"missing_{lacks}", message, **where))
    return complete, capped(findings)
