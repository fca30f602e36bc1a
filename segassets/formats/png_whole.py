"""Whether a PNG is all there: signature, chunks with right check sums up to IEND, a stream that fills the picture.

Pillow decodes a file with a flipped bit, or one whose end is missing, into a wrong picture without a word. Here such
files are refused before it sees them. `png_runs` asks the same of the files that it reads by itself, so that none is
looked at twice.

Rules: PNG specification (third edition) 5 (chunks), 7.2 (scanlines), 8.1 (interlacing), 10 (compression).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from segassets.formats import _zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IEND = b"\0\0\0\0IEND\xaeB`\x82"
ENDS = 64  # bytes: of the head of a PNG that say what it is, and of the tail in which IEND lies
ANIMATED = frozenset((b"acTL", b"fcTL"))

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_BLOCK = 1 << 20


class Damaged(ValueError):
    """A PNG that is not all there: the message says why."""


def compressed(data: bytes) -> tuple[bytes, set[bytes]]:
    """The stream of the IDAT chunks, and the names of all chunks up to IEND. Raises Damaged."""
    if not data.startswith(SIGNATURE):
        raise Damaged("it does not begin as a PNG")
    at, parts, names = len(SIGNATURE), [], set()
    while at + 12 <= len(data):
        stop = at + 8 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if stop + 4 > len(data):
            break
        if zlib.crc32(data[at + 4 : stop]) != int.from_bytes(data[stop : stop + 4], "big"):
            raise Damaged(f"the check sum of its chunk {name.decode('latin-1')!r} at byte {at} is wrong")
        if name == b"IEND":
            return b"".join(parts), names
        if name == b"IDAT":
            parts.append(data[at + 8 : stop])
        names.add(name)
        at = stop + 4
    raise Damaged(f"it ends at byte {len(data)} without its last chunk: it is cut off")


def check(data: bytes) -> None:
    """Raises Damaged unless the PNG is whole. Its pixels are inflated once for that, a block at a time."""
    stream, _ = compressed(data)
    expected, found = sum(_pass_bytes(data)), 0
    step = max(_BLOCK, expected // 16)
    inflater = _zlib.decompressobj()
    try:
        while not inflater.eof and found <= expected:
            block = inflater.decompress(stream, step)
            stream = inflater.unconsumed_tail
            found += len(block)
            if not block and not inflater.eof:
                break
    except _zlib.error as problem:
        raise Damaged(f"its pixels cannot be inflated: {problem}") from None
    if found != expected or not inflater.eof:
        more = " or more" if found > expected else ""
        raise Damaged(f"its stream holds {found:,}{more} bytes of pixels or has no end, {expected:,} are expected")


def _pass_bytes(data: bytes) -> Iterator[int]:
    """Bytes of filtered rows of each pass: of the one, or of the seven of an interlaced picture."""
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    bits = data[24] * _CHANNELS.get(data[25], 1)
    for x, y, right, down in _ADAM7 if data[28] else ((0, 0, 1, 1),):
        columns, rows = -(-max(0, width - x) // right), -(-max(0, height - y) // down)
        if columns:
            yield rows * (1 + (columns * bits + 7) // 8)
