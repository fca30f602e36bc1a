"""A living room: furniture with its parts, books, curtains, pictures."""

from __future__ import annotations

import math

import numpy as np

from segassets.sample.drawing import TILE, Canvas, Paint, mix, noise_tile, rectangle, rng_for, scaled
from segassets.sample.objects import CLOTH, tree
from segassets.sample.tabletop import GLAZES as BOOKS
from segassets.sample.tabletop import fruit, vessel


def living_room(canvas: Canvas, rng: np.random.Generator, seed: object) -> str:
    """Wall, wooden floor, window, sofa with cushions, shelf of books, lamp, plant, pictures, rug, low table."""
    height, width = canvas.height, canvas.width
    floor = height * rng.uniform(0.62, 0.7)
    wall = mix((206, 196, 180), (170, 178, 176), rng.random())
    with canvas.group("wall"):
        canvas.polygon(rectangle(0, 0, width, floor), Paint(wall, 0.025, "leaf", down=-0.1, across=-0.3), "plaster")
        canvas.polygon(
            rectangle(0, floor - height * 0.022, width, floor), Paint((226, 222, 214), down=-0.3), "skirting"
        )
    _boards(canvas, floor, rng)
    flip = rng.random() < 0.5

    def place(share: float) -> float:
        return width * (1 - share if flip else share)

    _window(canvas, place(0.2), floor * 0.42, width * 0.13, floor * 0.3, rng)
    for k, share in enumerate((0.48, 0.62)):
        _picture(canvas, place(share), floor * rng.uniform(0.24, 0.34), height * rng.uniform(0.07, 0.11), (seed, k))
    _shelf(canvas, place(0.86), floor, width * 0.11, floor * 0.8, rng)
    _rug(canvas, width * 0.5, (floor + height) / 2 + height * 0.04, width * 0.36, height * 0.11, rng)
    _sofa(canvas, place(0.48), floor + height * 0.07, width * 0.24, height * 0.24, rng)
    _floor_lamp(canvas, place(0.76), floor + height * 0.03, height * 0.5)
    _plant(canvas, place(0.07), floor + height * 0.09, height * 0.42, seed)
    _low_table(canvas, width * rng.uniform(0.42, 0.58), height * 0.86, width * 0.15, height * 0.1, rng)
    return "a living room with a couch, a bookshelf and a window"


def _boards(canvas: Canvas, top: float, rng: np.random.Generator) -> None:
    """A floor of wooden boards running away from the camera."""
    y0 = math.floor(top)
    rows = np.arange(y0, canvas.height, dtype=np.float32)[:, None] + 0.5
    depth = canvas.height * 0.5 / (rows - top + canvas.height * 0.28)
    x = (np.arange(canvas.width, dtype=np.float32)[None, :] - canvas.width / 2) * depth / canvas.height * 6
    board = np.floor(x).astype(int)
    v = np.floor(depth * 700).astype(int)
    grain = noise_tile("leaf")[(v // 6 + board * 131) % TILE, np.floor(x * 60).astype(int) % TILE]
    tone = noise_tile("grain")[(board * 37) % TILE, (v // 500 + board) % TILE]
    gap = np.abs(x - np.round(x)) < 0.02
    light = (1 + 0.06 * grain + 0.05 * tone - 0.3 * gap) * (0.8 + 0.3 * (rows - top) / (canvas.height - top))
    wood = np.asarray(mix((160, 120, 80), (110, 80, 56), rng.random()), np.float32)
    with canvas.group("floor"):
        canvas.region(0, y0, np.ones(light.shape, np.float32), light[:, :, None] * wood, "boards")


def _window(canvas: Canvas, x: float, y: float, half: float, tall: float, rng: np.random.Generator) -> None:
    """A bright window with a view of foliage, a frame with four panes, and curtains."""
    with canvas.group("window"):
        canvas.polygon(rectangle(x - half, y - tall, x + half, y + tall), Paint((236, 234, 228), across=-0.1), "frame")
        for a in (-0.92, 0.05):
            for b in (-0.93, 0.05):
                x0, y0, x1, y1 = x + half * a, y + tall * b, x + half * (a + 0.87), y + tall * (b + 0.88)
                with canvas.group("pane"):
                    canvas.polygon(rectangle(x0, y0, x1, y1), Paint((214, 226, 236), 0.04, "cloud", down=-0.1), "sky")
                    if b > 0:
                        hedge = [
                            (x0, y1),
                            (x0, y0 + (y1 - y0) * rng.uniform(0.3, 0.6)),
                            (x1, y0 + (y1 - y0) * rng.uniform(0.3, 0.6)),
                            (x1, y1),
                        ]
                        canvas.polygon(hedge, Paint((132, 154, 106), 0.16, "leaf"), "garden")
    fabric = scaled(CLOTH[rng.integers(len(CLOTH))], 1.25)
    for side in (-1, 1):
        with canvas.group("curtain"):
            for k in range(5):
                x0 = x + side * half * (0.86 + 0.1 * k)
                fold = rectangle(
                    min(x0, x0 + side * half * 0.1), y - tall * 1.12, max(x0, x0 + side * half * 0.1), y + tall * 1.3
                )
                canvas.polygon(
                    fold, Paint(scaled(fabric, 0.85 + 0.2 * (k % 2)), 0.03, "leaf", across=0.25 * side), "fold"
                )
    canvas.polygon(
        rectangle(x - half * 1.5, y - tall * 1.16, x + half * 1.5, y - tall * 1.1),
        Paint((84, 66, 48), down=-0.5),
        "rod",
    )


def _picture(canvas: Canvas, x: float, y: float, half: float, seed: object) -> None:
    rng = rng_for("picture", seed)
    canvas.shadow((x + half * 0.1, y + half * 0.14), (half * 1.15, half * 1.35), 0.25)
    with canvas.group("picture"):
        canvas.polygon(
            rectangle(x - half, y - half * 1.2, x + half, y + half * 1.2),
            Paint((70, 52, 38), 0.08, across=-0.3),
            "frame",
        )
        canvas.polygon(
            rectangle(x - half * 0.88, y - half * 1.08, x + half * 0.88, y + half * 1.08),
            Paint((232, 228, 218)),
            "mount",
        )
        tone = BOOKS[rng.integers(len(BOOKS))]
        with canvas.group("print"):
            canvas.polygon(
                rectangle(x - half * 0.6, y - half * 0.8, x + half * 0.6, y + half * 0.8),
                Paint(mix(tone, (220, 214, 200), 0.5), 0.2, "blotch"),
                "ground",
            )
            canvas.ellipse((x, y - half * 0.15), (half * 0.3, half * 0.3), Paint(tone, 0.2, "blotch"), "disc")


def _shelf(canvas: Canvas, x: float, bottom: float, half: float, tall: float, rng: np.random.Generator) -> None:
    """An open bookcase; books of many widths, some leaning, some gaps."""
    wood = Paint((120, 86, 58), 0.08, "leaf")
    y = bottom + tall * 0.04
    with canvas.group("bookshelf"):
        canvas.polygon(rectangle(x - half, y - tall, x + half, y), wood, "case")
        for level in range(4):
            top, low = y - tall * (0.97 - 0.24 * level), y - tall * (0.76 - 0.24 * level)
            with canvas.group("compartment"):
                canvas.polygon(
                    rectangle(x - half * 0.92, top, x + half * 0.92, low), Paint((62, 46, 34), down=0.5), "back"
                )
                at = x - half * 0.9
                while at < x + half * 0.75:
                    wide, high = half * rng.uniform(0.07, 0.16), (low - top) * rng.uniform(0.62, 0.92)
                    if rng.random() < 0.14:
                        at += wide
                        continue
                    lean = half * rng.choice([0, 0, 0, 0.08])
                    spine = [(at, low), (at + wide, low), (at + wide + lean, low - high), (at + lean, low - high)]
                    canvas.polygon(spine, Paint(BOOKS[rng.integers(len(BOOKS))], 0.06, across=-0.4), "book")
                    at += wide * 1.05 + lean


def _rug(canvas: Canvas, x: float, y: float, rx: float, ry: float, rng: np.random.Generator) -> None:
    with canvas.group("rug"):
        for share, colour in (
            (1.0, (150, 54, 48)),
            (0.86, (212, 196, 160)),
            (0.78, (124, 52, 54)),
            (0.3, (196, 168, 120)),
        ):
            canvas.ellipse((x, y), (rx * share, ry * share), Paint(colour, 0.12, "leaf"), "band")


def _sofa(canvas: Canvas, x: float, y: float, half: float, tall: float, rng: np.random.Generator) -> None:
    cloth = mix(CLOTH[rng.integers(len(CLOTH))], (150, 140, 126), 0.45)
    canvas.shadow((x, y + tall * 0.03), (half * 1.15, tall * 0.16), 0.7)

    def rounded(x0: float, y0: float, x1: float, y1: float, r: float) -> list[tuple[float, float]]:
        r = min(r, (x1 - x0) / 2, (y1 - y0) / 2)
        out = []
        for cx, cy, start in ((x1 - r, y0 + r, -90), (x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180)):
            out += [
                (cx + r * math.cos(math.radians(start + a)), cy + r * math.sin(math.radians(start + a)))
                for a in range(0, 91, 15)
            ]
        return out

    with canvas.group("couch"):
        for side in (-0.85, 0.85):
            canvas.polygon(
                rectangle(x + half * side - 4, y - tall * 0.12, x + half * side + 4, y), Paint((60, 42, 30)), "leg"
            )
        canvas.polygon(
            rounded(x - half, y - tall, x + half, y - tall * 0.2, tall * 0.16),
            Paint(scaled(cloth, 0.92), 0.05, "leaf", down=-0.15),
            "back",
        )
        for k in range(3):
            x0 = x - half * 0.86 + k * half * 0.58
            seat = rounded(x0, y - tall * 0.5, x0 + half * 0.56, y - tall * 0.28, tall * 0.08)
            canvas.polygon(seat, Paint(scaled(cloth, 1.12), 0.05, "leaf", down=-0.35), "seat")
        canvas.polygon(
            rounded(x - half * 0.95, y - tall * 0.32, x + half * 0.95, y - tall * 0.08, tall * 0.05),
            Paint(scaled(cloth, 0.8), 0.05, "leaf", down=-0.3),
            "base",
        )
        for side in (-1, 1):
            x0 = x + side * half * 0.94
            canvas.polygon(
                rounded(x0 - half * 0.13, y - tall * 0.68, x0 + half * 0.13, y - tall * 0.06, tall * 0.13),
                Paint(scaled(cloth, 1.02), 0.05, "leaf", across=-0.3),
                "arm",
            )
        for at in (-0.55, 0.1, 0.6):
            if rng.random() < 0.75:
                c = (x + half * at, y - tall * 0.62)
                s, turn = tall * 0.19, rng.normal(0, 0.2)
                corners = [
                    (c[0] + s * 1.4 * math.cos(turn + a), c[1] + s * 1.4 * math.sin(turn + a))
                    for a in (0.8, 2.35, 3.95, 5.5)
                ]
                canvas.polygon(corners, Paint(BOOKS[rng.integers(len(BOOKS))], 0.08, "leaf", down=-0.4), "cushion")


def _floor_lamp(canvas: Canvas, x: float, y: float, tall: float) -> None:
    canvas.shadow((x, y), (tall * 0.12, tall * 0.03), 0.6)
    with canvas.group("lamp"):
        canvas.ellipse((x, y), (tall * 0.09, tall * 0.022), Paint((44, 42, 42), down=-0.4), "foot")
        canvas.polygon(
            rectangle(x - tall * 0.012, y - tall * 0.85, x + tall * 0.012, y), Paint((70, 66, 62), across=-0.8), "pole"
        )
        shade = [
            (x - tall * 0.09, y - tall),
            (x + tall * 0.09, y - tall),
            (x + tall * 0.15, y - tall * 0.78),
            (x - tall * 0.15, y - tall * 0.78),
        ]
        canvas.polygon(shade, Paint((244, 226, 186), 0.02, "leaf", down=0.15, across=-0.2), "shade")
    glow = np.linspace(-1, 1, 160, dtype=np.float32)
    alpha = 0.3 * np.exp(-3.5 * (glow[None, :] ** 2 + glow[:, None] ** 2)) - 0.012
    canvas.region(
        round(x) - 80, round(y - tall * 0.9) - 80, np.clip(alpha, 0, 1), np.asarray((255, 236, 196), np.float32), None
    )


def _plant(canvas: Canvas, x: float, y: float, tall: float, seed: object) -> None:
    canvas.shadow((x, y), (tall * 0.2, tall * 0.04), 0.6)
    with canvas.group("potted plant"):
        tree(canvas, (x, y - tall * 0.15), tall * 0.9, (seed, "pot"), (72, 104, 52))
        pot = [
            (x - tall * 0.13, y - tall * 0.24),
            (x + tall * 0.13, y - tall * 0.24),
            (x + tall * 0.09, y),
            (x - tall * 0.09, y),
        ]
        canvas.polygon(pot, Paint((176, 108, 76), 0.06, "leaf", across=-0.7), "pot")


def _low_table(canvas: Canvas, x: float, y: float, half: float, tall: float, rng: np.random.Generator) -> None:
    canvas.shadow((x, y + tall), (half * 1.1, tall * 0.3), 0.55)
    with canvas.group("coffee table"):
        for side in (-0.8, 0.8):
            canvas.polygon(
                rectangle(x + half * side - 3, y, x + half * side + 3, y + tall),
                Paint((74, 50, 34), across=-0.6),
                "leg",
            )
        canvas.ellipse((x, y), (half, tall * 0.32), Paint((96, 66, 44), 0.06, "leaf", down=-0.2), "edge")
        canvas.ellipse(
            (x, y - tall * 0.06), (half, tall * 0.3), Paint((148, 106, 70), 0.06, "leaf", across=-0.2), "top"
        )
    vessel(canvas, x - half * 0.35, y, tall * 0.55, (188, 196, 204), "mug")
    fruit(canvas, x + half * 0.3, y + tall * 0.02, tall * 0.26, (196, 120, 40), "orange")
