"""A seeded synthetic corpus that looks like SA-1B: many small smooth masks, a few large ones, holes and second parts.

The sizes are assumed (log-normal, median about 6,500 pixels, mean about 30,000 once cut off at the frame's border), not
fitted to real SA-1B statistics; a string of run lengths has about 390 characters.
"""

from __future__ import annotations

import json

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco

SIZE = (1500, 2250)
MEDIAN_AREA, SIGMA = 6500, 1.83  # mean = median * exp(sigma**2 / 2)
WITH_HOLE, WITH_SECOND_PART = 0.20, 0.12


def outline(rng: np.random.Generator, x: float, y: float, area: float) -> list[tuple[float, float]]:
    """A smooth closed outline around (x, y) with about this area, as polygon corners."""
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = np.ones_like(angle)
    for k in range(2, 7):
        radius += rng.normal(0, 0.25 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    stretch = np.exp(rng.normal(0, 0.35))
    radius = np.sqrt(area / np.pi) * np.clip(radius, 0.2, None)
    return list(zip(x + radius * np.cos(angle) * stretch, y + radius * np.sin(angle) / stretch, strict=True))


def smooth_mask(rng: np.random.Generator, size: tuple[int, int] = SIZE, scale: float = 1.0) -> np.ndarray:
    """One mask, uint8 0/1 of shape `size`."""
    h, w = size
    area = min(scale * MEDIAN_AREA * np.exp(rng.normal(0, SIGMA)), 0.6 * h * w)
    x, y = rng.uniform(0, w), rng.uniform(0, h)
    image = Image.new("L", (w, h))
    draw = ImageDraw.Draw(image)
    draw.polygon(outline(rng, x, y, area), fill=1)
    if rng.random() < WITH_SECOND_PART:
        reach = 2 * np.sqrt(area)
        draw.polygon(outline(rng, x + rng.normal(0, reach), y + rng.normal(0, reach), area / 4), fill=1)
    if rng.random() < WITH_HOLE:
        draw.polygon(outline(rng, x, y, area / 12), fill=0)
    return np.array(image)


def image_json(seed: int, masks: int = 100, size: tuple[int, int] = SIZE) -> str:
    """The JSON of one image as SA-1B has it: `masks` annotations in no order."""
    rng = np.random.default_rng(seed)
    annotations = []
    while len(annotations) < masks:
        mask = smooth_mask(rng, size)
        if not mask.any():
            continue
        rle = coco.encode(np.asfortranarray(mask))
        x, y, w, h = coco.toBbox(rle).tolist()
        annotations.append(
            {
                "bbox": [x, y, w - 1, h - 1],
                "area": int(coco.area(rle)),
                "segmentation": {"size": list(size), "counts": rle["counts"].decode()},
                "predicted_iou": 0.9,
                "point_coords": [[x, y]],
                "crop_box": [0.0, 0.0, float(size[1]), float(size[0])],
                "id": 1000 * seed + len(annotations),
                "stability_score": 0.97,
            }
        )
    image = {"image_id": seed, "width": size[1], "height": size[0], "file_name": f"sa_{seed}.jpg"}
    return json.dumps({"image": image, "annotations": annotations})


def corpus(images: int, masks: int = 100) -> list[str]:
    """JSON documents of `images` images, the same for every run."""
    return [image_json(seed, masks) for seed in range(1, images + 1)]
