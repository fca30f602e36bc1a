"""House fronts along a street, drawn in the street's metres so that windows shrink with distance."""

from __future__ import annotations

import math

from segassets.sample.camera import BUILDING, WALLS, Camera
from segassets.sample.drawing import Canvas, Colour, Paint, Point, mix, rng_for, scaled

Rect = tuple[float, float, float, float]


def facade(
    canvas: Canvas, camera: Camera, x: float, start: float, z0: float, z1: float, height: float, seed: object,
    detail: bool, mood: str,
) -> None:  # fmt: skip
    """One house: its wall along the street at x from z0 to z1, roof, the side that faces the camera, openings."""
    rng = rng_for("facade", seed)
    canvas.rng = rng
    side = 1 if x > 0 else -1
    # The sun stands on the left: fronts on the right side of the street are lit.
    light = {True: 1.08, False: 0.7}[side > 0] if mood != "overcast" else 0.86
    wall = WALLS[rng.integers(len(WALLS))]
    pale = min(0.55, max(0.0, (z0 - camera.z - 10) / 140))
    tone: Colour = mix(scaled(wall, light), (200, 208, 216), pale)

    def quad(a: float, b: float, low: float, high: float, out: float = 0.0) -> list[Point]:
        px = x - side * out
        return [
            camera.point(px, low, a),
            camera.point(px, low, b),
            camera.point(px, high, b),
            camera.point(px, high, a),
        ]

    with canvas.group("building", BUILDING):
        depth = z0 - camera.z
        if start <= z0 and depth < 45:
            gable = [
                camera.point(x, 0, z0),
                camera.point(x + side * 9, 0, z0),
                camera.point(x + side * 9, height, z0),
                camera.point(x + side * 4.5, height + 3, z0),
                camera.point(x, height, z0),
            ]
            canvas.polygon(gable, Paint(scaled(tone, 0.82), 0.05, "leaf", down=-0.1), "gable")
        roof = [
            camera.point(x, height, start),
            camera.point(x, height, z1),
            camera.point(x + side * 4, height + 2.8, z1),
            camera.point(x + side * 4, height + 2.8, start),
        ]
        tiles = mix(scaled(((126, 66, 48), (84, 80, 82), (104, 72, 60))[rng.integers(3)], light), (200, 208, 216), pale)
        canvas.polygon(roof, Paint(tiles, 0.12, "leaf"), "roof")
        canvas.polygon(quad(start, z1, 0, height), Paint(tone, 0.05, "leaf", down=-0.16), "wall")
        if depth > 55:
            return
        canvas.polygon(quad(start, z1, height - 0.3, height, 0.35), Paint(scaled(tone, 1.1), down=-0.5), "eaves")
        if depth < 26:
            canvas.polygon(quad(start, z1, 3.5, 3.75, 0.12), Paint(scaled(tone, 1.12), down=-0.4), "ledge")
        canvas.polygon(quad(start, z1, 0, 0.7), Paint(scaled(tone, 0.66), 0.08), "plinth")
        _windows(canvas, quad, _upper(rng, z0, z1, height, start), tone, detail, mood, fine=depth < 28 or detail)
        if depth < 40:
            _shops(canvas, quad, rng, z0, z1, start, tone, detail)


def _upper(rng, z0: float, z1: float, height: float, start: float) -> list[Rect]:
    """The windows of the upper floors as (z from, z to, y from, y to)."""
    columns = max(2, round((z1 - z0) / rng.uniform(2.5, 3.3)))
    floors = max(1, math.floor((height - 4.0) / 3.0))
    step, wide, tall = (z1 - z0) / columns, rng.uniform(1.0, 1.35), rng.uniform(1.5, 1.9)
    found = []
    for floor in range(floors):
        for column in range(columns):
            a = z0 + step * (column + 0.5) - wide / 2
            if a > start:
                found.append((a, a + wide, 4.6 + 3.0 * floor, 4.6 + 3.0 * floor + tall))
    return found


def _windows(canvas: Canvas, quad, rects: list[Rect], tone: Colour, detail: bool, mood: str, fine: bool) -> None:
    """Frames, panes with a mirrored sky, crossbars and sills; in a detailed picture every pane is a part of its own."""
    frames = [quad(a - 0.12, b + 0.12, low - 0.1, high + 0.12, 0.05) for a, b, low, high in rects]
    canvas.polygons(frames, Paint(mix(tone, (236, 234, 228), 0.6)), "window frame", apart=detail)
    glass = (66, 76, 88) if mood != "evening" else (96, 88, 80)
    canvas.polygons([quad(*r) for r in rects], Paint(glass, 0.35, "blotch", down=-0.5), "window", apart=detail)
    if not fine:
        return
    curtains = [quad(a, a + (b - a) * 0.3, low, high) for k, (a, b, low, high) in enumerate(rects) if k % 3 == 1]
    canvas.polygons(curtains, Paint((206, 204, 196), 0.1, opacity=0.55), "curtain")
    bars = [quad((a + b) / 2 - 0.035, (a + b) / 2 + 0.035, low, high) for a, b, low, high in rects]
    canvas.polygons(bars, Paint((224, 222, 216)), "crossbar", owns=False)
    sills = [quad(a - 0.2, b + 0.2, low - 0.2, low - 0.08, 0.18) for a, b, low, high in rects]
    canvas.polygons(sills, Paint(scaled(tone, 1.15)), "sill")
    shade = [quad(a - 0.2, b + 0.2, low - 0.36, low - 0.2) for a, b, low, high in rects]
    canvas.polygons(shade, Paint(scaled(tone, 0.6), opacity=0.6), owns=False)


def _shops(canvas: Canvas, quad, rng, z0: float, z1: float, start: float, tone: Colour, detail: bool) -> None:
    """The ground floor: a door and display windows, now and then an awning."""
    units = max(2, round((z1 - z0) / 3.6))
    step, door = (z1 - z0) / units, int(rng.integers(units))
    plain: list[tuple[float, float]] = []
    for unit in range(units):
        a, b = z0 + step * unit + 0.45, z0 + step * (unit + 1) - 0.45
        if a < start:
            continue
        if unit == door:
            middle = (a + b) / 2
            with canvas.group("door"):
                canvas.polygon(quad(middle - 0.7, middle + 0.7, 0, 2.7), Paint(scaled(tone, 1.15)), "frame")
                leaf = ((72, 48, 34), (44, 60, 52), (96, 34, 30), (50, 56, 70))[rng.integers(4)]
                canvas.polygon(quad(middle - 0.55, middle + 0.55, 0, 2.45), Paint(leaf, 0.1, down=-0.3), "leaf")
                canvas.polygon(quad(middle - 0.35, middle + 0.35, 1.3, 2.2), Paint((58, 66, 74), 0.2, "blotch"), "pane")
            continue
        if not detail:
            plain.append((a, b))
            continue
        with canvas.group("shop window"):
            canvas.polygon(quad(a - 0.15, b + 0.15, 0.6, 2.95), Paint((58, 56, 54), down=-0.3), "frame")
            warm = ((104, 96, 82), (64, 72, 80), (120, 106, 84))[rng.integers(3)]
            canvas.polygon(quad(a, b, 0.7, 2.8), Paint(warm, 0.4, "blotch", down=-0.5), "glass")
        _awnings(canvas, quad, [(a, b)], rng)
    if plain:
        canvas.polygons([quad(a - 0.15, b + 0.15, 0.6, 2.95) for a, b in plain], Paint((58, 56, 54)), "frame")
        warm = ((104, 96, 82), (64, 72, 80), (120, 106, 84))[rng.integers(3)]
        canvas.polygons([quad(a, b, 0.7, 2.8) for a, b in plain], Paint(warm, 0.4, "blotch", down=-0.5), "glass")
        if rng.random() < 0.5:
            _awnings(canvas, quad, plain, rng)


def _awnings(canvas: Canvas, quad, shops: list[tuple[float, float]], rng) -> None:
    colour = ((140, 40, 40), (52, 84, 66), (190, 178, 150), (48, 64, 104))[rng.integers(4)]
    cloths = [
        [*quad(a - 0.3, b + 0.3, 3.05, 3.1)[:2], *quad(a - 0.3, b + 0.3, 2.6, 2.65, 0.9)[1::-1]] for a, b in shops
    ]
    canvas.polygons(cloths, Paint(colour, 0.06, across=0.3), "awning")
