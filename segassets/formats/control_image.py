"""The control image of an SA-1B image: every mask in a colour of its rank, later (smaller) masks over earlier ones.

ASAM trains its ControlNet on these beside the photographs. The colours are those of its removed script
utils/sam_control_signal.py; they depend on how many masks there are, and say nothing once masks overlap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from segassets.formats import png, rle

_WHITE = (1 << 24) - 1


def rank_colours(n: int) -> np.ndarray:
    """Colours of ranks 0 to n - 1: uint8 (n, 3), red green blue; the last one is white.

    floor((2**24 - 1) * (rank + 1) / n), its lowest byte is red. Whole numbers throughout: upstream's floating-point
    division gives the same for every n below about a million.
    """
    if n < 0:
        raise ValueError(f"{n} masks: expected 0 or more")
    place = _WHITE * np.arange(1, n + 1, dtype=np.int64) // max(n, 1)
    return np.stack((place & 255, place >> 8 & 255, place >> 16), axis=1).astype(np.uint8)


def control_png(counts_in_rank_order: Sequence[bytes | str], size: tuple[int, int]) -> tuple[bytes, str]:
    """(8-bit RGB PNG at full resolution on black, content digest). size: (h, w). Raises rle.RleError.

    The digest is what `content_digest` says of the decoded content: it does not depend on how the PNG is compressed.
    """
    ranks = rle.paint_ranks(counts_in_rank_order, size)
    n = len(counts_in_rank_order)
    colours = np.concatenate((np.zeros((1, 3), np.uint8), rank_colours(n)))
    return png.palette_rgb_png(ranks, colours), content_digest(n, ranks)


def content_digest(n: int, ranks: np.ndarray) -> str:
    """SHA-256, hexadecimal, over the number of masks and the map of ranks: its shape, dtype and little-endian bytes."""
    ranks = np.ascontiguousarray(ranks.astype(ranks.dtype.newbyteorder("<"), copy=False))
    digest = hashlib.sha256(json.dumps([n, list(ranks.shape), ranks.dtype.str]).encode())
    digest.update(ranks)
    return digest.hexdigest()
