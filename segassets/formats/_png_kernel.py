"""The compiled part of `png_runs` and `png_grey`: rows of filtered PNG data into runs of equal pixels, or into grey
pixels. Needs numba (extra `fast`).

For runs, pixels are never made. Between two bytes of residual, and between two changes in the row above, all filters but Average
go on with one value: None with 0, Sub and Paeth with the pixel to the left once one step is done, Up with the pixel
above. So the work is in proportion to residuals and runs, some hundredth of the pixels of a label map.

Rules: PNG specification (third edition) section 9. Pixels are packed into an integer, the first byte lowest.
"""

from __future__ import annotations

import numpy as np

from segassets.formats.compiled import compiled


@compiled
def _sum(a, b):
    """Bytewise, modulo 256."""
    low, high = np.uint32(0x7F7F7F7F), np.uint32(0x80808080)
    return ((a & low) + (b & low)) ^ ((a ^ b) & high)


@compiled
def _average(a, b):
    """Bytewise, rounded down."""
    return (a & b) + (((a ^ b) >> np.uint32(1)) & np.uint32(0x7F7F7F7F))


@compiled
def _nearest(a, b, c):
    """Paeth's choice among int32 left, up and upper left."""
    to_a, to_b = b - c, a - c
    to_c = abs(to_a + to_b)
    to_a, to_b = abs(to_a), abs(to_b)
    # Products, since which one is nearest is nothing that a processor's branches could foresee.
    other = np.int32(to_b < to_a)
    found = b * other + a * (1 - other)
    last = np.int32(to_c < min(to_a, to_b))
    return c * last + found * (1 - last)


@compiled
def _paeth(left, up, upleft, unit):
    if left == upleft:
        return up
    if up == upleft:
        return left
    found = np.uint32(0)
    for k in range(len(unit)):
        shift = np.uint32(8 * k)
        a = np.int32((left >> shift) & np.uint32(255))
        b = np.int32((up >> shift) & np.uint32(255))
        c = np.int32((upleft >> shift) & np.uint32(255))
        found |= np.uint32(_nearest(a, b, c)) << shift
    return found


@compiled
def _predicted(kind, left, up, upleft, unit):
    if kind == 0:
        return np.uint32(0)
    if kind == 1:
        return left
    if kind == 2:
        return up
    if kind == 3:
        return _average(left, up)
    return _paeth(left, up, upleft, unit)


@compiled
def _next_residual(raw, words, at, end):
    """The first byte from `at` on that is not zero, or `end`. `words`: the same data, eight bytes each, low ones first."""
    place = at >> 3
    if place < words.size:
        word = words[place] >> np.uint64(8 * (at & 7))
        while word == 0:
            place += 1
            while (
                place + 4 <= words.size
                and place << 3 < end
                and not (words[place] | words[place + 1] | words[place + 2] | words[place + 3])
            ):
                place += 4
            at = place << 3
            if place >= words.size or at >= end:
                break
            word = words[place]
        if word:
            if word & np.uint64(0xFFFFFFFF) == 0:
                word, at = word >> np.uint64(32), at + 4
            if word & np.uint64(0xFFFF) == 0:
                word, at = word >> np.uint64(16), at + 2
            return min(at + (word & np.uint64(0xFF) == 0), end)
    while at < end and raw[at] == 0:  # the last bytes are no whole word
        at += 1
    return min(at, end)


@compiled
def _residual(raw, at, unit):
    """The bytes of a pixel as one integer."""
    found = np.uint32(0)
    for k in range(len(unit)):
        found |= np.uint32(raw[at + k]) << np.uint32(8 * k)
    return found


@compiled
def _add_along(kind, raw, words, data, end, row, width, unit, starts, values, count, place):
    """A row of filter None or Sub: the number of runs after it. `place`: the first pixel with a residual."""
    octets = len(unit)
    mask = np.uint32((1 << (8 * octets)) - 1)
    left = last = np.uint32(0)
    x = 0
    while x < width:
        value = left if kind else np.uint32(0)
        stop = min(place, width)
        if place == x:
            value = _sum(value, _residual(raw, data + x * octets, unit)) & mask
            stop = x + 1
            place = (_next_residual(raw, words, data + stop * octets, end) - data) // octets
        if x == 0 or value != last:
            starts[count], values[count] = row + x, value
            count += 1
        last = left = value
        x = stop
    return count


@compiled
def _add_below(kind, raw, words, data, end, row, width, unit, starts, values, run, count, place):
    """A row of a filter that looks at the row above, whose first run is `run`: the number of runs after it."""
    octets = len(unit)
    mask = np.uint32((1 << (8 * octets)) - 1)
    begin = count
    up = values[run] if row else np.uint32(0)
    up_end = starts[run + 1] - row + width if row and run + 1 < begin else width
    left = upleft = last = np.uint32(0)
    x = 0
    while x < width:
        if place > x and (kind == 2 or (kind == 4 and left == upleft)):
            # Up, and Paeth while the pixel to the left is as the one above it: the row above is copied.
            stop = min(place, width)
            while x < stop:
                if x == 0 or up != last:
                    starts[count], values[count] = row + x, up
                    count += 1
                last = up
                x = min(stop, up_end)
                if x == up_end and up_end < width:
                    run += 1
                    up = values[run]
                    up_end = starts[run + 1] - row + width if run + 1 < begin else width
            left = upleft = last
            continue
        value = _predicted(kind, left, up, upleft, unit)
        if place > x:
            # Nothing is added up to `place`; the prediction may change where the row above does.
            stop = min(place, up_end)
            if kind == 3 and value != left:
                stop = x + 1
        else:
            value = _sum(value, _residual(raw, data + x * octets, unit)) & mask
            stop = x + 1
            place = (_next_residual(raw, words, data + stop * octets, end) - data) // octets
        if x == 0 or value != last:
            starts[count], values[count] = row + x, value
            count += 1
        last = left = value
        upleft = up
        x = stop
        if x == up_end and up_end < width:
            run += 1
            up = values[run]
            up_end = starts[run + 1] - row + width if run + 1 < begin else width
    return count


@compiled
def add_rows(raw, words, first_row, rows, width, unit, starts, values, above, count):
    """Adds the runs of `rows` rows to `starts` (pixel places in scan order) and `values`: (first run of the last row,
    number of runs), the latter -1 when there are too many of them, -2 when a filter is unknown.

    `raw`: the rows, a filter byte before each; `unit`: a tuple of as many zeros as a pixel has bytes, at most four, whose
    length is known when this is compiled; `above`, `count`: what the rows before gave, 0 and 0 at the beginning.
    """
    octets = len(unit)
    stride = 1 + width * octets
    for y in range(first_row, first_row + rows):
        if count + width > starts.size:
            return above, -1
        base = (y - first_row) * stride
        kind, data, end = raw[base], base + 1, base + stride
        if kind > 4:
            return above, -2
        begin, row = count, y * width
        place = (_next_residual(raw, words, data, end) - data) // octets
        if kind < 2:
            count = _add_along(kind, raw, words, data, end, row, width, unit, starts, values, count, place)
        else:
            count = _add_below(kind, raw, words, data, end, row, width, unit, starts, values, above, count, place)
        above = begin
    return above, count


@compiled
def unfilter_grey(raw, words, first_row, rows, out):
    """Fills in `rows` rows of the picture from `first_row` on; whether all of their filters are known.

    `raw`: as above, one byte a pixel; `out`: uint8 (height, width), complete above `first_row`.
    """
    width = out.shape[1]
    nothing = np.zeros(width, np.uint8)
    for y in range(first_row, first_row + rows):
        at = (y - first_row) * (1 + width)
        kind, line = raw[at], raw[at + 1 : at + 1 + width]
        row, above = out[y], out[y - 1] if y else nothing
        if kind == 0:
            for x in range(width):
                row[x] = line[x]
        elif kind == 2:
            for x in range(width):
                row[x] = line[x] + above[x]
        elif kind == 4:
            _unfilter_paeth(raw, words, at + 1, above, row)
        elif kind == 1 or kind == 3:
            left = np.int32(0)
            for x in range(width):
                predicted = left if kind == 1 else (left + np.int32(above[x])) >> 1
                left = (predicted + np.int32(line[x])) & np.int32(255)
                row[x] = left
        else:
            return False
    return True


@compiled
def _unfilter_paeth(raw, words, data, above, row):
    """A row whose residuals begin at `data`. Where the pixel to the left is what is above it, up is nearest, and stays so
    until the next residual: what is calm for long is copied at once.
    """
    left = upleft = np.int32(0)
    x = calm = 0
    while x < row.size:
        up, residual = np.int32(above[x]), np.int32(raw[data + x])
        if residual or left != upleft:
            left, upleft = (_nearest(left, up, upleft) + residual) & np.int32(255), up
            calm = 0
        elif calm < 16:
            left = upleft = up
            calm += 1
        else:
            stop = _next_residual(raw, words, data + x, data + row.size) - data
            for k in range(x, stop):
                row[k] = above[k]
            left = upleft = np.int32(above[stop - 1])
            x, calm = stop, 0
            continue
        row[x] = left
        x += 1
