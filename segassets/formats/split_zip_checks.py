"""What the parts of a zip give away before any data is read: foreign files, cuts, swaps, overlaps.

Belongs here: checks of whole parts and of where members lie. Not here: records (`split_zip_records`), names.
Source of the rules and codes: the MaGGIe specification 1.4.
"""

from __future__ import annotations

import re
from collections.abc import Container
from contextlib import suppress

from segassets.findings import BadItem, Finding, error
from segassets.formats.split_zip_records import LOCAL, LOCAL_SIGNATURE, EndRecord, Entry, Joined, Kind, Part

_HEAD = 4096
_LFS = b"version https://git-lfs.github.com/spec/v1"
_HTML = (b"<!doctype html", b"<html", b"<?xml")
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_LFS_SIZE = re.compile(rb"^size ([0-9]{1,18})\s*$", re.MULTILINE)
# A cut or a missing piece in the middle of a part moves headers; a shift beyond this is not searched for.
_SEARCH = 1 << 16
_MAX_FINDINGS = 100
_MAX_TRIED_PARTS = 100
_DESCRIPTOR = 0x8


def foreign_content(part: Part) -> list[Finding]:
    """A part that is no piece of a zip at all: empty_part, lfs_pointer, html_page. Reads its first 4 KiB."""
    if part.size == 0:
        return [error("empty_part", "this part has no bytes: download it again", part=part.name)]
    head = part.read(0, min(_HEAD, part.size))
    if head.startswith(_LFS):
        size = _LFS_SIZE.search(head)
        real = f" ({int(size[1])} bytes)" if size else ""
        message = f"a Git LFS pointer, not the file{real}: run `git lfs pull`, or download it again"
        return [error("lfs_pointer", message, part=part.name)]
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:20].lower().startswith(_HTML):
        title = _TITLE.search(text)
        shown = f" ({' '.join(title[1].decode('utf-8', 'replace').split())[:80]})" if title else ""
        message = f"a web page{shown}, not the file: the link needs a login or has expired; download it again"
        return [error("html_page", message, part=part.name)]
    return []


def layout_findings(joined: Joined, entries: list[Entry], start: int, end: EndRecord, kind: Kind) -> list[Finding]:
    """Members that do not lie where the directory says: truncated_part, wrong_order, bad_local_header, overlaps.

    `start` is the position of the directory. Only the local headers of the first and the last member of every part
    are read: those show what happened to the part, and a directory of 200,000 members costs no 200,000 requests.
    At most 100 findings; all are errors.
    """
    ordered = sorted(entries, key=lambda entry: entry.position)
    disks = [entry.disk if kind == "split" else joined.part_at(entry.position) for entry in ordered]
    probes = {}
    for index, disk in enumerate(disks):
        probes.setdefault(disk, [index, index])[1] = index
    probed = {index for pair in probes.values() for index in pair}
    end_disk = end.directory_disk if kind == "split" else joined.part_at(start)
    findings: list[Finding] = []
    for index, entry in enumerate(ordered):
        last = index + 1 == len(ordered)
        following = start if last else ordered[index + 1].position
        length = LOCAL.size + len(entry.raw_name)
        part = joined.parts[disks[index]]
        if kind == "split" and entry.offset + length > part.size:
            message = f"at least {entry.offset + length - part.size} bytes are missing at its end: download it again"
            findings.append(error("truncated_part", message, part=part.name, member=entry.name))
        elif entry.position + length > start:
            message = (
                f"it should begin at {entry.position}, where no members are: the directory is wrong, or made to deceive"
            )
            findings.append(error("bad_directory", message, member=entry.name, part=part.name))
        elif entry.position + length + entry.compressed_size > following:
            findings.append(
                _missing_bytes(joined, entry, following, disks[index], end_disk if last else disks[index + 1])
            )
        elif index in probed:
            findings += _probe(joined, entry, following, disks[index], end_disk if last else disks[index + 1])
        if len(findings) >= _MAX_FINDINGS:
            break
    return findings[:_MAX_FINDINGS]


def fits_no_other_part(joined: Joined, entries: list[Entry], absent: Container[str]) -> bool:
    """Whether the directory in the last part is not that of the other parts: at least two, and not one header of the
    first and the last member of each is in any of them, at its own place or shifted, while those in the last part are.
    """
    probes: dict[int, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.disk, entry.offset)):
        if joined.parts[entry.disk].name not in absent:
            pair = probes.setdefault(entry.disk, [entry, entry])
            pair[1] = entry
    own = probes.pop(len(joined.parts) - 1, [])
    if len(probes) < 2 or not all(_lies_in(joined.parts[-1], entry) for entry in own):
        return False
    there = [part for part in joined.parts[:-1] if part.name not in absent][:_MAX_TRIED_PARTS]
    for disk, pair in probes.items():
        for entry in pair:
            if any(_lies_in(part, entry) for part in there):
                return False
            if _search(joined.parts[disk], entry, entry.offset) is not None:
                return False
    return True


def _lies_in(part: Part, entry: Entry) -> bool:
    """Whether the member's local header is in this part, at the offset that the directory says."""
    end = entry.offset + LOCAL.size + len(entry.raw_name)
    return end <= part.size and _is_header_of(part.read(entry.offset, end), entry)


def _missing_bytes(joined: Joined, entry: Entry, following: int, disk: int, next_disk: int) -> Finding:
    """A member that ends behind the place where the next one begins.

    Offsets count from the beginning of a part, so a part that has been cut makes the member that runs over its end
    too short; where the next header is in the same part, no cut explains it.
    """
    suspects = [part.name for part in joined.parts[disk:next_disk]]
    length = LOCAL.size + len(entry.raw_name)
    header = b""
    with suppress(BadItem):
        header = joined.read(entry.position, entry.position + length)
    # Only the member's own header knows how long its extra field is, and a descriptor behind the data has several sizes.
    known = _is_header_of(header, entry)
    extra = LOCAL.unpack_from(header)[-1] if known else 0
    missing = entry.position + length + extra + entry.compressed_size - following
    least = "" if known and not entry.flags & _DESCRIPTOR else "at least "
    if not suspects:
        message = f"its last {missing} bytes are also the next member's: the directory is wrong, or made to deceive"
        return error("overlapping_members", message, member=entry.name, part=joined.parts[disk].name)
    shown = ", ".join(suspects[:5]) + (f" and {len(suspects) - 5} more" if len(suspects) > 5 else "")
    message = f"{least}{missing} bytes are missing in {shown}: download {'it' if len(suspects) == 1 else 'them'} again"
    return error("truncated_part", message, member=entry.name, part=suspects[0])


def _probe(joined: Joined, entry: Entry, following: int, disk: int, next_disk: int) -> list[Finding]:
    """Compares a member's local header with the directory, then its exact end with the next member's beginning."""
    length = LOCAL.size + len(entry.raw_name)
    try:
        header = joined.read(entry.position, entry.position + length)
    except BadItem as problem:
        return problem.findings
    if not _is_header_of(header, entry):
        return [_explain(joined, entry, disk)]
    missing = entry.position + length + LOCAL.unpack_from(header)[-1] + entry.compressed_size - following
    return [_missing_bytes(joined, entry, following, disk, next_disk)] if missing > 0 else []


def _is_header_of(header: bytes, entry: Entry) -> bool:
    return (
        header.startswith(LOCAL_SIGNATURE)
        and header[LOCAL.size :] == entry.raw_name
        and LOCAL.unpack_from(header)[-2] == len(entry.raw_name)
    )


def _explain(joined: Joined, entry: Entry, disk: int) -> Finding:
    """Why a header is not where it should be: bytes lost before it, the part swapped with another, or neither."""
    part = joined.parts[disk]
    where = {"part": part.name, "member": entry.name}
    offset = entry.position - joined.starts[disk]
    found = _search(part, entry, offset)
    if found is not None:
        lost = f"{offset - found} bytes are missing" if found < offset else f"{found - offset} bytes are too many"
        return error("truncated_part", f"{lost} in this part before offset {offset}: download it again", **where)
    for other in joined.parts[:_MAX_TRIED_PARTS]:
        if other is not part and _lies_in(other, entry):
            message = f"what should be in this part is in {other.name}: the parts are swapped or renamed"
            return error("wrong_order", message, **where)
    message = f"no header of it at offset {offset}: this part is swapped, renamed, or from another upload"
    return error("bad_local_header", message, **where)


def _search(part: Part, entry: Entry, offset: int) -> int | None:
    """The offset near by at which the member's header does lie."""
    if not entry.raw_name:
        return None
    length = LOCAL.size + len(entry.raw_name)
    first, last = max(0, offset - _SEARCH), min(part.size, offset + _SEARCH + length)
    if first >= last:
        return None
    window = part.read(first, last)
    at = window.find(LOCAL_SIGNATURE)
    while at >= 0:
        if _is_header_of(window[at : at + length], entry):
            return first + at
        at = window.find(LOCAL_SIGNATURE, at + 1)
    return None
