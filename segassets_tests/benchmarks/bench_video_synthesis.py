"""Synthetic videos beside the way upstream's script goes: whole frames of doubles, rendered and saved until rejected."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from segassets.formats import png_runs, resample
from segassets.formats.memory import set_thresholds
from segassets.formats.synthesis import NotMade
from segassets.formats.synthesis_video import LIMITS, draw_background, drawn
from segassets.formats.synthesis_video_items import synthetic_video
from segassets.items import Made
from segassets_tests.benchmarks.bench_synthesis import OURS, USUAL, Bytes, encoded, pixels
from segassets_tests.benchmarks.harness import Row, compare

CLIPS, FRAMES = 5, 12
LEVELS = {"easy": (0, 1), "medium": range(500, 506), "hard": range(1500, 1506)}


def rows(quick: bool = False) -> list[Row]:
    size = (960, 540) if quick else (1920, 1080)
    clips = [clip(k, size, FRAMES) for k in range(CLIPS)]
    still = encoded(photograph(90, size), "JPEG", quality=90)
    how_read = "compiled" if png_runs.load() and resample.load() else "not compiled: numba is not installed"
    found = []
    for level, numbers in LEVELS.items():

        def ours(level=level, numbers=numbers) -> list[Made]:
            set_thresholds(*OURS)
            return [video(number, level, clips, still) for number in numbers]

        def plain(level=level, numbers=numbers) -> list[dict[str, bytes]]:
            set_thresholds(*USUAL)
            return [plain_video(number, level, clips, still) for number in numbers]

        made = sum(bool(one.files) for one in ours())
        note = f"{how_read}; a unit is a video of {FRAMES} frames; {made} of {len(numbers)} numbers are accepted"
        how = {"units": len(numbers), "rounds": 3, "note": note}
        found.append(compare(f"synthetic video, {level} / whole frames, as upstream", ours, plain, same_files, **how))
    return found


def video(number: int, level: str, clips: Sequence, still: bytes) -> Made:
    picked, _ = drawn(number, level, len(clips))
    given = [(f"{k}/fgr", *([Bytes(data) for data in frames] for frames in clips[k])) for k in picked]
    backs = {"b.jpg": [Bytes(still)]}
    return synthetic_video(number, given, "v", level, len(clips), ["b.jpg"], ["b.jpg"], backs, False)


def same_files(ours: list[Made], theirs: list[dict[str, bytes]]) -> bool:
    """The same videos are accepted; the same names, and the same pixels in each."""
    for made, expected in zip(ours, theirs, strict=True):
        files = {file.path: file.data for file in made.files}
        if set(files) != set(expected):
            return False
        if not all(np.array_equal(pixels(files[name]), pixels(data)) for name, data in expected.items()):
            return False
    return True


def photograph(seed: int, size: tuple[int, int]) -> Image.Image:
    """Smooth colours with a little noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (size[1] // 24, size[0] // 24, 3), np.uint8))
    fine = np.asarray(small.resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    return Image.fromarray(np.clip(fine + rng.integers(-8, 9, fine.shape), 0, 255).astype(np.uint8))


def clip(seed: int, size: tuple[int, int], frames: int) -> tuple[list[bytes], list[bytes]]:
    """Colours (JPEG) and alphas (PNG) of a soft figure that moves a little."""
    picture = encoded(photograph(seed, size), "JPEG", quality=90)
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    alphas = []
    for frame in range(frames):
        middle = 0.4 + 0.04 * seed + 0.003 * frame
        figure = ((x / size[0] - middle) / (0.12 + 0.02 * seed)) ** 2 + ((y / size[1] - 0.55) / 0.42) ** 2 < 1
        soft = Image.fromarray((figure * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(size[0] / 200))
        alphas.append(encoded(soft, "PNG"))
    return [picture] * frames, alphas


def plain_video(number: int, level: str, clips: Sequence, still: bytes) -> dict[str, bytes]:
    """The same video by the specification's steps: every alpha decoded twice, every matte a frame of doubles."""
    try:
        return _rendered(number, level, clips, still)
    except NotMade:
        return {}


def _rendered(number: int, level: str, clips: Sequence, still: bytes) -> dict[str, bytes]:
    picked, random = drawn(number, level, len(clips))
    chosen = [clips[k] for k in picked]
    draw_background(random, ["b.jpg"], ["b.jpg"], lambda name: (2, 1))
    size = Image.open(io.BytesIO(still)).convert("RGB").size
    boxes = [_union([Image.open(io.BytesIO(data)).convert("L").getbbox() for data in alphas]) for _, alphas in chosen]
    ratios = _ratios(boxes, level, size, random)
    x, places = 0, []
    for box, ratio in zip(boxes, ratios, strict=True):
        w, h = int((box[2] - box[0]) * ratio), int((box[3] - box[1]) * ratio)
        x = x if level == "easy" else x + random.randint(0, size[0] // 2) * random.choice([-1, 1])
        x = max(min(x, size[0] - w), 0)
        places.append((x, size[1] - h, w, h))
        x += w
    files, worst = {}, 0.0
    for frame in range(len(chosen[0][1])):
        image, mattes = Image.open(io.BytesIO(still)).convert("RGB"), []
        for (colours, alphas), box, (left, top, w, h) in zip(chosen, boxes, places, strict=True):
            alpha = Image.open(io.BytesIO(alphas[frame])).convert("L").crop(box)
            colour = Image.open(io.BytesIO(colours[frame])).convert("RGB").crop(box)
            alpha, colour = (one.resize((w, h), Image.Resampling.BILINEAR) for one in (alpha, colour))
            image.paste(colour, (left, top), alpha)
            matte = Image.new("L", size)
            matte.paste(alpha, (left, top))
            matte = np.array(matte) / 255.0
            for j, behind in enumerate(mattes):
                covered = behind * (1 - matte)
                if behind.sum() > 0:
                    lost = 1 - covered.sum() / (behind.sum() + 1e-7)
                    worst = max(worst, lost)
                    if LIMITS[level][0] is not None and lost > LIMITS[level][0]:
                        raise NotMade("covers too much")
                mattes[j] = covered
            mattes.append(matte)
        files[f"v/fgr/{number:05d}/{frame:05d}.jpg"] = encoded(image, "JPEG")
        for k, matte in enumerate(mattes):
            shown = Image.fromarray((matte * 255).astype(np.uint8))
            files[f"v/pha/{number:05d}/{frame:05d}/{k:02d}.png"] = encoded(shown, "PNG")
    if LIMITS[level][1] is not None and worst < LIMITS[level][1]:
        raise NotMade("covers too little")
    return files


def _union(boxes: list) -> tuple[int, int, int, int]:
    corners = np.array(boxes)
    return (*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())


def _ratios(boxes: list, level: str, size: tuple[int, int], random) -> list[float]:
    extents = [(box[2] - box[0], box[3] - box[1]) for box in boxes]
    total, ratios = sum(w / h for w, h in extents), []
    for w, h in extents:
        ratio = size[0] * (w / h / total) / w
        if level != "easy":
            ratio *= random.uniform(1, 1.5 if level == "medium" else 2)
        if ratio * h > size[1]:
            ratio = size[1] / h * random.uniform(0.8, 1)
        ratios.append(ratio)
    return ratios
