"""The compiled part of `_label_deflate`: from runs to bits. Needs numba (extra `fast`).

Spans of a map less the row above; then the symbols are counted, and the sums of Adler-32 are taken; then the bits are
written. See there for the tokens.
"""

from __future__ import annotations

import numpy as np

from segassets.formats.compiled import compiled

_FILTER_UP = 2
_LONGEST = 258


@compiled
def up_spans(starts, values, octets, shape, residual, pixels):
    """Fills in the spans of the runs of a map, at most twice as many as runs: how many there are."""
    height, width = shape
    count = 0
    run = above = 0
    for y in range(height):
        base = y * width
        begin = run
        last = np.int64(-1)
        end = starts[run + 1] if run + 1 < starts.size else height * width
        end_above = base + width
        if y:
            end_above = min(starts[above + 1] + width, end_above) if above + 1 < begin else end_above
        at = base
        while at < base + width:
            own, up = np.int64(values[run]), np.int64(values[above]) if y else np.int64(0)
            found = (own - up) & 255
            if octets == 2:
                found |= ((own >> 8) - (up >> 8) & 255) << 8
            if found != last:
                residual[count], pixels[count] = found, 0
                count, last = count + 1, found
            stop = min(end, end_above)
            pixels[count - 1] += stop - at
            at = stop
            if at == end:
                run += 1
                end = starts[run + 1] if run + 1 < starts.size else height * width
            if at == end_above and at < base + width:
                above += 1
                end_above = starts[above + 1] + width if above + 1 < begin else base + width
        above = begin
    return count


@compiled
def _tokens(value, n, octets):
    """What a span becomes: how many literals it begins with and what they are; matches of 258, and bytes of the last."""
    first, second, lead = value >> 8, value & 255, octets
    if value == 0 or octets == 1:
        lead, first = 1, second
    rest = n * octets - lead
    full = rest // _LONGEST
    return lead, first, second, full, rest - full * _LONGEST


@compiled
def measure(residual, pixels, shape, octets, symbol, extra_bits, counts):
    """Adds to `counts` how often each symbol occurs: (both Adler sums, not reduced; more bits of all matches)."""
    height, width = shape
    total = height * (1 + width * octets)
    low, high, bits = 1, total, 0
    at = x = 0
    for k in range(residual.size):
        n = pixels[k]
        if x == 0:
            counts[_FILTER_UP] += 1
            low += _FILTER_UP
            high += _FILTER_UP * (total - at)
            at += 1
        value = np.int64(residual[k])
        lead, first, second, full, tail = _tokens(value, n, octets)
        times = 1
        if tail >= 3:
            counts[symbol[tail]] += 1
            bits += extra_bits[tail] + 1
        else:
            times += tail // lead
        counts[first] += times
        if lead == 2:
            counts[second] += times
        counts[285] += full
        bits += full
        if value:
            reach = n * (total - at) - octets * (n * (n - 1) // 2)
            if octets == 2:
                low += (value >> 8) * n
                high += (value >> 8) * reach
                reach -= n
            low += second * n
            high += second * reach
        at += n * octets
        x += n
        if x == width:
            x = 0
    counts[256] += 1
    return low, high, bits


@compiled
def write(residual, pixels, shape, octets, symbol, extra, extra_bits, code, code_bits, stream, at):
    """Writes all tokens and the end of the block into `stream`, uint8, zero from bit `at` on; 16 bytes more than needed."""
    width = shape[1]
    place = at >> 3
    held, n_held = np.uint64(stream[place]), at & 7
    far = np.uint64(code[285] | np.uint64(octets - 1) << np.uint64(code_bits[285]))
    near = np.uint64(code[285])
    full_bits = code_bits[285] + 1
    x = 0
    for k in range(residual.size):
        n = pixels[k]
        if x == 0:
            place, held, n_held = _put(stream, place, held, n_held, code[_FILTER_UP], code_bits[_FILTER_UP])
        value = np.int64(residual[k])
        lead, first, second, full, tail = _tokens(value, n, octets)
        once, once_bits = code[first], code_bits[first]
        if lead == 2:
            once |= code[second] << np.uint64(once_bits)
            once_bits += code_bits[second]
        if tail >= 3:
            s = symbol[tail]
            bits, n_bits = code[s] | np.uint64(extra[tail]) << np.uint64(code_bits[s]), code_bits[s] + extra_bits[tail]
            bits |= np.uint64(lead - 1) << np.uint64(n_bits)
            n_bits += 1
            if once_bits + n_bits > 32:
                place, held, n_held = _put(stream, place, held, n_held, once, once_bits)
                once, once_bits = bits, n_bits
            else:
                once |= bits << np.uint64(once_bits)
                once_bits += n_bits
            place, held, n_held = _put(stream, place, held, n_held, once, once_bits)
        else:
            for _ in range(1 + tail // lead):
                place, held, n_held = _put(stream, place, held, n_held, once, once_bits)
        match = far if lead == 2 else near
        for _ in range(full):
            place, held, n_held = _put(stream, place, held, n_held, match, full_bits)
        x += n
        if x == width:
            x = 0
    place, held, n_held = _put(stream, place, held, n_held, code[256], code_bits[256])
    while n_held > 0:
        stream[place] = held & np.uint64(255)
        place, held, n_held = place + 1, held >> np.uint64(8), n_held - 8


@compiled
def _put(stream, place, held, n_held, bits, n_bits):
    """`n_bits` more, at most 32: (next byte, bits that are held back, how many: at most 31)."""
    held |= bits << np.uint64(n_held)
    n_held += n_bits
    if n_held >= 32:
        for k in range(4):
            stream[place + k] = held >> np.uint64(8 * k) & np.uint64(255)
        place, held, n_held = place + 4, held >> np.uint64(32), n_held - 32
    return place, held, n_held
