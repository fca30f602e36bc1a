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
    """A Huffman table: code and bits of every symbol, and everything that comes before the first token: the prefix too."""

    code: np.ndarray
    bits: np.ndarray
    header: int
    header_bits: int


def _table(counts: np.ndarray, octets: int, prefix: bytes) -> _Codes:
    lengths = huffman.code_lengths(counts)
    block, block_bits = huffman.block_header(lengths, octets)
    code = huffman.canonical_codes(lengths)
    begin, begin_bits = int.from_bytes(prefix, "little"), 8 * len(prefix)
    header = begin | (_ZLIB_HEADER | block << 16) << begin_bits
    return _Codes(code, lengths.astype(np.int64), header, begin_bits + 16 + block_bits)


def _by_kernel(kernel, spans: Spans, prefix: bytes) -> bytes:
    """The same as `_by_numpy`, in two passes over the spans."""
    octets = spans.residual.itemsize
    counts = np.zeros(huffman.SYMBOLS, np.int64)
    low, high, more = kernel.measure(spans.residual, spans.pixels, spans.shape, octets, _SYMBOL, _EXTRA_BITS, counts)
    table = _table(counts, octets, prefix)
    total = table.header_bits + int(counts @ table.bits) + more
    stream = np.zeros((total + 7) // 8 + 16, np.uint8)
    lead = (table.header_bits + 7) // 8
    stream[:lead] = np.frombuffer(table.header.to_bytes(lead, "little"), np.uint8)
    args = spans.residual, spans.pixels, spans.shape, octets, _SYMBOL, _EXTRA, _EXTRA_BITS
    kernel.write(*args, table.code, table.bits, stream, table.header_bits)
    end = (total + 7) // 8
    return stream[:end].tobytes() + _adler(low, high)


def _adler(low: int, high: int) -> bytes:
    return (high % ADLER_MODULUS << 16 | low % ADLER_MODULUS).to_bytes(4, "big")


def _by_numpy(spans: Spans, prefix: bytes) -> bytes:
    """Counts of all symbols, then the bits of every span at once."""
    tokens = _tokens(spans)
    table = _table(_counts(tokens, spans.shape[0]), spans.residual.itemsize, prefix)
    begins = np.ones(len(spans.pixels), bool)
    np.equal(np.cumsum(spans.pixels)[:-1] % spans.shape[1], 0, out=begins[1:])
    return _placed(tokens, table, begins) + _adler(*_sums(spans, begins))


class _Tokens(NamedTuple):
    """What each span becomes: one or two literals, `times` times; a match of `tail` bytes where there are three and more;
    `full` matches of 258 bytes."""

    first: np.ndarray
    second: np.ndarray
    two: np.ndarray
    times: np.ndarray
    tail: np.ndarray
    full: np.ndarray


def _tokens(spans: Spans) -> _Tokens:
    residual, octets = spans.residual, spans.residual.itemsize
    two = (residual != 0) & (octets == 2)
    first = np.where(two, residual >> 8 * (octets - 1), residual).astype(np.uint8)
    literals = 1 + two
    rest = spans.pixels * octets - literals
    full = rest // LONGEST_MATCH
    tail = rest - full * LONGEST_MATCH
    times = np.where(tail < 3, 1 + tail // literals, 1)
    return _Tokens(first, residual.astype(np.uint8), two, times, tail, full)


def _counts(tokens: _Tokens, height: int) -> np.ndarray:
    """How often each symbol occurs."""
    counts = np.zeros(huffman.SYMBOLS, np.int64)
    counts[_FILTER_UP] = height
    counts[END_OF_BLOCK] = 1
    counts[:256] += np.bincount(tokens.first, tokens.times, 256).astype(np.int64)
    counts[:256] += np.bincount(tokens.second[tokens.two], tokens.times[tokens.two], 256).astype(np.int64)
    counts += np.bincount(_SYMBOL[tokens.tail[tokens.tail >= 3]], minlength=huffman.SYMBOLS)
    counts[-1] += tokens.full.sum()
    return counts


def _pieces(tokens: _Tokens, table: _Codes) -> tuple[np.ndarray, np.ndarray]:
    """(bits, how many: at most 60) of each span, but for its matches of 258."""
    code, bits = table.code, table.bits
    piece, used = code[tokens.first], bits[tokens.first]

    def followed(where, after, after_bits):
        return np.where(where, piece | after << used.astype(np.uint64), piece), np.where(where, used + after_bits, used)

    piece, used = followed(tokens.two, code[tokens.second], bits[tokens.second])
    once, once_bits = piece, used
    for k in (1, 2):
        piece, used = followed(tokens.times > k, once, once_bits)
    symbol = _SYMBOL[tokens.tail]
    size = bits[symbol].astype(np.uint64)
    match = code[symbol] | _EXTRA[tokens.tail].astype(np.uint64) << size
    size += _EXTRA_BITS[tokens.tail].astype(np.uint64)
    match |= tokens.two.astype(np.uint64) << size  # the code of the distance
    return followed(tokens.tail >= 3, match, size.astype(np.int64) + 1)


def _placed(tokens: _Tokens, table: _Codes, begins: np.ndarray) -> bytes:
    """Everything up to the end of the block. A span that begins a row has the literal of the row's filter before it."""
    code, bits = table.code, table.bits
    piece, used = _pieces(tokens, table)
    filter_bits, full_bits = int(bits[_FILTER_UP]), int(bits[-1]) + 1
    ends = table.header_bits + np.cumsum(begins * filter_bits + used + tokens.full * full_bits)
    stop = int(ends[-1]) + int(bits[END_OF_BLOCK])
    words = np.zeros(stop // 64 + 2, np.uint64)
    for k in range((table.header_bits + 63) // 64):
        words[k] = table.header >> 64 * k & 0xFFFFFFFFFFFFFFFF
    at = ends - tokens.full * full_bits
    or_pieces(words, at - used, piece)
    rows = (at - used)[begins] - filter_bits
    or_pieces(words, rows, np.full(len(rows), code[_FILTER_UP]))
    long = np.flatnonzero(tokens.full)
    n = tokens.full[long]
    step = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    match = code[-1] | tokens.two[long].astype(np.uint64) << np.uint64(bits[-1])
    or_pieces(words, np.repeat(at[long], n) + step * full_bits, np.repeat(match, n))
    or_pieces(words, ends[-1:], code[END_OF_BLOCK : END_OF_BLOCK + 1])
    return words.astype("<u8", copy=False).tobytes()[: (stop + 7) // 8]


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
