"""The compiled part of `resample`: weighted sums of rows and of columns. Needs numba (extra `fast`)."""

from __future__ import annotations

import numpy as np

from segassets.formats.compiled import compiled

BITS = 22  # of a weight's fraction: eight bits of a pixel and two of room are left of an int32
_STRIP = 136  # rows; no power of two, whose lines would share their places in the cache
_HALF = np.int32(1 << (BITS - 1))


@compiled
def weighted_rows(rows, first, count, weights, out):
    """Row y of `out` is the weighted sum of `count[y]` rows from `first[y]` on, rounded and clipped.

    `rows`, `out`: uint8 (rows, bytes); `weights`: int32 (rows of out, most rows of a sum), in 2**-BITS.
    """
    width = rows.shape[1]
    sums = np.empty(width, np.int32)
    for y in range(out.shape[0]):
        start, weight = first[y], weights[y, 0]  # not within the loops: they are to become vector instructions
        for x in range(width):
            sums[x] = _HALF + np.int32(rows[start, x]) * weight
        for k in range(1, count[y]):
            weight = weights[y, k]
            for x in range(width):
                sums[x] += np.int32(rows[start + k, x]) * weight
        for x in range(width):
            out[y, x] = min(max(sums[x] >> BITS, 0), 255)


@compiled
def weighted_columns(pixels, first, count, weights, out):
    """The same for columns: strips of rows are turned, so that their columns are summed as rows, and turned back.

    `pixels`, `out`: (rows, columns) of one unsigned type. A strip stays in the second-level cache.
    """
    height, width = pixels.shape
    strip = np.zeros((width, _STRIP), pixels.dtype)
    made = np.empty((out.shape[1], _STRIP), pixels.dtype)
    for top in range(0, height, _STRIP):
        rows = min(_STRIP, height - top)
        _turn(pixels[top : top + rows], strip)
        weighted_rows(strip.view(np.uint8), first, count, weights, made.view(np.uint8))
        _turn(made[:, :rows], out[top : top + rows])


@compiled
def _turn(pixels, out):
    """Transposed, in blocks whose lines stay in the first-level cache."""
    height, width = pixels.shape
    whole = height - height % 8
    for top in range(0, whole, 8):
        for left in range(0, width, 16):
            for x in range(left, min(left + 16, width)):
                for y in range(8):
                    out[x, top + y] = pixels[top + y, x]
    for x in range(width):
        for y in range(whole, height):
            out[x, y] = pixels[y, x]
