"""COCO run lengths: the masks of COCO, SA-1B and all that copy them.

A mask of `size` (h, w) is scanned column by column; `counts` holds the lengths of its runs, zeros first, as the string
that pycocotools writes (rleToString in maskApi.c): 5 bits a character from code 48 on, bit 5 says "more follows", bit 4
of the last character is the sign, and from the fourth number on it is the difference to the run two before.

Everything that enters is checked before anything is decoded, because pycocotools returns uninitialised memory for runs
that sum to less than h*w, and both it and RLEMaskLib cut numbers to 32 bits and drop an unfinished last number.

RLEMaskLib does the work in run space and is 50 to 100 times faster than pycocotools; it has one maintainer, so nothing
else in this project imports it, and every function here also works without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

import numpy as np
from pycocotools import mask as _coco

try:
    from rlemasklib import RLEMask as _RLEMask
except ImportError:  # pragma: no cover - the tests take the other way through _use_backend
    _RLEMask = None

from segassets.formats._rle_strings import (
    ROLE,
    RleError,
    as_bytes,
    checked_size,
    parse,
    runs_problem,
    spelling_problem,
    wrong_runs,
)

__all__ = [
    "BACKEND",
    "RleError",
    "area",
    "bbox",
    "canonical",
    "decode",
    "encode",
    "from_uncompressed",
    "paint",
    "paint_ranks",
    "row_runs",
    "runs",
    "runs_of_all",
    "set_intervals",
    "stats",
    "to_uncompressed",
    "validate",
    "validate_all",
]

BACKEND = "numpy" if _RLEMask is None else "rlemasklib"
_backend = BACKEND

_BATCH_CHARACTERS = 1 << 20  # keeps the arrays of a batch below about 100 MB whatever the input is


def runs(counts: bytes | str, size: tuple[int, int]) -> np.ndarray:
    """The run lengths as they are written, int64, zeros first; they sum to h*w. Raises RleError."""
    lengths, _ = runs_of_all([counts], size)
    return lengths


def runs_of_all(counts_list: Sequence[bytes | str], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of many masks of one size: (all of them in one int64 array, offsets int64[n + 1]).

    Mask i has the runs `lengths[offsets[i]:offsets[i + 1]]`. Raises RleError for the first mask that is not valid.
    """
    h, w = checked_size(size)
    lengths, offsets = [np.zeros(0, np.int64)], [np.zeros(1, np.int64)]
    for first, stop in _batches(counts_list):
        strings = []
        for i, counts in enumerate(counts_list[first:stop], first):
            strings.append(as_bytes(counts))
            _raise_if(spelling_problem(strings[-1], h * w), i, len(counts_list))
        batch, at = parse(strings)
        for k in np.flatnonzero(wrong_runs(batch, at, h * w)).tolist():
            _raise_if(runs_problem(batch[at[k] : at[k + 1]], (h, w)), first + k, len(counts_list))
        lengths.append(batch)
        offsets.append(at[1:] + offsets[-1][-1])
    return np.concatenate(lengths), np.concatenate(offsets)


def validate(counts: bytes | str, size: tuple[int, int]) -> None:
    """Raises RleError unless `counts` is a mask of `size`."""
    h, w = checked_size(size)
    _raise_if(_validate_batch([counts], (h, w))[0])


def validate_all(counts_list: Sequence[bytes | str], size: tuple[int, int]) -> list[str | None]:
    """What is wrong with each mask, None where nothing is. Raises RleError only for a bad `size`."""
    size = checked_size(size)
    if _backend == "rlemasklib":
        with suppress(RleError):  # mostly nothing is wrong, and this is the faster way to see it
            _rlemasks(counts_list, size)
            return [None] * len(counts_list)
    return [problem for a, b in _batches(counts_list) for problem in _validate_batch(counts_list[a:b], size)]


def decode(counts: bytes | str, size: tuple[int, int]) -> np.ndarray:
    """The mask as uint8 0/1 of shape (h, w), C order. Raises RleError."""
    if _backend == "rlemasklib":
        return _rlemask(counts, size).to_array(order="C")
    validate(counts, size)
    return np.ascontiguousarray(_coco.decode({"size": [int(n) for n in size], "counts": as_bytes(counts)}))


def encode(mask: np.ndarray) -> bytes:
    """Run lengths of a (h, w) mask (bool or integers; everything but 0 is set), byte for byte those of pycocotools."""
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise RleError(f"a mask has two dimensions, this array has the shape {mask.shape}")
    checked_size(mask.shape)
    mask = mask.view(np.uint8) if mask.dtype == np.bool_ else mask
    if mask.dtype != np.uint8 or mask.max() > 1:
        mask = (mask != 0).view(np.uint8)
    if _backend == "rlemasklib":
        mask = mask if mask.flags.writeable else mask.copy()  # RLEMaskLib refuses read-only arrays
        return _RLEMask.from_array(mask).to_dict()["counts"]
    return _coco.encode(np.asfortranarray(mask))["counts"]


def area(counts: bytes | str, size: tuple[int, int]) -> int:
    """Number of pixels that are set."""
    if _backend == "rlemasklib":
        return int(_rlemask(counts, size).area())
    return int(stats([counts], size)[0][0])


def bbox(counts: bytes | str, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x, y, w, h with w = xmax - xmin + 1, as pycocotools.toBbox; (0, 0, 0, 0) for an empty mask."""
    x, y, w, h = stats([counts], size)[1][0].tolist()
    return x, y, w, h


def stats(counts_list: Sequence[bytes | str], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Areas int64[n] and boxes int64[n, 4] (x, y, w, h as in `bbox`) of many masks at once. Raises RleError."""
    h, w = checked_size(size)
    if _backend == "rlemasklib":
        run_lists = [mask.counts_view for mask in _rlemasks(counts_list, (h, w))]
    else:
        lengths, offsets = runs_of_all(counts_list, (h, w))
        run_lists = [lengths[a:b] for a, b in pairwise(offsets)]
    start, stop, offsets = set_intervals(run_lists)
    if (stop == start).any():  # runs of length 0 are allowed, and are nowhere
        kept = np.flatnonzero(stop > start)
        start, stop, offsets = start[kept], stop[kept], np.searchsorted(kept, offsets)
    areas = np.diff(np.concatenate(([0], np.cumsum(stop - start)))[offsets])
    boxes = np.zeros((len(areas), 4), np.int64)
    some = np.flatnonzero(areas)
    if some.size:
        first, last = offsets[some], offsets[some + 1] - 1
        left, right = start // h, (stop - 1) // h
        top, bottom = start - left * h, stop - 1 - right * h
        over = np.flatnonzero(left != right)  # goes on in the next column: reaches the lower and the upper border
        top[over], bottom[over] = 0, h - 1
        x, y = left[first], np.minimum.reduceat(top, first)
        boxes[some] = np.stack((x, y, right[last] - x + 1, np.maximum.reduceat(bottom, first) - y + 1), axis=1)
    return areas, boxes


def from_uncompressed(lengths: Sequence[int], size: tuple[int, int]) -> bytes:
    """The string of a list of run lengths (COCO's crowd annotations). Raises RleError unless they sum to h*w."""
    h, w = checked_size(size)
    for i, length in enumerate(lengths):
        if isinstance(length, bool) or not isinstance(length, (int, np.integer)):
            raise RleError(f"run {i} is {length!r}, expected a whole number")
        if not 0 <= length <= h * w:
            raise RleError(f"run {i} is {length}, expected 0 to {h * w} (h*w)")
    as_ints = [int(length) for length in lengths]
    _raise_if(runs_problem(np.array(as_ints, np.int64), (h, w)))
    return _coco.frPyObjects({"size": [h, w], "counts": as_ints}, h, w)["counts"]


def to_uncompressed(counts: bytes | str, size: tuple[int, int]) -> list[int]:
    """The run lengths as a list of ints. Raises RleError."""
    return runs(counts, size).tolist()


def canonical(counts: bytes | str, size: tuple[int, int]) -> bytes:
    """The string that pycocotools writes for this mask: the same mask gives the same bytes. Raises RleError."""
    if _backend == "rlemasklib":
        return _rlemask(counts, size).to_dict()["counts"]
    h, w = checked_size(size)
    toggles, seen = np.unique(np.cumsum(runs(counts, size)), return_counts=True)
    toggles = toggles[(seen % 2 == 1) & (toggles < h * w)]  # a run of length 0 toggles twice at one place
    return from_uncompressed(np.diff(toggles, prepend=0, append=h * w).tolist(), (h, w))


class Frame:
    """One array for many masks of a size, in turn: only what the last mask had set is cleared, not the whole frame.

    A new frame of 1500 x 2250 costs more than painting a usual mask: its memory has to be zeroed. A loader that copies
    or crops what it needs is several times faster with this than with `decode`.
    """

    def __init__(self, size: tuple[int, int]):
        self.size = checked_size(size)
        self._pixels = np.zeros(self.size, np.uint8)
        self._last = None

    def decode(self, counts: bytes | str) -> np.ndarray:
        """The mask as uint8 0/1 of shape (h, w), C order; valid until the next call. Raises RleError."""
        if _backend != "rlemasklib":
            self._pixels[:] = decode(counts, self.size)
            return self._pixels
        mask = _rlemask(counts, self.size)
        if self._last is not None:
            self._last.decode_into(self._pixels, 0)
        mask.decode_into(self._pixels, 1)
        self._last = mask
        return self._pixels


def paint_ranks(counts_list: Sequence[bytes | str], size: tuple[int, int]) -> np.ndarray:
    """Which mask lies on top of each pixel: (h, w), C order, 0 = none, i + 1 = the last mask i that covers it.

    dtype uint8 for up to 255 masks, uint16 for up to 65535, else uint32. Raises RleError.
    """
    h, w = checked_size(size)
    n = len(counts_list)
    dtype = np.uint8 if n < 1 << 8 else np.uint16 if n < 1 << 16 else np.uint32
    if _backend == "rlemasklib":
        masks = _rlemasks(counts_list, (h, w))
        canvas = _paint_byte(masks, (h, w), 0).astype(dtype, copy=False)
        for byte in range(1, canvas.itemsize):
            canvas |= _paint_byte(masks, (h, w), byte).astype(dtype) << dtype(8 * byte)
        return canvas
    lengths, offsets = runs_of_all(counts_list, size)
    canvas = np.zeros(h * w, dtype)
    for i in range(n):
        ends = np.cumsum(lengths[offsets[i] : offsets[i + 1]]).tolist()
        for start, stop in zip(ends[0::2], ends[1::2], strict=False):
            canvas[start:stop] = i + 1
    return np.ascontiguousarray(canvas.reshape(w, h).T)


def paint(counts_list: Sequence[bytes | str], values: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The value (0 to 255) of the last mask that covers each pixel, 0 where none does: uint8 (h, w), C order.

    Faster than to look ranks up. Raises RleError.
    """
    h, w = checked_size(size)
    if _backend == "rlemasklib":
        canvas = np.zeros((h, w), np.uint8)
        for mask, value in zip(_rlemasks(counts_list, (h, w)), values, strict=True):
            mask.decode_into(canvas, int(value))
        return canvas
    table = np.array([0, *values], np.uint8)
    return table[paint_ranks(counts_list, size)]


def row_runs(counts_list: Sequence[bytes | str], size: tuple[int, int]) -> list[np.ndarray]:
    """Run lengths of every mask when it is scanned row by row, zeros first, none of length 0 but perhaps the first.

    This is the order in which images are written. uint32 or int64. Raises RleError.
    """
    h, w = checked_size(size)
    if _backend == "rlemasklib":
        return [mask.transpose().counts_view for mask in _rlemasks(counts_list, (h, w))]
    lengths, offsets = runs_of_all(counts_list, size)
    return [_transposed(lengths[a:b], (h, w)) for a, b in pairwise(offsets)]


def set_intervals(run_lists: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where masks are set: first places and stops (int64) in scan order, and the offsets of each mask in both."""
    if not run_lists:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(1, np.int64)
    pairs = [lengths[: lengths.size & ~1] for lengths in run_lists]  # a last run of zeros sets nothing
    offsets = np.concatenate(([0], np.cumsum([pair.size for pair in pairs])))
    ends = np.cumsum(np.concatenate(pairs), dtype=np.int64)
    begin = np.concatenate(([0], ends))[offsets[:-1]]
    ends -= np.repeat(begin, np.diff(offsets))
    return ends[0::2], ends[1::2], offsets // 2


def _rlemasks(counts_list: Sequence[bytes | str], size: tuple[int, int]) -> list:
    """Checked masks as objects of RLEMaskLib."""
    h, w = size
    strings = [as_bytes(counts) for counts in counts_list]
    joined = b"".join(strings).translate(ROLE)
    # Numbers of up to six characters and less than 2**29 pixels: then no number of a wrong mask is cut to 32 bits
    # before RLEMaskLib has seen a run that breaks its sum, and its own check is enough.
    simple = h * w < 1 << 29 and b"2" not in joined and b"111111" not in joined and joined.endswith(b"0")
    if not simple or not all(strings) or any(string[-1] >= 80 for string in strings):
        _raise_first_problem(strings, size)  # or there are only numbers that are written longer than they must be
    shape = [h, w]
    try:
        return [_RLEMask.from_dict({"size": shape, "counts": string}) for string in strings]
    except ValueError:
        _raise_first_problem(strings, size)
        raise


def _rlemask(counts: bytes | str, size: tuple[int, int]):
    return _rlemasks([counts], checked_size(size))[0]


def _paint_byte(masks: list, size: tuple[int, int], byte: int) -> np.ndarray:
    """One byte of the ranks + 1, uint8 (h, w): RLEMaskLib paints bytes, and later masks win in each byte alike."""
    canvas = np.zeros(size, np.uint8)
    for i, mask in enumerate(masks):
        mask.decode_into(canvas, (i + 1) >> 8 * byte & 255)
    return canvas


def _transposed(lengths: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Runs of a row-major scan from those of a column-major scan, int64, in O(runs log runs) and without pixels.

    A pixel differs from its left neighbour where the mask and the mask shifted by one column differ; in a column-major
    scan that shift adds h to the place of every toggle.
    """
    h, w = size
    toggles = np.cumsum(lengths)[:-1]
    places, seen = np.unique(np.concatenate((toggles, toggles + h)), return_counts=True)
    places = np.minimum(places[seen % 2 == 1], h * w)
    first, stop = places[0::2], places[1::2]
    count = stop - first
    inside = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    column, row = np.divmod(np.repeat(first, count) + inside, h)
    # In a row-major scan the left neighbour of a row's first pixel is the last pixel of the row before.
    ends_set = np.zeros(h, bool)
    ends_set[_last_column(lengths, size)] = True
    wraps = np.flatnonzero(ends_set[:-1]) + 1
    changes, seen = np.unique(np.concatenate((row * w + column, wraps * w)), return_counts=True)
    return np.diff(changes[seen % 2 == 1], prepend=0, append=h * w)


def _last_column(lengths: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Rows in which the last column is set."""
    h, w = size
    ends = np.cumsum(lengths)
    rows = np.arange((w - 1) * h, w * h)
    return np.flatnonzero(np.searchsorted(ends, rows, side="right") % 2)


def _batches(counts_list: Sequence[bytes | str]) -> Iterator[tuple[int, int]]:
    """Cuts a list of masks into (first, stop) of about _BATCH_CHARACTERS each."""
    first = characters = 0
    for i, counts in enumerate(counts_list):
        characters += len(counts) if isinstance(counts, (bytes, str)) else 0
        if characters > _BATCH_CHARACTERS:
            yield first, i + 1
            first, characters = i + 1, 0
    if first < len(counts_list):
        yield first, len(counts_list)


def _raise_first_problem(strings: list[bytes], size: tuple[int, int]) -> None:
    for a, b in _batches(strings):
        for i, problem in enumerate(_validate_batch(strings[a:b], size), a):
            _raise_if(problem, i, len(strings))


def _validate_batch(counts_list: Sequence[bytes | str], size: tuple[int, int]) -> list[str | None]:
    h, w = size
    problems: list[str | None] = [None] * len(counts_list)
    strings, spelled = [], []
    for i, counts in enumerate(counts_list):
        try:
            strings.append(as_bytes(counts))
            problem = spelling_problem(strings[-1], h * w)
        except RleError as error:
            problems[i] = str(error)
            continue
        if problem:
            problems[i] = problem
            strings.pop()
        else:
            spelled.append(i)
    lengths, offsets = parse(strings)
    for k in np.flatnonzero(wrong_runs(lengths, offsets, h * w)):
        problems[spelled[k]] = runs_problem(lengths[offsets[k] : offsets[k + 1]], size)
    return problems


def _raise_if(problem: str | None, index: int = 0, n: int = 1) -> None:
    if problem:
        raise RleError(f"mask {index} of {n}: {problem}" if n > 1 else problem)


def _use_backend(name: str) -> str:
    """For tests: work with "numpy" or "rlemasklib" from now on; returns the backend that was in use."""
    global _backend
    if name not in ("numpy", "rlemasklib") or (name == "rlemasklib" and _RLEMask is None):
        raise ValueError(f"no backend {name!r} here")
    previous, _backend = _backend, name
    return previous
