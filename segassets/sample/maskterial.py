"""Exfoliated flakes on a silicon chip under the microscope, annotated with labelme polygons."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from segassets.sample.drawing import (
    TILE,
    Canvas,
    Colour,
    Paint,
    Point,
    ellipse_points,
    jpeg_bytes,
    noise_patch,
    photograph,
    rng_for,
)

HEIGHT, WIDTH = 300, 480
SETS = {"train": (("Set_GrapheneH-Run-01", 10), ("Set_GrapheneH-Run-02", 10)), "test": (("Set_GrapheneH-Run-03", 6),)}
# Contrast of 1 to 4 layers in red, green, blue: every layer takes light away, most of it in green.
CONTRAST: tuple[Colour, ...] = (
    (-0.075, -0.10, -0.05),
    (-0.14, -0.185, -0.09),
    (-0.20, -0.265, -0.13),
    (-0.255, -0.34, -0.165),
)
SUBSTRATES: tuple[Colour, ...] = ((124, 108, 160), (194, 186, 178), (186, 190, 194), (104, 92, 122), (168, 146, 168))


@dataclass
class Flake:
    """One annotated polygon: a terrace of so many layers, and the flake it is part of."""

    layers: int
    points: list[Point]
    group: int | None = None


@dataclass
class Chip:
    """The micrograph while it is drawn."""

    canvas: Canvas
    substrate: Colour
    flakes: list[Flake] = field(default_factory=list)


def files() -> Iterator[tuple[str, bytes]]:
    """Every file below `maskterial/`."""
    classes = [{"id": k, "name": f"Class {k}", "labels": [str(k)]} for k in (1, 2, 3, 4)]
    document = {"classes": classes, "class_agnostic_name": "flake", "ignore_labels": ["__ignore__", "_background_"]}
    yield "maskterial/GrapheneH/classes.json", json.dumps(document, indent=1).encode("ascii")
    for split, sets in SETS.items():
        for set_name, count in sets:
            for k in range(count):
                key = ("flakes", split, set_name, k)
                name = uuid.UUID(bytes=rng_for(key).bytes(16), version=4)
                stem = f"maskterial/GrapheneH/labelme/{split}/{set_name}/{name}"
                chip = micrograph(key)
                rgb = photograph(chip.canvas.rgb, key, 0.55, 1.3, 0.05)
                yield f"{stem}.jpg", jpeg_bytes(rgb, 95)
                yield f"{stem}.json", _labelme(chip, stem.rsplit("/", 1)[1])


def micrograph(key: object) -> Chip:
    """Substrate, tape residue, flakes with terraces, thick bright pieces, dust."""
    rng = rng_for("micrograph", key)
    substrate = SUBSTRATES[rng.integers(len(SUBSTRATES))]
    chip = Chip(Canvas(HEIGHT, WIDTH, key), substrate)
    _substrate(chip, rng)
    _residue(chip, rng)
    for k in range(int(rng.integers(3, 8))):
        _flake(chip, k, rng)
    for _ in range(int(rng.integers(1, 4))):
        _thick(chip, rng)
    _dust(chip, rng)
    return chip


def _substrate(chip: Chip, rng: np.random.Generator) -> None:
    """The oxide's colour under uneven light: brightest somewhere near the middle, drifting in colour towards a side."""
    x, y = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :], np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    cx, cy = rng.uniform(-0.3, 0.3, 2)
    light = 1.03 - 0.06 * ((x - cx) ** 2 + 0.6 * (y - cy) ** 2) + 0.025 * (rng.normal() * x + rng.normal() * y)
    light = light + 0.006 * noise_patch("blotch", HEIGHT, WIDTH, tuple(rng.integers(TILE, size=2)))
    tint = np.asarray(chip.substrate, np.float32) * (1 + 0.012 * rng.normal(size=3).astype(np.float32))
    chip.canvas.rgb[:] = light[:, :, None] * tint


def _residue(chip: Chip, rng: np.random.Generator) -> None:
    """What the tape leaves: swarms of specks and a few faint scratches."""
    specks = []
    for _ in range(3):
        cx, cy, spread = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(20, 70)
        for _ in range(int(rng.integers(10, 40))):
            centre = (rng.normal(cx, spread), rng.normal(cy, spread * 0.6))
            radii = (rng.exponential(0.9) + 0.4, rng.exponential(0.5) + 0.3)
            specks.append(ellipse_points(centre, radii, rng.uniform(0, 3), 8))
    for share, factor in ((0.6, (0.6, 0.58, 0.86)), (1.0, (1.25, 1.25, 1.15))):
        some = specks[: int(len(specks) * share)]
        specks = specks[len(some) :]
        for speck in some:
            chip.canvas.polygon(speck, Paint(_times(chip.substrate, factor)), owns=False)
    for _ in range(int(rng.integers(0, 3))):
        x, y, turn = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(0, math.pi)
        length = rng.uniform(30, 120)
        ends = [(x, y), (x + length * math.cos(turn), y + length * math.sin(turn))]
        pale = Paint(_times(chip.substrate, (1.1, 1.1, 1.1)), opacity=0.5)
        chip.canvas.polygon([*ends, (ends[1][0], ends[1][1] + 0.8), (x, y + 0.8)], pale, owns=False)


def _times(colour: Colour, factor: Colour) -> Colour:
    return (colour[0] * factor[0], colour[1] * factor[1], colour[2] * factor[2])


def _outline(centre: Point, size: float, rng: np.random.Generator) -> list[Point]:
    """A cleaved outline: a few straight edges at crystal-like angles, their corners chipped."""
    corners = int(rng.integers(4, 8))
    turn, stretch = rng.uniform(0, math.tau), rng.uniform(0.45, 1.0)
    tilt = rng.uniform(0, math.pi)
    angles = np.sort((np.arange(corners) + rng.uniform(-0.32, 0.32, corners)) * math.tau / corners)
    coarse = []
    for a in angles:
        r = size * rng.uniform(0.62, 1.0)
        x, y = r * math.cos(a + turn), r * math.sin(a + turn) * stretch
        coarse.append((x * math.cos(tilt) - y * math.sin(tilt), x * math.sin(tilt) + y * math.cos(tilt)))
    points: list[Point] = []
    for (x0, y0), (x1, y1) in zip(coarse, coarse[1:] + coarse[:1], strict=True):
        edge = math.hypot(x1 - x0, y1 - y0)
        steps = max(2, min(7, int(edge / 6)))
        rough = rng.choice([0.012, 0.03, 0.07]) * edge
        for step in range(steps):
            t = step / steps
            off = rng.normal(0, rough) if step else 0.0
            points.append(
                (x0 + (x1 - x0) * t - (y1 - y0) / (edge or 1) * off, y0 + (y1 - y0) * t + (x1 - x0) / (edge or 1) * off)
            )
    return [(round(centre[0] + x, 3), round(centre[1] + y, 3)) for x, y in points]


def cut(points: list[Point], through: Point, turn: float) -> tuple[list[Point], list[Point]]:
    """Split a polygon along a line into the parts on either side (Sutherland-Hodgman, once for each side)."""
    nx, ny = math.cos(turn), math.sin(turn)
    sides = []
    for sign in (1, -1):
        kept: list[Point] = []
        for p, q in zip(points, points[1:] + points[:1], strict=True):
            a = sign * ((p[0] - through[0]) * nx + (p[1] - through[1]) * ny)
            b = sign * ((q[0] - through[0]) * nx + (q[1] - through[1]) * ny)
            if a >= 0:
                kept.append(p)
            if a * b < 0:
                t = a / (a - b)
                kept.append((round(p[0] + (q[0] - p[0]) * t, 3), round(p[1] + (q[1] - p[1]) * t, 3)))
        sides.append(kept)
    return sides[0], sides[1]


def _flake(chip: Chip, number: int, rng: np.random.Generator) -> None:
    """A thin flake cut into terraces; a torn one has several pieces that are annotated as one group."""
    size = float(np.clip(rng.lognormal(3.2, 0.45), 11, 62))
    centre = (rng.uniform(0.04, 0.96) * WIDTH, rng.uniform(0.05, 0.95) * HEIGHT)
    terraces = [(int(rng.choice([1, 2, 3, 4], p=[0.4, 0.27, 0.19, 0.14])), _outline(centre, size, rng))]
    for _ in range(int(rng.integers(0, 3)) if size > 18 else 0):
        layers, whole = terraces.pop(0)
        at = (centre[0] + rng.normal(0, size * 0.25), centre[1] + rng.normal(0, size * 0.25))
        first, second = cut(whole, at, rng.uniform(0, math.pi))
        if min(len(first), len(second)) < 3:
            terraces.append((layers, whole))
            break
        other = min(4, layers + 1) if layers < 4 else 3
        terraces += [(layers, first), (other, second)]
    for layers, points in terraces:
        chip.flakes.append(Flake(layers, points))
        _draw(chip, layers, points)
    if rng.random() < 0.35:
        shift = size * rng.uniform(1.05, 1.4)
        turn = rng.uniform(0, math.tau)
        piece = _outline((centre[0] + shift * math.cos(turn), centre[1] + shift * math.sin(turn)), size * 0.35, rng)
        torn = chip.flakes[-1]
        torn.group = number + 1 if number else 0  # zero is a group like any other
        chip.flakes.append(Flake(torn.layers, piece, torn.group))
        _draw(chip, torn.layers, piece)


def _draw(chip: Chip, layers: int, points: list[Point]) -> None:
    """Darken the substrate under the polygon by the contrast of its layers; the light's gradient stays visible."""
    left, top = max(0, math.floor(min(x for x, _ in points))), max(0, math.floor(min(y for _, y in points)))
    right, bottom = math.ceil(max(x for x, _ in points)) + 1, math.ceil(max(y for _, y in points)) + 1
    under = chip.canvas.rgb[top:bottom, left:right]
    if not under.size:
        return
    clean = np.asarray(chip.substrate, np.float32) * (under.mean() / np.mean(chip.substrate)) ** 0.3
    factor = np.asarray([1 + c for c in CONTRAST[layers - 1]], np.float32)
    edge = Paint(tuple(clean * factor * 0.93), opacity=0.8)
    chip.canvas.polygon([(x + 0.4, y + 0.4) for x, y in points], edge, owns=False)
    chip.canvas.polygon(points, Paint(tuple(clean * factor), 0.008, "leaf"), f"{layers} layers")


def _thick(chip: Chip, rng: np.random.Generator) -> None:
    """A thick piece: nearly white, with coloured fringes at its edge; nobody annotates those."""
    size = float(np.clip(rng.lognormal(2.6, 0.7), 5, 60))
    for _ in range(20):
        centre = (rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT))
        # Thick pieces keep clear of the annotated flakes, or a mask would hold bright pixels.
        gap = min((math.hypot(x - centre[0], y - centre[1]) for f in chip.flakes for x, y in f.points), default=999)
        if gap > size * 1.15 + 3:
            break
    else:
        return
    points = _outline(centre, size, rng)
    for grow, colour in ((1.6, (92, 110, 190)), (0.8, (214, 200, 130))):
        ring = [
            (centre[0] + (x - centre[0]) * (1 + grow / size), centre[1] + (y - centre[1]) * (1 + grow / size))
            for x, y in points
        ]
        chip.canvas.polygon(ring, Paint(colour, opacity=0.75), owns=False)
    chip.canvas.polygon(points, Paint((240, 240, 236), 0.012, "leaf"), owns=False)
    if size > 14 and rng.random() < 0.6:
        part, _ = cut(points, centre, rng.uniform(0, math.pi))
        if len(part) > 2:
            chip.canvas.polygon(
                part,
                Paint(((150, 214, 232), (246, 232, 170), (226, 228, 226))[rng.integers(3)], opacity=0.7),
                owns=False,
            )


def _dust(chip: Chip, rng: np.random.Generator) -> None:
    """Out-of-focus dust: dark blobs with a soft rim."""
    for _ in range(int(rng.integers(2, 7))):
        radius = rng.uniform(1.0, 3.2)
        chip.canvas.shadow((rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)), (radius, radius * rng.uniform(0.6, 1)), 0.6)


def _labelme(chip: Chip, stem: str) -> bytes:
    shapes = [
        {
            "label": str(flake.layers),
            "points": [list(p) for p in flake.points],
            "group_id": flake.group,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for flake in chip.flakes
    ]
    document = {"version": "5.2.0.post4", "flags": {}, "shapes": shapes, "imagePath": f"{stem}.jpg", "imageData": None,
                "imageHeight": HEIGHT, "imageWidth": WIDTH}  # fmt: skip
    return json.dumps(document, indent=2).encode("ascii")
