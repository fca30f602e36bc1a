"""Cars as simple solids in the street's metres: two prisms, their visible faces, glass, wheels, lights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from segassets.sample.drawing import Canvas, Colour, Paint, Point, rng_for, scaled

if TYPE_CHECKING:
    from segassets.sample.camera import Camera

LACQUER: tuple[Colour, ...] = (
    (172, 174, 176), (42, 44, 50), (196, 196, 194), (92, 96, 104), (120, 24, 28), (36, 56, 98), (222, 222, 218),
    (64, 72, 64), (140, 120, 92), (30, 30, 34), (58, 92, 130),
)  # fmt: skip
# (share of the length from the rear, share of the height)
BODY = ((0.0, 0.2), (0.0, 0.5), (0.025, 0.63), (0.3, 0.66), (0.7, 0.64), (0.94, 0.53), (1.0, 0.42), (1.0, 0.2))
CABIN = {
    "hatch": ((0.02, 0.62), (0.09, 0.93), (0.2, 1.0), (0.5, 1.0), (0.57, 0.97), (0.74, 0.63)),
    "saloon": ((0.14, 0.65), (0.27, 0.96), (0.36, 1.0), (0.52, 1.0), (0.58, 0.97), (0.74, 0.63)),
    "van": ((0.01, 0.6), (0.03, 0.95), (0.08, 1.0), (0.66, 1.0), (0.72, 0.97), (0.86, 0.62)),
}
SIDE_GLASS = {
    "hatch": (
        ((0.1, 0.68), (0.15, 0.92), (0.33, 0.94), (0.33, 0.68)),
        ((0.36, 0.68), (0.36, 0.94), (0.52, 0.93), (0.67, 0.68)),
    ),
    "saloon": (
        ((0.22, 0.68), (0.3, 0.92), (0.42, 0.94), (0.42, 0.68)),
        ((0.45, 0.68), (0.45, 0.94), (0.54, 0.93), (0.67, 0.68)),
    ),
    "van": (
        ((0.08, 0.64), (0.08, 0.9), (0.38, 0.92), (0.38, 0.64)),
        ((0.42, 0.64), (0.42, 0.92), (0.66, 0.91), (0.78, 0.64)),
    ),
}


def hull(points: list[Point]) -> list[Point]:
    """The convex hull (monotone chain)."""
    points = sorted(set(points))
    chains: list[Point] = []
    for ordered in (points, points[::-1]):
        chain: list[Point] = []
        for p in ordered:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], p) <= 0:
                chain.pop()
            chain.append(p)
        chains += chain[:-1]
    return chains


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def car(
    canvas: Canvas, camera: Camera, x: float, z: float, facing: int, seed: object, label: int | None, track: int | None
) -> None:
    """A car whose end nearest to the camera is at z; facing +1 shows its rear, -1 its front."""
    rng = rng_for("car", seed)
    canvas.rng = rng
    shape = str(rng.choice(["hatch", "saloon", "hatch", "van"]))
    length, width = rng.uniform(3.9, 4.6), rng.uniform(1.7, 1.85)
    height = rng.uniform(1.42, 1.52) if shape != "van" else rng.uniform(1.75, 1.95)
    paint = LACQUER[rng.integers(len(LACQUER))]
    near_side = -1 if x > camera.x else 1

    def at(share: float, level: float, across: float) -> Point:
        along = share if facing > 0 else 1 - share
        return camera.point(x + across * width / 2, level * height, z + along * length)

    left, bottom = camera.point(x - width / 2, 0, z + 0.4)
    right = camera.point(x + width / 2, 0, z + 0.4)[0]
    far = camera.point(x, 0, z + length)
    canvas.shadow(
        ((left + right) / 2 + (far[0] - (left + right) / 2) * 0.2, bottom - (bottom - far[1]) * 0.2),
        ((right - left) * 0.68, max(2.0, (bottom - far[1]) * 0.62 + (right - left) * 0.05)),
        0.85,
    )
    with canvas.group("car", label, track):
        _solid(canvas, at, shape, paint, near_side)
        big = right - left > 34
        if right - left > 11:
            _wheels(canvas, camera, at, x, z, (length, width), near_side, facing, big)
        _end(canvas, at, shape, paint, facing, big)


def _solid(canvas: Canvas, at, shape: str, paint: Colour, near_side: int) -> None:
    """Both prisms, the side that is seen, and its glass."""
    sides = (-1, 1)
    top = Paint(scaled(paint, 1.12), 0.02, "leaf", down=-0.25)
    cabin_inset = 0.86
    canvas.polygon(hull([at(s, y, a) for s, y in BODY for a in sides]), top, "body")
    canvas.polygon(
        hull([at(s, y, a * (1 if y < 0.7 else cabin_inset)) for s, y in CABIN[shape] for a in sides]), top, "roof"
    )
    with canvas.group("side"):
        flank = Paint(scaled(paint, 0.8), 0.02, "leaf", down=-0.6)
        canvas.polygon([at(s, y, near_side) for s, y in BODY], flank, "flank")
        canvas.polygon(
            [at(s, y, near_side * (1 if y < 0.7 else cabin_inset)) for s, y in CABIN[shape]], flank, "pillars"
        )
        glass = [
            [at(s, y, near_side * (1.0 if y < 0.7 else cabin_inset + 0.02)) for s, y in pane]
            for pane in SIDE_GLASS[shape]
        ]
        canvas.polygons(glass, Paint((44, 50, 56), 0.15, "blotch", down=-1.0, across=0.4), "side window", apart=True)
        for share in (0.34, 0.6) if abs(at(0, 0, 1)[0] - at(0, 0, -1)[0]) > 30 else ():
            seam = [
                at(share, 0.3, near_side),
                at(share + 0.006, 0.3, near_side),
                at(share + 0.006, 0.64, near_side),
                at(share, 0.64, near_side),
            ]
            canvas.polygon(seam, Paint(scaled(paint, 0.4), opacity=0.7), owns=False)


def _wheels(canvas: Canvas, camera, at, x, z, size, near_side: int, facing: int, big: bool) -> None:
    length, width = size
    edge = x + near_side * width / 2
    end_tyres = []
    for a in (-1, 1):
        x0, x1 = x + a * width / 2, x + a * (width / 2 - 0.2)
        p, q = camera.point(x0, 0.0, z + 0.35), camera.point(x1, 0.4, z + 0.35)
        end_tyres.append([p, (q[0], p[1]), q, (p[0], q[1])])
    canvas.polygons(end_tyres, Paint((24, 24, 26)), "tyre")
    rings = ((0.36, 16, "arch"), (0.32, 34, "tyre"), (0.2, 132, "rim"), (0.06, 70, "hub"))
    middles = [z + (share if facing > 0 else 1 - share) * length for share in (0.19, 0.81)]
    if not big:
        for radius, tone, name in rings[1:3]:
            pair = [_ring(camera, edge, middle, radius, 12) for middle in middles]
            canvas.polygons(pair, Paint((tone, tone, tone + 2)), name)
        return
    for middle in middles:
        with canvas.group("wheel"):
            for radius, tone, name in rings:
                canvas.polygon(_ring(camera, edge, middle, radius, 20), Paint((tone, tone, tone + 2), down=-0.5), name)


def _ring(camera: Camera, x: float, z: float, radius: float, count: int) -> list[Point]:
    """A wheel's circle, standing along the street."""
    turns = [k * math.tau / count for k in range(count)]
    return [camera.point(x, 0.32 + radius * math.sin(t), z + radius * math.cos(t)) for t in turns]


def _end(canvas: Canvas, at, shape: str, paint: Colour, facing: int, big: bool) -> None:
    """The end that points to the camera: panel, window, lamps, plate, bumper."""
    rear = facing > 0
    wide = abs(at(0.5, 0, 1)[0] - at(0.5, 0, -1)[0])
    share, rim = (0.0, 0.62) if rear else (1.0, 0.5)
    with canvas.group("rear" if rear else "front"):
        panel = [at(share, 0.2, -0.98), at(share, 0.2, 0.98), at(share, rim, 1.0), at(share, rim, -1.0)]
        canvas.polygon(panel, Paint(scaled(paint, 0.94), 0.02, "leaf", down=-0.5), "panel")
        cabin = CABIN[shape]
        low, high = (cabin[0], cabin[1]) if rear else (cabin[-1], cabin[-2])
        pane = [
            at(low[0], low[1] + 0.03, -0.88),
            at(low[0], low[1] + 0.03, 0.88),
            at(high[0], high[1] - 0.03, 0.74),
            at(high[0], high[1] - 0.03, -0.74),
        ]
        glass = Paint((56, 64, 72), 0.2, "blotch", down=-0.9, across=0.3)
        canvas.polygon(pane, glass, "rear window" if rear else "windscreen")
        if wide < 7:
            return
        bumper = [at(share, 0.18, -1.0), at(share, 0.18, 1.0), at(share, 0.33, 1.0), at(share, 0.33, -1.0)]
        canvas.polygon(bumper, Paint(scaled(paint, 0.62), down=-0.4), "bumper")
        lamp = Paint((176, 28, 26) if rear else (226, 228, 224), down=-0.4)
        low_y, high_y = (0.42, 0.58) if rear else (0.38, 0.47)
        lamps = [
            [at(share, low_y, a), at(share, low_y, a * 0.66), at(share, high_y, a * 0.7), at(share, high_y, a)]
            for a in (-0.97, 0.97)
        ]
        canvas.polygons(lamps, lamp, "lamp", apart=True)
        if big:
            y0, y1 = (0.36, 0.44) if rear else (0.21, 0.28)
            plate = [at(share, y0, -0.3), at(share, y0, 0.3), at(share, y1, 0.3), at(share, y1, -0.3)]
            canvas.polygon(plate, Paint((222, 220, 208)), "licence plate")
            if not rear:
                grille = [at(share, 0.34, -0.5), at(share, 0.34, 0.5), at(share, 0.42, 0.55), at(share, 0.42, -0.55)]
                canvas.polygon(grille, Paint((22, 22, 24)), "grille")
