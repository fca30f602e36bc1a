"""Huffman codes of deflate: lengths from counts, canonical codes, and the header that tells a decoder of them.

Rules: deflate RFC 1951 (3.2.2 canonical codes, 3.2.5 length codes, 3.2.7 dynamic blocks). Codes are integers whose bit 0
is the first bit of the stream.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np

END_OF_BLOCK = 256
LONGEST_MATCH = 258
SYMBOLS = 286  # literals, end of block, lengths
_LONGEST_CODE = 15
_REVERSED = np.array([int(f"{value:08b}"[::-1], 2) for value in range(256)])

# RFC 1951, 3.2.5: code 257 + i stands for lengths from SHORTEST[i] on, told apart by EXTRA_BITS[i] more bits.
EXTRA_BITS = (0,) * 8 + (1,) * 4 + (2,) * 4 + (3,) * 4 + (4,) * 4 + (5,) * 4 + (0,)
SHORTEST = (
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    13,
    15,
    17,
    19,
    23,
    27,
    31,
    35,
    43,
    51,
    59,
    67,
    83,
    99,
    115,
    131,
    163,
    195,
    227,
    258,
)
_CODE_LENGTH_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)


def code_lengths(counts: np.ndarray, longest: int = _LONGEST_CODE) -> np.ndarray:
    """Lengths of a prefix code near the optimum, uint8 [n]: 0 for symbols that never occur, at most `longest` bits.

    counts: int64 [n], how often each symbol occurs; two at least must. The code is complete, as decoders demand.
    """
    symbols = np.flatnonzero(counts)
    floor = int(counts.sum()) >> longest - 1
    while True:
        weights = np.maximum(counts[symbols], floor)  # the rarest are made less rare until no code is too long
        order = np.argsort(weights, kind="stable")
        depths = _depths(weights[order].tolist())
        if max(depths) <= longest:
            lengths = np.zeros(len(counts), np.uint8)
            lengths[symbols[order]] = depths
            return lengths
        floor = 2 * floor + 1


def _depths(leaves: list[int]) -> list[int]:
    """Depth of every leaf in a Huffman tree. `leaves`: weights in ascending order; nodes come in ascending order, too."""
    count = len(leaves)
    nodes: list[int] = []
    parent = [0] * (2 * count - 1)
    leaf = node = 0
    for made in range(count - 1):
        weight = 0
        for _ in range(2):
            if node == made or (leaf < count and leaves[leaf] <= nodes[node]):
                parent[leaf], weight, leaf = count + made, weight + leaves[leaf], leaf + 1
            else:
                parent[count + node], weight, node = count + made, weight + nodes[node], node + 1
        nodes.append(weight)
    depth = [0] * (2 * count - 1)
    for at in range(2 * count - 3, -1, -1):
        depth[at] = depth[parent[at]] + 1
    return depth[:count]


def canonical_codes(lengths: np.ndarray) -> np.ndarray:
    """The code of every symbol, uint64 [n], from the lengths of a complete code, 0 for none (RFC 1951, 3.2.2)."""
    order = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
    sizes = lengths[order].astype(np.int64)
    shares = 1 << _LONGEST_CODE - sizes  # of the code space
    first_bit_high = np.cumsum(shares) - shares << 1  # of 16 bits
    reversed_ = _REVERSED[first_bit_high & 255] << 8 | _REVERSED[first_bit_high >> 8]
    codes = np.zeros(len(lengths), np.uint64)
    codes[order] = reversed_
    return codes


def block_header(lengths: np.ndarray, distances: int = 1) -> tuple[int, int]:
    """(bits, number of bits) of the header of a final dynamic block (RFC 1951, 3.2.7).

    lengths: of the codes of all `SYMBOLS`, 0 for none; distances: 1 or 2 codes of one bit each, for the distances 1
    and 2.
    """
    told = _told([*lengths.tolist(), *[1] * distances])
    found = code_lengths(np.bincount([symbol for symbol, _, _ in told], minlength=19), 7)
    code, bits_of = canonical_codes(found).tolist(), found.tolist()
    order = [bits_of[symbol] for symbol in _CODE_LENGTH_ORDER]
    while not order[-1]:
        order.pop()
    pieces = [(1, 1), (2, 2), (SYMBOLS - 257, 5), (distances - 1, 5), (len(order) - 4, 4), *((n, 3) for n in order)]
    for symbol, more, more_bits in told:
        pieces += [(code[symbol], bits_of[symbol]), (more, more_bits)]
    bits = place = 0
    for piece, n in pieces:
        bits |= piece << place
        place += n
    return bits, place


def _told(lengths: list[int]) -> list[tuple[int, int, int]]:
    """Code lengths as (symbol, more bits, how many): 16 repeats the last 3 to 6 times; 17 and 18 are 3 to 10 and 11 to
    138 that are absent."""
    told = []
    for length, group in groupby(lengths):
        n = len(list(group))
        if length:
            told.append((length, 0, 0))
            n -= 1
        while n:
            if length and n > 2:
                again, base, extra, symbol = min(n, 6), 3, 2, 16
            elif not length and n > 10:
                again, base, extra, symbol = min(n, 138), 11, 7, 18
            elif not length and n > 2:
                again, base, extra, symbol = n, 3, 3, 17
            else:
                again, base, extra, symbol = 1, 1, 0, length
            told.append((symbol, again - base, extra))
            n -= again
    return told
