"""Trimaps of alpha mattes, and the seeded perturbation of masks. Exact in numpy: OpenCV is not needed.

Morphology as OpenCV has it: what lies outside the image is ignored (the default border of erode and dilate), the
anchor of a kernel of size k is k // 2. Source: the MaGGIe specification 4 and 5; golden data `eval/`.
"""

from __future__ import annotations

import numpy as np

KERNEL = 25
OPAQUE = 127.5
THRESHOLDS = (0.1, 0.95)
KERNEL_LIMIT = 30
ORDERS = ("dilate_erode", "erode_dilate", "dilate", "erode")


def trimap(alpha: np.ndarray, kernel: int = KERNEL) -> np.ndarray:
    """0 background, 1 transition, 2 foreground; uint8, of the shape of `alpha` (height, width), uint8.

    Transition: where the values in an elliptic neighbourhood of `kernel` pixels are not all the same.
    """
    out = np.where(alpha > OPAQUE, np.uint8(2), np.uint8(0))
    out[not_constant(alpha, kernel)] = 1
    return out


def ellipse(kernel: int) -> list[int]:
    """Half widths of the rows of an elliptic kernel of odd size, from top to bottom (cv2.getStructuringElement)."""
    r = kernel // 2
    return [round(r * float(np.sqrt((r * r - dy * dy) / (r * r)))) for dy in range(-r, r + 1)]


def not_constant(values: np.ndarray, kernel: int) -> np.ndarray:
    """Whether dilation less erosion with the ellipse is above 0: bool, of the shape of `values`.

    A neighbourhood is constant when each of its rows is, and its middle column, which all rows share, is. So only
    changes between neighbours count, and no maximum or minimum is needed.
    """
    h, w = values.shape
    out = np.zeros((h, w), bool)
    across = values[:, 1:] != values[:, :-1]
    down = values[1:] != values[:-1]
    rows, columns = np.flatnonzero(across.any(1)), np.flatnonzero(across.any(0))
    tall, wide = np.flatnonzero(down.any(1)), np.flatnonzero(down.any(0))
    if len(rows) + len(tall) == 0:
        return out
    r = kernel // 2
    top = max(0, min([*rows[:1], *tall[:1]]) - r)
    bottom = min(h, max([*rows[-1:], *(tall[-1:] + 1)]) + r + 1)
    left = max(0, min([*columns[:1], *wide[:1]]) - r)
    right = min(w, max([*(columns[-1:] + 1), *wide[-1:]]) + r + 1)
    window = (slice(top, bottom), slice(left, right))
    out[window] = _changes_near(values[window], ellipse(kernel))
    return out


def _changes_near(values: np.ndarray, widths: list[int]) -> np.ndarray:
    h, w = values.shape
    r = len(widths) // 2
    out = np.zeros((h, w), bool)
    # How many changes lie left of each pixel, so that a row's window is a difference of two places.
    seen = np.zeros((h, w), np.int32)
    np.cumsum(values[:, 1:] != values[:, :-1], axis=1, out=seen[:, 1:])
    columns = np.arange(w)
    by_width: dict[int, np.ndarray] = {}
    for dy in range(-r, r + 1):
        half = widths[dy + r]
        if half not in by_width:
            by_width[half] = seen[:, np.minimum(columns + half, w - 1)] != seen[:, np.maximum(columns - half, 0)]
        source, target = _shifted(h, dy)
        out[target] |= by_width[half][source]
    above = np.zeros((h, w), np.int32)
    np.cumsum(values[1:] != values[:-1], axis=0, out=above[1:])
    lines = np.arange(h)
    out |= above[np.minimum(lines + r, h - 1)] != above[np.maximum(lines - r, 0)]
    return out


def _shifted(h: int, dy: int) -> tuple[slice, slice]:
    return slice(max(0, dy), max(0, min(h, h + dy))), slice(max(0, -dy), max(0, min(h, h - dy)))


def dilate(mask: np.ndarray, kernel: int) -> np.ndarray:
    """Binary dilation by a full square; bool (height, width)."""
    return _any_in_window(_any_in_window(mask, kernel, 1), kernel, 0)


def erode(mask: np.ndarray, kernel: int) -> np.ndarray:
    """Binary erosion by a full square; what lies outside does not erode."""
    return ~dilate(~mask, kernel)


def _any_in_window(mask: np.ndarray, kernel: int, axis: int) -> np.ndarray:
    """Whether anything is set from `kernel // 2` before to `kernel - 1 - kernel // 2` behind, along an axis."""
    n = mask.shape[axis]
    shape = list(mask.shape)
    shape[axis] += 1
    seen = np.zeros(shape, np.int32)
    np.cumsum(mask, axis=axis, out=seen[1:] if axis == 0 else seen[:, 1:])
    place, before = np.arange(n), kernel // 2
    first, last = np.maximum(place - before, 0), np.minimum(place + kernel - before, n)
    return seen.take(last, axis) != seen.take(first, axis)


def perturbed(alpha: np.ndarray, random: np.random.RandomState, limit: int = KERNEL_LIMIT) -> np.ndarray:
    """A mask such as a detector might give, from an alpha (uint8): 0 and 255, uint8.

    A random threshold, then dilation and erosion by random squares, in upstream's order of draws
    (`RandomBinarizedMask`). It may come out empty.
    """
    threshold = random.uniform(*THRESHOLDS) * 255
    mask = alpha > np.floor(threshold)
    wide, narrow = random.randint(1, limit), random.randint(1, limit)
    order = random.choice(ORDERS)
    for step in order.split("_"):
        mask = dilate(mask, wide) if step == "dilate" else erode(mask, narrow)
    return mask.astype(np.uint8) * np.uint8(255)
