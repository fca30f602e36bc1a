"""Cityscapes' instances as polygons: Detectron's form of `instancesonly_filtered_gtFine_<split>.json`.

A lossy form, kept because models were trained on it: outer contours only, so that holes are lost; no groups; and an
instance with any fragment of one or two contour points is left out as a whole. Contours are OpenCV's (extra `polygons`).
Source of the rules: Detectron's converter as maskrcnn-benchmark carries it; the specification 2.5 and section 4.
Repaired: images sorted, ids by split, categories numbered in table order rather than as they come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np

from segassets.errors import UsageError
from segassets.findings import Finding, warning
from segassets.formats import label_map
from segassets.formats.cityscapes import (
    FIRST_INSTANCE,
    THINGS,
    ImageName,
    check_instance_values,
    label_of,
)
from segassets.formats.label_map import Runs

CATEGORIES = [{"id": number, "name": label.name} for number, label in enumerate(THINGS, 1)]
_NUMBERS = {label.id: number for number, label in enumerate(THINGS, 1)}
_FEWEST = 3  # points of a contour


def opencv():
    """OpenCV, or UsageError that says how to get it."""
    try:
        import cv2
    except ImportError:
        raise UsageError(
            "segmentation=polygons needs OpenCV's contours; install it: pip install 'segassets[polygons]'"
        ) from None
    return cv2


def annotations(instance_ids: Runs) -> tuple[list[dict], list[Finding]]:
    """An image's annotations in ascending instance value, without `id` and `image_id`, and what was left out.

    `instance_ids`: uint16. segmentation: lists of x, y, ...; bbox: x, y, w, h, integers; category_id: label ids, as in
    the other form, until `document` numbers them. Warning `instances_left_out`. Raises BadItem `unknown_label`.
    """
    found = label_map.segments(instance_ids)
    check_instance_values(found.values)
    pixels = instance_ids.painted(instance_ids.values)
    records, dropped, groups = [], [], []
    for value, area, box in zip(found.values.tolist(), found.areas.tolist(), found.boxes.tolist(), strict=True):
        if label_of(value) not in _NUMBERS:
            continue
        if value < FIRST_INSTANCE:
            groups.append(value)
            continue
        polygons = _contours(pixels, value, box)
        if any(len(polygon) < 2 * _FEWEST for polygon in polygons):
            dropped.append(value)
            continue
        records.append(
            {
                "segmentation": polygons,
                "category_id": label_of(value),
                "iscrowd": 0,
                "area": area,
                "bbox": box,
            }
        )
    return records, _left_out(dropped, groups, len(records))


def _contours(pixels: np.ndarray, value: int, box: list[int]) -> list[list[int]]:
    """Outer contours of a value, every point of them, as x, y, x, y, ..."""
    cv2 = opencv()
    x, y, w, h = box
    mask = np.pad((pixels[y : y + h, x : x + w] == value).astype(np.uint8), 1)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x - 1, y - 1))
    return [contour.reshape(-1).tolist() for contour in found]


def _left_out(dropped: list[int], groups: list[int], kept: int) -> list[Finding]:
    if not dropped and not groups:
        return []
    reasons = []
    if dropped:
        shown = ", ".join(map(str, dropped[:5])) + (", ..." if len(dropped) > 5 else "")
        reasons.append(f"{len(dropped)} of {kept + len(dropped)} instances have a fragment of a stray pixel ({shown})")
    if groups:
        reasons.append(f"{len(groups)} are groups")
    return [warning("instances_left_out", f"{'; '.join(reasons)}: polygons leave them out, as Detectron does")]


def document(rows: Iterable[dict], id_base: int = 1) -> Iterator[bytes]:
    """The JSON in pieces. `rows`: {image, height, width, annotations (JSON)}, one an image, in the order of images.

    Image ids count from 0, annotation ids from `id_base`; category ids are 1 to 8 in the order of the label table.
    """
    images = []
    next_id = id_base
    yield b'{"annotations": ['
    for number, row in enumerate(rows):
        core = ImageName.parse(row["image"]).core
        images.append(
            {
                "id": number,
                "width": row["width"],
                "height": row["height"],
                "file_name": f"{core}_leftImg8bit.png",
                "seg_file_name": f"{core}_gtFine_instanceIds.png",
            }
        )
        for annotation in json.loads(row["annotations"]):
            numbers = {"id": next_id, "image_id": number, "category_id": _NUMBERS[annotation["category_id"]]}
            yield (b",\n" if next_id > id_base else b"\n") + json.dumps({**annotation, **numbers}).encode()
            next_id += 1
    yield b"\n], " + json.dumps({"categories": CATEGORIES, "images": images})[1:].encode() + b"\n"
