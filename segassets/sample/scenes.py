"""Procedural photographs with the visible masks of everything in them, whole and part."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from segassets.sample.camera import Camera
from segassets.sample.drawing import (
    TILE,
    Canvas,
    Colour,
    Paint,
    mix,
    noise_patch,
    noise_tile,
    photograph,
    rectangle,
    rng_for,
    scaled,
)
from segassets.sample.indoors import living_room
from segassets.sample.objects import conifer, person, sky, tree
from segassets.sample.street import Mover, Street
from segassets.sample.tabletop import still_life

MOODS = ("clear", "overcast", "evening", "hazy")


@dataclass
class ObjectMask:
    """The visible pixels of one object, or of one part of it (then `parent` is the number of the whole)."""

    name: str
    mask: np.ndarray
    number: int
    parent: int


@dataclass
class Scene:
    """A finished photograph, what it shows in words, and the canvas that knows who owns each pixel."""

    kind: str
    rgb: np.ndarray
    caption: str
    canvas: Canvas

    def masks(self, least: int = 60, limit: int = 60) -> Iterator[ObjectMask]:
        """Objects and parts with at least `least` visible pixels: the largest ones, then a spread of smaller ones."""
        areas = self.canvas.areas()
        wanted = [i for i in range(1, len(areas)) if areas[i] >= least and not self._only_child(i, areas)]
        # Whole objects before parts of the same size: somebody walking counts for more than a patch of wall.
        wanted.sort(key=lambda i: -areas[i] * (5 if self.canvas.nodes[i].parent == 0 else 1))
        if len(wanted) > limit:
            head = limit // 2
            rest = wanted[head:]
            wanted = wanted[:head] + [rest[k * len(rest) // (limit - head)] for k in range(limit - head)]
        owner = np.asfortranarray(self.canvas.owner)  # run lengths go down the columns
        for number in sorted(wanted):
            node = self.canvas.nodes[number]
            yield ObjectMask(node.name, self.canvas.mask(number, owner), number, node.parent)

    def _only_child(self, number: int, areas: np.ndarray) -> bool:
        """A part that covers (nearly) all of its whole would only repeat it."""
        parent = self.canvas.nodes[number].parent
        return parent > 0 and areas[number] > 0.97 * areas[parent]


def scene(kind: str, height: int, width: int, seed: object) -> Scene:
    """A scene of one of the kinds in SCENES."""
    rng = rng_for("scene", kind, seed)
    canvas = Canvas(height, width, seed)
    caption = SCENES[kind](canvas, rng, seed)
    balance = (rng.uniform(0.97, 1.05), 1.0, rng.uniform(0.95, 1.04))
    sensitivity = rng.uniform(1.5, 4.5) + (2.0 if kind in ("room", "table") else 0.0)
    rgb = photograph(canvas.rgb, (kind, seed), rng.uniform(0.45, 0.9), sensitivity, rng.uniform(0.1, 0.35), balance)
    return Scene(kind, rgb, caption, canvas)


def street_scene(canvas: Canvas, rng: np.random.Generator, seed: object) -> str:
    """A street with parked and moving cars and people, seen from a little above eye level."""
    camera = Camera(
        canvas.width,
        canvas.height,
        0.62 * max(canvas.width, canvas.height) * rng.uniform(0.8, 1.1),
        above=rng.uniform(1.6, 2.6),
        x=rng.uniform(-1.5, 1.5),
        horizon=rng.uniform(0.4, 0.5),
    )
    mood = str(rng.choice(MOODS))
    street = Street(("sa1b", seed), mood, rng.uniform(3.8, 5.2), rng.uniform(8.0, 10.0), detail=True)
    edge = street.half_road - 1.0
    for side in (-1, 1):
        z = rng.uniform(5, 9)
        while z < 45:
            if rng.random() < 0.7:
                street.movers.append(Mover("car", 0, side * edge, z, seed=(seed, side, round(z, 2))))
            z += rng.uniform(5.5, 9)
    street.movers.append(Mover("car", 0, -edge + 2.2, rng.uniform(14, 30), -8, seed=(seed, "moving")))
    people = int(rng.integers(3, 9))
    for k in range(people):
        x = rng.uniform(street.half_road + 0.6, street.facade - 0.9) * rng.choice([-1, 1])
        street.movers.append(Mover("person", k, x, rng.uniform(5.5, 26), 1.0, seed=(seed, "walker", k)))
    if rng.random() < 0.5:
        street.movers.append(Mover("person", 9, rng.uniform(-2, 2), rng.uniform(6, 12), 1.0, seed=(seed, "crossing")))
    street.on(canvas).paint(canvas, camera)
    words = {
        "clear": "on a sunny day",
        "overcast": "on a cloudy day",
        "evening": "at sunset",
        "hazy": "on a hazy morning",
    }
    return f"a street with cars parked along the side and people walking {words[mood]}"


def landscape(canvas: Canvas, rng: np.random.Generator, seed: object) -> str:
    """Hills behind hills, a lake or a meadow, trees, a cottage or two, sometimes walkers."""
    height, width = canvas.height, canvas.width
    mood = str(rng.choice(MOODS))
    horizon = height * rng.uniform(0.34, 0.46)
    haze = sky(canvas, horizon + height * 0.1, seed, mood)
    for k in range(4):
        base = horizon - height * (0.13 - 0.045 * k)
        tint = mix(haze, mix((92, 108, 92), (70, 92, 48), k / 3), 0.3 + 0.2 * k)
        _ridge(canvas, base, height * (0.15 - 0.028 * k), tint, (seed, k), 0.10 + 0.05 * k)
    lake = rng.random() < 0.55
    shore = horizon + height * (0.16 if lake else 0.06)
    if lake:
        _water(canvas, horizon + height * 0.03, shore + height * 0.1, haze, rng)
    _meadow(canvas, shore, mix((112, 124, 58), (150, 138, 78), rng.random()), horizon, rng)
    _path(canvas, shore, rng)
    things = [(rng.uniform(0.02, 0.75) ** 1.3, k) for k in range(int(rng.integers(9, 17)))]
    cottage_at = 0.2
    items: list[tuple[float, Callable[[], None]]] = []
    for far, k in things:
        items.append((far, lambda far=far, k=k: _grow(canvas, far, k, shore, seed)))
    for k in range(int(rng.integers(1, 3))):
        at = (width * rng.uniform(0.12, 0.88), shore + (height - shore) * (cottage_at + 0.1 * k))
        items.append(
            (cottage_at + 0.1 * k, lambda at=at, k=k: cottage(canvas, at, height * (0.13 + 0.05 * k), (seed, k)))
        )
    for k in range(int(rng.integers(0, 4))):
        far = rng.uniform(0.3, 0.6)
        at = (width * rng.uniform(0.15, 0.85), shore + (height - shore) * far)
        items.append(
            (far, lambda at=at, k=k, far=far: person(canvas, at, height * 0.28 * far, (seed, "hiker", k), 1.0))
        )
    for _, paint in sorted(items, key=lambda item: item[0]):
        paint()
    place = "a lake with mountains in the background" if lake else "a green meadow with hills in the background"
    return f"a small house and trees next to {place}"


def _ridge(canvas: Canvas, base: float, rise: float, tint: Colour, seed: object, rough: float) -> None:
    rng = rng_for("ridge", seed)
    x = np.arange(canvas.width)
    line = noise_patch("cloud", 1, canvas.width, tuple(rng.integers(TILE, size=2)))[0]
    top = base - rise * (
        0.25 + 0.55 * line + 0.05 * noise_patch("leaf", 1, canvas.width, tuple(rng.integers(TILE, size=2)))[0]
    )
    high = max(0, math.floor(top.min()))
    low = math.ceil(base + rise * 2.2)
    rows = np.arange(high, low, dtype=np.float32)[:, None]
    alpha = np.clip(rows - top[None, :] + 0.5, 0, 1)
    woods = noise_patch("leaf", len(rows), canvas.width, tuple(rng.integers(TILE, size=2)))
    folds = noise_patch("blotch", len(rows), canvas.width, tuple(rng.integers(TILE, size=2)))
    # Slopes turned to the light are brighter: the ridge line's own slope stands in for the relief below it.
    smooth = np.convolve(np.pad(top, 20, mode="edge"), np.ones(41) / 41, mode="valid")
    bent = np.clip(x[None, :] + (9 * folds + 5 * woods + 0.35 * (rows - top)).astype(int), 0, canvas.width - 1)
    slope = (np.gradient(smooth) * 0.3 + np.gradient(top) * 0.08)[bent.astype(int)] * np.exp(
        -(rows - top) / (rise * 1.2)
    )
    light = 1 + rough * (0.6 * woods + folds) - np.clip(slope, -0.22, 0.22)
    with canvas.group("hill"):
        canvas.region(0, high, alpha, light[:, :, None] * np.asarray(tint, np.float32), "slope")


def _water(canvas: Canvas, top: float, bottom: float, haze: Colour, rng: np.random.Generator) -> None:
    """A lake: what stands above it mirrored, broken up by ripples, fading to the sky's colour."""
    y0, y1 = round(top), round(bottom)
    rows = np.arange(y1 - y0)
    cols = np.arange(canvas.width)
    ripple = noise_tile("fine")[(rows * 5)[:, None] % TILE, (cols // 3)[None, :] % TILE]
    source = np.clip(
        y0 - 1 - rows[:, None] * 1.6 + 2.2 * ripple * (1 + rows[:, None] / 12), 0, canvas.height - 1
    ).astype(int)
    mirrored = canvas.rgb[source, cols[None, :]]
    colour = mirrored * 0.62 + np.asarray(haze, np.float32) * 0.22 + 5 * ripple[:, :, None]
    with canvas.group("lake"):
        canvas.region(0, y0, np.ones(ripple.shape, np.float32), colour, "water")


def _meadow(canvas: Canvas, top: float, tint: Colour, horizon: float, rng: np.random.Generator) -> None:
    """Grass in perspective, with flowers and darker patches."""
    y0 = math.floor(top - 6)
    rows = np.arange(y0, canvas.height, dtype=np.float32)[:, None]
    cols = np.arange(canvas.width, dtype=np.float32)[None, :]
    depth = 90 / np.maximum(rows - horizon + 4, 1)
    u, v = np.floor((cols - canvas.width / 2) * depth * 0.9).astype(int), np.floor(depth * 420).astype(int)
    edge = top + 5 * noise_patch("blotch", 1, canvas.width, tuple(rng.integers(TILE, size=2)))
    alpha = np.clip(rows - edge, 0, 1)
    near = np.clip((rows - horizon) / (canvas.height - horizon), 0, 1)
    blades = noise_tile("fine")[(v * 3) % TILE, (u * 3) % TILE] + 0.8 * noise_patch(
        "grain", len(rows), canvas.width, (7, 3)
    )
    grass = 0.5 * noise_tile("fine")[v % TILE, u % TILE] + blades * (0.4 + 0.6 * near)
    patches = noise_tile("blotch")[v // 3 % TILE, u // 3 % TILE]
    light = 1 + 0.1 * grass + 0.1 * patches - 0.18 * (rows - top) / (canvas.height - top)
    colour = light[:, :, None] * np.asarray(tint, np.float32)
    colour[:, :, 0] += 10 * patches
    with canvas.group("meadow"):
        canvas.region(0, y0, alpha, colour, "grass")


def _path(canvas: Canvas, top: float, rng: np.random.Generator) -> None:
    """A winding footpath that narrows towards the distance."""
    x, drift = canvas.width * rng.uniform(0.3, 0.7), rng.uniform(-0.25, 0.25) * canvas.width
    left, right = [], []
    for t in np.linspace(0, 1, 24):
        y = top + 4 + (canvas.height - top) * t**1.6
        middle = x + drift * t + canvas.width * 0.06 * math.sin(7 * t) * t
        half = 1.5 + canvas.width * 0.075 * t**1.6 + rng.normal(0, 0.6)
        left.append((middle - half, y))
        right.append((middle + half, y))
    with canvas.group("path"):
        canvas.polygon(left + right[::-1], Paint((176, 156, 122), 0.11, "leaf"), "earth")


def _grow(canvas: Canvas, far: float, k: int, shore: float, seed: object) -> None:
    rng = rng_for("grow", seed, k)
    foot = (canvas.width * rng.uniform(-0.02, 1.02), shore + (canvas.height - shore) * far)
    size = canvas.height * (0.07 + 0.6 * far) * rng.uniform(0.75, 1.15)
    canvas.shadow((foot[0] + size * 0.12, foot[1]), (size * 0.32, size * 0.05), 0.5)
    if rng.random() < 0.4:
        conifer(canvas, foot, size, (seed, k), mix((44, 70, 46), (60, 84, 60), rng.random()))
    else:
        tree(canvas, foot, size, (seed, k), mix((84, 104, 46), (120, 112, 48), rng.random()))


def cottage(canvas: Canvas, foot: tuple[float, float], size: float, seed: object) -> None:
    """A house seen from its long side: walls, tiled roof, chimney, windows with frames and panes, a door."""
    rng = rng_for("cottage", seed)
    canvas.rng = rng
    x, y = foot
    wide, wall_top = size * 0.85, y - size * 0.52
    wall: Colour = ((206, 196, 176), (186, 160, 128), (214, 210, 204), (150, 104, 80))[rng.integers(4)]
    roof: Colour = ((132, 64, 46), (92, 82, 80), (112, 84, 66))[rng.integers(3)]
    canvas.shadow((x + wide * 0.2, y), (wide * 1.2, size * 0.09), 0.5)
    with canvas.group("house"):
        with canvas.group("wall"):
            canvas.polygon(
                rectangle(x - wide, wall_top, x + wide, y), Paint(wall, 0.06, "leaf", across=-0.18), "plaster"
            )
            for k in (-0.68, -0.3, 0.38, 0.72):
                _cottage_window(canvas, x + wide * k, y - size * 0.3, size * 0.085, size * 0.12)
            with canvas.group("door"):
                door = rectangle(x - size * 0.075, y - size * 0.33, x + size * 0.075, y)
                canvas.polygon(door, Paint((88, 58, 38), 0.12, "leaf"), "leaf")
                canvas.ellipse(
                    (x + size * 0.05, y - size * 0.16), (size * 0.012, size * 0.012), Paint((210, 190, 110)), "knob"
                )
        with canvas.group("roof"):
            eave, ridge = wall_top + size * 0.04, wall_top - size * 0.36
            sheet = [
                (x - wide * 1.08, eave),
                (x + wide * 1.08, eave),
                (x + wide * 0.82, ridge),
                (x - wide * 0.82, ridge),
            ]
            canvas.polygon(sheet, Paint(roof, 0.1, "leaf", down=0.25), "tiles")
            rows = [
                rectangle(x - wide, ridge + (eave - ridge) * t, x + wide, ridge + (eave - ridge) * t + 0.8)
                for t in (0.2, 0.4, 0.6, 0.8)
            ]
            canvas.polygons(rows, Paint(scaled(roof, 0.7), opacity=0.5), owns=False)
        with canvas.group("chimney"):
            stack = rectangle(x + wide * 0.4, ridge - size * 0.14, x + wide * 0.52, ridge + size * 0.09)
            canvas.polygon(stack, Paint((134, 84, 68), 0.12, "leaf", across=-0.4), "bricks")


def _cottage_window(canvas: Canvas, x: float, y: float, half: float, tall: float) -> None:
    with canvas.group("window"):
        canvas.polygon(rectangle(x - half, y - tall, x + half, y + tall), Paint((232, 230, 222)), "frame")
        panes = [
            rectangle(x + half * a, y + tall * b, x + half * (a + 0.8), y + tall * (b + 0.8))
            for a in (-0.88, 0.08)
            for b in (-0.88, 0.08)
        ]
        canvas.polygons(panes, Paint((70, 82, 96), 0.3, "blotch", down=-0.4), "pane", apart=True)


SCENES: dict[str, Callable[[Canvas, np.random.Generator, object], str]] = {
    "street": street_scene,
    "landscape": landscape,
    "room": living_room,
    "table": still_life,
}
