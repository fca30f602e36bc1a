"""Zips in several parts (`X.z01 ... X.zip`, or `X.zip.001 ...`): order, directory, what is wrong, members' places.

Belongs here: everything that can be said before a byte of data moves. Not here: the parsing of records
(`split_zip_records`), the merged form (`split_zip_merge`), reading members, files and stores.
Source of the rules: the MaGGIe specification 1.2 to 1.5, APPNOTE 6.3.3 sections 4 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats.split_zip_checks import foreign_content, layout_findings
from segassets.formats.split_zip_merge import Piece, merge_plan
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
    "Directory", "Entry", "Part", "Piece", "Range", "data_range", "member_findings", "merge_plan", "missing_parts",
    "order_parts",
    "part_number", "read_directory", "safe_name",
]  # fmt: skip

# z01 ... z99, z100: two digits at least, and no leading zero beyond them.
_SPLIT_NAME = re.compile(r"(?P<stem>.+)\.(?:z(?P<split>[0-9]{2}|[1-9][0-9]{2,5})|zip(?:\.(?P<cut>[0-9]{3,6}))?)")
_HALF_DONE = re.compile(r"(?: ?\([0-9]+\)(?=\.)|\.(?:crdownload|incomplete|part|partial|download|tmp|aria2)$)")
_METHODS = (0, 8, 12, 14, 93)
_ENCRYPTED, _SYMLINK, _FILE_TYPE, _UNIX = 0x1, 0o120000, 0o170000, 3
_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_MISSING_NAMED = 20
# Of several candidates for the end record the one with the most telling complaint is believed.
_VAGUE = ("bad_end_record", "bad_directory", "directory_too_large")


def part_number(name: str) -> tuple[str, str, int | None] | None:
    """(stem, "split" or "cut", number) of a part's name; None when the name is no part of a zip.

    The number of `X.zip` is None: it is the last part of a split zip, or the whole. `X.zip.001` is a cut with stem `X`.
    """
    match = _SPLIT_NAME.fullmatch(name)
    if match is None or match["split"] == "00":
        return None
    if match["cut"] is not None:
        return match["stem"], "cut", int(match["cut"])
    return match["stem"], "split", int(match["split"]) if match["split"] else None


def order_parts(names: Iterable[str], absent: list[str] | None = None) -> list[str]:
    """The parts of one archive among `names`, in the order of their numbers (z10 after z09, z100 after z99).

    With a list `absent`, missing parts before the last are put into it and stand in the result, so that the directory
    can be read all the same; `read_directory` then has to be told about them.

    Names that are no parts are only looked at for hints (`X (1).z02`, `X.z02.crdownload`).
    Raises BadItem `missing_part` with one finding a missing part that the names give away; that parts are missing at
    the end is known only to the end record. Raises BadItem `several_archives` when the parts have several stems.
    """
    names = list(names)
    numbered = {name: number for name in names if (number := part_number(name)) is not None}
    copies = {name for name in numbered if _HALF_DONE.search(name)}
    if len(copies) < len(numbered):  # a second download beside the first, not an archive of its own
        numbered = {name: number for name, number in numbered.items() if name not in copies}
    stems = sorted({(stem, style) for stem, style, _ in numbered.values()})
    if not numbered:
        raise BadItem(error("missing_part", f"no part of a zip (.zip, .z01, .zip.001) among {len(names)} names"))
    if len(stems) > 1:
        found = ", ".join(stem + (".zip" if style == "split" else ".zip.001") for stem, style in stems[:5])
        raise BadItem(error("several_archives", f"parts of {len(stems)} archives ({found}): give those of one"))
    (stem, style) = stems[0]
    pieces = sorted((number, name) for name, (_, _, number) in numbered.items() if number is not None)
    last = [name for name, (_, _, number) in numbered.items() if number is None]
    have = {number for number, _ in pieces}
    width = len(pieces[0][1]) - len(stem) - len(".zip.") if style == "cut" else 2
    gaps = sorted(set(range(1, max(have, default=0) + 1)) - have)[: _MAX_MISSING_NAMED + 1]
    prefix = f"{stem}.zip." if style == "cut" else f"{stem}.z"
    missing = [f"{prefix}{number:0{width}d}" for number in gaps]
    if style == "split" and not last:
        missing.append(f"{stem}.zip")
    others = [name for name in names if name not in numbered]
    if missing and (absent is None or not last or len(missing) > _MAX_MISSING_NAMED):
        raise BadItem(*_missing(missing, others))
    if missing:
        absent += missing
        pieces = sorted([*pieces, *zip(gaps, missing, strict=True)])
    return [name for _, name in pieces] + last


def missing_parts(names: Iterable[str], others: Iterable[str] = ()) -> list[Finding]:
    """A finding a part that is not there, with a hint at what looks like it among `others`."""
    return _missing(list(names), others)


def _missing(missing: list[str], others: Iterable[str] = ()) -> list[Finding]:
    alike: dict[str, list[str]] = {}
    for other in others:
        alike.setdefault(_HALF_DONE.sub("", other).lower(), []).append(other)
    findings = []
    for name in missing[:_MAX_MISSING_NAMED]:
        look = [other for other in alike.get(name.lower(), ()) if other != name]
        hint = f"; {look[0]} looks like it: is it complete and only named otherwise?" if look else ""
        findings.append(error("missing_part", f"{name} is not there: download it and put it beside the others{hint}",
                              part=name))  # fmt: skip
    if len(missing) > _MAX_MISSING_NAMED:
        findings.append(error("missing_part", "and more parts are missing"))
    return findings


def read_directory(parts: Sequence[Part], absent: Container[str] = ()) -> Directory:
    """The central directory of the zip in these parts (in order, see `order_parts`), checked before any data is read.

    Reads the head of every part, the end of the last, the directory, and the local headers of the first and the last
    member of every part; never member data. `Directory.findings` says what is wrong with members (errors), and
    `extra_part`, `trailing_bytes` (warnings), `raw_split` (info).
    Parts whose name is in `absent` are missing and have size 0: the members in them are `Directory.lost`.
    Raises BadItem when there is no usable directory: missing_part, empty_part, lfs_pointer, html_page, no_end_record,
    bad_end_record, bad_directory, directory_too_large, truncated_part.
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
            return _open(parts, joined.total - position, disks, absent)
        except BadItem as problem:
            problems.append(problem)
    if problems:
        raise min(problems, key=lambda problem: problem.findings[0].code in _VAGUE)
    message = "no end record in it: this part is cut short (download it again), or it is not the last part"
    raise BadItem(error("no_end_record", message, part=parts[-1].name))


def _open(parts: tuple[Part, ...], from_end: int, disks: int, absent: Container[str]) -> Directory:
    if disks > len(parts):
        raise BadItem(*_missing_disks(parts, disks))
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
    return _read(used, from_end, "split", _extra(parts[disks - 1 : -1], disks), absent)


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
            return _missing(missing)
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


def safe_name(name: str) -> str | None:
    """The member's path below the folder it is unpacked to, with `/`; None when it could lead elsewhere.

    Refused: absolute paths, drives, `..`, backslashes, control characters, empty names, parts of more than 255 bytes.
    `.` and doubled slashes are taken out; a folder keeps its final slash.
    """
    if not name or name.startswith("/") or "\\" in name or _DRIVE.match(name):
        return None
    if any(ord(character) < 32 or character == "\x7f" for character in name):
        return None
    steps = [step for step in name.split("/") if step not in ("", ".")]
    if not steps or ".." in steps or any(len(step.encode("utf-8", "surrogatepass")) > 255 for step in steps):
        return None
    return "/".join(steps) + ("/" if name.endswith("/") else "")


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
        elif entry.system == _UNIX and (entry.external_attr >> 16) & _FILE_TYPE == _SYMLINK:
            findings.append(error("unsafe_path", "a symbolic link: not unpacked", **where))
        elif (earlier := seen.setdefault(safe.rstrip("/"), index)) != index:
            message = f"the same name as member {earlier + 1}; this one, member {index + 1}, is not unpacked"
            findings.append(error("duplicate_name", message, **where))
        if entry.flags & _ENCRYPTED:
            findings.append(error("encrypted", "encrypted: unpack it with its password by hand", **where))
        elif entry.method not in _METHODS:
            message = f"compression method {entry.method} is none of {', '.join(map(str, _METHODS))}: not unpacked"
            findings.append(error("unsupported_method", message, **where))
    return findings
