"""The JPEG of a picture on a large black canvas, at the price of the picture alone.

Every row of 16 x 16 blocks is an interval of its own (restart markers), in which a black block that follows a black one
has always the same 32 bits. So only the blocks around the picture are encoded, by Pillow, and the rest is put in as
bits. It decodes to the pixels of the whole canvas' JPEG. Source: ITU-T T.81, sections B.2 (markers), F.1.2 (Huffman
coding of sequential DCT), annex K.3 (the tables, which Pillow writes by default).
"""

from __future__ import annotations

import io
import re
import struct
from functools import cache

from PIL import Image

UNIT = 16  # pixels of a block of four luminance and two colour units, with colours at half the resolution
# Four times luminance (no change 00, end of block 1010), twice colour (00, 00).
BLACK = bytes((0x28, 0xA2, 0x8A, 0x00))
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


def on_black(picture: Image.Image, x: int, y: int, size: tuple[int, int]) -> bytes:
    """A JPEG of Pillow's defaults of a black RGB canvas (width, height) with the picture at (x, y), wholly in it."""
    columns, rows = (-(-n // UNIT) for n in size)
    # A black column on both sides, where there is room: behind it nothing depends on the picture.
    left = max(0, x // UNIT - 1)
    right = min(columns, -(-(x + picture.width) // UNIT) + 1)
    top, bottom = y // UNIT, -(-(y + picture.height) // UNIT)
    end = min(right * UNIT, size[0]), min(bottom * UNIT, size[1])
    part = Image.new("RGB", (end[0] - left * UNIT, end[1] - top * UNIT))
    part.paste(picture, (x - left * UNIT, y - top * UNIT))
    head, intervals = _encoded(part)
    blank = _stuffed(_padded(*_widened(*_blank(), columns - 1)))
    found = [blank] * top
    found += [_row(interval, left, columns - right) for interval in intervals]
    found += [blank] * (rows - bottom)
    scan = bytearray(found[0])
    for number, row in enumerate(found[1:]):
        scan += bytes((0xFF, 0xD0 + number % 8))
        scan += row
    return _headed(head, size, columns) + bytes(scan) + b"\xff\xd9"


def _encoded(picture: Image.Image) -> tuple[bytes, list[bytes]]:
    """Everything before the scan, and the scan's rows of blocks, as they are in the file."""
    sink = io.BytesIO()
    picture.save(sink, "JPEG", restart_marker_rows=1)
    data = sink.getvalue()
    start = data.index(b"\xff\xda")
    start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[:start], _RESTART.split(data[start:-2])


def _headed(head: bytes, size: tuple[int, int], columns: int) -> bytes:
    """The same head for a picture of another size."""
    out, at = bytearray(head), 2
    while at < len(out):
        marker, length = struct.unpack_from(">HH", out, at)
        if marker == 0xFFC0:
            struct.pack_into(">HH", out, at + 5, size[1], size[0])
        elif marker == 0xFFDD:
            struct.pack_into(">H", out, at + 4, columns)
        at += 2 + length
    return bytes(out)


def _row(interval: bytes, left: int, right: int) -> bytes:
    """A row with so many more black blocks on its sides."""
    data = interval.replace(b"\xff\x00", b"\xff")
    bits = _length(data) if right else 8 * len(data)
    if left:
        first = _blank()[1]
        data, bits = _inserted(data, first, left), bits + 8 * len(BLACK) * left
    if right:
        data, bits = _widened(data, bits, right)
        data = _padded(data, bits)
    return _stuffed(data)


@cache
def _blank() -> tuple[bytes, int]:
    """The first black block of a row, and how many bits it has."""
    (data,) = _encoded(Image.new("RGB", (2 * UNIT, UNIT)))[1]
    data = data.replace(b"\xff\x00", b"\xff")
    bits = _length(data) - 8 * len(BLACK)
    return data[: -(-bits // 8)], bits


def _length(data: bytes) -> int:
    """Bits of a row that ends with a black block: it ends with zeros, and is filled up with ones."""
    return 8 * len(data) - ((data[-1] ^ (data[-1] + 1)).bit_length() - 1)


def _inserted(data: bytes, at: int, blocks: int) -> bytes:
    """Black blocks put in at a bit. They are whole bytes: what follows keeps its place within a byte."""
    whole, bits = divmod(at, 8)
    size = len(BLACK) * blocks
    put = int.from_bytes(BLACK * blocks, "big") << (8 - bits)
    if bits:
        cut = data[whole]
        put |= (cut >> (8 - bits) << (8 - bits) << (8 * size)) | (cut & ((1 << (8 - bits)) - 1))
        return data[:whole] + put.to_bytes(size + 1, "big") + data[whole + 1 :]
    return data[:whole] + BLACK * blocks + data[whole:]


def _widened(data: bytes, bits: int, blocks: int) -> tuple[bytes, int]:
    """Black blocks put behind the last bit."""
    kept = bytearray(data[: -(-bits // 8)])
    if bits % 8:
        kept[-1] &= 0xFF << (8 - bits % 8) & 0xFF
    return _inserted(bytes(kept), bits, blocks), bits + 8 * len(BLACK) * blocks


def _padded(data: bytes, bits: int) -> bytes:
    """Filled up with ones."""
    data = bytearray(data[: -(-bits // 8)])
    if bits % 8:
        data[-1] |= 0xFF >> bits % 8
    return bytes(data)


def _stuffed(data: bytes) -> bytes:
    return data.replace(b"\xff", b"\xff\x00")
