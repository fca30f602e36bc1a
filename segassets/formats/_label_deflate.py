"""zlib streams of grey label maps, written straight from runs: no pixel is ever made.

With filter Up a label map is zeros, but for the spans of a row in which it differs from the row above. A span of n
pixels of one residual becomes the tokens [its bytes] [match of the rest, n % 258 bytes] [matches of 258], zeros at
distance 1 and others at the distance of a pixel. The Huffman table is made for each map. Large maps of few runs come
out about as small as Pillow's in a fifth of the time of zlib-ng.

The same bytes are written with and without the compiled part; a test holds both against each other.
Rules: zlib RFC 1950 (header, Adler-32), deflate RFC 1951 (3.2.5 length codes), PNG specification (third edition) 9.2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segassets.formats import _huffman as huffman
from segassets.formats._deflate import ADLER_MODULUS, or_pieces
from segassets.formats._huffman import END_OF_BLOCK, LONGEST_MATCH
from segassets.formats.compiled import Kernel
from segassets.formats.label_map import Runs, joined

KERNEL = Kernel("segassets.formats._label_deflate_kernel", patience=1 << 23)
LARGEST = 1 << 26  # pixels: Adler sums of more would overflow 63 bits
_FILTER_UP = 2
_ZLIB_HEADER = 0x78 | 0x01 << 8  # 32 KiB window, fastest

# For the rest of a span, 0 to 257 bytes: symbol of its match, more bits of it and how many. Less than 3 are literals.
_OF_LENGTH = np.searchsorted(huffman.SHORTEST[:28], np.arange(LONGEST_MATCH), side="right") - 1
_SYMBOL = END_OF_BLOCK + 1 + _OF_LENGTH
_EXTRA = np.maximum(np.arange(LONGEST_MATCH) - np.array(huffman.SHORTEST)[_OF_LENGTH], 0)
_EXTRA_BITS = np.array(huffman.EXTRA_BITS)[_OF_LENGTH]


class Spans(NamedTuple):
    """A map less the row above, in spans of equal residual that are cut at the end of a row; all pixels, in scan order.

    residual: as the map's type, uint8 or uint16, each byte less the byte above; pixels: int64.
    """

    residual: np.ndarray
    pixels: np.ndarray
    shape: tuple[int, int]


def zlib_stream(runs: Runs, values: np.ndarray, prefix: bytes = b"") -> bytes:
    """The zlib stream of a grey PNG's rows behind `prefix`. values: uint8 or uint16 [n], of every run.

    At least one pixel, at most `LARGEST`.
    """
    kernel = KERNEL.after(runs.shape[0] * runs.shape[1])
    if kernel is None:
        return _by_numpy(up_spans(runs, values), prefix)
    return _by_kernel(kernel, _compiled_spans(kernel, runs, values), prefix)


def up_spans(runs: Runs, values: np.ndarray) -> Spans:
    """The spans of a map whose i-th run has `values[i]`, uint8 or uint16."""
    height, width = runs.shape
    last_row = int(np.searchsorted(runs.starts, (height - 1) * width))
    above = Runs(
        np.concatenate((runs.starts[:1], runs.starts[:last_row] + width)),
        runs.lengths,
        np.concatenate((np.zeros(1, values.dtype), values[:last_row])),
        runs.shape,
    )
    starts, _, own, up = joined(runs._replace(values=values), above)
    residual = (own.view(np.uint8) - up.view(np.uint8)).view(values.dtype)  # byte by byte
    kept = np.empty(len(starts), bool)
    kept[:1] = True
    np.not_equal(residual[1:], residual[:-1], out=kept[1:])
    kept[starts % width == 0] = True
    return Spans(residual[kept], np.diff(starts[kept], append=height * width), runs.shape)


def _compiled_spans(kernel, runs: Runs, values: np.ndarray) -> Spans:
    """The same by the kernel."""
    residual, pixels = np.empty(2 * len(values), values.dtype), np.empty(2 * len(values), np.int64)
    count = kernel.up_spans(runs.starts, values, values.itemsize, runs.shape, residual, pixels)
    return Spans(residual[:count], pixels[:count], runs.shape)


class _Codes(NamedTuple):
    """A Huffman table: code and bits of every symbol, and everything that comes before the first token."""

    code: np.ndarray
    bits: np.ndarray
    header: int
    header_bits: int


def _table(counts: np.ndarray, octets: int) -> _Codes:
    lengths = huffman.code_lengths(counts)
    block, block_bits = huffman.block_header(lengths, octets)
    code = huffman.canonical_codes(lengths)
    return _Codes(code, lengths.astype(np.int64), _ZLIB_HEADER | block << 16, 16 + block_bits)


def _by_kernel(kernel, spans: Spans, prefix: bytes) -> bytes:
    """The same as `_by_numpy`, in two passes over the spans."""
    octets = spans.residual.itemsize
    counts = np.zeros(huffman.SYMBOLS, np.int64)
    low, high, more = kernel.measure(spans.residual, spans.pixels, spans.shape, octets, _SYMBOL, _EXTRA_BITS, counts)
    table = _table(counts, octets)
    total = 8 * len(prefix) + table.header_bits + int(counts @ table.bits) + more
    stream = np.zeros((total + 7) // 8 + 16, np.uint8)
    lead = (8 * len(prefix) + table.header_bits + 7) // 8
    head = int.from_bytes(prefix, "little") | table.header << 8 * len(prefix)
    stream[:lead] = np.frombuffer(head.to_bytes(lead, "little"), np.uint8)
    at = 8 * len(prefix) + table.header_bits
    args = spans.residual, spans.pixels, spans.shape, octets, _SYMBOL, _EXTRA, _EXTRA_BITS
    kernel.write(*args, table.code, table.bits, stream, at)
    end = (total + 7) // 8
    return stream[:end].tobytes() + _adler(low, high)


def _adler(low: int, high: int) -> bytes:
    return (high % ADLER_MODULUS << 16 | low % ADLER_MODULUS).to_bytes(4, "big")


def _by_numpy(spans: Spans, prefix: bytes) -> bytes:
    """Counts of all symbols, then the bits of every span at once."""
    residual, pixels = spans.residual, spans.pixels
    height, width = spans.shape
    octets = residual.itemsize
    zero = residual == 0
    first = (residual >> 8).astype(np.uint8) if octets == 2 else residual
    second = residual.astype(np.uint8)
    lead = np.where(zero, 1, octets)
    rest = pixels * octets - lead
    full = rest // LONGEST_MATCH
    tail = rest - full * LONGEST_MATCH
    match = tail >= 3
    two = ~zero & (octets == 2)  # spans that begin with two literals
    again = np.where(match, 0, tail)  # bytes of the tail that are literals; of two-byte pixels, two or none

    counts = np.zeros(huffman.SYMBOLS, np.int64)
    counts[_FILTER_UP] += height
    counts[END_OF_BLOCK] = 1
    times = 1 + np.where(two, again // 2, again)
    counts[:256] += np.bincount(first, times, 256).astype(np.int64)
    counts[:256] += np.bincount(second[two], times[two], 256).astype(np.int64)
    counts += np.bincount(_SYMBOL[tail[match]], minlength=huffman.SYMBOLS)
    counts[-1] += full.sum()
    table = _table(counts, octets)

    # A span begins with the literal of its filter where it begins a row, and ends with its matches of 258.
    code, bits = table.code, table.bits
    piece, used = code[first], bits[first]
    piece = np.where(two, piece | code[second] << used.astype(np.uint64), piece)
    used = np.where(two, used + bits[second], used)
    once, once_bits = piece, used
    for k in range(2):  # the literals of the tail
        more = again > k if octets == 1 else zero & (again > k) | two & (again == 2) & (k == 0)
        piece = np.where(more, piece | once << used.astype(np.uint64), piece)
        used = np.where(more, used + once_bits, used)
    far = (~zero & (octets == 2)).astype(np.uint64)  # the code of the distance
    symbol = _SYMBOL[tail]
    matched = code[symbol] | _EXTRA[tail].astype(np.uint64) << bits[symbol].astype(np.uint64)
    matched_bits = bits[symbol] + _EXTRA_BITS[tail]
    matched |= far << matched_bits.astype(np.uint64)
    piece = np.where(match, piece | matched << used.astype(np.uint64), piece)
    used = np.where(match, used + matched_bits + 1, used)

    begins = np.empty(len(pixels), bool)
    begins[:1] = True
    np.equal((np.cumsum(pixels)[:-1]) % width, 0, out=begins[1:])
    full_bits = int(bits[-1]) + 1
    row_bits = begins * int(bits[_FILTER_UP])
    ends = 8 * len(prefix) + table.header_bits + np.cumsum(row_bits + used + full * full_bits)
    stop = int(ends[-1]) + int(bits[END_OF_BLOCK])
    words = np.zeros(stop // 64 + 2, np.uint64)
    head = int.from_bytes(prefix, "little") | table.header << 8 * len(prefix)
    for k in range((8 * len(prefix) + table.header_bits + 63) // 64):
        words[k] = head >> 64 * k & 0xFFFFFFFFFFFFFFFF
    at = ends - full * full_bits
    or_pieces(words, at - used, piece)
    rows = at[begins] - used[begins] - int(bits[_FILTER_UP])
    or_pieces(words, rows, np.full(len(rows), code[_FILTER_UP]))
    longest = np.flatnonzero(full)
    n = full[longest]
    step = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    or_pieces(
        words,
        np.repeat(at[longest], n) + step * full_bits,
        np.repeat(code[-1] | far[longest] << np.uint64(bits[-1]), n),
    )
    or_pieces(words, ends[-1:], code[END_OF_BLOCK : END_OF_BLOCK + 1])
    return words.tobytes()[: (stop + 7) // 8] + _adler(*_sums(spans, begins))


def _sums(spans: Spans, begins: np.ndarray) -> tuple[int, int]:
    """Both sums of Adler-32 (RFC 1950, 8.2), not yet reduced: a byte v counts v, and v times the bytes from it to the end."""
    height, width = spans.shape
    octets = spans.residual.itemsize
    total = height * (1 + width * octets)
    rows = np.cumsum(begins)
    start = (np.cumsum(spans.pixels) - spans.pixels) * octets + rows
    low, high = (
        1 + _FILTER_UP * height,
        total + _FILTER_UP * (height * total - (1 + width * octets) * (height * (height - 1) // 2)),
    )
    for k in range(octets):
        value = (spans.residual >> 8 * (octets - 1 - k) & 255).astype(np.int64)
        low += int(value @ spans.pixels)
        reach = spans.pixels * (total - start - k) - octets * (spans.pixels * (spans.pixels - 1) // 2)
        high += sum((value * reach % ADLER_MODULUS).tolist())
    return low, high
