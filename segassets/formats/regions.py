"""Connected regions of a mask, by its runs: pixels that touch along an edge (4-neighbours) are one region."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def labels(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Region of every pixel of a (h, w) mask, int32 (h, w), 1 and up in the order of first pixels row by row, 0 where
    nothing is set; and how many regions there are."""
    h, w = mask.shape
    padded = np.zeros((h, w + 2), np.int8)
    padded[:, 1:-1] = mask != 0
    change = np.flatnonzero(np.diff(padded.reshape(-1)))
    starts, stops = change[0::2], change[1::2]  # in a row of w + 2, so that no run goes on in the next one
    if not len(starts):
        return np.zeros(mask.shape, np.int32), 0
    upper, lower = _touching(starts, stops, w + 2)
    region = np.arange(len(starts))
    while True:  # every run takes the least region among its neighbours, then that one's; few rounds
        least = region.copy()
        joined = np.minimum(region[upper], region[lower])
        np.minimum.at(least, region[upper], joined)
        np.minimum.at(least, region[lower], joined)
        while not np.array_equal(least, least[least]):
            least = least[least]
        if np.array_equal(least[region], region):
            break
        region = least[region]
    _, numbers = np.unique(region, return_inverse=True)
    found = np.zeros(h * (w + 2) + 1, np.int32)
    found[starts + 1] = numbers + 1
    found[stops + 1] -= (numbers + 1).astype(np.int32)
    return np.cumsum(found[:-1], dtype=np.int32).reshape(h, w + 2)[:, 1:-1], int(numbers.max()) + 1


def _touching(starts: np.ndarray, stops: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of runs (indices) of neighbouring rows that share a column."""
    first = np.searchsorted(stops, starts + width, side="right")  # in the row below: ends behind my start
    last = np.searchsorted(starts, stops + width, side="left")  # and begins before my end
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    return upper, lower


def regions(mask: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Each connected region as a bool array cut to its box, and the box's upper left pixel (y, x)."""
    labelled, count = labels(mask)
    if not count:
        return
    ys, xs = np.nonzero(labelled)
    which = labelled[ys, xs] - 1
    top, left = np.full(count, mask.shape[0]), np.full(count, mask.shape[1])
    bottom, right = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for least, most, at in ((top, bottom, ys), (left, right, xs)):
        np.minimum.at(least, which, at)
        np.maximum.at(most, which, at + 1)
    for k in range(count):
        y, x = int(top[k]), int(left[k])
        yield labelled[y : bottom[k], x : right[k]] == k + 1, (y, x)
