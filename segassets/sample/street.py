"""A street in metres, seen by a pinhole camera: facades, pavements, parked and moving cars, people, trees, poles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from segassets.sample.camera import (
    BUILDING,
    CAR,
    NEAR,
    PERSON,
    POLE,
    ROAD,
    SIDEWALK,
    SIGN,
    SKY,
    VEGETATION,
    WALLS,
    Camera,
)
from segassets.sample.drawing import TILE, Canvas, Colour, Paint, Point, around, mix, noise_tile, rectangle, rng_for
from segassets.sample.facades import facade
from segassets.sample.objects import person, sky, tree
from segassets.sample.vehicles import car


@dataclass
class Mover:
    """A car or a person: where it is at time 0, its speed, when it is in the street at all."""

    kind: str
    track: int
    x: float
    z: float
    speed: float = 0.0
    sideways: float = 0.0
    seed: object = 0
    away: tuple[float, float] = (9e9, 9e9)
    label: int | None = None

    def place(self, time: float) -> tuple[float, float] | None:
        """Its place at a time; None while it is away (hidden behind a corner, in a doorway)."""
        if self.away[0] <= time < self.away[1]:
            return None
        return self.x + self.sideways * time, self.z + self.speed * time


@dataclass
class Street:
    """Everything that does not move, made once from a seed, and everything that does."""

    seed: object
    mood: str = "clear"
    half_road: float = 4.6
    facade: float = 9.0
    movers: list[Mover] = field(default_factory=list)
    detail: bool = False
    group_at: float | None = None

    def paint(self, canvas: Canvas, camera: Camera, time: float = 0.0) -> None:
        """Paint the street as the camera sees it."""
        haze = sky(canvas, camera.height * camera.horizon + 2, self.seed, self.mood, SKY)
        self._skyline(canvas, camera, haze)
        self._ground(canvas, camera, haze)
        things = sorted(self._things(camera, time), key=lambda item: -item[0])
        for _, draw in things:
            draw()
        self._haze(canvas, camera, haze)

    def _skyline(self, canvas: Canvas, camera: Camera, haze: Colour) -> None:
        """Roofs and trees far down the street, paled by the air."""
        rng = rng_for("skyline", self.seed)
        canvas.rng = rng
        for k in range(9):
            x, width, height = rng.uniform(-45, 45), rng.uniform(8, 16), rng.uniform(6, 15)
            x0, y0 = camera.point(x, height, camera.z + 150)
            x1, y1 = camera.point(x + width, 0, camera.z + 150)
            wall = mix(WALLS[k % len(WALLS)], haze, 0.62)
            with canvas.group("building", BUILDING):
                ridge = ((x0 + x1) / 2, y0 - (y1 - y0) * 0.25)
                canvas.polygon([(x0, y1), (x0, y0), ridge, (x1, y0), (x1, y1)], Paint(wall, 0.05, "leaf"), "far house")
        for k in range(10):
            foot = camera.point(rng.uniform(-70, 70), 0, camera.z + 120)
            tint = mix((72, 96, 52), haze, 0.45)
            tree(canvas, foot, camera.size(rng.uniform(8, 14), camera.z + 120), (self.seed, "far", k), tint, VEGETATION)

    def _ground(self, canvas: Canvas, camera: Camera, haze: Colour) -> None:
        """Road, pavements and what lies behind them, textured in perspective."""
        rng = rng_for("ground", self.seed)
        canvas.rng = rng
        top = math.floor(camera.height * camera.horizon) + 1
        rows = np.arange(top, camera.height, dtype=np.float32) + 0.5 - camera.height * camera.horizon
        depth = (camera.focal * camera.above / rows)[:, None]
        x = (np.arange(camera.width, dtype=np.float32) + 0.5 - camera.width / 2)[
            None, :
        ] * depth / camera.focal + camera.x
        v, u = np.floor((depth + camera.z) * 110).astype(np.int32), np.floor(x * 110).astype(np.int32)
        grain = noise_tile("fine")[v % TILE, u % TILE] * np.clip(9 / depth, 0.12, 1)
        stain = noise_tile("blotch")[v // 5 % TILE, u // 2 % TILE]
        light = 1 + 0.055 * grain + 0.06 * stain
        soft = depth / camera.focal
        asphalt = np.asarray(mix((92, 92, 95), (120, 117, 112), rng.random()), np.float32)
        paving = np.asarray(mix((150, 146, 140), (168, 156, 144), rng.random()), np.float32)
        # Wheels polish two tracks a lane; they are a little darker.
        tracks = 1 - 0.07 * np.exp(-((np.abs(np.abs(x) - self.half_road / 2) - 0.75) ** 2) / 0.12)
        pale = np.clip((depth - 12) / 170, 0, 0.6)[:, :, None]
        edge = self.half_road
        joint = 1 - 0.16 * ((np.mod(x, 0.6) < 0.05) | (np.mod(depth + camera.z, 0.6) < 0.05)) * np.clip(6 / depth, 0, 1)
        far = np.asarray(haze, np.float32)
        for name, label, alpha, colour in (
            ("road", ROAD, np.ones_like(light), asphalt * (light * tracks)[:, :, None]),
            (
                "sidewalk",
                SIDEWALK,
                np.clip((np.abs(x) - edge) / soft + 0.5, 0, 1),
                paving * (light * joint)[:, :, None],
            ),
        ):
            with canvas.group(name, label):
                canvas.region(0, top, alpha, colour + pale * (far - colour), "surface")
                if name == "road":
                    self._markings(canvas, camera)
        kerb = [
            [camera.point(s * edge, 0.0, camera.z + z) for z in (NEAR, 90)]
            + [camera.point(s * edge, 0.14, camera.z + z) for z in (90, NEAR)]
            for s in (-1, 1)
        ]
        with canvas.group("kerb", SIDEWALK):
            canvas.polygons(kerb, Paint((172, 168, 160), 0.1), "stone")

    def _markings(self, canvas: Canvas, camera: Camera) -> None:
        start = math.floor(camera.z / 6) * 6
        dashes = []
        for k in range(12):
            z0, z1 = start + k * 6, start + k * 6 + 3
            if z1 - camera.z > NEAR:
                z0 = max(z0, camera.z + NEAR)
                dashes.append([camera.point(x, 0, z) for x, z in ((-0.07, z0), (0.07, z0), (0.07, z1), (-0.07, z1))])
        canvas.polygons(dashes, Paint((206, 204, 196), 0.12, opacity=0.8), "lane marking", apart=self.detail)

    def _things(self, camera: Camera, time: float) -> list:
        """(depth, painter) of everything that stands on the ground."""
        todo: list = []
        canvas_of = self._canvas
        for side in (-1, 1):
            z, k = -12.0, 0
            while z < camera.z + 100:
                rng = rng_for("plot", self.seed, side, k)
                length, height = rng.uniform(9, 16), rng.uniform(8.5, 16)
                gap = rng.random() < 0.16
                if z + length > camera.z + NEAR + 0.4 and not gap:
                    args = (
                        camera,
                        side * self.facade,
                        max(z, camera.z + NEAR),
                        z,
                        z + length,
                        height,
                        (self.seed, side, k),
                    )
                    # A little behind its true depth, so that what stands before the wall is painted after it.
                    todo.append((z + length + 4, lambda args=args: facade(canvas_of(), *args, self.detail, self.mood)))
                z, k = z + length + (rng.uniform(2, 5) if gap else 0.0), k + 1
            self._furniture(todo, camera, side)
        for mover in self.movers:
            place = mover.place(time)
            if place and place[1] > camera.z + 3.0:
                todo.append((place[1], lambda m=mover, p=place: self._mover(canvas_of(), camera, m, p, time)))
        if self.group_at is not None and self.group_at > camera.z + 3:
            todo.append((self.group_at, lambda: self._queue(canvas_of(), camera)))
        return todo

    def _furniture(self, todo: list, camera: Camera, side: int) -> None:
        """Trees, street lamps and signs along one pavement."""
        for k in range(9):
            rng = rng_for("furniture", self.seed, side, k)
            z, x = k * 11 + rng.uniform(-2, 2), side * (self.half_road + rng.uniform(0.6, 1.1))
            kind = rng.choice(["tree", "lamp", "sign", "tree", "none"])
            if not camera.z + 4 < z < camera.z + 65 or kind == "none":
                continue
            foot, size = camera.point(x, 0, z), camera.size(1, z)
            if kind == "tree":
                tint = mix((88, 112, 52), (64, 92, 48), rng.random())
                tall = size * rng.uniform(5, 7.5)
                todo.append(
                    (
                        z,
                        lambda f=foot, h=tall, s=(self.seed, side, k), t=tint: (
                            self._canvas().shadow((f[0] + h * 0.1, f[1]), (h * 0.3, h * 0.045), 0.45),
                            tree(self._canvas(), f, h, s, t, VEGETATION),
                        ),
                    )
                )
            elif kind == "lamp":
                todo.append((z, lambda f=foot, s=size, d=-side: _lamp(self._canvas(), f, s, d)))
            else:
                todo.append((z, lambda f=foot, s=size, r=int(rng.integers(3)): _sign(self._canvas(), f, s, r)))

    def _mover(self, canvas: Canvas, camera: Camera, mover: Mover, place: tuple[float, float], time: float) -> None:
        if mover.kind == "person":
            foot, tall = (
                camera.point(place[0], 0.0, place[1]),
                camera.size(1.62 + 0.2 * rng_for(mover.seed).random(), place[1]),
            )
            pace = 6.5 * time if mover.speed or mover.sideways else 1.2
            person(canvas, foot, tall, mover.seed, pace + mover.track, mover.label or PERSON, mover.track)
        else:
            facing = -1 if mover.speed < 0 or (mover.speed == 0 and place[0] < 0) else 1
            car(canvas, camera, place[0], place[1], facing, mover.seed, mover.label or CAR, mover.track)

    def _queue(self, canvas: Canvas, camera: Camera) -> None:
        """Several cars too close together to tell apart: annotated as one group region, without an instance."""
        with canvas.group("car group", CAR):
            for k in (2, 1, 0):
                place = (self.half_road + 1.0 + 0.5 * k, self.group_at + 4.6 * k)
                car(canvas, camera, *place, 1, (self.seed, "queue", k), None, None)

    def _haze(self, canvas: Canvas, camera: Camera, haze: Colour) -> None:
        """Distance pales everything near the vanishing point; cheap, but it is what makes a street look deep."""
        x = (np.arange(camera.width, dtype=np.float32) - camera.width / 2) / camera.width
        y = (np.arange(camera.height, dtype=np.float32) - camera.height * camera.horizon) / camera.height
        alpha = 0.42 * np.exp(-(x[None, :] ** 2) * 40 - y[:, None] ** 2 * 60)
        canvas.region(0, 0, alpha.astype(np.float32), np.asarray(haze, np.float32), None)

    def _canvas(self) -> Canvas:
        return self._target

    def on(self, canvas: Canvas) -> Street:
        """Choose the canvas for the next paint."""
        self._target = canvas
        return self


def _lamp(canvas: Canvas, foot: Point, size: float, direction: int) -> None:
    x, y = foot
    metal = Paint((86, 92, 92), 0.05, across=-0.5)
    with canvas.group("street lamp", POLE):
        w = max(1.1, size * 0.11)
        top = y - size * 6.2
        canvas.polygon([(x - w / 2, y), (x + w / 2, y), (x + w / 3, top), (x - w / 3, top)], metal, "pole")
        tip = (x + direction * size * 1.3, top - size * 0.15)
        canvas.stroke([(x, top), tip], [w * 0.7, w * 0.6], metal, "arm")
        canvas.ellipse(tip, (size * 0.34, max(1.0, size * 0.1)), Paint((196, 196, 186), down=-0.5), "lamp")


def _sign(canvas: Canvas, foot: Point, size: float, kind: int) -> None:
    x, y = foot
    w, r = max(1.0, size * 0.07), size * 0.34
    with canvas.group("sign post", POLE):
        canvas.polygon(rectangle(x - w / 2, y - size * 2.4, x + w / 2, y), Paint((128, 130, 130), across=-0.5), "pole")
    centre = (x, y - size * 2.4)

    def plate(scale: float, offsets: Sequence[Point], colour: Colour, name: str) -> None:
        canvas.polygon(around(centre, r * scale, offsets), Paint(colour, down=-0.15), name)

    with canvas.group("traffic sign", SIGN):
        if kind == 0:
            canvas.ellipse(centre, (r, r), Paint((182, 34, 38), down=-0.2), "rim")
            canvas.ellipse(centre, (r * 0.72, r * 0.72), Paint((228, 228, 222)), "face")
            plate(0.4, ((-0.3, -1), (0.5, -1), (0.5, 1), (-0.3, 1)), (40, 40, 44), "number")
        elif kind == 1:
            plate(1, ((-1, -1), (1, -1), (1, 1), (-1, 1)), (38, 84, 158), "panel")
            letter = ((-0.35, 0.6), (-0.35, -0.6), (0.4, -0.4), (0.4, 0.1), (-0.1, 0.2), (-0.1, 0.6))
            plate(1, letter, (232, 234, 236), "letter")
        else:
            for scale, colour in ((1.0, (186, 38, 40)), (0.66, (230, 228, 222))):
                plate(scale, ((0, -1), (1, 0.8), (-1, 0.8)), colour, "triangle")
