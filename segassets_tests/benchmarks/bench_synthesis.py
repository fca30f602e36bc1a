"""Synthetic images and videos beside a plain way to follow the same draws: whole frames of floats, sums in Python."""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageFilter

from segassets.formats import png_runs, resample
from segassets.formats.memory import set_thresholds
from segassets.formats.synthesis import chosen
from segassets.formats.synthesis_items import synthetic_image
from segassets.items import Made
from segassets_tests.benchmarks.harness import Row, compare

PEOPLE, BACKGROUNDS = 6, 3
PORTRAIT, FRAME = (1365, 2048), (1920, 1080)
#: Freed memory that is kept, in bytes: as our workers set it, and the most to which the C library goes by itself.
OURS, USUAL = (256 * 2**20, 256 * 2**20), (64 * 2**20, 32 * 2**20)


@dataclass(frozen=True)
class Bytes:
    """Stands where a reference stands."""

    data: bytes
    label: str = "in memory"

    def read(self) -> bytes:
        return self.data


def rows(quick: bool = False) -> list[Row]:
    people = [picture(k, PORTRAIT if not quick else (680, 1024), alpha=True) for k in range(PEOPLE)]
    backs = [picture(50 + k, FRAME if not quick else (960, 540), alpha=False)[0] for k in range(BACKGROUNDS)]
    numbers = range(4 if quick else 8)

    def ours() -> list[Made]:
        set_thresholds(*OURS)
        made = []
        for number in numbers:
            picked, behind, _ = chosen(number, PEOPLE, BACKGROUNDS)
            named = {f"{k}.jpg": tuple(Bytes(data) for data in people[k]) for k in picked}
            back = (f"{behind}", Bytes(backs[behind]))
            made.append(synthetic_image(number, named, back, PEOPLE, BACKGROUNDS, lossless=False))
        return made

    def plain() -> list[dict[str, bytes]]:
        set_thresholds(*USUAL)
        return [plain_image(number, people, backs) for number in numbers]

    how_read = "compiled" if png_runs.load() and resample.load() else "not compiled: numba is not installed"
    note = f"{how_read}; a unit is an image; both read, decode, place and encode everything in memory"
    how = {"units": len(numbers), "rounds": 3, "note": note}
    return [compare("synthetic image / whole frames, as upstream", ours, plain, same_files, **how)]


def same_files(ours: list[Made], theirs: list[dict[str, bytes]]) -> bool:
    """The same names, and the same pixels in each."""
    for made, expected in zip(ours, theirs, strict=True):
        files = {file.path: file.data for file in made.files}
        if set(files) != set(expected):
            return False
        if not all(np.array_equal(pixels(files[name]), pixels(data)) for name, data in expected.items()):
            return False
    return True


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def picture(seed: int, size: tuple[int, int], alpha: bool) -> tuple[bytes, bytes]:
    """A photograph-like JPEG, and the PNG of a soft figure in it."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (size[1] // 24, size[0] // 24, 3), np.uint8))
    fine = np.asarray(small.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    image = Image.fromarray(np.clip(fine + rng.integers(-12, 13, fine.shape), 0, 255).astype(np.uint8))
    if not alpha:
        return encoded(image, "JPEG", quality=90), b""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    figure = ((x / size[0] - 0.5) / 0.36) ** 2 + ((y / size[1] - 0.55) / 0.42) ** 2 < 1
    matte = Image.fromarray((figure * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(size[0] / 150))
    return encoded(image, "JPEG", quality=90), encoded(matte, "PNG")


def encoded(image: Image.Image, kind: str, **how) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **how)
    return sink.getvalue()


def plain_image(number: int, people: list[tuple[bytes, bytes]], backs: list[bytes]) -> dict[str, bytes]:
    """The same image as upstream's script goes about it: one float frame a person, copied and summed for every try.

    Its steps, one by one: boxes by comparing every pixel, all pictures decoded, areas of all frames anew at every try,
    and Python's own `sum` over every frame at the end.
    """
    picked, behind, random = chosen(number, len(people), len(backs))
    cut = []
    for k in picked:
        image, alpha = (Image.open(io.BytesIO(data)) for data in people[k])
        image, alpha = image.convert("RGB"), alpha.convert("L")
        box = _box_of(np.where(np.array(alpha) > 0, 1, 0).astype(np.uint8))
        cut.append((image.crop(box), alpha.crop(box)))
    canvas = Image.open(io.BytesIO(backs[behind]))
    background = canvas.copy()
    width, height = canvas.size
    sized = []
    for image, alpha in cut:
        scale = random.uniform(0.5, 0.9) * height / image.height
        size = (int(image.width * scale), int(image.height * scale))
        sized.append((image.resize(size), alpha.resize(size)))
    frames, crops = np.zeros((len(sized), height, width), np.float32), []
    for k, (image, alpha) in enumerate(sized):
        placed = _try_to_place(k, image, alpha, frames, random)
        if placed is None:
            crops.append(None)
            continue
        frames, place = placed
        canvas.paste(image, place, alpha)
        crops.append(Image.new("RGB", canvas.size))
        crops[-1].paste(image, place)
    if frames.sum() == 0:
        return {}
    files = {f"images/{number}.jpg": encoded(canvas, "JPEG"), f"bg/{number}.jpg": encoded(background, "JPEG")}
    kept = [(matte, crop) for matte, crop in zip(frames, crops, strict=True) if sum(matte.flatten()) != 0]
    for k, (matte, crop) in enumerate(kept):
        files[f"alphas/{number}/{k}.png"] = encoded(Image.fromarray((matte * 255).astype(np.uint8)), "PNG")
        files[f"fg/{number}/{k}.jpg"] = encoded(crop, "JPEG")
    return files


def _box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    x, y, width, height = cv2.boundingRect(cv2.findNonZero(mask))
    return x, y, x + width, y + height


def _try_to_place(k: int, image, alpha, frames: np.ndarray, random):
    """(frames, place) after the first try that leaves enough of everybody; None when there is none."""
    height, width = frames.shape[1:]
    for _ in range(3):
        if width - image.width <= 0 or height - image.height <= 0:
            return None
        x, y = random.randint(0, width - image.width), random.randint(0, height - image.height)
        tried = frames.copy()
        tried[k, y : y + image.height, x : x + image.width] = np.array(alpha) / 255.0
        for j in range(k):
            tried[j] *= 1 - tried[k]
        after, before = tried.sum((1, 2)), frames.sum((1, 2))
        if not np.any((before > 0) & (after / (before + 1e-7) < 0.7)):
            return tried, (x, y)
    return None
