"""Random masks for property tests: noise, boxes, thin ones, full and empty ones, of every small shape."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as coco

SIDES = st.one_of(st.integers(1, 9), st.integers(1, 70), st.sampled_from([1, 2, 7, 8, 9, 255, 259, 517]))


@st.composite
def masks(draw, size: tuple[int, int] | None = None) -> np.ndarray:
    """One mask, uint8 0/1 (h, w)."""
    h, w = size or (draw(SIDES), draw(SIDES))
    kind = draw(st.sampled_from(["noise", "boxes", "boxes", "thin", "full", "empty"]))
    if kind in ("full", "empty"):
        return np.full((h, w), kind == "full", np.uint8)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if kind == "noise":
        return (rng.random((h, w)) < draw(st.sampled_from([0.01, 0.1, 0.5, 0.9]))).astype(np.uint8)
    mask = np.zeros((h, w), np.uint8)
    for _ in range(draw(st.integers(1, 5))):
        y, x = rng.integers(h), rng.integers(w)
        tall, wide = (1, w) if kind == "thin" and rng.random() < 0.5 else (h, 1) if kind == "thin" else (h, w)
        mask[y : y + rng.integers(1, tall + 1), x : x + rng.integers(1, wide + 1)] ^= 1
    return mask


@st.composite
def images(draw) -> list[np.ndarray]:
    """One to six masks of one size."""
    size = draw(SIDES), draw(SIDES)
    return draw(st.lists(masks(size), min_size=1, max_size=6))


def coco_string(mask: np.ndarray) -> bytes:
    return coco.encode(np.asfortranarray(mask))["counts"]
