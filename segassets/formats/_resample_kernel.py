"""The compiled part of `resample` and `canvas`: weighted sums of rows and of columns, and pasting. Needs numba (extra
`fast`)."""

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
    sums = np.empty(rows.shape[1], np.int32)
    for y in range(out.shape[0]):
        _sum_row(rows, first[y], count[y], weights[y], sums, out[y])


@compiled
def _sum_row(rows, first, count, weights, sums, out):
    """One row of it, as far as `out` goes. `sums`: room for as many int32."""
    width = out.shape[0]
    weight = weights[0]  # not within the loops: they are to become vector instructions
    for x in range(width):
        sums[x] = _HALF + np.int32(rows[first, x]) * weight
    for k in range(1, count):
        weight = weights[k]
        for x in range(width):
            sums[x] += np.int32(rows[first + k, x]) * weight
    for x in range(width):
        out[x] = min(max(sums[x] >> BITS, 0), 255)


@compiled
def paste_rows(rows, first, count, weights, opacity, canvas, left, top):
    """Mixes row y of the sums into row `top + y` of the canvas, from the pixel `left` on, as far as the canvas goes.

    `rows`, `first`, `count`, `weights`: as above; `canvas`: uint8 (rows, bytes), changed in place, and four bytes of all
    these are a pixel; `opacity`: uint8 (rows of the sums, pixels).
    """
    height = min(opacity.shape[0], canvas.shape[0] - top)
    width = min(opacity.shape[1], canvas.shape[1] // 4 - left)
    sums = np.empty(4 * width, np.int32)
    above = np.empty(4 * width, np.uint8)
    below = np.empty(4 * width, np.uint8)
    shares = np.empty(width, np.uint32)
    for y in range(height):
        for x in range(width):
            shares[x] = np.uint32(opacity[y, x]) * np.uint32(0x01010101)
        _sum_row(rows, first[y], count[y], weights[y], sums, above)
        place = canvas[top + y, 4 * left : 4 * (left + width)]
        for x in range(4 * width):  # mixed in place, bytes that are read and written would take no vector instructions
            below[x] = place[x]
        _mix(below, above, shares.view(np.uint8), place)


@compiled
def _mix(below, above, shares, out):
    """Byte by byte what Pillow makes of them: the sum divided by 255, and rounded."""
    for x in range(out.shape[0]):
        share = np.int32(shares[x])
        mixed = np.int32(below[x]) * (255 - share) + np.int32(above[x]) * share + 128
        out[x] = ((mixed >> 8) + mixed) >> 8


@compiled
def weighted_columns(pixels, left, top, width, first, count, weights, out):
    """The same for columns: strips of rows are turned, so that their columns are summed as rows, and turned back.

    `pixels`, `out`: (rows, columns) of one unsigned type; as many rows are read as `out` has, from the row `top` on, and
    `width` columns from `left` on. A strip stays in the second-level cache.
    """
    height = out.shape[0]
    strip = np.zeros((width, _STRIP), pixels.dtype)
    made = np.empty((out.shape[1], _STRIP), pixels.dtype)
    for y in range(0, height, _STRIP):
        rows = min(_STRIP, height - y)
        _turn(pixels[top + y : top + y + rows, left : left + width], strip)
        weighted_rows(strip.view(np.uint8), first, count, weights, made.view(np.uint8))
        _turn(made[:, :rows], out[y : y + rows])


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
