"""Things on a table: bottles, mugs, bowls, fruit."""

from __future__ import annotations

import math

import numpy as np

from segassets.sample.drawing import TILE, Canvas, Colour, Paint, mix, noise_tile, rectangle, scaled

GLAZES: tuple[Colour, ...] = (
    (140, 44, 40), (44, 74, 104), (196, 180, 140), (54, 92, 70), (90, 60, 96), (208, 204, 196), (60, 56, 54),
    (186, 128, 56),
)  # fmt: skip


def vessel(canvas: Canvas, x: float, y: float, tall: float, colour: Colour, name: str) -> None:
    """A mug with a handle: the handle's hole shows what is behind it."""
    canvas.shadow((x + tall * 0.25, y), (tall * 0.75, tall * 0.14), 0.5)
    with canvas.group(name):
        ring = []
        for turn, r in ((range(-80, 81, 10), 0.34), (range(80, -81, -10), 0.22)):
            ring += [
                (
                    x + tall * 0.36 + tall * r * math.cos(math.radians(a)),
                    y - tall * 0.5 + tall * r * math.sin(math.radians(a)),
                )
                for a in turn
            ]
        canvas.polygon(ring, Paint(scaled(colour, 0.85), across=-0.2), "handle")
        half = tall * 0.4
        side = [
            (x - half, y - tall),
            (x + half, y - tall),
            (x + half * 0.9, y),
            (x, y + tall * 0.08),
            (x - half * 0.9, y),
        ]
        canvas.polygon(side, Paint(colour, 0.02, "leaf", across=-0.7), "side")
        canvas.ellipse((x, y - tall), (half, tall * 0.12), Paint(scaled(colour, 1.1), down=0.2), "rim")
        canvas.ellipse((x, y - tall * 0.98), (half * 0.86, tall * 0.085), Paint((70, 46, 32), down=-0.3), "drink")


def fruit(canvas: Canvas, x: float, y: float, r: float, colour: Colour, name: str) -> None:
    """A round fruit with a soft highlight and a stalk."""
    canvas.shadow((x + r * 0.4, y + r * 0.05), (r * 1.25, r * 0.3), 0.6)
    size = math.ceil(r) + 2
    gy, gx = np.mgrid[-size : size + 1, -size : size + 1].astype(np.float32) / np.float32(r)
    inside = gx**2 + gy**2
    depth = np.sqrt(np.clip(1 - inside, 0, 1))
    light = np.clip(0.34 + 0.75 * (-0.45 * gx - 0.55 * gy + 0.7 * depth), 0.2, 1.5)
    shiny = np.exp(-((gx + 0.35) ** 2 + (gy + 0.42) ** 2) * 22)[:, :, None]
    skin = (
        np.asarray(colour, np.float32)
        * (light * (1 + 0.05 * noise_tile("fine")[: 2 * size + 1, : 2 * size + 1]))[:, :, None]
    )
    alpha = np.clip((1 - np.sqrt(inside)) * r + 0.5, 0, 1)
    with canvas.group(name):
        canvas.region(round(x) - size, round(y - r) - size, alpha, skin + 110 * shiny, "skin")
        canvas.stroke(
            [(x, y - 1.85 * r), (x + r * 0.14, y - 2.2 * r)], [max(1.0, r * 0.1)] * 2, Paint((74, 54, 30)), "stalk"
        )


def still_life(canvas: Canvas, rng: np.random.Generator, seed: object) -> str:
    """A table top before a wall: bottles, mugs, a bowl, plates, fruit, a cloth."""
    height, width = canvas.height, canvas.width
    edge = height * rng.uniform(0.42, 0.5)
    with canvas.group("wall"):
        wall = mix((176, 166, 150), (120, 130, 134), rng.random())
        canvas.polygon(rectangle(0, 0, width, edge), Paint(wall, 0.05, "cloud", across=-0.45, down=-0.1), "plaster")
    with canvas.group("table"):
        wood = mix((140, 96, 60), (186, 150, 108), rng.random())
        canvas.polygon(rectangle(0, edge, width, height), Paint(wood, 0.02, "fine", down=0.25), "top")
        rows = np.arange(math.floor(edge), height)
        stretched = noise_tile("leaf")[(rows * 4)[:, None] % TILE, (np.arange(width) // 6)[None, :] % TILE]
        dark = np.clip(stretched * 0.16, 0, 0.5)
        canvas.region(0, int(rows[0]), dark, np.asarray(scaled(wood, 0.45), np.float32), None)
    unit = min(height, width) * 0.16
    spots = sorted((edge + (height - edge) * rng.uniform(0.14, 0.9), k) for k in range(int(rng.integers(10, 15))))
    columns = rng.permutation(len(spots))
    for (y, k), column in zip(spots, columns, strict=True):
        x = width * (0.06 + 0.88 * (column + rng.uniform(0.2, 0.8)) / len(spots))
        size = unit * (0.62 + 0.75 * (y - edge) / (height - edge))
        kind = ("bottle", "mug", "apple", "orange", "bowl", "plate", "apple", "bottle")[k % 8]
        _thing(canvas, kind, x, y, size, rng)
    return "a wooden table topped with bottles, bowls and fruit"


def _thing(canvas: Canvas, kind: str, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    if kind == "bottle":
        _bottle(canvas, x, y, size * 1.9, rng)
    elif kind == "mug":
        vessel(canvas, x, y, size * 0.85, scaled(GLAZES[rng.integers(len(GLAZES))], 1.1), "mug")
    elif kind in ("apple", "orange"):
        red = mix((186, 38, 34), (150, 160, 56), rng.random())
        fruit(canvas, x, y, size * 0.4, red if kind == "apple" else (226, 132, 36), kind)
    elif kind == "bowl":
        _bowl(canvas, x, y, size, rng)
    else:
        canvas.shadow((x + size * 0.1, y + size * 0.1), (size * 1.05, size * 0.36), 0.5)
        with canvas.group("plate"):
            canvas.ellipse((x, y), (size * 0.95, size * 0.3), Paint((224, 222, 214), across=-0.15), "rim")
            canvas.ellipse((x, y - size * 0.01), (size * 0.62, size * 0.18), Paint((204, 202, 196), down=0.2), "well")
        fruit(canvas, x - size * 0.15, y + size * 0.03, size * 0.26, (206, 170, 60), "pear")


def _bottle(canvas: Canvas, x: float, y: float, tall: float, rng: np.random.Generator) -> None:
    glass = ((54, 84, 60), (96, 60, 34), (120, 150, 158))[rng.integers(3)]
    half = tall * 0.15
    canvas.shadow((x + half, y), (half * 1.9, half * 0.4), 0.6)
    outline = [
        (-1, 0),
        (-1, -0.6),
        (-0.86, -0.68),
        (-0.4, -0.78),
        (-0.34, -1),
        (0.34, -1),
        (0.4, -0.78),
        (0.86, -0.68),
        (1, -0.6),
        (1, 0),
        (0.6, 0.03),
        (-0.6, 0.03),
    ]
    with canvas.group("bottle"):
        canvas.polygon(
            [(x + half * a, y + tall * b) for a, b in outline],
            Paint(glass, 0.05, "leaf", across=-0.5, down=-0.15),
            "glass",
        )
        canvas.polygon(
            rectangle(x - half * 0.4, y - tall * 1.02, x + half * 0.4, y - tall * 0.93),
            Paint((150, 120, 70), across=-0.4),
            "cap",
        )
        with canvas.group("label"):
            canvas.polygon(
                rectangle(x - half, y - tall * 0.48, x + half, y - tall * 0.16),
                Paint((222, 212, 188), 0.03, "leaf", across=-0.6),
                "paper",
            )
            canvas.polygon(
                rectangle(x - half * 0.7, y - tall * 0.4, x + half * 0.7, y - tall * 0.34),
                Paint(GLAZES[rng.integers(len(GLAZES))]),
                "name",
            )
        shine = rectangle(x - half * 0.7, y - tall * 0.62, x - half * 0.5, y - tall * 0.05)
        canvas.polygon(shine, Paint((236, 240, 240), opacity=0.35), owns=False)


def _bowl(canvas: Canvas, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    colour = mix(GLAZES[rng.integers(len(GLAZES))], (222, 218, 208), 0.5)
    canvas.shadow((x + size * 0.15, y), (size * 0.95, size * 0.26), 0.6)
    with canvas.group("bowl"):
        canvas.ellipse((x, y - size * 0.55), (size * 0.85, size * 0.24), Paint(scaled(colour, 0.6), down=0.5), "inside")
        for k, tone in enumerate(((120, 140, 50), (186, 50, 40), (222, 150, 50))):
            fruit(canvas, x + (k - 1) * size * 0.42, y - size * (0.42 + 0.06 * (k % 2)), size * 0.27, tone, "fruit")
        curve = [
            (x + size * 0.85 * math.cos(t), y - size * 0.55 + size * (0.24 if t > math.pi else 0.58) * math.sin(t))
            for t in np.linspace(0, math.pi, 20)
        ]
        front = [
            (x + size * 0.85 * math.cos(t), y - size * 0.55 + size * 0.24 * math.sin(t))
            for t in np.linspace(math.pi, 0, 20)
        ]
        canvas.polygon(curve + front, Paint(colour, 0.03, "leaf", across=-0.6, down=-0.3), "side")
