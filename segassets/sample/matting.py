"""A little of HIM2K with a detector's results, and sources for synthesis: people, backgrounds, clips."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from segassets.formats import rle
from segassets.sample.archives import portrait
from segassets.sample.drawing import jpeg_bytes, png_bytes

SET, MODEL = "maggie/HIM2K_M-HIM2K", "sample_rcnn"
NAMES = {"comp": ("000000", "000001", "000002"), "natural": ("Pexels_easy_sample", "google_middle_sample")}
FRAME = (120, 192)  # height, width
PEOPLE, BACKGROUNDS, CLIPS, FRAMES = 6, 3, 5, 3


def files() -> Iterator[tuple[str, bytes]]:
    """Every file: the set, predictions for it, and `maggie/sources/`."""
    for subset, names in NAMES.items():
        yield from _subset(subset, names)
    yield from _image_sources()
    yield from _video_sources()


def _subset(subset: str, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    images, annotations = [], []
    for number, name in enumerate(names, 1):
        picture, alphas = _pair((subset, number))
        yield f"{SET}/images/{subset}/{name}.jpg", jpeg_bytes(picture, 92)
        images.append({"id": number, "file_name": f"{name}.jpg", "height": FRAME[0], "width": FRAME[1]})
        for k, alpha in enumerate(alphas, subset == "natural"):  # natural ones begin with 01
            yield f"{SET}/alphas/{subset}/{name}/{k:02d}.png", png_bytes(alpha)
            mask = np.where(alpha > 127, np.uint8(255), np.uint8(0))
            yield f"{SET}/masks_matched_r50_fpn_3x/{subset}/{name}/{k:02d}.png", png_bytes(mask)
        for k, alpha in enumerate(alphas):
            # The detector misses the second person of the last image: its mask lies beside it.
            mask = np.roll(alpha > 127, 60 if k and number == len(names) else 1, axis=1)
            segmentation = {"size": list(FRAME), "counts": rle.encode(mask).decode()}
            score = round(0.97 - 0.03 * k, 2)
            annotations.append({"image_id": number, "category_id": 1, "segmentation": segmentation, "score": score})
    document = {"images": images, "annotations": annotations}
    yield f"maggie/predictions/{MODEL}/{subset}.json", json.dumps(document).encode()


def _pair(seed: object) -> tuple[np.ndarray, list[np.ndarray]]:
    """Two people beside each other, and what is visible of each."""
    half = FRAME[1] // 2
    both = [portrait((seed, k), FRAME[0], half) for k in range(2)]
    alphas = [np.zeros(FRAME, np.uint8) for _ in both]
    for k, (_, alpha) in enumerate(both):
        alphas[k][:, k * half : (k + 1) * half] = alpha
    return np.concatenate([picture for picture, _ in both], axis=1), alphas


def _image_sources() -> Iterator[tuple[str, bytes]]:
    below = "maggie/sources/image"
    for k in range(PEOPLE + 1):
        picture, alpha = portrait(("group", k), 128, 96)
        yield f"{below}/HHM/train/images/person_{k}.jpg", jpeg_bytes(picture, 92)
        yield f"{below}/HHM/train/alphas/person_{k}.png", png_bytes(alpha)
    yield f"{below}/invalid_him.txt", f"person_{PEOPLE}.jpg\n".encode()
    for k in range(BACKGROUNDS):
        yield f"{below}/BG-20K/train/room_{k}.jpg", jpeg_bytes(_room(k), 92)


def _room(seed: int) -> np.ndarray:
    """What is behind somebody, out of focus: the upper corners of a portrait, mirrored."""
    picture, _ = portrait(("room", seed), 480, 384)
    corner = picture[: FRAME[0], : FRAME[1] // 2]
    return np.concatenate([corner, corner[:, ::-1]], axis=1)


def _video_sources() -> Iterator[tuple[str, bytes]]:
    below, clips = "maggie/sources/video", [f"people/train/fgr/clip_{k}" for k in range(CLIPS)]
    for k, clip in enumerate(clips):
        picture, alpha = portrait(("clip", k), 120, 90)
        for frame in range(FRAMES):
            moved = [np.roll(pixels, 2 * frame, axis=1) for pixels in (picture, alpha)]
            moved[1][:, : 2 * frame] = 0  # what came in from the other side
            yield f"{below}/{clip}/{frame:05d}.jpg", jpeg_bytes(moved[0], 92)
            yield f"{below}/{clip.replace('/fgr/', '/pha/')}/{frame:05d}.png", png_bytes(moved[1])
    rooms = [f"rooms/room_{k}.jpg" for k in range(BACKGROUNDS)]
    for k, room in enumerate(rooms):
        yield f"{below}/{room}", jpeg_bytes(_room(10 + k), 92)
        yield f"{below}/rooms/walk/{k:05d}.jpg", jpeg_bytes(_room(20 + k), 92)
    yield f"{below}/fg_train.txt", ("\n".join(clips) + "\n").encode()
    yield f"{below}/bg_train.txt", ("\n".join([*rooms, "rooms/walk"]) + "\n").encode()
