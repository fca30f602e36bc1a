"""Zips in several parts (`X.z01 ... X.zip`, or `X.zip.001 ...`): order, directory, what is wrong, members' places.

Belongs here: everything that can be said before a byte of data moves. Not here: names of parts and members
(`split_zip_names`), the parsing of records (`split_zip_records`), the merged form (`split_zip_merge`), reading members, files and stores.
Source of the rules: the MaGGIe specification 1.2 to 1.5, APPNOTE 6.3.3 sections 4 and 8.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from contextlib import suppress

from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats.split_zip_checks import fits_no_other_part, foreign_content, layout_findings
from segassets.formats.split_zip_merge import Piece, merge_plan
from segassets.formats.split_zip_methods import METHODS
from segassets.formats.split_zip_names import MAX_GAPS, looks_alike, missing_parts, order_parts, part_number, safe_name
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
# Of several candidates for the end record the one with the most telling complaint is believed.
_VAGUE = ("bad_end_record", "bad_directory", "directory_too_large")


def read_directory(parts: Sequence[Part], absent: Container[str] = (), published: int | None = None) -> Directory:
    """The central directory of the zip in these parts (in order, see `order_parts`), checked before any data is read.

    Reads the head of every part, the end of the last, the directory, and the local headers of the first and the last
    member of every part; never member data. `Directory.findings` says what is wrong with members (errors), and
    `missing_part` (errors), `extra_part`, `leading_bytes`, `trailing_bytes` (warnings), `raw_split` (info).
    Parts whose name is in `absent` are missing and have size 0: where the end record speaks of them, or of more than
    there are, they are errors among the findings, and the members in them are `Directory.lost`.
    `published`: of how many parts a published set of this name consists, where that is known.
    Raises BadItem when there is no usable directory: missing_part, empty_part, lfs_pointer, html_page, no_end_record,
    bad_end_record, bad_directory, directory_too_large, truncated_part, wrong_last_part.
    """
    parts = tuple(parts)
    if not parts:
        raise BadItem(error("missing_part", "no part of the archive is there"))
    missing = missing_parts([part.name for part in parts if part.name in absent])
    foreign = [finding for part in parts if part.name not in absent for finding in foreign_content(part)]
    if foreign:
        raise BadItem(*missing, *foreign)
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
    raise BadItem(*missing, error("no_end_record", message, part=parts[-1].name))


def _open(
    parts: tuple[Part, ...], from_end: int, disks: int, absent: Container[str], published: int | None
) -> Directory:
    if 1 < disks != len(parts) == published and not any(part.name in absent for part in parts):
        told = f"this part belongs to a set of {disks} parts, but the published set has {published}"
        raise BadItem(_wrong_last(parts, f"{told}, and that many are there"))
    there = [part for part in parts if part.name not in absent]
    if disks == 1:
        return _open_plain(parts, there, from_end)
    used, known = (*parts[: disks - 1], parts[-1]), ""
    if disks > len(parts):
        used = _with_gaps(parts, disks)
        last = parts[-1].name
        known = (
            f"; {last} speaks of {disks} parts, there are {len(there)}: if that is all, {last} is from another upload"
        )
    names = {part.name for part in there}
    gone = [part.name for part in used if part.name not in names]
    extra = _extra((part for part in parts[disks - 1 : -1] if part.name in names), disks)
    try:
        directory = _read(used, from_end, "split", extra, gone)
    except BadItem as problem:
        if not gone:
            raise
        if not _directory_is_there(used, from_end, gone):
            lies = "; the archive's directory lies in what is missing: no member can be read without it"
            raise BadItem(*missing_parts(gone, known=known + lies)) from None
        raise BadItem(*missing_parts(gone, known=known), *problem.findings) from None
    misplaced = any(finding.code in ("bad_local_header", "truncated_part") for finding in directory.findings)
    if (misplaced or known) and fits_no_other_part(directory.joined, directory.entries, gone):
        told = f"this part belongs to a set of {disks} parts, {len(there)} are there, and no other part holds what it lists"
        raise BadItem(_wrong_last(parts, told))
    return directory._replace(findings=[*missing_parts(gone, known=known), *directory.findings])


def _directory_is_there(parts: tuple[Part, ...], from_end: int, gone: Container[str]) -> bool:
    joined = Joined(parts)
    try:
        end = read_end(joined, joined.total - from_end)
    except BadItem:  # its zip64 twin is not where its locator says
        return False
    return not any(part.name in gone for part in parts[end.directory_disk :])


def _open_plain(parts: tuple[Part, ...], there: Sequence[Part], from_end: int) -> Directory:
    """A whole zip, perhaps beside parts of another set; or a plain zip cut into pieces."""
    if len(parts) == 1:
        return _read(parts, from_end, "single", [])
    try:
        if len(there) < len(parts):
            raise BadItem(*missing_parts([part.name for part in parts if part not in there]))
        return _read(parts, from_end, "raw_cut", [info("raw_split", f"{len(parts)} plain pieces of a zip, joined")])
    except BadItem:
        if from_end > parts[-1].size:
            raise
        with suppress(BadItem):
            return _read(parts[-1:], from_end, "single", _extra(there[:-1], 1))
        raise


def _wrong_last(parts: Sequence[Part], told: str) -> Finding:
    return error("wrong_last_part", f"{told}: it is from another upload, or they are; download it again",
                 part=parts[-1].name)  # fmt: skip


def _with_gaps(parts: Sequence[Part], disks: int) -> tuple[Part, ...]:
    """The parts of a set of so many, an empty one in each gap. Raises BadItem where names do not tell the gaps."""
    numbers = {number[2]: part for part in parts[:-1] if (number := part_number(part.name)) is not None}
    last = part_number(parts[-1].name)
    if last is None or last[2] is not None or len(numbers) < len(parts) - 1 or disks > MAX_GAPS:
        message = f"the end record speaks of {disks} parts, {len(parts)} are there: {disks - len(parts)} are missing"
        raise BadItem(error("missing_part", message, part=parts[-1].name))
    letter = "Z" if parts[-1].name.endswith(".ZIP") else "z"
    names = {number: f"{last[0]}.{letter}{number:02d}" for number in range(1, disks)}
    return (*(numbers.get(n) or Part(name, 0, lambda start, end: b"") for n, name in names.items()), parts[-1])


def _extra(parts: Iterable[Part], disks: int) -> list[Finding]:
    message = f"the archive has {disks} part{'s' if disks > 1 else ''}, this one is not used: remove it"
    return [warning("extra_part", message, part=part.name) for part in parts]


def _read(
    parts: tuple[Part, ...], from_end: int, kind: Kind, findings: list[Finding], absent: Container[str] = ()
) -> Directory:
    joined = Joined(parts)
    if from_end > joined.total:
        raise BadItem(error("no_end_record", "the end record is not in this part", part=parts[-1].name))
    end = read_end(joined, joined.total - from_end)
    leading = _leading_bytes(joined, end) if kind == "single" else 0
    start = _directory_start(joined, end, kind) if not leading else end.directory_offset + leading
    entries, raw = read_entries(joined, end, start, leading)
    head = joined.read(0, min(4, joined.total))
    first = min((entry.position for entry in entries), default=start)
    marker = leading or (4 if head in SPANNING_MARKERS and first >= 4 else 0)
    if leading:
        message = f"{leading} bytes lie before the archive, as in a program that unpacks itself; they are left out"
        findings = [*findings, warning("leading_bytes", message, part=parts[-1].name)]
    if end.trailing:
        message = f"{end.trailing} bytes follow the archive; they are ignored"
        findings = [*findings, warning("trailing_bytes", message, part=parts[-1].name)]
    lost = _lost(parts, entries, end.directory_disk, absent)
    there = [entry for index, entry in enumerate(entries) if index not in lost]
    layout = layout_findings(joined, there, start, end, kind)
    return Directory(parts, entries, kind, end, start, marker, raw, [*findings, *layout], lost)


def _leading_bytes(joined: Joined, end: EndRecord) -> int:
    """How many bytes lie before a zip, when its offsets do not count them: the directory ends at the end record."""
    start = end.limit - end.directory_size
    leading = start - end.directory_offset
    if leading <= 0 or end.directory_size < 4 or joined.read(start, start + 4) != CENTRAL_SIGNATURE:
        return 0
    stated = joined.read(end.directory_offset, end.directory_offset + 4)
    return leading if stated != CENTRAL_SIGNATURE else 0


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
