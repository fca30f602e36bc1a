"""The strings in which COCO run lengths are written: spelling, numbers, and what can be wrong with them.

Part of `rle`, which says how the string is built; nobody else imports this.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_SIDE = 1 << 16
MAX_PIXELS = (1 << 32) - 1  # both codecs keep a run in 32 bits
MAX_CHARACTERS = 7  # of one number: 35 bits hold every difference of two runs below 2**32

# What a character means for the spelling of a number: 0 ends it, 1 continues it, 2 is not in the alphabet.
ROLE = bytes(ord("2") if not 48 <= c <= 111 else ord("1") if (c - 48) & 32 else ord("0") for c in range(256))


class RleError(ValueError):
    """Run lengths that are not a mask: the message says what was found and what was expected."""


def parse(strings: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of well-spelled strings and the offsets of each, not yet checked against a size."""
    codes = np.frombuffer(b"".join(strings), np.uint8) - 48
    last = np.flatnonzero(codes < 32)
    first = np.empty_like(last)
    first[:1] = 0
    first[1:] = last[:-1] + 1
    stops = np.cumsum([len(string) for string in strings], dtype=np.int64)
    offsets = np.concatenate((np.zeros(1, np.int64), np.searchsorted(last, stops - 1) + 1))
    bits = (codes & 31).astype(np.int64)
    width = last - first + 1
    numbers = bits[first]
    longer = np.flatnonzero(width > 1)
    for k in range(1, MAX_CHARACTERS):
        if not longer.size:
            break
        numbers[longer] += bits[first[longer] + k] << 5 * k
        longer = longer[width[longer] > k + 1]
    negative = np.flatnonzero(codes[last] & 16)
    numbers[negative] -= 1 << 5 * width[negative]
    return _undo_differences(numbers, offsets), offsets


def _undo_differences(numbers: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Run lengths: from the fourth number of a mask on, the number plus the run length two before it."""
    starts = offsets[:-1]
    sums = np.empty_like(numbers)
    np.cumsum(numbers[0::2], out=sums[0::2])
    np.cumsum(numbers[1::2], out=sums[1::2])
    # What earlier masks, and the first run of this one, have put into the two chains of sums.
    same, other = sums[starts], np.where(starts > 0, sums[starts - 1], 0)
    for parity in (0, 1):
        chain = (offsets + 1 - parity) // 2  # elements of this parity before each offset
        before = np.where(starts % 2 == parity, same, other)
        sums[parity::2] -= np.repeat(before, np.diff(chain))
    sums[starts] = numbers[starts]
    return sums


def wrong_runs(lengths: np.ndarray, offsets: np.ndarray, pixels: int) -> np.ndarray:
    """Per mask: is a run negative, or is their sum not `pixels`? Too long runs are found first: their sum may wrap."""
    if len(offsets) == 1:
        return np.zeros(0, bool)
    starts = offsets[:-1]
    wrong = np.minimum.reduceat(lengths, starts) < 0
    wrong |= np.maximum.reduceat(lengths, starts) > pixels
    return wrong | (np.add.reduceat(lengths, starts) != pixels)


def spelling_problem(counts: bytes, pixels: int) -> str | None:
    """What is wrong with the characters, before any number is computed."""
    if not counts:
        return f"the string is empty, expected runs that sum to {pixels} (h*w)"
    if len(counts) > MAX_CHARACTERS * (pixels + 1):
        return f"{len(counts)} characters are more than a mask of {pixels} pixels can need"
    role = counts.translate(ROLE)
    if b"2" in role:
        at = role.index(b"2")
        return f"character {counts[at : at + 1]!r} at position {at}, expected codes 48 to 111 ('0' to 'o')"
    if b"1" * MAX_CHARACTERS in role:
        at = role.index(b"1" * MAX_CHARACTERS)
        return f"the number at position {at} has more than {MAX_CHARACTERS} characters: too large for any mask"
    if role[-1:] == b"1":
        return f"the last number is cut off: character {counts[-1:]!r} at position {len(counts) - 1} says more follows"
    return None


def runs_problem(lengths: np.ndarray, size: tuple[int, int]) -> str | None:
    h, w = size
    if lengths.size and lengths.min() < 0:
        at = int(np.argmax(lengths < 0))
        return f"run {at} is negative: {lengths[at]}"
    if lengths.size and lengths.max() > h * w:
        at = int(np.argmax(lengths > h * w))
        return f"run {at} is {lengths[at]}, more than h*w = {h}*{w} = {h * w}"
    total = int(lengths.sum())
    return None if total == h * w else f"runs sum to {total}, expected h*w = {h}*{w} = {h * w}"


def checked_size(size: Sequence[int]) -> tuple[int, int]:
    """(h, w) as ints. Raises RleError for anything but two whole numbers that a mask can have."""
    try:
        h, w = size
    except (TypeError, ValueError):
        raise RleError(f"size is {size!r}, expected two whole numbers [h, w]") from None
    for n in (h, w):
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise RleError(f"size is {list(size)!r}, expected two positive whole numbers [h, w]")
    if max(h, w) > MAX_SIDE or int(h) * int(w) > MAX_PIXELS:
        raise RleError(f"size is {list(size)!r}, expected sides up to {MAX_SIDE} and less than 2**32 pixels")
    return int(h), int(w)


def as_bytes(counts: bytes | str) -> bytes:
    if isinstance(counts, bytes):
        return counts
    if isinstance(counts, str):
        if counts.isascii():
            return counts.encode()
        at = next(i for i, c in enumerate(counts) if not c.isascii())
        raise RleError(f"character {counts[at]!r} at position {at}, expected codes 48 to 111 ('0' to 'o')")
    raise RleError(f"counts is of type {type(counts).__name__}, expected a string; lists go through from_uncompressed")
