"""The compiled part of `resample` and `canvas`: weighted sums of rows and of columns, and pasting. Needs numba (extra
`fast`)."""

from __future__ import annotations

import numpy as np

from segassets.formats.compiled import compiled

BITS = 22  # of a weight's fraction: eight bits of a pixel and two of room are left of an int32
_STRIP = 136  # rows; no power of two, whose lines would share their places in the cache
_BAND = 16  # rows
_HALF = np.int32(1 << (BITS - 1))


@compiled
def weighted_rows(rows, first, count, weights, out):
    """Row y of `out` is the weighted sum of `count[y]` rows from `first[y]` on, rounded and clipped.

    `rows`, `out`: uint8 (rows, bytes); `weights`: int32 (rows of out, most rows of a sum), in 2**-BITS.
    """
    sums = np.empty(rows.shape[1], np.int32)
    for y in range(out.shape[0]):
        _sum_row(rows, 0, first[y], count[y], weights[y], sums, out[y])


@compiled
def _sum_row(rows, begin, first, count, weights, sums, out):
    """One row of it, from the byte `begin` on, as far as `out` goes. `sums`: room for as many int32."""
    width = out.shape[0]
    row = rows[first, begin : begin + width]
    weight = weights[0]  # not within the loops: they are to become vector instructions
    for x in range(width):
        sums[x] = _HALF + np.int32(row[x]) * weight
    for k in range(1, count):
        row = rows[first + k, begin : begin + width]
        weight = weights[k]
        for x in range(width):
            sums[x] += np.int32(row[x]) * weight
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
    for band in range(0, height, _BAND):
        stop = min(band + _BAND, height)
        begin, end = _seen(opacity, band, stop, width)
        size = end - begin
        for y in range(band, stop):
            row = opacity[y, begin:end]
            for x in range(size):
                shares[x] = np.uint32(row[x]) * np.uint32(0x01010101)
            _sum_row(rows, 4 * begin, first[y], count[y], weights[y], sums, above[: 4 * size])
            place = canvas[top + y, 4 * (left + begin) : 4 * (left + end)]
            for x in range(
                4 * size
            ):  # mixed in place, bytes that are read and written would take no vector instructions
                below[x] = place[x]
            _mix(below, above, shares.view(np.uint8), place)


@compiled
def strips_seen(opacity, height, width, first, count, rows):
    """Of every strip of `rows` rows: the first column, and the one behind the last, that any sum of them shows.

    `opacity`: as above, of which `height` rows of `width` pixels are on the canvas; `first`, `count`: of the sums. Returns
    int64 (strips, 2).
    """
    strips = np.zeros(((rows + _STRIP - 1) // _STRIP, 2), np.int64)
    begin = end = 0
    for number in range(len(strips)):
        while begin < height and first[begin] + count[begin] <= number * _STRIP:
            begin += 1
        while end < height and first[end] < (number + 1) * _STRIP:
            end += 1
        strips[number] = _seen(opacity, begin, end, width)
    return strips


@compiled
def all_strips(rows, columns):
    """The same where everything is seen."""
    strips = np.zeros(((rows + _STRIP - 1) // _STRIP, 2), np.int64)
    strips[:, 1] = columns
    return strips


@compiled
def _seen(opacity, top, bottom, width):
    """(first column, one behind the last) that is not all zeros in some rows; the same one twice when all are."""
    seen = np.zeros(width, np.uint8)
    for y in range(top, bottom):
        row = opacity[y]
        for x in range(width):
            seen[x] |= row[x]
    begin, end = 0, width
    while begin < end and not seen[begin]:
        begin += 1
    while begin < end and not seen[end - 1]:
        end -= 1
    return begin, end


@compiled
def _mix(below, above, shares, out):
    """Byte by byte what Pillow makes of them: the sum divided by 255, and rounded."""
    for x in range(out.shape[0]):
        share = np.int32(shares[x])
        mixed = np.int32(below[x]) * (255 - share) + np.int32(above[x]) * share + 128
        out[x] = ((mixed >> 8) + mixed) >> 8


@compiled
def weighted_columns(pixels, left, top, width, first, count, weights, strips, out):
    """The same for columns: strips of rows are turned, so that their columns are summed as rows, and turned back.

    `pixels`, `out`: (rows, columns) of one unsigned type; as many rows are read as `out` has, from the row `top` on, and
    `width` columns from `left` on. `strips`: which columns of `out` are wanted, as in `strips_seen`; the others are left
    as they are. A strip stays in the second-level cache.
    """
    strip = np.zeros((width, _STRIP), pixels.dtype)
    made = np.empty((out.shape[1], _STRIP), pixels.dtype)
    for number in range(len(strips)):
        begin, end = strips[number]
        if begin == end:
            continue
        y = number * _STRIP
        rows = min(_STRIP, len(out) - y)
        start, stop = first[begin], first[end - 1] + count[end - 1]
        _turn(pixels, top + y, left + start, rows, stop - start, strip, start, 0)
        part = made[begin:end].view(np.uint8)
        weighted_rows(strip.view(np.uint8), first[begin:end], count[begin:end], weights[begin:end], part)
        _turn(made, begin, 0, end - begin, rows, out, y, begin)


@compiled
def _turn(pixels, top, left, height, width, out, out_top, out_left):
    """A rectangle transposed into a place of `out`, eight rows at a time: their lines stay in the first-level cache."""
    whole, end = height - height % 8, left + width
    for y in range(0, whole, 8):
        rows = pixels[top + y : top + y + 8]  # each by its name, so that no places are computed within the loop
        a, b, c, d = rows[0, left:end], rows[1, left:end], rows[2, left:end], rows[3, left:end]
        e, f, g, h = rows[4, left:end], rows[5, left:end], rows[6, left:end], rows[7, left:end]
        for x in range(width):
            place = out[out_top + x, out_left + y : out_left + y + 8]
            place[0], place[1], place[2], place[3] = a[x], b[x], c[x], d[x]
            place[4], place[5], place[6], place[7] = e[x], f[x], g[x], h[x]
    for x in range(width):
        for y in range(whole, height):
            out[out_top + x, out_left + y] = pixels[top + y, left + x]
