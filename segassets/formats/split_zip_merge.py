"""Joining a split zip into one plain zip without touching the members: a list of pieces to write in order.

Belongs here: the plan, new central directory, new end records (APPNOTE 4.3.12 to 4.3.16). Not here: writing or
copying, which belong to a store and need not move bytes through the process.
"""

from __future__ import annotations

import struct

from segassets.findings import BadItem, error
from segassets.formats.split_zip_records import (
    CENTRAL,
    END,
    END64,
    END64_SIGNATURE,
    END_SIGNATURE,
    FULL16,
    FULL32,
    LOCATOR,
    LOCATOR_SIGNATURE,
    ZIP64_EXTRA,
    Directory,
    Entry,
    Range,
    extra_fields,
)

ZIP64_VERSION = 45
_DISK_AT, _OFFSET_AT, _NEEDED_AT, _EXTRA_LENGTH_AT = 34, 42, 6, 30

_ZIP64_TAG = struct.pack("<H", ZIP64_EXTRA)

Piece = Range | bytes


def merge_plan(directory: Directory) -> list[Piece]:
    """The pieces that, written in this order, are one plain zip with the same members.

    Members are copied verbatim, descriptors, gaps and physical order included; only the spanning marker goes. Central
    records keep everything but disk number, offset and zip64 field. A plain zip, or a plain zip cut into pieces, is
    handed on as it is: its offsets are right already.
    Raises BadItem with the directory's errors, if it has any: what is damaged is not merged.
    Source: the MaGGIe specification 1.5.
    """
    errors = [finding for finding in directory.findings if finding.severity == "error"]
    if errors:
        raise BadItem(*errors)
    joined = directory.joined
    if directory.kind != "split" and not directory.marker:
        return list(joined.ranges(0, joined.total))
    return [*joined.ranges(directory.marker, directory.start), *_tail(directory)]


def _tail(directory: Directory) -> list[bytes]:
    start = directory.start - directory.marker
    records = b"".join(_central_record(directory, entry) for entry in directory.entries)
    count, size = len(directory.entries), len(records)
    wide = count >= FULL16 or size >= FULL32 or start >= FULL32
    end64 = b""
    if wide:
        end64 = END64.pack(
            END64_SIGNATURE, END64.size - 12, ZIP64_VERSION, ZIP64_VERSION, 0, 0, count, count, size, start
        ) + LOCATOR.pack(LOCATOR_SIGNATURE, 0, start + size, 1)
    short_count, comment = min(count, FULL16), directory.end.comment
    end = END.pack(
        END_SIGNATURE, 0, 0, short_count, short_count, min(size, FULL32), min(start, FULL32), len(comment)
    )  # fmt: skip
    return [piece for piece in (records, end64 + end + comment) if piece]


def _central_record(directory: Directory, entry: Entry) -> bytes:
    """The record with disk 0 and the offset in the merged file; its zip64 field holds saturated values only."""
    start, stop = entry.record
    record = bytearray(directory.raw[start:stop])
    offset = entry.position - directory.marker
    fields = CENTRAL.unpack_from(record)
    compressed_size, size, name_length, extra_length = fields[8], fields[9], fields[10], fields[11]
    struct.pack_into("<H", record, _DISK_AT, 0)
    struct.pack_into("<I", record, _OFFSET_AT, min(offset, FULL32))
    values = []
    if size == FULL32:
        values.append(entry.size)
    if compressed_size == FULL32:
        values.append(entry.compressed_size)
    if offset >= FULL32:
        values.append(offset)
        struct.pack_into("<H", record, _NEEDED_AT, max(fields[2], ZIP64_VERSION))
    extra_at = CENTRAL.size + name_length
    extra = bytes(record[extra_at : extra_at + extra_length])
    if not values and not _has_zip64(extra):
        return bytes(record)
    new_extra = _new_extra(extra, values)
    if len(new_extra) > FULL16:
        raise BadItem(error("bad_directory", "its extra fields leave no room for the zip64 field", member=entry.name))
    struct.pack_into("<H", record, _EXTRA_LENGTH_AT, len(new_extra))
    record[extra_at : extra_at + extra_length] = new_extra
    return bytes(record)


def _has_zip64(extra: bytes) -> bool:
    # Looking for its two bytes first: reading the fields of 200,000 records takes longer than all the rest.
    return _ZIP64_TAG in extra and any(tag == ZIP64_EXTRA for tag, _ in extra_fields(extra))


def _new_extra(extra: bytes, values: list[int]) -> bytes:
    fields = []
    if values:
        fields.append(struct.pack(f"<2H{len(values)}Q", ZIP64_EXTRA, 8 * len(values), *values))
    for tag, body in extra_fields(extra):
        if tag is None:
            fields.append(body)
        elif tag != ZIP64_EXTRA:
            fields.append(struct.pack("<2H", tag, len(body)) + body)
    return b"".join(fields)
