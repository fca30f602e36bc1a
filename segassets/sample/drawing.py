"""A small software painter: anti-aliased shapes on a float canvas that remembers which shape owns each pixel.

Every fill gets the next number, and a group covers the numbers of everything painted inside it. The visible mask of any
object or part is therefore one comparison with the owner map, with occlusion by later shapes already taken care of.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[float, float, float]
Point = tuple[float, float]

TILE = 1024
_CELLS = {"cloud": (4, 7), "leaf": (40, 4), "fine": (150, 3), "blotch": (12, 5)}


def rng_for(*key: object) -> np.random.Generator:
    """A generator that depends on the key only, never on what was drawn before."""
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


@lru_cache(maxsize=8)
def noise_tile(kind: str) -> np.ndarray:
    """A periodic TILE x TILE field with mean 0 and about unit spread; `grain` is white, the others are fractal."""
    rng = rng_for("noise", kind)
    if kind == "grain":
        return rng.standard_normal((TILE, TILE), dtype=np.float32)
    cells, octaves = _CELLS[kind]
    field = np.zeros((TILE, TILE), np.float32)
    for octave in range(octaves):
        field += 0.55**octave * _smooth_field(rng, min(cells * 2**octave, TILE))
    field -= field.mean()
    return field / field.std()


def _smooth_field(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Random values on a cells x cells torus, interpolated to the tile's size."""
    pad = 3
    grid = np.pad(rng.standard_normal((cells, cells), dtype=np.float32), pad, mode="wrap")
    box = (pad, pad, pad + cells, pad + cells)
    return np.asarray(Image.fromarray(grid).resize((TILE, TILE), Image.Resampling.BICUBIC, box=box))


def noise_patch(kind: str, height: int, width: int, offset: tuple[int, int]) -> np.ndarray:
    """A height x width piece of a noise tile, starting anywhere (the tile wraps around)."""
    tile = noise_tile(kind)
    y, x = offset[0] % TILE, offset[1] % TILE
    if y + height <= TILE and x + width <= TILE:
        return tile[y : y + height, x : x + width]
    rows = np.arange(y, y + height) % TILE
    cols = np.arange(x, x + width) % TILE
    return tile[rows[:, None], cols[None, :]]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` of the way from the first to the second."""
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def scaled(colour: Colour, factor: float) -> Colour:
    """The colour made lighter or darker."""
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


@dataclass(frozen=True)
class Paint:
    """What a shape is filled with: a colour, noise on it, and linear lightening (down, across)."""

    colour: Colour
    texture: float = 0.0
    kind: str = "fine"
    down: float = 0.0
    across: float = 0.0
    opacity: float = 1.0

    def at(self, height: int, width: int, offset: tuple[int, int]) -> np.ndarray:
        """The fill for a box of this size: one colour, or a (height, width, 3) array."""
        colour = np.asarray(self.colour, np.float32)
        if not (self.texture or self.down or self.across) or height * width < 40:
            return colour
        light = np.ones((height, width), np.float32)
        if self.texture:
            light += self.texture * noise_patch(self.kind, height, width, offset)
        if self.down:
            light += self.down * np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
        if self.across:
            light += self.across * np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
        return light[:, :, None] * colour


@dataclass
class Node:
    """A painted shape or a group of them; it owns the numbers from its own up to, not including, `end`."""

    name: str
    parent: int
    end: int = 0
    label: int | None = None
    track: int | None = None


class Canvas:
    """A picture being painted, back to front."""

    def __init__(self, height: int, width: int, seed: object = 0) -> None:
        self.height, self.width = height, width
        self.rgb = np.zeros((height, width, 3), np.float32)
        self.owner = np.zeros((height, width), np.uint16)
        self.nodes = [Node("background", 0, 1)]
        self._open = [0]
        self.rng = rng_for("canvas", seed)

    @contextmanager
    def group(self, name: str, label: int | None = None, track: int | None = None) -> Iterator[int]:
        """Everything painted inside belongs to one object (and to the groups around it)."""
        number = self._add(name, label, track)
        self._open.append(number)
        try:
            yield number
        finally:
            self._open.pop()
            self.nodes[number].end = len(self.nodes)

    def _add(self, name: str, label: int | None = None, track: int | None = None) -> int:
        self.nodes.append(Node(name, self._open[-1], len(self.nodes) + 1, label, track))
        return len(self.nodes) - 1

    def polygon(self, points: Sequence[Point], paint: Paint, name: str = "part", owns: bool = True) -> None:
        """Fill one polygon."""
        self.polygons([points], paint, name, owns)

    def polygons(
        self,
        shapes: Sequence[Sequence[Point]],
        paint: Paint,
        name: str = "part",
        owns: bool = True,
        apart: bool = False,
    ) -> None:
        """Fill several polygons in one go: as one part, or (apart) each as a part of its own."""
        box = self._box(shapes)
        if box is None:
            return
        left, top, right, bottom = box
        if (right - left) * (bottom - top) <= 4:
            return  # less than a pixel: what it belongs to already stands there
        # Small shapes get finer sampling: their edges are most of what is seen of them.
        zoom = 4 if (right - left) * (bottom - top) < 1600 else 2
        drawn = Image.new("L", ((right - left) * zoom, (bottom - top) * zoom))
        pen = ImageDraw.Draw(drawn)
        moved = [[((x - left) * zoom - 0.5, (y - top) * zoom - 0.5) for x, y in shape] for shape in shapes]
        for shape in moved:
            pen.polygon(shape, fill=255)
        alpha = np.asarray(drawn.reduce(zoom), np.float32) / 255
        if apart and owns:
            self._blend(left, top, alpha, paint, None)
            self._own_apart(left, top, alpha, moved, zoom, name)
        else:
            self._blend(left, top, alpha, paint, name if owns else None)

    def _box(self, shapes: Sequence[Sequence[Point]]) -> tuple[int, int, int, int] | None:
        """The whole pixels around the shapes, cut to the canvas."""
        xs = [x for shape in shapes for x, _ in shape]
        ys = [y for shape in shapes for _, y in shape]
        if not xs:
            return None
        left, top = max(0, math.floor(min(xs))), max(0, math.floor(min(ys)))
        right, bottom = min(self.width, math.ceil(max(xs)) + 1), min(self.height, math.ceil(max(ys)) + 1)
        return (left, top, right, bottom) if right > left and bottom > top else None

    def _own_apart(self, left: int, top: int, alpha: np.ndarray, shapes: list, zoom: int, name: str) -> None:
        """Give each of several shapes painted together a number of its own."""
        height, width = alpha.shape
        index = Image.new("I", (width, height))
        pen = ImageDraw.Draw(index)
        for shape in shapes:
            pen.polygon([(x / zoom, y / zoom) for x, y in shape], fill=self._add(name))
        numbers = np.asarray(index)
        own = (numbers > 0) & (alpha >= 0.5)
        self.owner[top : top + height, left : left + width][own] = numbers[own]

    def _blend(self, left: int, top: int, alpha: np.ndarray, paint: Paint, name: str | None) -> None:
        height, width = alpha.shape
        offset = (int(self.rng.integers(TILE)), int(self.rng.integers(TILE))) if paint.texture else (0, 0)
        self.region(left, top, alpha, paint.at(height, width, offset), name, paint.opacity)

    def region(
        self, left: int, top: int, alpha: np.ndarray, colour: np.ndarray, name: str | None, opacity: float = 1.0
    ) -> None:
        """Blend a soft mask in; without a name the pixels keep their owner (shadows, highlights, haze)."""
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(self.width, left + alpha.shape[1]), min(self.height, top + alpha.shape[0])
        if x1 <= x0 or y1 <= y0:
            return
        cut = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        alpha = alpha[cut]
        if colour.ndim == 3:
            colour = colour[cut]
        target = self.rgb[y0:y1, x0:x1]
        target += (alpha * np.float32(opacity))[:, :, None] * (colour - target)
        if name is not None:
            self.owner[y0:y1, x0:x1][alpha >= 0.5] = self._add(name)

    def ellipse(
        self, centre: Point, radii: Point, paint: Paint, name: str = "part", owns: bool = True, turn: float = 0.0
    ) -> None:
        """Fill an ellipse, turned by `turn` radians."""
        self.polygon(ellipse_points(centre, radii, turn), paint, name, owns)

    def stroke(self, points: Sequence[Point], widths: Sequence[float], paint: Paint, name: str = "part") -> None:
        """A limb, branch or cable: a line with a width at every point and round ends."""
        shapes: list[Sequence[Point]] = []
        for (x0, y0), (x1, y1), w0, w1 in zip(points, points[1:], widths, widths[1:], strict=False):
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            nx, ny = (y0 - y1) / length / 2, (x1 - x0) / length / 2
            shapes.append(
                [
                    (x0 + nx * w0, y0 + ny * w0),
                    (x1 + nx * w1, y1 + ny * w1),
                    (x1 - nx * w1, y1 - ny * w1),
                    (x0 - nx * w0, y0 - ny * w0),
                ]
            )
        shapes += [ellipse_points(p, (w / 2, w / 2), 0, 10) for p, w in zip(points, widths, strict=True) if w > 2]
        self.polygons(shapes, paint, name)

    def shadow(self, centre: Point, radii: Point, strength: float = 0.55) -> None:
        """A soft dark ellipse on whatever is there; it owns nothing."""
        rx, ry = max(radii[0], 1.0), max(radii[1], 0.7)
        left, top = math.floor(centre[0] - rx), math.floor(centre[1] - ry)
        x = (np.arange(left, left + math.ceil(2 * rx) + 2, dtype=np.float32) - centre[0]) / rx
        y = (np.arange(top, top + math.ceil(2 * ry) + 2, dtype=np.float32) - centre[1]) / ry
        alpha = np.clip(1.25 * (1 - x[None, :] ** 2 - y[:, None] ** 2), 0, 1)
        self.region(left, top, alpha, np.asarray((18, 20, 26), np.float32), None, strength)

    def mask(self, number: int, owner: np.ndarray | None = None) -> np.ndarray:
        """The visible pixels of a shape or group; `owner` may be a copy of the owner map in another memory order."""
        owner = self.owner if owner is None else owner
        return (owner >= number) & (owner < self.nodes[number].end)

    def areas(self) -> np.ndarray:
        """The visible area of every node, groups included."""
        counts = np.bincount(self.owner.ravel(), minlength=len(self.nodes))
        sums = np.concatenate(([0], np.cumsum(counts)))
        return np.array([sums[node.end] - sums[i] for i, node in enumerate(self.nodes)])


def ellipse_points(centre: Point, radii: Point, turn: float = 0.0, count: int = 0) -> list[Point]:
    """A polygon that passes for an ellipse."""
    count = count or (28 if max(radii) > 6 else 12)
    cos, sin = math.cos(turn), math.sin(turn)
    points = []
    for k in range(count):
        x, y = radii[0] * math.cos(k * math.tau / count), radii[1] * math.sin(k * math.tau / count)
        points.append((centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos))
    return points


def around(centre: Point, scale: float, offsets: Sequence[Point]) -> list[Point]:
    """Points given relative to a centre, in units of `scale`."""
    return [(centre[0] + scale * a, centre[1] + scale * b) for a, b in offsets]


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    """The four corners of an upright rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


@lru_cache(maxsize=1)
def _sensor_noise() -> np.ndarray:
    """Noise of three channels: mostly in brightness, less in colour."""
    grey = noise_tile("grain")
    own = [np.roll(grey, shift, axis=(0, 1)) for shift in ((311, 57), (97, 701), (653, 389))]
    return np.stack([0.8 * grey + 0.45 * channel for channel in own], axis=2)


@lru_cache(maxsize=16)
def _vignette(height: int, width: int, strength: float) -> np.ndarray:
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return (1 - strength * (x * x + y * y) ** 1.5 / 2.83)[:, :, None]


def photograph(
    rgb: np.ndarray, key: object, blur: float = 0.6, noise: float = 3.0, vignette: float = 0.25,
    balance: Colour = (1, 1, 1),
) -> np.ndarray:  # fmt: skip
    """What a camera makes of the painted light: lens blur, vignette, white balance, sensor noise, 8 bits."""
    height, width = rgb.shape[:2]
    rng = rng_for("photograph", key)
    sharp = Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))
    seen = np.asarray(sharp.filter(ImageFilter.GaussianBlur(blur)) if blur else sharp, np.float32)
    seen = seen * (_vignette(height, width, vignette) * np.asarray(balance, np.float32))
    y, x = rng.integers(TILE - height, size=1)[0], rng.integers(TILE - width, size=1)[0]
    seen += np.float32(noise) * _sensor_noise()[y : y + height, x : x + width]
    return np.clip(seen + 0.5, 0, 255).astype(np.uint8)


def jpeg_bytes(rgb: np.ndarray, quality: int = 88) -> bytes:
    """The picture as a baseline JPEG."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality)
    return out.getvalue()


def png_bytes(pixels: np.ndarray | Image.Image, level: int = 6) -> bytes:
    """The picture or label map as a PNG; uint16 arrays become 16-bit grey."""
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, "PNG", compress_level=level)
    return out.getvalue()
