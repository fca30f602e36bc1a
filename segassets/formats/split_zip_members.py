"""Members of a zip in several parts: their rows in the index, and their contents from the stored bytes.

Belongs here: pure functions on rows and bytes. Not here: where the bytes are read (`sources.split_archive`).
A member's *slot* is what has to be read for it: local header, data, descriptor; `position` to `end` in the joined
parts. Only the local header knows where in the slot the data begin. Source: the MaGGIe specification 1.2, 1.4, 1.6.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from segassets.findings import BadItem, Finding, error
from segassets.formats.inflate import INFLATE_ERRORS, crc32
from segassets.formats.split_zip import member_findings, safe_name
from segassets.formats.split_zip_methods import UnknownMethod, plain_pieces
from segassets.formats.split_zip_records import LOCAL, LOCAL_SIGNATURE, Directory

MAX_LOCAL_EXTRA = 0xFFFF
_NO_PLACE = ("unsafe_path", "duplicate_name")

INDEX_ROWS = {
    "name": "string",
    "path": "string",
    "raw_name": "binary",
    "method": "int64",
    "flags": "int64",
    "crc": "int64",
    "compressed_size": "int64",
    "size": "int64",
    "position": "int64",
    "end": "int64",
    "extents": "list<list<int64>>",
    "first_part": "string",
    "last_part": "string",
    "problem": "string",
    "problem_text": "string",
    "parts": "list<string>",  # of the archive, in order; in the first row only
}


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the index describes it. `extents`: (part, offset, length) of its slot, parts counted from 0.

    `path` is its path below the target folder, None for a folder and for a name that is no place for a file; a member
    whose bytes are lost keeps its path, so that whoever lists the archive misses none. `problem` is the code of what
    keeps it from being unpacked, `problem_text` the message.
    """

    name: str
    path: str | None
    raw_name: bytes
    method: int
    flags: int
    crc: int
    compressed_size: int
    size: int
    position: int
    end: int
    extents: tuple[tuple[int, int, int], ...]
    first_part: str
    last_part: str
    problem: str | None = None
    problem_text: str | None = None

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")

    @property
    def parts(self) -> str:
        """The parts that its bytes come from, for a message."""
        return self.first_part if self.first_part == self.last_part else f"{self.first_part} to {self.last_part}"

    def finding(self) -> Finding:
        """Why it is not unpacked."""
        return error(self.problem or "unreadable", self.problem_text or "", member=self.name, part=self.first_part)


def members_of(directory: Directory) -> list[Member]:
    """Every member, in the order of its data: what an index holds. Reads nothing."""
    names = [safe_name(entry.name) for entry in directory.entries]
    problems, nowhere = _problems(directory, names)
    # Positions in missing parts mean nothing: such members are listed, but nobody's end depends on them.
    order = sorted(
        range(len(directory.entries)),
        key=lambda index: (directory.entries[index].disk, directory.entries[index].offset),
    )
    there = [directory.entries[index].position for index in order if index not in directory.lost]
    ends = iter([*there[1:], directory.start])
    joined = directory.joined
    found = []
    for index in order:
        entry = directory.entries[index]
        end = entry.position
        if index not in directory.lost:
            # The local extra field may be longer than the central one, but not without bound.
            longest = entry.position + LOCAL.size + len(entry.raw_name) + MAX_LOCAL_EXTRA + entry.compressed_size
            end = max(entry.position, min(next(ends), longest, directory.start))
        extents = tuple(joined.ranges(entry.position, end))
        code, text = problems.get(index, (None, None))
        safe = names[index]
        path = None if index in nowhere or safe is None or safe.endswith("/") else safe
        first, final = (
            (extents[0].part, extents[-1].part) if extents else (min(entry.disk, len(directory.parts) - 1),) * 2
        )
        lost = directory.lost.get(index)
        found.append(
            Member(
                name=entry.name,
                path=path,
                raw_name=entry.raw_name,
                method=entry.method,
                flags=entry.flags,
                crc=entry.crc,
                compressed_size=entry.compressed_size,
                size=entry.size,
                position=entry.position,
                end=end,
                extents=tuple((part, start, end - start) for part, start, end in extents),
                first_part=lost or directory.parts[first].name,
                last_part=lost or directory.parts[final].name,
                problem=code,
                problem_text=text,
            )
        )
    return found


def _problems(directory: Directory, names: list[str | None]) -> tuple[dict[int, tuple[str, str]], set[int]]:
    """(code, message) by number of the entry of what cannot be unpacked; the numbers of names that are no place."""
    found = {finding.index: (finding.code, finding.message) for finding in reversed(member_findings(directory))}
    nowhere = {index for index, (code, _) in found.items() if code in _NO_PLACE}
    by_name: dict[str, list[int]] = {}
    for index, entry in enumerate(directory.entries):
        by_name.setdefault(entry.name, []).append(index)
    for finding in directory.findings:
        if finding.severity == "error" and finding.member is not None:
            for index in by_name.get(finding.member, ()):
                found.setdefault(index, (finding.code, finding.message))
    for index in _also_folders(names):
        nowhere.add(index)
        found.setdefault(index, ("duplicate_name", "other members lie in a folder of this name: not unpacked"))
    for index, name in directory.lost.items():
        found[index] = ("missing_part", f"its bytes lie in {name}, which is not there")
    return found, nowhere


def _also_folders(names: list[str | None]) -> Iterator[int]:
    """Files whose name, cleaned, is also that of a folder with members in it. `names`: None for those of no place."""
    folders: set[str] = set()
    for name in names:
        folder = (name or "").rstrip("/").rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return (index for index, name in enumerate(names) if name in folders)


def common_top(names: Iterable[str]) -> str:
    """The folder that all members share, with its slash; empty when there is none. `./X/a` lies in X, as its path does."""
    cleaned = (safe_name(name) or name for name in names)
    tops = {name.split("/", 1)[0] if "/" in name else "" for name in cleaned}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""


def index_columns(members: list[Member], parts: list[str]) -> dict[str, list]:
    """Columns of `INDEX_ROWS`."""
    columns = {name: [getattr(member, name) for member in members] for name in INDEX_ROWS if name != "parts"}
    columns["extents"] = [[list(extent) for extent in member.extents] for member in members]
    columns["raw_name"] = [bytes(member.raw_name) for member in members]
    columns["name"] = [_plain(member.name) for member in members]
    columns["parts"] = [parts, *[None] * (len(members) - 1)][: len(members)]
    return columns


def content_digest(members: Iterable[Member]) -> bytes:
    """What an archive holds, however it is cut and wherever it lies: names, sizes and CRCs, in the order of the data."""
    digest = hashlib.sha256()
    for member in members:
        digest.update(
            struct.pack("<IQQqH", member.crc, member.size, member.compressed_size, member.method, len(member.raw_name))
        )
        digest.update(member.raw_name)
    return digest.digest()


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def read_index(records: Iterable[dict]) -> tuple[list[str], list[Member]]:
    """(names of the parts, members) of the rows of an index."""
    parts: list[str] = []
    members = []
    for row in records:
        parts = row.pop("parts") or parts
        members.append(Member(**{**row, "extents": tuple(tuple(extent) for extent in row["extents"])}))
    return parts, members


def data_at(member: Member, head: bytes) -> int:
    """Offset in the slot at which the data begin; `head` is at least the local header and the name.

    Raises BadItem `bad_local_header`, or `truncated_part` when the slot is too short for the data.
    """
    length = LOCAL.size + len(member.raw_name)
    if len(head) < length:
        message = f"{length - len(head)} bytes of its header are missing in {member.parts}: download again"
        raise BadItem(error("truncated_part", message, member=member.name, part=member.first_part))
    fields = LOCAL.unpack_from(head)
    if fields[0] != LOCAL_SIGNATURE or head[LOCAL.size : LOCAL.size + fields[-2]] != member.raw_name:
        message = f"no header of it in {member.parts}, where the directory says: swapped, cut, or from another upload"
        raise BadItem(error("bad_local_header", message, member=member.name, part=member.first_part))
    start = LOCAL.size + fields[-2] + fields[-1]
    missing = start + member.compressed_size - (member.end - member.position)
    if missing > 0:
        message = f"{missing} bytes of it are missing in {member.parts}: download again"
        raise BadItem(error("truncated_part", message, member=member.name, part=member.first_part))
    return start


def contents(member: Member, slot: bytes | memoryview) -> bytes:
    """The member's bytes from those of its slot, size and CRC checked.

    Raises BadItem: `crc` (naming the parts that its bytes come from), `bad_local_header`, `truncated_part`,
    `encrypted`, `unsupported_method`.
    """
    if member.problem is not None:
        raise BadItem(member.finding())
    return b"".join(unpacked(member, [stored(member, slot)]))


def stored(member: Member, slot: bytes | memoryview) -> bytes | memoryview:
    """The stored data in a slot. Raises BadItem `bad_local_header`, `truncated_part`, `crc`."""
    start = data_at(member, bytes(slot[: LOCAL.size + len(member.raw_name)]))
    data = slot[start : start + member.compressed_size]
    if len(data) != member.compressed_size:
        raise _damaged(member, f"{member.compressed_size - len(data)} of its bytes cannot be read")
    return data


def unpacked(member: Member, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The contents, a piece at a time, from the stored data; at most `size` bytes whatever the data say.

    Raises BadItem `crc` at the end when size or CRC differ, or where the data cannot be unpacked.
    """
    crc, size = 0, 0
    try:
        for piece in plain_pieces(member.method, member.size, pieces):
            size += len(piece)
            if size > member.size:
                raise _damaged(member, f"it unpacks to more than the {member.size} bytes that the directory states")
            crc = crc32(piece, crc)
            yield piece
    except UnknownMethod as problem:
        raise BadItem(error("unsupported_method", str(problem), member=member.name, part=member.first_part)) from None
    except (*INFLATE_ERRORS, OSError, EOFError, ValueError) as problem:
        raise _damaged(member, f"its data cannot be unpacked ({problem})") from None
    if size != member.size:
        raise _damaged(member, f"{size} bytes, the directory states {member.size}")
    if crc != member.crc:
        raise _damaged(member, f"its CRC is {crc:08x}, the directory states {member.crc:08x}")


def _damaged(member: Member, why: str) -> BadItem:
    message = f"{why}; its bytes come from {member.parts}: download again"
    return BadItem(error("crc", message, member=member.name, part=member.first_part))
