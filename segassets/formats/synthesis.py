"""Synthetic group photographs (I-HIM50K): people cut out of pictures, placed on a background, by upstream's draws.

Belongs here: one image from decoded pictures. Upstream's script seeds numpy's legacy generator with the image's number,
so an image depends on its number and on the order of the input lists only. Work is done in the boxes of the people,
not on whole frames; decisions near the limit are taken on whole frames in single precision, as upstream does.
Source: the MaGGIe specification 3.1; golden data `synth_image/`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from segassets.formats.resample import BICUBIC, resized

MIN_LEFT = 0.7
TRIES = 3
SCALES = (0.5, 0.9)
NEAR = 1e-4  # a ratio this close to the limit is computed in upstream's own precision
SMALL = 1e-7
#: (alpha levels) / 255 in the precision of upstream's mattes.
OPACITY = (np.arange(256) / 255).astype(np.float32)


class NotMade(Exception):
    """An image that upstream does not make, or cannot; the message says why."""


@dataclass
class Instance:
    """A person in the frame: the visible share of every pixel of the box at (x, y), float32 (height, width)."""

    name: str
    x: int
    y: int
    matte: np.ndarray
    picture: Image.Image
    area: float = 0.0

    @property
    def box(self) -> tuple[int, int, int, int]:
        h, w = self.matte.shape
        return self.x, self.y, self.x + w, self.y + h


@dataclass
class Composite:
    """What became of a number. `instances`: those with any visible pixel, in the order of pasting."""

    image: Image.Image
    background: Image.Image
    instances: list[Instance] = field(default_factory=list)


def chosen(number: int, foregrounds: int, backgrounds: int) -> tuple[list[int], int, np.random.RandomState]:
    """Places in the lists of what image `number` is made of, and the generator as it stands then."""
    random = np.random.RandomState(number)
    count = random.randint(2, 5)
    people = random.choice(foregrounds, size=(count,), replace=False)
    return [int(k) for k in people], int(random.choice(backgrounds)), random


def compose(
    people: list[tuple[str, Image.Image, Callable[[], Image.Image]]],
    background: Image.Image,
    random: np.random.RandomState,
) -> Composite:
    """Scale and place everybody.

    `people`: name, alpha, and a function that decodes the picture, asked only for those who find a place. Raises
    NotMade when nobody is visible, or where upstream's script would fail.
    """
    width, height = background.size
    scaled = []
    for name, alpha, decode in people:
        box = _box(alpha, name)
        scale = random.uniform(*SCALES) * height / (box[3] - box[1])
        size = (int((box[2] - box[0]) * scale), int((box[3] - box[1]) * scale))
        if 0 in size:
            raise NotMade(f"{name} would have no pixels")
        scaled.append((name, box, size, resized(alpha.crop(box), size, BICUBIC), decode))
    image, placed = background.copy(), []
    for name, box, size, alpha, decode in scaled:
        matte = np.take(OPACITY, np.asarray(alpha))
        place = _place(placed, matte, (width, height), random)
        if place is not None:
            picture = resized(decode().crop(box), size, BICUBIC)
            image.paste(picture, place, alpha)
            placed.append(Instance(name, *place, matte, picture, float(matte.sum(dtype=np.float64))))
    visible = [instance for instance in placed if instance.matte.any()]
    if not visible:
        raise NotMade("nobody found a place")
    return Composite(image, background, visible)


def _box(alpha: Image.Image, name: str) -> tuple[int, int, int, int]:
    box = alpha.getbbox()
    if box is None:
        raise NotMade(f"the alpha of {name} is empty")
    return box


def _place(
    placed: list[Instance], opacity: np.ndarray, frame: tuple[int, int], random: np.random.RandomState
) -> tuple[int, int] | None:
    """Where the next person goes; those behind lose what is covered. None when three tries covered too much."""
    h, w = opacity.shape
    if frame[0] - w <= 0 or frame[1] - h <= 0:
        return None
    for _ in range(TRIES):
        x, y = random.randint(0, frame[0] - w), random.randint(0, frame[1] - h)
        left = _covered(placed, opacity, x, y, frame)
        if left is not None:
            for instance, (window, matte, area) in zip(placed, left, strict=True):
                instance.matte[window] = matte
                instance.area = area
            return x, y
    return None


def _covered(placed: list[Instance], opacity: np.ndarray, x: int, y: int, frame: tuple[int, int]) -> list | None:
    """(window, visible shares in it, area) of everybody with this person in front; None when one loses too much."""
    left = []
    for instance in placed:
        window, mine = _overlap(instance, x, y, opacity.shape)
        before = instance.matte[window]
        matte = before * (np.float32(1) - opacity[mine])
        area = instance.area - float(before.sum(dtype=np.float64)) + float(matte.sum(dtype=np.float64))
        if instance.area > 0:
            ratio = area / (instance.area + SMALL)
            if abs(ratio - MIN_LEFT) < NEAR:
                ratio = _exact_ratio(instance, window, matte, frame)
            if ratio < MIN_LEFT:
                return None
        left.append((window, matte, area if instance.matte.size else 0.0))
    return left


def _overlap(instance: Instance, x: int, y: int, shape: tuple[int, int]):
    """The common box, in the coordinates of the instance and of the newcomer; empty when there is none."""
    x0, y0, x1, y1 = instance.box
    left, top = max(x0, x), max(y0, y)
    right, bottom = max(left, min(x1, x + shape[1])), max(top, min(y1, y + shape[0]))
    return (
        (slice(top - y0, bottom - y0), slice(left - x0, right - x0)),
        (slice(top - y, bottom - y), slice(left - x, right - x)),
    )


def _exact_ratio(instance: Instance, window, matte: np.ndarray, frame: tuple[int, int]) -> float:
    """The ratio as upstream computes it: sums of whole frames in single precision, whose rounding may decide."""
    x0, y0, x1, y1 = instance.box
    whole = np.zeros((frame[1], frame[0]), np.float32)
    whole[y0:y1, x0:x1] = instance.matte
    before = whole.sum()
    whole[y0:y1, x0:x1][window] = matte
    return float(whole.sum() / (before + np.float32(SMALL)))


def levels(matte: np.ndarray) -> np.ndarray:
    """Visible shares as 8-bit levels, rounded down as upstream does."""
    return (matte * 255).astype(np.uint8)
