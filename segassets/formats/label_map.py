"""Label maps in runs of equal pixels: areas, boxes and run lengths of all segments in one scan.

Belongs here: what every map of ids needs, whatever the ids mean. Not here: PNG (`png`, `panoptic`), categories.
2 million pixels are some 40,000 runs: after one comparison with the left neighbour everything happens on runs, which
is 30 to 60 times faster than a mask a segment. Run lengths are COCO's: column by column, zeros first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segassets.formats.compiled import Kernel

KERNEL = Kernel("segassets.formats._label_map_kernel", patience=1 << 23)
_BLOCK_ROWS = 32  # rows of a block whose transposition stays in the first-level cache


class Segments(NamedTuple):
    """Every value of a map, ascending, int64: `values` [n], `areas` [n] in pixels, `boxes` [n, 4] as x, y, w, h."""

    values: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray


class Runs(NamedTuple):
    """Runs of equal pixels of a map (h, w), row by row; none goes on in the next row. `starts`, `lengths`: int64."""

    starts: np.ndarray
    lengths: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]

    def painted(self, table: np.ndarray) -> np.ndarray:
        """The map of `table`'s entries (h, w), an entry a run: `table[i]` for the i-th run."""
        return np.repeat(table, self.lengths).reshape(self.shape)

    def changes(self, table: np.ndarray) -> np.ndarray:
        """Which runs begin a row or differ in `table` (an entry a run) from the run before, bool [n]."""
        height, width = self.shape
        new = np.ones(len(table), bool)
        np.not_equal(table[1:], table[:-1], out=new[1:])
        new[np.searchsorted(self.starts, np.arange(height) * width)] = True
        return new


def row_runs(values: np.ndarray) -> Runs:
    """The runs of a map of integers (h, w) in scan order, cut at the end of every row."""
    h, w = values.shape
    flat = np.ascontiguousarray(values).reshape(-1)
    change = np.empty(flat.size, bool)
    change[:1] = True
    np.not_equal(flat[1:], flat[:-1], out=change[1:])
    change[::w] = True
    starts = np.flatnonzero(change)
    return Runs(starts, np.diff(starts, append=flat.size), flat[starts], (h, w))


def runs_of(values: np.ndarray | Runs) -> Runs:
    """The runs of a map of integers (h, w), or runs as they are."""
    return values if isinstance(values, Runs) else row_runs(values)


def segments(values: np.ndarray | Runs) -> Segments:
    """Areas and tight boxes of all values of a map (h, w), or of its runs."""
    runs = runs_of(values)
    if not runs.starts.size:
        none = np.zeros(0, np.int64)
        return Segments(none, none, np.zeros((0, 4), np.int64))
    order = np.argsort(runs.values, kind="stable")
    values = runs.values[order]
    first = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    width = runs.shape[1]
    y, x = np.divmod(runs.starts[order], width)
    lengths = runs.lengths[order]
    left, right = np.minimum.reduceat(x, first), np.maximum.reduceat(x + lengths, first)
    # The sort is stable and runs come row by row: the first and last run of a value lie in its first and last row.
    top, bottom = y[first], y[np.append(first[1:], len(y)) - 1]
    boxes = np.stack((left, top, right - left, bottom - top + 1), axis=1)
    return Segments(values[first].astype(np.int64), np.add.reduceat(lengths, first), boxes)


def transposed(values: np.ndarray) -> np.ndarray:
    """The transposed map in C order; block by block, which is ten times faster than numpy's copy of `values.T`."""
    h, w = values.shape
    out = np.empty((w, h), values.dtype)
    for row in range(0, h, _BLOCK_ROWS):
        out[:, row : row + _BLOCK_ROWS] = values[row : row + _BLOCK_ROWS].T
    return out


def run_lengths(values: np.ndarray | Runs, wanted: np.ndarray | None = None) -> dict[int, list[int]]:
    """COCO's uncompressed run lengths of every value of a map, by value, ascending.

    `values`: integers (h, w), or their runs; `wanted`: only these. The lists have no run of length 0 but perhaps the first, and no
    trailing run of zeros when the mask ends on the last pixel.
    """
    if isinstance(values, Runs):
        values = values.painted(values.values)
    flat = transposed(values).reshape(-1)
    change = np.empty(flat.size, bool)
    change[:1] = True
    np.not_equal(flat[1:], flat[:-1], out=change[1:])
    starts = np.flatnonzero(change)
    ends = np.append(starts[1:], flat.size)
    of = flat[starts]
    if wanted is not None:
        if not len(wanted):
            return {}
        kept = np.isin(of, wanted)
        starts, ends, of = starts[kept], ends[kept], of[kept]
    if not of.size:
        return {}
    order = np.argsort(of, kind="stable")
    starts, ends, of = starts[order], ends[order], of[order]
    cuts = np.flatnonzero(np.concatenate(([True], of[1:] != of[:-1])))
    gaps = starts.copy()
    gaps[1:] -= ends[:-1]
    gaps[cuts] = starts[cuts]
    pairs = np.stack((gaps, ends - starts), axis=1).reshape(-1).tolist()
    found = {}
    for first, stop in zip(cuts.tolist(), [*cuts[1:].tolist(), of.size], strict=True):
        rest = flat.size - int(ends[stop - 1])
        found[int(of[first])] = pairs[2 * first : 2 * stop] + ([rest] if rest else [])
    return found


def joined(
    first: np.ndarray | Runs, second: np.ndarray | Runs
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Runs in which both of two maps of one shape are constant: (starts, lengths, values of the first, of the second).

    Maps (h, w) or their runs. Raises ValueError for maps of different shapes.
    """
    first, second = runs_of(first), runs_of(second)
    if first.shape != second.shape:
        raise ValueError(f"maps of {first.shape[::-1]} and {second.shape[::-1]} pixels cannot be compared")
    kernel = KERNEL.after(first.shape[0] * first.shape[1])
    starts, index = (_merged if kernel is None else _compiled_merge(kernel))(first.starts, second.starts)
    lengths = np.diff(starts, append=first.shape[0] * first.shape[1])
    return starts, lengths, first.values[index[0]], second.values[index[1]]


def _merged(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Two ascending lists of starts as one, and for each of them the index of the run that lies there."""
    starts = np.concatenate((first, second))
    order = np.argsort(starts, kind="stable")  # merges two sorted lists
    starts = starts[order]
    of_first = order < len(first)
    # Of two runs that begin at one pixel the later entry has counted both.
    kept = np.ones(len(starts), bool)
    np.not_equal(starts[1:], starts[:-1], out=kept[:-1])
    return starts[kept], [np.cumsum(flags)[kept] - 1 for flags in (of_first, ~of_first)]


def _compiled_merge(kernel):
    def merged(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        starts, *index = (np.empty(len(first) + len(second), np.int64) for _ in range(3))
        count = kernel.join(first, second, starts, *index)
        return starts[:count], [at[:count] for at in index]

    return merged


def pairs(first: np.ndarray | Runs, second: np.ndarray | Runs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which values of two maps of one shape lie on each other: (of the first, of the second, pixels), each int64 [n].

    Maps (h, w) or their runs; values are those of unsigned maps below 2**32. ValueError for maps of different shapes.
    """
    _, lengths, a, b = joined(first, second)
    if not lengths.size:
        return (np.zeros(0, np.int64),) * 3
    joint = a.astype(np.uint64) << np.uint64(32) | b.astype(np.uint64)
    order = np.argsort(joint)
    joint = joint[order]
    cuts = np.flatnonzero(np.concatenate(([True], joint[1:] != joint[:-1])))
    pixels = np.add.reduceat(lengths[order], cuts)
    found = joint[cuts]
    return (found >> np.uint64(32)).astype(np.int64), (found & np.uint64(0xFFFFFFFF)).astype(np.int64), pixels
