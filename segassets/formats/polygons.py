"""Outlines to run lengths, pixel for pixel as labelme (Pillow) or as pycocotools draws them.

Pillow truncates coordinates and sets the outline too; pycocotools samples the boundary and is unbiased. A flake of 200
pixels differs by a tenth between the two, so the choice decides what passes a threshold (MaskTerial specification,
2.2). Pillow's polygons changed in 11.2.1: older versions are refused.

One canvas of the full size serves all outlines of an image: drawn, cut out, cleared. A polygon must not be moved to a
small canvas instead, because Pillow rounds its edges in 32-bit floats and some then differ by a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from segassets.formats import rle

Points = Sequence[Sequence[float]]

#: Farther out than any photograph; a circle of such a radius would already take Pillow long to draw.
MAX_COORDINATE = 1_000_000
MIN_PILLOW = (11, 2, 1)

if tuple(int(part) for part in PIL.__version__.split(".")[:3] if part.isdigit()) < MIN_PILLOW:  # pragma: no cover
    raise ImportError(f"pillow {PIL.__version__} draws other polygons than 11.2.1 and later: upgrade it")


class Mask(NamedTuple):
    """Run lengths of one instance with what is counted on the way. bbox: x, y, w, h, integers; area in pixels."""

    counts: bytes
    area: int
    bbox: tuple[int, int, int, int]


class Canvas:
    """A (h, w) canvas on which the parts of one instance are united, then taken off as run lengths."""

    def __init__(self, size: tuple[int, int]):
        self.size = size
        h, w = size
        self._image = Image.new("L", (w, h))
        self._draw = ImageDraw.Draw(self._image)
        self._box = _NOTHING

    def polygon(self, points: Points) -> None:
        """Closed outline of at least three points, outline and inside."""
        xy = [(float(x), float(y)) for x, y in points]
        self._draw.polygon(xy, outline=1, fill=1)
        self._touch(*zip(*xy, strict=True))

    def rectangle(self, points: Points) -> None:
        """Two opposite corners in any order; both ends are inside."""
        (x0, x1), (y0, y1) = (sorted(map(float, values)) for values in zip(*points, strict=True))
        self._draw.rectangle([x0, y0, x1, y1], outline=1, fill=1)
        self._touch((x0, x1), (y0, y1))

    def circle(self, points: Points) -> None:
        """Centre and a point of the edge."""
        (cx, cy), (x, y) = points
        radius = math.hypot(cx - x, cy - y)
        box = [cx - radius, cy - radius, cx + radius, cy + radius]
        self._draw.ellipse(box, outline=1, fill=1)
        self._touch(box[0::2], box[1::2])

    def patch(self, inside: np.ndarray, corner: tuple[int, int]) -> None:
        """A mask (bool, h x w) with its upper left pixel at corner (x, y); what lies outside the canvas is cut."""
        stencil = Image.fromarray(inside.astype(np.uint8) * 255)
        self._image.paste(1, corner, stencil)
        self._touch((corner[0], corner[0] + inside.shape[1]), (corner[1], corner[1] + inside.shape[0]))

    def add(self, counts: bytes) -> None:
        """A mask of the canvas' size."""
        _, (box,) = rle.stats([counts], self.size)
        x, y, w, h = box.tolist()
        if w:
            self.patch(rle.decode(counts, self.size)[y : y + h, x : x + w] > 0, (x, y))

    def take(self) -> Mask:
        """What was drawn since the last time; the canvas is empty again."""
        left, top, right, bottom = self._clipped()
        self._box = _NOTHING
        if left >= right or top >= bottom:
            return Mask(_empty(self.size), 0, (0, 0, 0, 0))
        inside = np.asarray(self._image.crop((left, top, right, bottom)))
        self._image.paste(0, (left, top, right, bottom))
        return mask_of_crop(inside, (left, top), self.size)

    def _touch(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        left, top, right, bottom = self._box
        # Two pixels of margin: Pillow truncates and rounds, never farther than that.
        self._box = (min(left, *xs), min(top, *ys), max(right, *xs), max(bottom, *ys))

    def _clipped(self) -> tuple[int, int, int, int]:
        h, w = self.size
        left, top, right, bottom = self._box
        if left > right:
            return 0, 0, 0, 0
        return (
            max(0, math.floor(left) - 2),
            max(0, math.floor(top) - 2),
            min(w, math.ceil(right) + 3),
            min(h, math.ceil(bottom) + 3),
        )


_NOTHING = (math.inf, math.inf, -math.inf, -math.inf)


def mask_of_crop(inside: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> Mask:
    """The mask of `size` that has `inside` (h x w, not 0 is set) with its upper left pixel at corner (x, y)."""
    h, _ = size
    columns = np.ascontiguousarray(inside.T) != 0
    area = int(np.count_nonzero(columns))
    if not area:
        return Mask(_empty(size), 0, (0, 0, 0, 0))
    # One row of zeros before each column and one at the end: every run then begins and ends with a change.
    width, height = columns.shape
    padded = np.zeros((width, height + 2), np.bool_)
    padded[:, 1:-1] = columns
    change = np.flatnonzero(padded[:, 1:] != padded[:, :-1])
    column, row = np.divmod(change, height + 1)
    x, y = int(column[0]), int(row[0::2].min())
    bbox = (corner[0] + x, corner[1] + y, int(column[-1]) - x + 1, int(row[1::2].max()) - y)
    toggles = (column + corner[0]) * h + row + corner[1]
    # A run that reaches the lower border goes on in the next column.
    joined = np.flatnonzero(toggles[1:-1:2] == toggles[2::2])
    if joined.size:
        toggles = np.delete(toggles, np.concatenate((2 * joined + 1, 2 * joined + 2)))
    return Mask(_string(toggles, size), area, bbox)


def _string(toggles: np.ndarray, size: tuple[int, int]) -> bytes:
    h, w = size
    lengths = np.diff(toggles, prepend=0, append=h * w).tolist()
    if not lengths[-1]:
        lengths.pop()
    return coco.frPyObjects({"size": [h, w], "counts": lengths}, h, w)["counts"]


def _empty(size: tuple[int, int]) -> bytes:
    return rle.from_uncompressed([size[0] * size[1]], size)


def coco_polygons(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> Mask:
    """The union of flat polygons [x0, y0, x1, y1, ...] as pycocotools draws them (frPyObjects, then merge)."""
    h, w = size
    united = coco.merge(coco.frPyObjects([list(map(float, polygon)) for polygon in polygons], h, w), intersect=False)
    return measured(united["counts"], size)


def measured(counts: bytes, size: tuple[int, int]) -> Mask:
    """Run lengths with their area and box. Raises RleError."""
    areas, boxes = rle.stats([counts], size)
    x, y, w, h = boxes[0].tolist()
    return Mask(counts, int(areas[0]), (x, y, w, h))


def united(masks: Sequence[Mask], size: tuple[int, int]) -> Mask:
    """All pixels that one of the masks has."""
    if len(masks) == 1:
        return masks[0]
    h, w = size
    merged = coco.merge([{"size": [h, w], "counts": mask.counts} for mask in masks], intersect=False)
    return measured(merged["counts"], size)
