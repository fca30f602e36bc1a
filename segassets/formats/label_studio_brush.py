"""Label Studio's brush masks: `value.rle`, which is not COCO's run-length encoding.

A stream of bits: 32 for the number of values, 5 for the word size less one, four times 4 for the lengths of counters
less one; then blocks of a flag (1: one value repeated, 0: values one by one), 2 bits that choose a counter length, the
number of values less one, and the value or values. The values are RGBA, row by row; alpha above 0 is inside.
Source: MaskTerial specification, 2.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segassets.findings import BadItem, error


def decode_brush(data: Any, size: tuple[int, int]) -> np.ndarray:
    """The mask, bool (h, w). BadItem `bad_brush` for a stream that is damaged or of another size."""
    if not isinstance(data, list) or not all(type(value) is int and 0 <= value < 256 for value in data):
        raise _bad("rle is no list of bytes")
    h, w = size
    bits = _Bits(np.unpackbits(np.array(data, np.uint8)))
    count = bits.number(32)
    if count != h * w * 4:
        raise _bad(f"it has {count:,} values, expected {h * w * 4:,} (RGBA of {h} x {w})")
    word = bits.number(5) + 1
    lengths = [bits.number(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint8 if word <= 8 else np.uint32)
    at = 0
    while at < count:
        repeated = bits.number(1)
        stop = at + 1 + bits.number(lengths[bits.number(2)])
        if stop > count:
            raise _bad(f"a block ends behind value {count:,}")
        values[at:stop] = bits.number(word) if repeated else bits.numbers(stop - at, word)
        at = stop
    return values[3::4].reshape(h, w) > 0


class _Bits:
    """A stream of bits, the most significant first."""

    def __init__(self, bits: np.ndarray):
        self._bits = bits
        self._at = 0

    def numbers(self, count: int, width: int) -> np.ndarray:
        stop = self._at + count * width
        if stop > self._bits.size:
            raise _bad("the stream ends too early")
        taken = self._bits[self._at : stop].reshape(count, width)
        self._at = stop
        return taken @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64))

    def number(self, width: int) -> int:
        return int(self.numbers(1, width)[0])


def _bad(why: str) -> BadItem:
    return BadItem(error("bad_brush", f"this brush mask cannot be decoded: {why}; export it again"))
