"""The fields of a tar header: numbers, the checksum, pax records (ustar, GNU, POSIX.1-2001)."""

from __future__ import annotations

import re

#: A tar consists of blocks of this size; a header fills one.
BLOCK = 512


class Damaged(Exception):
    """A header that is none, or one that makes no sense."""


def number(data: bytes) -> int:
    """A number field: octal digits, or base 256 with the top bit set (GNU, for 8 GiB and more)."""
    if data[:1] == b"\x80":
        return int.from_bytes(data[1:], "big")
    digits = data.rstrip(b" \0").lstrip(b" ")
    if not digits:
        return 0
    if not re.fullmatch(rb"[0-7]+", digits):
        raise Damaged(f"the number field {data!r} is not octal")
    return int(digits, 8)


def is_header(block: bytes) -> bool:
    """True when the checksum is right: the sum of all bytes, its own eight counted as blanks."""
    if len(block) < BLOCK:
        return False
    try:
        stated = number(block[148:156])
    except Damaged:
        return False
    rest = block[:148] + block[156:]
    total = sum(rest) + 256
    # Some old tars summed signed bytes.
    return stated == total or stated == total - 256 * sum(byte > 127 for byte in rest)


def pax_records(data: bytes) -> dict[str, bytes]:
    """The records `<length> <key>=<value>\\n` of a pax header (POSIX.1-2001); later ones win."""
    records, position = {}, 0
    while position < len(data) and data[position]:
        match = re.compile(rb"(\d{1,7}) ([^=\n]+)=").match(data, position)
        end = position + int(match[1]) if match else 0
        if not match or end > len(data) or end <= match.end() or data[end - 1 : end] != b"\n":
            raise Damaged("a pax record's length is wrong")
        records[match[2].decode("utf-8", "replace")] = data[match.end() : end - 1]
        position = end
    return records
