"""Things that stand in more than one kind of scene: sky, trees, people."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from segassets.sample.drawing import (
    TILE,
    Canvas,
    Colour,
    Paint,
    Point,
    ellipse_points,
    mix,
    noise_patch,
    rectangle,
    rng_for,
    scaled,
)

SKIN: tuple[Colour, ...] = ((224, 178, 150), (198, 146, 112), (150, 102, 74), (110, 74, 54), (236, 196, 172))
HAIR: tuple[Colour, ...] = ((40, 30, 24), (72, 48, 30), (128, 92, 52), (24, 22, 24), (150, 146, 142))
CLOTH: tuple[Colour, ...] = (
    (38, 44, 60), (120, 34, 38), (60, 82, 120), (182, 178, 168), (72, 72, 70), (48, 74, 58), (196, 152, 84),
    (30, 30, 34), (150, 160, 178), (108, 84, 66),
)  # fmt: skip


def sky(canvas: Canvas, bottom: float, seed: object, mood: str, label: int | None = None) -> Colour:
    """Paint the sky down to a row, with clouds and the glow of the sun; return its colour at the horizon."""
    rng = rng_for("sky", seed)
    zenith, low, cloud = {
        "clear": ((78, 128, 196), (196, 216, 232), (250, 250, 250)),
        "overcast": ((168, 176, 186), (212, 214, 216), (232, 232, 234)),
        "evening": ((92, 106, 158), (246, 196, 142), (250, 206, 178)),
        "hazy": ((140, 172, 208), (224, 226, 224), (244, 244, 242)),
    }[mood]
    height = max(2, math.ceil(bottom))
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    colour = np.asarray(zenith, np.float32) * (1 - down) ** 1.3 + np.asarray(low, np.float32) * (1 - (1 - down) ** 1.3)
    colour = np.broadcast_to(colour, (height, canvas.width, 3)).copy()
    cover = {"clear": -0.1, "overcast": 1.2, "evening": 0.25, "hazy": 0.1}[mood] + rng.normal(0, 0.2)
    _clouds(colour, cover, cloud, rng)
    sun_x, sun_y = rng.uniform(0, canvas.width), bottom * rng.uniform(0.1, 0.9)
    x = (np.arange(canvas.width, dtype=np.float32) - sun_x) / canvas.width
    y = (np.arange(height, dtype=np.float32) - sun_y) / canvas.width
    glow = np.exp(-14 * (x[None, :] ** 2 + y[:, None] ** 2))[:, :, None] * (0.5 if mood == "evening" else 0.25)
    colour += glow * (np.asarray((255, 240, 214), np.float32) - colour)
    with canvas.group("sky", label):
        canvas.region(0, 0, np.ones((height, canvas.width), np.float32), colour, "air")
    return low


def _clouds(colour: np.ndarray, cover: float, cloud: Colour, rng: np.random.Generator) -> None:
    """Blend clouds into a sky; rows near the horizon are seen at a flatter angle, so the noise is squeezed there."""
    height, width = colour.shape[:2]
    row = np.arange(height, dtype=np.float32)
    squeeze = (420 * np.log1p(row / height * 3)).astype(int) + int(rng.integers(TILE))
    cols = (np.arange(width) * 0.8).astype(int) + int(rng.integers(TILE))
    field = noise_patch("cloud", TILE, TILE, (0, 0))[squeeze[:, None] % TILE, cols[None, :] % TILE]
    amount = np.clip((field + cover) * 0.75, 0, 1)
    amount = amount * amount * (3 - 2 * amount)
    # The lower side of a cloud is the far side from the sun: compare with the field a little further up.
    shade = np.clip(1 - 0.16 * np.maximum(0, np.roll(field, -9, axis=0) - field + 0.15 * field), 0.7, 1.03)
    colour += amount[:, :, None] * 0.88 * (np.asarray(cloud, np.float32) * shade[:, :, None] - colour)


def tree(canvas: Canvas, foot: Point, height: float, seed: object, tint: Colour, label: int | None = None) -> None:
    """A broad-leaved tree: trunk, branches, and a crown of leaf clumps with light from the upper left."""
    rng = rng_for("tree", seed)
    canvas.rng = rng
    x, y = foot
    lean = rng.normal(0, 0.04) * height
    crown_y, radius = y - height * rng.uniform(0.62, 0.68), height * rng.uniform(0.3, 0.38)
    bark = Paint(mix((70, 56, 44), (104, 92, 80), rng.random()), 0.18, "leaf", across=-0.7)
    with canvas.group("tree", label):
        with canvas.group("trunk"):
            top = (x + lean, crown_y)
            thick = max(1.2, height * 0.055)
            canvas.stroke([(x, y), (x + lean * 0.5, (y + crown_y) / 2), top], [thick * 1.25, thick, thick * 0.6], bark)
            if height > 60:
                for side in (-1, 1, -0.4):
                    tip = (x + lean + side * radius * 0.55, crown_y - radius * rng.uniform(0.1, 0.5))
                    canvas.stroke([(x + lean * 0.6, y - height * 0.3), tip], [thick * 0.5, thick * 0.2], bark)
        _crown(canvas, (x + lean, crown_y), radius, tint, rng)


def _crown(canvas: Canvas, centre: Point, radius: float, tint: Colour, rng: np.random.Generator) -> None:
    """Paint the leaves; crowns are kept, for a tree far down a street stays the same from frame to frame."""
    size = max(4, math.ceil(radius * 1.55))
    alpha, colour = _leaves(size, round(radius, 1), tint, int(rng.integers(2**31)))
    canvas.region(round(centre[0]) - size, round(centre[1]) - size, alpha, colour, "crown")


@lru_cache(maxsize=64)
def _leaves(size: int, radius: float, tint: Colour, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A sum of soft blobs, roughened by noise, cut at a level, lit by its own slope."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-size:size, -size:size].astype(np.float32) / np.float32(radius)
    field = np.zeros_like(x)
    for _ in range(9):
        angle, reach = rng.uniform(0, math.tau), rng.uniform(0.1, 0.72)
        bx, by, spread = reach * math.cos(angle), reach * math.sin(angle) * 0.92, rng.uniform(0.24, 0.4)
        field = np.maximum(field, np.exp(-((x - bx) ** 2 + (y - by) ** 2) / (2 * spread**2)))
    leaves = noise_patch("leaf", 2 * size, 2 * size, (int(rng.integers(TILE)), int(rng.integers(TILE))))
    crumbs = noise_patch("fine", 2 * size, 2 * size, (int(rng.integers(TILE)), int(rng.integers(TILE))))
    rough = field + (0.12 * leaves + 0.09 * crumbs) * min(1.0, radius / 30 + 0.35)
    alpha = np.clip((rough - 0.42) * 6, 0, 1)
    slope_y, slope_x = np.gradient(field + 0.045 * leaves)
    light = 0.78 - 0.24 * y + np.clip((slope_x + slope_y) * radius * 0.12, -0.3, 0.4) + 0.1 * leaves + 0.16 * crumbs
    # Leaves in the light are yellower, those in the shade nearly grey.
    colour = np.asarray(tint, np.float32) * np.clip(light, 0.2, 1.7)[:, :, None] + np.float32(9)
    colour += np.clip(light - 0.95, 0, 1)[:, :, None] * np.asarray((52, 44, 10), np.float32)
    return alpha, colour


def conifer(canvas: Canvas, foot: Point, height: float, seed: object, tint: Colour) -> None:
    """A fir: tiers of drooping branches, ragged at their edges."""
    rng = rng_for("conifer", seed)
    canvas.rng = rng
    x, y = foot
    with canvas.group("tree"):
        thick = max(1.0, height * 0.04)
        canvas.polygon(
            [
                (x - thick / 2, y),
                (x + thick / 2, y),
                (x + thick / 2, y - height * 0.3),
                (x - thick / 2, y - height * 0.3),
            ],
            Paint((68, 52, 40), 0.15, "leaf", across=-0.6),
            "trunk",
        )
        with canvas.group("crown"):
            tiers = 7 if height > 40 else 4
            for k in range(tiers):
                low, up = y - height * (0.1 + 0.78 * k / tiers), y - height * min(1.0, 0.36 + 0.72 * (k + 1) / tiers)
                half = height * 0.24 * (1 - 0.82 * k / tiers)
                rim = [
                    (x + half * t + rng.normal(0, half * 0.05), low + half * 0.22 * (1 - abs(t)) * rng.uniform(-1.2, 1))
                    for t in np.linspace(-1, 1, 9)
                ]
                shade = scaled(tint, 0.72 + 0.4 * k / tiers)
                canvas.polygon([*rim, (x, up)], Paint(shade, 0.28, "leaf", across=-0.5, down=-0.3), "tier")


def person(
    canvas: Canvas, foot: Point, height: float, seed: object, phase: float = 0.0, label: int | None = None,
    track: int | None = None,
) -> None:  # fmt: skip
    """Somebody walking or standing, seen from the front or behind; `phase` moves the limbs."""
    rng = rng_for("person", seed)
    canvas.rng = rng
    x, y = foot
    unit = height / 8
    skin, hair = SKIN[rng.integers(len(SKIN))], HAIR[rng.integers(len(HAIR))]
    top, legs = CLOTH[rng.integers(len(CLOTH))], scaled(CLOTH[rng.integers(len(CLOTH))], 0.7)
    stride, build = math.sin(phase) * unit * rng.uniform(0.3, 0.7), rng.uniform(0.9, 1.15)
    canvas.shadow((x + unit * 0.8, y), (unit * 1.7, unit * 0.33), 0.5)
    with canvas.group("person", label, track):
        hip, neck = y - 4 * unit, y - 6.75 * unit
        if height < 24:
            _small_figure(canvas, (x, y), unit, (skin, top, legs))
            return
        with canvas.group("trousers"):
            for side, step in ((-1, stride), (1, -stride)):
                cloth = Paint(scaled(legs, 0.86 if side > 0 else 1.0), 0.08, "fine", across=-0.35)
                knee = (x + side * unit * 0.36 + step * 0.6, y - 2.1 * unit)
                ankle = (x + side * unit * 0.36 + step, y - 0.25 * unit)
                widths = [unit * 0.92 * build, unit * 0.66, unit * 0.46]
                canvas.stroke([(x + side * unit * 0.36, hip), knee, ankle], widths, cloth, "leg")
        with canvas.group("shoes"):
            for side, step in ((-1, stride), (1, -stride)):
                at = (x + side * unit * 0.4 + step, y - unit * 0.14)
                canvas.ellipse(at, (unit * 0.36, unit * 0.2), Paint((34, 30, 30), 0.1), "shoe")
        with canvas.group("arms"):
            for side, swing in ((-1, -stride), (1, stride)):
                sleeve = Paint(scaled(top, 0.82 if side > 0 else 0.95), 0.08, across=-0.3)
                shoulder = (x + side * unit * 0.95 * build, neck + unit * 0.45)
                elbow = (shoulder[0] + side * unit * 0.22, hip - unit * 1.1)
                hand = (elbow[0] + swing * 0.7, hip + unit * 0.25)
                canvas.stroke([shoulder, elbow, hand], [unit * 0.6, unit * 0.5, unit * 0.38], sleeve, "arm")
                canvas.ellipse(hand, (unit * 0.24, unit * 0.3), Paint(skin, across=-0.3), "hand")
        body = Paint(top, 0.09, "leaf", across=-0.45, down=-0.2)
        w = unit * build
        canvas.polygon(
            [
                (x - w * 0.45, neck),
                (x - w * 1.1, neck + w * 0.35),
                (x - w * 0.98, hip - w),
                (x - w * 0.92, hip + w * 0.3),
                (x + w * 0.92, hip + w * 0.3),
                (x + w * 0.98, hip - w),
                (x + w * 1.1, neck + w * 0.35),
                (x + w * 0.45, neck),
            ],
            body,
            "jacket",
        )
        if rng.random() < 0.3:
            bag = Paint(scaled(CLOTH[rng.integers(len(CLOTH))], 0.8), 0.1, across=-0.4)
            canvas.ellipse((x + w * 1.05, hip + w * 0.1), (w * 0.5, w * 0.62), bag, "bag")
        with canvas.group("head"):
            canvas.polygon(
                [
                    (x - unit * 0.22, neck + unit * 0.15),
                    (x + unit * 0.22, neck + unit * 0.15),
                    (x + unit * 0.2, neck - unit * 0.3),
                    (x - unit * 0.2, neck - unit * 0.3),
                ],
                Paint(scaled(skin, 0.8)),
                "neck",
            )
            face = (x, neck - unit * 0.62)
            canvas.ellipse(face, (unit * 0.46, unit * 0.58), Paint(skin, 0.04, across=-0.3), "face")
            behind = rng.random() < 0.5
            crown = ellipse_points((x, face[1] - unit * 0.12), (unit * 0.5, unit * 0.56))
            cut = face[1] + unit * (0.3 if behind else -0.18)
            canvas.polygon([(px, min(py, cut)) for px, py in crown], Paint(hair, 0.15, "leaf", across=-0.3), "hair")


def _small_figure(canvas: Canvas, foot: Point, unit: float, colours: tuple[Colour, Colour, Colour]) -> None:
    """Somebody so far away that only head, body and legs can be told apart."""
    (x, y), (skin, top, legs) = foot, colours
    canvas.polygon(rectangle(x - unit * 0.75, y - 4.2 * unit, x + unit * 0.75, y), Paint(legs), "legs")
    canvas.polygon(rectangle(x - unit * 1.1, y - 6.8 * unit, x + unit * 1.1, y - 3.7 * unit), Paint(top), "jacket")
    canvas.ellipse((x, y - 7.3 * unit), (unit * 0.6, unit * 0.7), Paint(mix(skin, (40, 30, 24), 0.4)), "head")
