"""Zips in several parts (`X.z01 ... X.zip`, or `X.zip.001 ...`): order, directory, what is wrong, members' places.

Belongs here: everything that can be said before a byte of data moves. Not here: names of parts and members
(`split_zip_names`), the parsing of records (`split_zip_records`), the merged form (`split_zip_merge`), reading members, files and stores.
Source of the rules: the MaGGIe specification 1.2 to 1.5, APPNOTE 6.3.3 sections 4 and 8.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats.split_zip_checks import fits_no_other_part, foreign_content, layout_findings
from segassets.formats.split_zip_merge import Piece, merge_plan
from segassets.formats.split_zip_methods import METHODS
from segassets.formats.split_zip_names import looks_alike, missing_parts, order_parts, part_number, safe_name
from segassets.formats.split_zip_records import (
    CENTRAL_SIGNATURE,
    LOCAL,
    LOCAL_SIGNATURE,
    SPANNING_MARKERS,
    Directory,
    EndRecord,
    Entry,
    Joined,
    Kind,
    Part,
    Range,
    end_candidates,
    read_end,
    read_entries,
)

__all__ = [
    "Directory", "Entry", "Part", "Piece", "Range", "data_range", "looks_alike", "member_findings", "merge_plan",
    "missing_parts", "order_parts", "part_number", "read_directory", "safe_name",
]  # fmt: skip

_ENCRYPTED, _SYMLINK, _FILE_TYPE = 0x1, 0o120000, 0o170000
_MAX_TRIED_DISKS = 1000
# Of several candidates for the end record the one with the most telling complaint is believed.
_VAGUE = ("bad_end_record", "bad_directory", "directory_too_large")


def read_directory(parts: Sequence[Part], absent: Container[str] = (), published: int | None = None) -> Directory:
    """The central directory of the zip in these parts (in order, see `order_parts`), checked before any data is read.

    Reads the head of every part, the end of the last, the directory, and the local headers of the first and the last
    member of every part; never member data. `Directory.findings` says what is wrong with members (errors), and
    `extra_part`, `trailing_bytes` (warnings), `raw_split` (info).
    Parts whose name is in `absent` are missing and have size 0: the members in them are `Directory.lost`.
    `published`: of how many parts a published set of this name consists, where that is known.
    Raises BadItem when there is no usable directory: missing_part, empty_part, lfs_pointer, html_page, no_end_record,
    bad_end_record, bad_directory, directory_too_large, truncated_part, wrong_last_part.
    """
    parts = tuple(parts)
    if not parts:
        raise BadItem(error("missing_part", "no part of the archive is there"))
    foreign = [finding for part in parts if part.name not in absent for finding in foreign_content(part)]
    if foreign:
        raise BadItem(*foreign)
    joined = Joined(parts)
    problems = []
    for position, disks in end_candidates(joined):
        try:
            return _open(parts, joined.total - position, disks, absent, published)
        except BadItem as problem:
            problems.append(problem)
    if problems:
        raise min(problems, key=lambda problem: problem.findings[0].code in _VAGUE)
    message = "no end record in it: this part is cut short (download it again), or it is not the last part"
    raise BadItem(error("no_end_record", message, part=parts[-1].name))


def _open(
    parts: tuple[Part, ...], from_end: int, disks: int, absent: Container[str], published: int | None
) -> Directory:
    if 1 < disks != len(parts) == published and not any(part.name in absent for part in parts):
        told = f"this part belongs to a set of {disks} parts, but the published set has {published}"
        raise BadItem(_wrong_last(parts, f"{told}, and that many are there"))
    if disks > len(parts):
        missing = _missing_disks(parts, disks)
        _check_last(parts, from_end, disks, absent)
        raise BadItem(*missing)
    if disks == len(parts) == 1:
        return _read(parts, from_end, "single", [])
    if disks == 1:
        # A plain zip cut into pieces; or a whole zip beside parts of another set.
        try:
            return _read(parts, from_end, "raw_cut", [info("raw_split", f"{len(parts)} plain pieces of a zip, joined")])
        except BadItem:
            if from_end > parts[-1].size:
                raise
            try:
                return _read(parts[-1:], from_end, "single", _extra(parts[:-1], disks))
            except BadItem:
                pass
            raise
    used = (*parts[: disks - 1], parts[-1])
    directory = _read(used, from_end, "split", _extra(parts[disks - 1 : -1], disks), absent)
    misplaced = any(finding.code in ("bad_local_header", "truncated_part") for finding in directory.findings)
    if misplaced and fits_no_other_part(directory.joined, directory.entries, absent):
        raise BadItem(_wrong_last(parts, _no_header_fits(disks, len(parts))))
    return directory


def _wrong_last(parts: Sequence[Part], told: str) -> Finding:
    return error("wrong_last_part", f"{told}: it is from another upload, or they are; download it again",
                 part=parts[-1].name)  # fmt: skip


def _no_header_fits(disks: int, found: int) -> str:
    return f"this part belongs to a set of {disks} parts, {found} are there, and no other part holds what it lists"


def _check_last(parts: tuple[Part, ...], from_end: int, disks: int, absent: Container[str]) -> None:
    """Raises BadItem `wrong_last_part` when the last part's directory fits none of the parts that are there.

    Only where it lies in the last part, and all parts have names with numbers.
    """
    names = {number[2]: part for part in parts[:-1] if (number := part_number(part.name)) is not None}
    if len(names) < len(parts) - 1 or disks > _MAX_TRIED_DISKS:
        return
    empty = Part("", 0, lambda start, end: b"")
    padded = (*(names.get(number, empty) for number in range(1, disks)), parts[-1])
    try:
        joined = Joined(padded)
        end = read_end(joined, joined.total - from_end)
        entries, _ = read_entries(joined, end, _directory_start(joined, end, "split"))
    except BadItem:
        return
    gone = {part.name for part in parts if part.name in absent} | {""}
    if fits_no_other_part(joined, entries, gone):
        raise BadItem(_wrong_last(parts, _no_header_fits(disks, len(parts))))


def _extra(parts: Iterable[Part], disks: int) -> list[Finding]:
    message = f"the archive has {disks} part{'s' if disks > 1 else ''}, this one is not used: remove it"
    return [warning("extra_part", message, part=part.name) for part in parts]


def _missing_disks(parts: Sequence[Part], disks: int) -> list[Finding]:
    known = part_number(parts[-1].name)
    have = {part.name for part in parts}
    if known is not None and known[2] is None:
        wanted = [f"{known[0]}.z{number:02d}" for number in range(1, min(disks, 0xFFFF))]
        missing = [name for name in wanted if name not in have]
        if missing:
            last, here = parts[-1].name, f"{len(parts)} are there"
            told = f"; {last} speaks of {disks} parts, {here}: if those are all, {last} is from another upload"
            return missing_parts(missing, known=told)
    message = f"the end record speaks of {disks} parts, {len(parts)} are there: {disks - len(parts)} are missing"
    return [error("missing_part", message, part=parts[-1].name)]


def _read(
    parts: tuple[Part, ...], from_end: int, kind: Kind, findings: list[Finding], absent: Container[str] = ()
) -> Directory:
    joined = Joined(parts)
    if from_end > joined.total:
        raise BadItem(error("no_end_record", "the end record is not in this part", part=parts[-1].name))
    end = read_end(joined, joined.total - from_end)
    start = _directory_start(joined, end, kind)
    entries, raw = read_entries(joined, end, start)
    head = joined.read(0, min(4, joined.total))
    first = min((entry.position for entry in entries), default=start)
    marker = 4 if head in SPANNING_MARKERS and first >= 4 else 0
    if end.trailing:
        message = f"{end.trailing} bytes follow the archive; they are ignored"
        findings = [*findings, warning("trailing_bytes", message, part=parts[-1].name)]
    lost = _lost(parts, entries, end.directory_disk, absent)
    there = [entry for index, entry in enumerate(entries) if index not in lost]
    layout = layout_findings(joined, there, start, end, kind)
    return Directory(parts, entries, kind, end, start, marker, raw, [*findings, *layout], lost)


def _lost(parts: Sequence[Part], entries: list[Entry], end_disk: int, absent: Container[str]) -> dict[int, str]:
    """Members that begin in a missing part, or run on into one: by number, the part."""
    gone = {disk for disk, part in enumerate(parts) if part.name in absent}
    if not gone:
        return {}
    order = sorted(range(len(entries)), key=lambda index: (entries[index].disk, entries[index].offset))
    lost = {}
    for place, index in enumerate(order):
        following = entries[order[place + 1]].disk if place + 1 < len(order) else end_disk
        first = entries[index].disk
        # The last member of a part may end in it; whether it does, its size against the part's tells.
        length = LOCAL.size + len(entries[index].raw_name) + entries[index].compressed_size
        runs_on = entries[index].offset + length > parts[first].size
        touched = gone & (set(range(first, following + 1)) if runs_on else {first})
        if touched:
            lost[index] = parts[min(touched)].name
    return lost


def _directory_start(joined: Joined, end: EndRecord, kind: Kind) -> int:
    """Position of the central directory; checked to lie before the end record and to begin as one does."""
    disk = end.directory_disk if kind == "split" else 0
    if disk >= len(joined.parts):
        message = f"the directory should begin on part {disk + 1} of {len(joined.parts)}"
        raise BadItem(error("bad_end_record", message, part=joined.parts[-1].name))
    part = joined.parts[disk]
    start = joined.position(disk, end.directory_offset)
    missing = start + end.directory_size - end.limit
    if kind == "split" and end.directory_offset > part.size:
        missing = end.directory_offset - part.size
    if missing > 0:
        suspects = joined.parts[disk:-1] if kind == "split" and disk < len(joined.parts) - 1 else joined.parts[disk:]
        if kind == "raw_cut":  # its pieces are equal, but for the last
            whole = max(part.size for part in joined.parts)
            suspects = tuple(part for part in joined.parts[:-1] if part.size != whole) or suspects
        names = ", ".join(suspect.name for suspect in suspects[:5])
        message = f"the directory ends {missing} bytes behind the end record: that many are missing; download again"
        raise BadItem(error("truncated_part", f"{message} ({names})", part=suspects[0].name))
    # An empty directory has no signature; where it does not even end at its end record it is a false one.
    begins = joined.read(start, min(start + 4, joined.total)) == CENTRAL_SIGNATURE
    if not (begins if end.directory_size else start == end.limit):
        why = "it is swapped, renamed, or from another upload"
        message = f"no directory at offset {end.directory_offset} of this part: {why}"
        raise BadItem(error("bad_directory", message, part=part.name if kind == "split" else joined.parts[-1].name))
    return start


def data_range(directory: Directory, entry: Entry) -> tuple[int, int]:
    """(start, end) of a member's stored bytes in the joined parts; `directory.joined.ranges` gives the parts' ranges.

    Reads its local header, since only that knows the length of its extra field. Raises BadItem `bad_local_header`.
    """
    joined = directory.joined
    header = joined.read(entry.position, entry.position + LOCAL.size)
    fields = LOCAL.unpack(header)
    start = entry.position + LOCAL.size + fields[-2] + fields[-1]
    if fields[0] != LOCAL_SIGNATURE or start + entry.compressed_size > directory.start:
        part = joined.parts[joined.part_at(entry.position)].name
        raise BadItem(error("bad_local_header", "there is no header of it where the directory says", member=entry.name,
                            part=part))  # fmt: skip
    return start, start + entry.compressed_size


def member_findings(directory: Directory) -> list[Finding]:
    """What keeps members from being unpacked, though not from being merged; one error each.

    unsafe_path (also symbolic links), duplicate_name (every one but the first), encrypted, unsupported_method.
    """
    findings = []
    seen: dict[str, int] = {}
    for index, entry in enumerate(directory.entries):
        where = {"member": entry.name, "index": index}
        safe = safe_name(entry.name)
        if safe is None:
            findings.append(error("unsafe_path", "this name leads out of the target folder: not unpacked", **where))
        elif (entry.external_attr >> 16) & _FILE_TYPE == _SYMLINK:
            findings.append(error("unsafe_path", "a symbolic link: not unpacked", **where))
        elif (earlier := seen.setdefault(safe.rstrip("/"), index)) != index:
            message = f"the same name as member {earlier + 1}; this one, member {index + 1}, is not unpacked"
            findings.append(error("duplicate_name", message, **where))
        if entry.flags & _ENCRYPTED:
            findings.append(error("encrypted", "encrypted: unpack it with its password by hand", **where))
        elif entry.method not in METHODS:
            message = f"compression method {entry.method} is none of {', '.join(map(str, METHODS))}: not unpacked"
            findings.append(error("unsupported_method", message, **where))
    return findings
