"""The records of a zip that lies in several parts: end records, zip64, the central directory (APPNOTE 6.3.3, 4.3).

Belongs here: the parts seen as one stream, and the parsing of records. Not here: what is wrong with a set of parts
(`split_zip`), nor the writing of new records (`split_zip_merge`). All positions are in the joined stream of the parts
unless they are called an offset, which is inside one part. All numbers in a zip are little-endian.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate
from typing import Literal, NamedTuple

from segassets.findings import BadItem, Finding, error

END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
CENTRAL = struct.Struct("<4s6H3I5H2I")
LOCAL = struct.Struct("<4s5H3I2H")
END_SIGNATURE, END64_SIGNATURE, LOCATOR_SIGNATURE = b"PK\5\6", b"PK\6\6", b"PK\6\7"
CENTRAL_SIGNATURE, LOCAL_SIGNATURE = b"PK\1\2", b"PK\3\4"
SPANNING_MARKERS = (b"PK\7\x08", b"PK00")
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
ZIP64_EXTRA = 0x0001
UTF8_FLAG = 0x0800
UTF8_SYSTEMS = (3, 19)  # Unix, macOS: who made a record
UNICODE_PATH = 0x7075
_UNICODE_TAG = struct.pack("<H", UNICODE_PATH)
# A comment is at most 65,535 bytes; as many bytes again may trail the archive (a padded download).
END_SEARCH = END.size + 2 * FULL16
# The published archives need 35 MB; far more is a lie or does not fit into the memory that a process may use.
MAX_DIRECTORY = 512 << 20
MAX_END_CANDIDATES = 32

Kind = Literal["split", "single", "raw_cut"]


class Part(NamedTuple):
    """One file of a set: `read(start, end)` gives its bytes [start, end)."""

    name: str
    size: int
    read: Callable[[int, int], bytes]


class Range(NamedTuple):
    """The bytes [start, end) of the part with that index (0-based) in `Directory.parts`."""

    part: int
    start: int
    end: int


class Entry(NamedTuple):
    """One member as the central directory describes it; zip64 fields are resolved.

    `position` is that of the local header in the joined parts; `disk` and `offset` are what the record says.
    `record` is the slice of `Directory.raw` that holds the record.
    """

    name: str
    raw_name: bytes
    method: int
    flags: int
    crc: int
    compressed_size: int
    size: int
    disk: int
    offset: int
    position: int
    external_attr: int
    system: int
    date: int
    time: int
    record: tuple[int, int]


class EndRecord(NamedTuple):
    """The end of central directory record, with the values of its zip64 twin where there is one."""

    position: int
    disk: int
    directory_disk: int
    count: int
    directory_size: int
    directory_offset: int
    comment: bytes
    zip64: bool
    limit: int
    trailing: int


class Directory(NamedTuple):
    """A readable central directory and the parts it speaks about.

    `parts`: the parts that are used (extra ones are left out), `start`: position of the first central header,
    `marker`: length of what lies before the archive's first byte and is not merged: the spanning marker (4), or bytes
    that no offset counts, `raw`: the records as they are,
    `findings`: what is wrong; errors name the members and parts that cannot be read. `lost`: by number of the entry,
    the missing part that its bytes lie in.
    """

    parts: tuple[Part, ...]
    entries: list[Entry]
    kind: Kind
    end: EndRecord
    start: int
    marker: int
    raw: bytes
    findings: list[Finding]
    lost: dict[int, str] = {}

    @property
    def joined(self) -> Joined:
        """The parts as one stream."""
        return Joined(self.parts)


class Joined:
    """Parts as one stream of bytes; nothing is copied."""

    def __init__(self, parts: tuple[Part, ...]):
        self.parts = parts
        self.starts = [0, *accumulate(part.size for part in parts)]
        self.total = self.starts[-1]

    def part_at(self, position: int) -> int:
        """Index of the part that holds the byte at this position (the last part for the end of the stream)."""
        return min(bisect_right(self.starts, position) - 1, len(self.parts) - 1)

    def position(self, disk: int, offset: int) -> int:
        """Position of an offset inside a part; the offset may lie behind the part's end."""
        return self.starts[disk] + offset

    def ranges(self, start: int, end: int) -> Iterator[Range]:
        """The ranges of the parts that together are [start, end), none of them empty; behind the last there are none."""
        index, end = self.part_at(start), min(end, self.total)
        while start < end:
            stop = min(end, self.starts[index + 1])
            if stop > start:
                yield Range(index, start - self.starts[index], stop - self.starts[index])
            start, index = max(start, stop), index + 1

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end). Raises BadItem `truncated_part` where they do not exist."""
        if not 0 <= start <= end <= self.total:
            raise BadItem(
                error(
                    "truncated_part",
                    f"bytes {start} to {end} are needed, but the parts hold {self.total}: download again",
                    part=self.parts[-1].name,
                )
            )
        pieces = []
        for part, first, last in self.ranges(start, end):
            pieces.append(self.parts[part].read(first, last))
            if len(pieces[-1]) != last - first:
                found = first + len(pieces[-1])
                message = f"{found} bytes can be read, {self.parts[part].size} are listed: download this part again"
                raise BadItem(error("truncated_part", message, part=self.parts[part].name))
        return b"".join(pieces)


def end_candidates(joined: Joined) -> list[tuple[int, int]]:
    """(position, number of disks) of all that may be the end record, the likeliest first.

    First those whose comment ends exactly with the stream, from the last one backwards; then those that trailing
    bytes follow. An archive comment may hold a false one, so the caller tries them in turn.
    """
    base = max(0, joined.total - END_SEARCH)
    tail = joined.read(base, joined.total)
    exact: list[tuple[int, int]] = []
    trailing: list[tuple[int, int]] = []
    at = tail.rfind(END_SIGNATURE)
    while at >= 0 and len(exact) < MAX_END_CANDIDATES:
        if at + END.size <= len(tail):
            _, disk, _, _, _, _, _, comment = END.unpack_from(tail, at)
            end = at + END.size + comment
            disks = disk + 1 if disk != FULL16 else _disks_of_locator(tail, at)
            if end <= len(tail) and disks:
                (exact if end == len(tail) else trailing).append((base + at, disks))
        at = tail.rfind(END_SIGNATURE, 0, at + 3) if at else -1
    return (exact + trailing)[:MAX_END_CANDIDATES]


def _disks_of_locator(tail: bytes, at: int) -> int:
    if at < LOCATOR.size or not tail.startswith(LOCATOR_SIGNATURE, at - LOCATOR.size):
        return 0
    return LOCATOR.unpack_from(tail, at - LOCATOR.size)[3]


def read_end(joined: Joined, position: int) -> EndRecord:
    """The end record at a position, zip64 resolved. Raises BadItem `bad_end_record`, `truncated_part`."""
    fields = END.unpack(joined.read(position, position + END.size))
    _, disk, directory_disk, _, count, size, offset, length = fields
    comment = joined.read(position + END.size, position + END.size + length)
    limit, zip64 = position, False
    wide = _read_end64(joined, position)
    if wide is not None:
        limit, zip64 = wide[0], True
        _, _, _, _, disk64, directory_disk64, _, count64, size64, offset64 = wide[1]
        disk = disk64 if disk == FULL16 else disk
        directory_disk = directory_disk64 if directory_disk == FULL16 else directory_disk
        count = count64 if count == FULL16 else count
        size = size64 if size == FULL32 else size
        offset = offset64 if offset == FULL32 else offset
    elif FULL32 in (size, offset) or FULL16 in (disk, directory_disk):
        raise _bad_end(joined, "a field of it says that a zip64 record holds the value, but there is none")
    trailing = joined.total - position - END.size - length
    return EndRecord(position, disk, directory_disk, count, size, offset, comment, zip64, limit, trailing)


def _read_end64(joined: Joined, position: int) -> tuple[int, tuple] | None:
    if position < LOCATOR.size:
        return None
    locator = LOCATOR.unpack(joined.read(position - LOCATOR.size, position))
    if locator[0] != LOCATOR_SIGNATURE or locator[1] >= len(joined.parts):
        return None
    at = joined.position(locator[1], locator[2])
    if at + END64.size > position - LOCATOR.size:
        raise _bad_end(joined, f"the zip64 record should lie at {at}, which is behind its locator")
    fields = END64.unpack(joined.read(at, at + END64.size))
    before = position - LOCATOR.size - END64.size
    if fields[0] != END64_SIGNATURE and len(joined.parts) == 1 and before > at:  # offsets may not count leading bytes
        fields = END64.unpack(joined.read(before, before + END64.size))
        at = before if fields[0] == END64_SIGNATURE else at
    if fields[0] != END64_SIGNATURE:
        raise _bad_end(joined, f"there is no zip64 record at {at}, where its locator points")
    return at, fields


def _bad_end(joined: Joined, why: str) -> BadItem:
    message = f"the end record cannot be used: {why}; download the last part and the one before it again"
    return BadItem(error("bad_end_record", message, part=joined.parts[-1].name))


def read_entries(joined: Joined, end: EndRecord, start: int, leading: int = 0) -> tuple[list[Entry], bytes]:
    """All records of the central directory at `start`, and their bytes. `leading`: bytes that its offsets do not count.

    Raises BadItem `bad_directory` where a record is damaged, `directory_too_large` beyond 512 MiB.
    """
    if end.directory_size > MAX_DIRECTORY:
        message = f"the directory says it has {end.directory_size} bytes, at most {MAX_DIRECTORY} are read"
        raise BadItem(error("directory_too_large", message, part=joined.parts[-1].name))
    raw = joined.read(start, start + end.directory_size)
    entries = []
    at = 0
    try:
        while at < len(raw):
            entry = _read_entry(raw, at, joined, leading)
            entries.append(entry)
            at = entry.record[1]
    except (ValueError, struct.error) as problem:
        part = joined.parts[joined.part_at(start + at)].name
        message = f"record {len(entries) + 1} of {end.count} in the central directory: {problem}; download again"
        raise BadItem(error("bad_directory", message, part=part)) from None
    # A writer without zip64 keeps only the low 16 bits of the count.
    if len(entries) != end.count and (end.zip64 or len(entries) & FULL16 != end.count):
        message = f"the directory has {len(entries)} records, the end record says {end.count}: download again"
        raise BadItem(error("bad_directory", message, part=joined.parts[-1].name))
    return entries, raw


def _read_entry(raw: bytes, at: int, joined: Joined, leading: int) -> Entry:
    (signature, made_by, _, flags, method, time, date, crc, compressed_size, size, name_length, extra_length,
     comment_length, disk, _, external_attr, offset) = CENTRAL.unpack_from(raw, at)  # fmt: skip
    if signature != CENTRAL_SIGNATURE:
        raise ValueError(f"it begins with {signature!r} instead of {CENTRAL_SIGNATURE!r}")
    system = made_by >> 8
    name_at = at + CENTRAL.size
    extra_at = name_at + name_length
    stop = extra_at + extra_length + comment_length
    if stop > len(raw):
        raise ValueError(f"it is {stop - len(raw)} bytes longer than the directory")
    raw_name = raw[name_at:extra_at]
    extra = raw[extra_at : extra_at + extra_length]
    if FULL32 in (size, compressed_size, offset) or disk == FULL16:
        size, compressed_size, offset, disk = _zip64(extra, size, compressed_size, offset, disk)
    if disk >= len(joined.parts):
        raise ValueError(f"its member should begin on part {disk + 1} of {len(joined.parts)}")
    return Entry(
        decode_name(raw_name, flags, system, extra), raw_name, method, flags, crc, compressed_size, size, disk, offset,
        joined.starts[disk] + offset + leading, external_attr, system, date, time, (at, stop),
    )  # fmt: skip


def _zip64(extra: bytes, size: int, compressed_size: int, offset: int, disk: int) -> tuple[int, int, int, int]:
    """The true values of the fields that are all ones: those alone, in this order, stand in the extra 0x0001."""
    body = next((body for tag, body in extra_fields(extra) if tag == ZIP64_EXTRA), b"")
    at = 0
    values = []
    for value, full, width in ((size, FULL32, 8), (compressed_size, FULL32, 8), (offset, FULL32, 8), (disk, FULL16, 4)):
        if value == full:
            if at + width > len(body):
                raise ValueError("its zip64 extra field is missing or too short")
            value = int.from_bytes(body[at : at + width], "little")
            at += width
        values.append(value)
    return tuple(values)


def extra_fields(extra: bytes) -> Iterator[tuple[int | None, bytes]]:
    """(tag, body) of the extra fields; a rest that is none, as some writers leave, comes with the tag None."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if at + 4 + length > len(extra):
            break
        yield tag, extra[at + 4 : at + 4 + length]
        at += 4 + length
    if at < len(extra):
        yield None, extra[at:]


def decode_name(raw: bytes, flags: int, system: int = 0, extra: bytes = b"") -> str:
    """A member's name, which may stand in its record twice (APPNOTE 4.6.9, D.1).

    That of the Unicode path extra field when its CRC is that of `raw`; else `raw` as UTF-8 where that is valid, and the
    language flag is set or the writer ran on Unix or macOS, which set no flag; else as code page 437.
    """
    if _UNICODE_TAG in extra:  # looking for its two bytes first: see `split_zip_merge`
        for tag, body in extra_fields(extra):
            if tag == UNICODE_PATH and body[:1] == b"\1" and body[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
                with suppress(UnicodeDecodeError):
                    return body[5:].decode("utf-8")
    if flags & UTF8_FLAG or system in UTF8_SYSTEMS:
        with suppress(UnicodeDecodeError):
            return raw.decode("utf-8")
    return raw.decode("cp437")
