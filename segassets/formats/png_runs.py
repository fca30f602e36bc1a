"""Label maps read straight into runs of equal pixels, without making the pixels: five to ten times as fast as Pillow.

For plain PNGs: grey of 8 or 16 bits, RGB and RGBA of 8 bits, not interlaced, in runs that are long on average. All
others, everything damaged, and everything where numba (extra `fast`) is not installed is None here: who asks decodes
with Pillow then (`panoptic`), after `png_whole` has said what is wrong. Both give equal runs; a test says so.

Rules: PNG specification (third edition) 5 (chunks), 7.2 (scanlines), 9 (filters).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segassets.formats import _zlib, png_whole
from segassets.formats.compiled import Kernel
from segassets.formats.label_map import Runs

_OCTETS = {(8, 0): 1, (16, 0): 2, (8, 2): 3, (8, 6): 4}  # bytes a pixel, by (bit depth, colour type)
_TYPES = {(8, 0): np.uint8, (16, 0): np.uint16}
_BLOCK = 1 << 19  # bytes of rows at a time: they stay in the second-level cache
_RAGGED = 4  # fewer pixels a run or a compressed byte than these: no label map
KERNEL = Kernel("segassets.formats._png_kernel", patience=1 << 23)


def read(data: bytes) -> Runs | None:
    """The runs of a PNG, or None when it is to be decoded otherwise. RGBA is read without its alpha channel.

    Values: uint8 or uint16 of a grey PNG, uint32 R + 256 G + 65536 B of the others.
    """
    head = plain_head(data)
    if head is None or head[1] not in _OCTETS:
        return None
    (height, width), kind = head
    kernel = KERNEL.after(width * height)
    stream = stream_of(data) if kernel is not None else None
    if stream is None or len(stream) * _RAGGED > width * height + 4096:
        return None
    starts = np.empty(width * height // _RAGGED + 2 * width, np.int32)
    values = np.empty(starts.size, np.uint32)
    unit, above, count = (0,) * _OCTETS[kind], 0, 0
    try:
        for first, rows, raw, words in blocks(stream, height, 1 + width * _OCTETS[kind]):
            above, count = kernel.add_rows(raw, words, first, rows, width, unit, starts, values, above, count)
            if count < 0:
                return None
    except NotWhole:
        return None
    return _runs(starts[:count], values[:count], (height, width), kind)


def load() -> bool:
    """Load what is compiled at once; whether it is there."""
    return KERNEL.load()


def plain_head(data: bytes) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """(height, width) and (bit depth, colour type) of a PNG that is not interlaced; None of anything else."""
    if len(data) < 33 or not data.startswith(png_whole.SIGNATURE) or data[12:16] != b"IHDR" or data[26:29] != b"\0\0\0":
        return None
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return ((height, width), (data[24], data[25])) if 0 < width * height < 1 << 31 else None


def stream_of(data: bytes) -> bytes | None:
    """The zlib stream of the IDAT chunks of a complete PNG with right check sums; None of any other."""
    try:
        stream, names = png_whole.compressed(data)
    except png_whole.Damaged:
        return None
    return None if names & png_whole.ANIMATED else stream


class NotWhole(Exception):
    """A stream that does not hold exactly the picture."""


def blocks(stream: bytes, height: int, stride: int) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """The filtered data, some rows at a time: first row, rows, bytes, and the same as words. Raises NotWhole."""
    inflater = _zlib.decompressobj()
    step = max(1, _BLOCK // stride)
    try:
        for first in range(0, height, step):
            rows = min(step, height - first)
            block = inflater.decompress(stream, rows * stride)
            stream = inflater.unconsumed_tail
            if len(block) != rows * stride:
                raise NotWhole
            raw = np.frombuffer(block, np.uint8)
            yield first, rows, raw, raw[: len(block) & ~7].view("<u8")
        # What follows is the stream's own check sum, and no further byte.
        rest = inflater.decompress(stream, 1)
    except _zlib.error:
        raise NotWhole from None
    if rest or not inflater.eof:
        raise NotWhole


def _runs(starts: np.ndarray, values: np.ndarray, shape: tuple[int, int], kind: tuple[int, int]) -> Runs:
    if kind == (16, 0):  # the first byte is the high one
        values = (values >> 8 | values << 8).astype(np.uint16)
    elif kind == (8, 6):
        opaque = bool((values >> 24 == 255).all())
        values = values & np.uint32(0xFFFFFF)
        if not opaque:  # neighbours may have differed in their alpha alone
            kept = Runs(starts, starts, values, shape).changes(values)
            starts, values = starts[kept], values[kept]
    else:
        values = values.astype(_TYPES.get(kind, np.uint32))
    starts = starts.astype(np.int64)
    return Runs(starts, np.diff(starts, append=shape[0] * shape[1]), values, shape)
