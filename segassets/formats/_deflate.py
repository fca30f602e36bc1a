"""zlib streams of masks, written straight from runs: no pixel is ever made.

The raw data of a mask PNG is a few thousand runs of equal bytes. A run becomes the tokens [literal] [match of the rest
at distance 1] [n matches of 258 at distance 1], and one static Huffman table serves every mask. It gives one bit to
length code 285 (a match of 258) and one bit to the only distance code, both zero bits: a run of any length is at most
one short piece of bits followed by 2n zero bits, which need not be written. So the stream of a whole image is placed
with a dozen numpy operations over all runs of all its masks.

Rules: zlib RFC 1950 (header, Adler-32), deflate RFC 1951 (3.2.5 length codes, 3.2.7 dynamic blocks).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from segassets.formats import _huffman as huffman
from segassets.formats._huffman import END_OF_BLOCK, LONGEST_MATCH

ADLER_MODULUS = 65521
_NO_RUN = 2 * LONGEST_MATCH  # index of the empty piece in the table of runs

# Lengths of the Huffman codes of symbols 256 (end of block) to 285 (match of 258) when the literals share 1/4 of the
# code space: near the optimum for smooth masks of 1 % of a frame of some megapixels, and complete (2**-length summed
# over all symbols is 1), as decoders demand.
_LENGTH_CODES = (10,) * 8 + (9, 9) + (8,) * 3 + (7,) * 7 + (6,) * 5 + (5, 5) + (6, 6) + (1,)


@dataclass(frozen=True)
class Table:
    """A static Huffman table, with the pieces of bits that masks are put together from.

    header: zlib header and block header, uint64 words; header_bits: how many bits of them count.
    before, before_bits: literal of a byte in which a mask begins or ends; index 256 + byte is empty.
    run, run_bits: a run of 1 + e bytes without its 2 * (e // 258) zero bits, index e % 258 for zeros, 258 more for
    0xFF; the last one is empty. end, end_bits: the end of the block. Bit 0 is the first bit of a stream.
    """

    header: np.ndarray
    header_bits: int
    before: np.ndarray
    before_bits: np.ndarray
    run: np.ndarray
    run_bits: np.ndarray
    end: int
    end_bits: int


@cache
def table(depth: int) -> Table:
    """The table for masks of `depth` bits a pixel."""
    code_lengths = _code_lengths(depth)
    block, block_bits = huffman.block_header(code_lengths)
    code, lengths = huffman.canonical_codes(code_lengths).tolist(), code_lengths.tolist()
    zlib_header = 0x78 | 0x01 << 8  # 32 KiB window, fastest; 0x7801 is a multiple of 31
    header = (zlib_header | block << 16).to_bytes((16 + block_bits) // 64 * 8 + 8, "little")
    before = [(code[v], lengths[v]) for v in range(256)] + [(0, 0)] * 256
    run = [_run_piece(v, e, code, lengths) for v in (0, 255) for e in range(LONGEST_MATCH)] + [(0, 0)]
    return Table(
        header=np.frombuffer(header, "<u8"),
        header_bits=16 + block_bits,
        before=np.array([bits for bits, _ in before], np.uint64),
        before_bits=np.array([n for _, n in before], np.int64),
        run=np.array([bits for bits, _ in run], np.uint64),
        run_bits=np.array([n for _, n in run], np.int64),
        end=code[END_OF_BLOCK],
        end_bits=lengths[END_OF_BLOCK],
    )


def zlib_streams(toggles: np.ndarray, offsets: np.ndarray, total: int, depth: int, prefix: bytes) -> list[bytes]:
    """zlib streams of masks, each behind `prefix`.

    toggles: int64, strictly increasing within a mask: the pixel places in its raw data at which it is set, cleared,
    set, ... `8 / depth` places a byte. Mask i has `toggles[offsets[i]:offsets[i + 1]]`, an even number, none of them in
    the first byte. total: bytes of raw data of one mask. At most about 2**26 bytes, so that Adler sums fit 63 bits.
    """
    t = table(depth)
    if depth == 8:
        byte, of_mask, before = toggles, offsets, None
        rest = _gaps(byte, of_mask, total) - 1
        index = rest % LONGEST_MATCH
        index[0::2] += LONGEST_MATCH
        index[rest < 0] = _NO_RUN  # the mask is set up to its last pixel
    else:
        byte, value, is_set, of_mask = _mixed_bytes(toggles, offsets, depth)
        plain = value == np.where(is_set, 255, 0)
        rest = _gaps(byte, of_mask, total) - 2 + plain
        index = np.where(rest < 0, _NO_RUN, rest % LONGEST_MATCH + is_set * LONGEST_MATCH)
        before = value + 256 * plain
    zeros = np.maximum(rest, 0) // LONGEST_MATCH * 2
    code, bits = t.run[index], t.run_bits[index]
    if before is not None:
        code = t.before[before] | code << t.before_bits[before].astype(np.uint64)
        bits += t.before_bits[before]
    # Every mask begins with zeros: at least the filter byte of its first row.
    first = np.full(len(offsets) - 1, total)
    some = np.flatnonzero(np.diff(of_mask))
    first[some] = byte[of_mask[some]]
    words, begin, stop = _place(t, code, bits + zeros, of_mask, first - 1, len(prefix))
    words.view(np.uint8)[stop[:, None] + np.arange(4)] = _adlers(toggles, offsets, total, depth)
    everything = words.tobytes()
    lead = len(prefix)
    return [prefix + everything[a + lead : b + 4] for a, b in zip(begin.tolist(), stop.tolist(), strict=True)]


def _gaps(byte: np.ndarray, of_mask: np.ndarray, total: int) -> np.ndarray:
    """Distance from each place to the next one of its mask, or to the end of the raw data."""
    gaps = np.empty_like(byte)
    np.subtract(byte[1:], byte[:-1], out=gaps[:-1])
    last = of_mask[1:][np.diff(of_mask) > 0] - 1
    gaps[last] = total - byte[last]
    return gaps


def _mixed_bytes(toggles: np.ndarray, offsets: np.ndarray, depth: int) -> tuple[np.ndarray, ...]:
    """Bytes with a toggle in them: their places, values, whether the pixels behind them are set, offsets per mask."""
    per_byte = 8 // depth
    byte = toggles // per_byte
    ones = 0xFF >> (toggles - byte * per_byte) * depth  # from the toggle to the end of its byte
    new = np.ones(len(byte), bool)
    np.not_equal(byte[1:], byte[:-1], out=new[1:])
    new[offsets[:-1][np.diff(offsets) > 0]] = True
    first = np.flatnonzero(new)
    value = np.bitwise_xor.reduceat(ones, first) if first.size else ones
    value = np.where(first & 1, value ^ 0xFF, value)
    is_set = np.append(first[1:], len(byte)) & 1 == 1
    return byte[first], value, is_set, np.searchsorted(first, offsets)


def _place(t: Table, code, advance, of_mask, first_rest, prefix_bytes: int) -> tuple[np.ndarray, ...]:
    """Writes headers, first runs, pieces and ends into words: (uint64 words, first byte and stop of each mask).

    Each mask starts at a word, `prefix_bytes` are left free before its header and at least four bytes after its end.
    """
    reach = np.concatenate(([0], np.cumsum(advance)))
    begin = reach[of_mask]
    first_bits = t.run_bits[first_rest % LONGEST_MATCH] + first_rest // LONGEST_MATCH * 2
    lead = 8 * prefix_bytes + t.header_bits
    used = lead + first_bits + np.diff(begin) + t.end_bits
    base = np.concatenate(([0], np.cumsum((used + 32 + 63 + 7) // 64))) * 64
    words = np.zeros(base[-1] // 64 + 1, np.uint64)
    base = base[:-1]
    at = reach[:-1] + np.repeat(base + lead + first_bits - begin[:-1], np.diff(of_mask))
    or_pieces(words, at, code)
    header = int.from_bytes(t.header.tobytes(), "little") << 8 * prefix_bytes
    for k in range((lead + 63) // 64):
        words[base // 64 + k] |= np.uint64(header >> 64 * k & 0xFFFFFFFFFFFFFFFF)
    _or_few(words, base + lead, t.run[first_rest % LONGEST_MATCH])
    _or_few(words, base + used - t.end_bits, np.full(len(base), t.end, np.uint64))
    return words, base // 8, (base + used + 7) // 8


def or_pieces(words: np.ndarray, at: np.ndarray, code: np.ndarray) -> None:
    """Puts the bits of every piece (less than 64) into the words, from bit `at` (increasing) on."""
    word = at >> 6
    shift = (at & 63).astype(np.uint64)
    spill = code >> np.uint64(1) >> np.uint64(63) - shift
    new = np.empty(len(word), bool)
    new[:1] = True
    np.not_equal(word[1:], word[:-1], out=new[1:])
    first = np.flatnonzero(new)
    if first.size:
        words[word[first]] |= np.bitwise_or.reduceat(code << shift, first)
    over = np.flatnonzero(spill)  # only the last piece of a word can reach into the next: no word comes twice
    words[word[over] + 1] |= spill[over]


def _or_few(words: np.ndarray, at: np.ndarray, code: np.ndarray) -> None:
    """The same for one piece a mask, whose words other pieces may share."""
    word, shift = at >> 6, (at & 63).astype(np.uint64)
    words[word] |= code << shift
    words[word + 1] |= code >> np.uint64(1) >> np.uint64(63) - shift


def _adlers(toggles: np.ndarray, offsets: np.ndarray, total: int, depth: int) -> np.ndarray:
    """Adler-32 of every mask from its runs alone (RFC 1950, 8.2), as big-endian bytes uint8[n, 4].

    A byte v at place p adds v to the first sum and (total - p) * v to the second.
    """
    start, stop = toggles[0::2], toggles[1::2]
    a, b = _weights(stop, total, depth)
    a0, b0 = _weights(start, total, depth)
    sums = []
    for terms in (a - a0, b - b0):
        reach = np.concatenate(([0], np.cumsum(terms)))[offsets // 2]
        sums.append(np.diff(reach))
    low = (1 + sums[0]) % ADLER_MODULUS
    high = (total + sums[1]) % ADLER_MODULUS
    return (high << 16 | low).astype(">u4").view(np.uint8).reshape(-1, 4)


def _weights(place: np.ndarray, total: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Both Adler sums of raw data in which every pixel before `place` were set."""
    per_byte = 8 // depth
    whole = place // per_byte if per_byte > 1 else place
    a = 255 * whole
    b = 255 * (whole * total - whole * (whole - 1) // 2)
    if per_byte > 1:
        part = 0xFF & ~(0xFF >> (place - whole * per_byte) * depth)
        a += part
        b += part * (total - whole)
    return a, b


def _code_lengths(depth: int) -> np.ndarray:
    """Code lengths of all symbols."""
    lengths = np.zeros(huffman.SYMBOLS, np.uint8)
    for value, n in _literal_lengths(depth).items():
        lengths[value] = n
    lengths[END_OF_BLOCK:] = _LENGTH_CODES
    return lengths


def _literal_lengths(depth: int) -> dict[int, int]:
    """Code lengths of the literals, a quarter of the code space: all bytes that a mask of this depth can have."""
    if depth == 8:
        return {0x00: 3, 0xFF: 3}
    values = [v for v in range(256) if depth == 1 or all(v >> k & 3 in (0, 3) for k in (0, 2, 4, 6))]
    edges = {0xFF >> k for k in range(depth, 8, depth)} | {0xFF << k & 0xFF for k in range(depth, 8, depth)}
    lengths = {0x00: 4, 0xFF: 4} | dict.fromkeys(edges, 6 if depth == 2 else 7)
    rare = sorted(set(values) - set(lengths), key=lambda v: (min(v.bit_count(), 8 - v.bit_count()), v))
    if depth == 2:
        return lengths | dict.fromkeys(rare, 8)
    return lengths | dict.fromkeys(rare[:16], 13) | dict.fromkeys(rare[16:], 14)


def _run_piece(value: int, rest: int, code: list[int], lengths: list[int]) -> tuple[int, int]:
    """(bits, number of bits) of a literal and `rest` (below 258) more bytes of the same value."""
    literal, n = code[value], lengths[value]
    if rest < 3:  # no match is that short
        return sum(literal << n * k for k in range(rest + 1)), n * (rest + 1)
    i = max(i for i in range(28) if huffman.SHORTEST[i] <= rest)
    match = code[257 + i] | rest - huffman.SHORTEST[i] << lengths[257 + i]
    return literal | match << n, n + lengths[257 + i] + huffman.EXTRA_BITS[i] + 1  # the distance code is one zero bit
