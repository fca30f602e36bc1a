"""The largest 4-connected part of a mask, in numpy: runs of set pixels are joined, not single pixels."""

from __future__ import annotations

import numpy as np


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Bool, of the shape of `mask`; nothing where nothing is set. Of parts of one size the one that begins first."""
    row, start, stop = _runs(mask)
    out = np.zeros(mask.shape, bool)
    if len(row) == 0:
        return out
    labels = _joined(row, start, stop)
    sizes = np.bincount(labels, weights=stop - start, minlength=len(row))
    for k in np.flatnonzero(labels == int(np.argmax(sizes))):
        out[row[k], start[k] : stop[k]] = True
    return out


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, first column, column behind the last) of every run, in reading order."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    edges = np.diff(padded, axis=1)
    row, start = np.nonzero(edges == 1)
    return row, start, np.nonzero(edges == -1)[1]


def _joined(row: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """For every run the number of the first run that it is connected with."""
    upper, lower = _touching(row, start, stop)
    labels = np.arange(len(row))
    while True:
        low = np.minimum(labels[upper], labels[lower])
        before = labels.copy()
        # Hooking the roots, not the runs, joins whole trees at once; then every run looks up its root.
        np.minimum.at(labels, labels[upper], low)
        np.minimum.at(labels, labels[lower], low)
        while not np.array_equal(labels, shorter := labels[labels]):
            labels = shorter
        if np.array_equal(labels, before):
            return labels


def _touching(row: np.ndarray, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of runs in neighbouring rows that share a column."""
    width = int(stop.max()) + 1
    begins, ends = row * width + start, row * width + stop
    # Of the row below, the runs that end behind my first column and begin before my end: neighbours in the list.
    first = np.searchsorted(ends, (row + 1) * width + start, side="right")
    last = np.searchsorted(begins, (row + 1) * width + stop, side="left")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(row)), counts)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, np.repeat(first, counts) + offset
