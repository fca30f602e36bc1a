"""The annotation files of a MaskTerial release, made from the sample's own flakes: what few-shot splits are drawn from."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from segassets.sample.maskterial import HEIGHT, WIDTH, Chip

LEAST_AREA = 300


def annotation_files(chips: dict[str, Chip]) -> Iterator[tuple[str, bytes]]:
    """The with-class and the class-agnostic training file; `chips`: micrographs by the name of their picture."""
    images, annotations = [], []
    for number, name in enumerate(sorted(chips), 1):
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for layers, mask in _instances(chips[name]):
            run_lengths = coco.encode(np.asfortranarray(mask))
            area = int(coco.area(run_lengths))
            record = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": layers,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": run_lengths["counts"].decode()},
                "area": area,
                "bbox": [int(side) for side in coco.toBbox(run_lengths)],
                "iscrowd": 0,
            }
            annotations.append(record)
    kept = [record for record in annotations if record["area"] >= LEAST_AREA]
    classes = [{"id": k, "name": f"Class {k}", "supercategory": f"Class {k}"} for k in (1, 2, 3, 4)]
    with_class = {"images": images, "annotations": kept, "categories": classes}
    agnostic = {
        "images": images,
        "annotations": [{**record, "category_id": 1} for record in kept],
        "categories": [{"id": 1, "name": "flake", "supercategory": "flake"}],
    }
    folder = "maskterial/GrapheneH/RLE_annotations"
    yield f"{folder}/train_annotations_with_class_300.json", json.dumps(with_class).encode("ascii")
    yield f"{folder}/train_annotations_300.json", json.dumps(agnostic).encode("ascii")


def _instances(chip: Chip) -> Iterator[tuple[int, np.ndarray]]:
    """(layers, mask uint8 h x w) of every instance: polygons of one group and class are one."""
    drawn: dict[object, tuple[int, Image.Image]] = {}
    for place, flake in enumerate(chip.flakes):
        key = (flake.layers, flake.group) if flake.group is not None else place
        layers, canvas = drawn.setdefault(key, (flake.layers, Image.new("L", (WIDTH, HEIGHT))))
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in flake.points], fill=1, outline=1)
    for layers, canvas in drawn.values():
        mask = np.asarray(canvas)
        if mask.any():
            yield layers, mask
