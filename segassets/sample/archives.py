"""A matting set in a split PKZIP archive and one in a single file, written by hand from the format's description."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segassets.sample.drawing import TILE, Canvas, Paint, jpeg_bytes, mix, noise_patch, photograph, png_bytes, rng_for
from segassets.sample.objects import CLOTH, HAIR, SKIN

PART = 65536
DOS_TIME, DOS_DATE = 0x6000, 0x5853  # 2024-02-19 12:00:00
HEIGHT, WIDTH = 256, 256
BIG = (560, 640)


@dataclass
class Member:
    """A file in an archive, ready to be written."""

    name: str
    method: int
    crc: int
    size: int
    packed: bytes
    disk: int = 0
    offset: int = 0

    def local_header(self) -> bytes:
        """What stands before the data."""
        name = self.name.encode()
        fields = (
            0x04034B50,
            20,
            0,
            self.method,
            DOS_TIME,
            DOS_DATE,
            self.crc,
            len(self.packed),
            self.size,
            len(name),
            0,
        )
        return struct.pack("<IHHHHHIIIHH", *fields) + name

    def central_header(self) -> bytes:
        """What stands in the directory, with the part and the place in it where the local header is."""
        name = self.name.encode()
        fields = (
            0x02014B50,
            0x031E,
            20,
            0,
            self.method,
            DOS_TIME,
            DOS_DATE,
            self.crc,
            len(self.packed),
            self.size,
            len(name),
            0,
            0,
            self.disk,
            0,
            0o100644 << 16,
            self.offset,
        )
        return struct.pack("<IHHHHHHIIIHHHHHII", *fields) + name


class SplitWriter:
    """Fills parts of one size; headers are never cut, so a part may end a little early."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.parts = [bytearray(b"PK\x07\x08" if size else b"")]

    def whole(self, data: bytes) -> tuple[int, int]:
        """Write something that must not be cut; return its part and its place there."""
        if self.size and len(self.parts[-1]) + len(data) > self.size:
            self.parts.append(bytearray())
        place = (len(self.parts) - 1, len(self.parts[-1]))
        self.parts[-1] += data
        return place

    def run_on(self, data: bytes) -> None:
        """Write data that simply continues in the next part."""
        while self.size and len(self.parts[-1]) + len(data) > self.size:
            room = self.size - len(self.parts[-1])
            self.parts[-1] += data[:room]
            data = data[room:]
            self.parts.append(bytearray())
        self.parts[-1] += data


def pack(entries: list[tuple[str, bytes]], part_size: int | None) -> list[bytes]:
    """The parts of an archive (one part without a size)."""
    writer, members = SplitWriter(part_size), []
    for name, data in entries:
        member = _member(name, data)
        member.disk, member.offset = writer.whole(member.local_header())
        writer.run_on(member.packed)
        members.append(member)
    places = [writer.whole(member.central_header()) for member in members]
    last = len(writer.parts) - 1
    length = sum(len(member.central_header()) for member in members)
    if part_size and len(writer.parts[-1]) + 22 > part_size:
        last += 1
    here = sum(disk == last for disk, _ in places)
    fields = (0x06054B50, last, places[0][0], here, len(members), length, places[0][1], 0)
    writer.whole(struct.pack("<IHHHHIIH", *fields))
    return [bytes(part) for part in writer.parts]


def _member(name: str, data: bytes) -> Member:
    """Pictures are packed already: they are stored; folders are empty."""
    squeezer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = squeezer.compress(data) + squeezer.flush()
    crc = zlib.crc32(data)
    return (
        Member(name, 8, crc, len(data), packed)
        if len(packed) < 0.95 * len(data)
        else Member(name, 0, crc, len(data), data)
    )


def files() -> Iterator[tuple[str, bytes]]:
    """Every file below `maggie/`."""
    parts = pack(_matting_set("Sample-Split", 10, big=True), PART)
    for number, part in enumerate(parts[:-1], 1):
        yield f"maggie/Sample-Split.z{number:02}", part
    yield "maggie/Sample-Split.zip", parts[-1]
    yield "maggie/Sample-Whole.zip", pack(_matting_set("Sample-Whole", 4, big=False), None)[0]


def _matting_set(name: str, count: int, big: bool) -> list[tuple[str, bytes]]:
    """Portraits and their alphas; the big portrait is larger than a part, so that it covers one whole."""
    entries: list[tuple[str, bytes]] = []
    for k in range(count):
        large = big and k == count // 2
        rgb, alpha = portrait((name, k), *(BIG if large else (HEIGHT, WIDTH)))
        entries.append((f"{name}/images/{k:05}.jpg", jpeg_bytes(rgb, 97 if large else 92)))
        entries.append((f"{name}/alphas/{k:05}/00.png", png_bytes(alpha)))
    entries.sort()
    return entries


def portrait(seed: object, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Head and shoulders before a blurred background, and the alpha matte with its soft, stray hair."""
    rng = rng_for("portrait", seed)
    skin, hair, cloth = SKIN[rng.integers(len(SKIN))], HAIR[rng.integers(len(HAIR))], CLOTH[rng.integers(len(CLOTH))]
    canvas, matte = Canvas(height, width, seed), Canvas(height, width, seed)
    _background(canvas, rng)
    unit, x = height * rng.uniform(0.15, 0.19), width * rng.uniform(0.42, 0.58)
    face_y = height * rng.uniform(0.36, 0.42)
    _hair(canvas, matte, (x, face_y - unit * 0.12), unit, hair, rng)
    shoulders = [
        (x + unit * a, face_y + unit * b)
        for a, b in (
            (-0.42, 0.9),
            (-0.5, 1.5),
            (-1.5, 1.95),
            (-2.0, 2.5),
            (-2.25, 9),
            (2.25, 9),
            (2.0, 2.5),
            (1.5, 1.95),
            (0.5, 1.5),
            (0.42, 0.9),
        )
    ]
    for target, white in ((canvas, False), (matte, True)):

        def tone(paint: Paint, white: bool = white) -> Paint:
            return Paint((255, 255, 255)) if white else paint

        target.polygon(shoulders, tone(Paint(cloth, 0.05, "leaf", across=-0.5)))
        neck = [
            (x + unit * a, face_y + unit * b) for a, b in ((-0.4, 0.4), (-0.46, 1.7), (0, 2.0), (0.46, 1.7), (0.4, 0.4))
        ]
        target.polygon(neck, tone(Paint(mix(skin, (70, 40, 30), 0.25), 0.02, "leaf", across=-0.3)))
        target.ellipse((x, face_y), (unit * 0.76, unit), tone(Paint(skin, 0.015, "leaf", across=-0.38, down=-0.08)))
    _features(canvas, x, face_y, unit, skin, hair)
    rgb = photograph(canvas.rgb, seed, 0.5, 2.2, 0.15)
    return rgb, np.clip(matte.rgb[:, :, 0] + 0.5, 0, 255).astype(np.uint8)


def _background(canvas: Canvas, rng: np.random.Generator) -> None:
    """Something out of focus: a gradient and pale discs of light."""
    height, width = canvas.height, canvas.width
    tones = ((92, 108, 84), (126, 118, 108), (84, 98, 122), (150, 136, 112))[rng.integers(4)]
    field = noise_patch("cloud", height, width, tuple(rng.integers(TILE, size=2)))
    canvas.rgb[:] = np.asarray(tones, np.float32) * (1 + 0.2 * field[:, :, None])
    for _ in range(14):
        r = rng.uniform(0.02, 0.07) * height
        glow = Paint(mix(tones, (255, 240, 206), rng.uniform(0.3, 0.8)), opacity=rng.uniform(0.15, 0.4))
        canvas.ellipse((rng.uniform(0, width), rng.uniform(0, height * 0.7)), (r, r), glow, owns=False)


def _hair(
    canvas: Canvas, matte: Canvas, centre: tuple[float, float], unit: float, hair, rng: np.random.Generator
) -> None:
    """A mass of hair and many fine, half transparent strands that leave it."""
    long = rng.random() < 0.6
    height, width = canvas.height, canvas.width
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    dx, dy = (x - centre[0]) / (unit * 0.98), (y - centre[1]) / (unit * 1.16)
    reach = np.where(dy > 0, np.abs(dx) ** 2 + (dy / (2.2 if long else 0.7)) ** 2, dx**2 + dy**2)
    streaks = noise_patch("fine", height, width, tuple(rng.integers(TILE, size=2)))
    alpha = np.clip((1.08 - reach + 0.05 * streaks) * 5, 0, 1)
    light = 1 + 0.3 * noise_patch("leaf", height, width, tuple(rng.integers(TILE, size=2))) - 0.35 * dx
    canvas.region(0, 0, alpha, np.clip(light, 0.3, 2)[:, :, None] * np.asarray(hair, np.float32), "hair")
    matte.region(0, 0, alpha, np.asarray((255, 255, 255), np.float32), "hair")
    for _ in range(110):
        angle = rng.uniform(-math.pi, 0.15 * math.pi) if not long else rng.uniform(-1.25 * math.pi, 0.25 * math.pi)
        length, bend, strength = unit * rng.uniform(0.08, 0.36), rng.normal(0, 0.9), rng.uniform(0.12, 0.5)
        px, py = centre[0] + unit * 0.97 * math.cos(angle), centre[1] + unit * 1.12 * math.sin(angle)
        strand = [
            (px + length * t * math.cos(angle + bend * t), py + length * t * math.sin(angle + bend * t))
            for t in (0, 0.5, 1)
        ]
        thin = [*strand, *[(a + 0.7, b + 0.7) for a, b in strand[::-1]]]
        canvas.polygon(thin, Paint(hair, opacity=strength), owns=False)
        matte.polygon(thin, Paint((255, 255, 255), opacity=strength), owns=False)


def _features(canvas: Canvas, x: float, y: float, unit: float, skin, hair) -> None:
    """Eyes, brows, nose, mouth, and hair over the forehead."""
    for side in (-1, 1):
        eye = (x + side * unit * 0.3, y - unit * 0.08)
        canvas.ellipse(eye, (unit * 0.14, unit * 0.07), Paint((232, 228, 222)))
        canvas.ellipse(eye, (unit * 0.065, unit * 0.07), Paint((52, 40, 32)))
        brow = (eye[0], eye[1] - unit * 0.17)
        canvas.ellipse(brow, (unit * 0.18, unit * 0.035), Paint(mix(hair, skin, 0.3)), turn=side * 0.12)
    canvas.shadow((x + unit * 0.06, y + unit * 0.3), (unit * 0.14, unit * 0.07), 0.3)
    canvas.ellipse((x, y + unit * 0.55), (unit * 0.24, unit * 0.07), Paint((162, 82, 78), down=-0.3))
    canvas.shadow((x, y + unit * 1.04), (unit * 0.5, unit * 0.24), 0.2)
    fringe = [
        (x + unit * 0.8 * math.cos(t), y - unit * 0.1 + unit * 0.98 * math.sin(t))
        for t in np.linspace(-math.pi * 0.96, -math.pi * 0.04, 18)
    ]
    low = [(x + unit * 0.62, y - unit * 0.45), (x + unit * 0.1, y - unit * 0.62), (x - unit * 0.62, y - unit * 0.4)]
    canvas.polygon([*fringe, *low], Paint(hair, 0.22, "leaf", across=-0.4))
