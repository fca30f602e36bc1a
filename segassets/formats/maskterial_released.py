"""Images of a released MaskTerial tree: their annotations by range, their masks compared with the painting.

`place` is anything with `read(member) -> bytes`: a released zip or folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from segassets.findings import BadItem, error, info
from segassets.formats import maskterial, rle
from segassets.formats import maskterial_checks as checks
from segassets.formats import maskterial_tree_checks as tree
from segassets.formats.maskterial_items import displayed_size, image_rows, semantic_item
from segassets.items import File, Made

GAP = 16  # bytes between two records of a list: a comma and white space


def spans(file: checks.AnnotationFile) -> dict[int, list[tuple[int, int]]]:
    """Where the annotations of each image lie in the file: ranges of bytes, neighbouring records joined."""
    order = np.lexsort((np.array(file.starts, np.int64), np.array(file.image_ids, np.int64)))
    found: dict[int, list[tuple[int, int]]] = {}
    for k in order.tolist():
        parts = found.setdefault(file.image_ids[k], [])
        start, stop = file.starts[k], file.stops[k]
        if parts and 0 <= start - parts[-1][1] <= GAP:
            parts[-1] = (parts[-1][0], stop)
        else:
            parts.append((start, stop))
    return found


def released_item(
    image: str, path: str, record: dict, place: Any, source: str, set_name: str, parts: Sequence[Any]
) -> Made:
    """Rows of one image of a released annotation file, ids kept; its photograph is decoded and its size compared.

    BadItem `image_size`, `rle_size`, `bad_image`.
    """
    photo = place.read(source)
    size = displayed_size(photo)
    findings = []
    if size != (record["height"], record["width"]):
        stated = f"{record['height']} x {record['width']} (h x w) is stated"
        told = f"{stated}, the image as displayed has {size[0]} x {size[1]}"
        findings.append(error("image_size", told, path=path, image=image))
    found = sorted(read_parts(parts), key=lambda annotation: annotation["id"])
    problems = (checks.size_finding(annotation, record, path) for annotation in found)
    findings += [problem for problem in problems if problem is not None]
    if findings:
        raise BadItem(*findings)
    head = {"image": image, "width": size[1], "height": size[0], "set": set_name, "source": source}
    head["sha256"] = hashlib.sha256(photo).hexdigest()
    return Made(rows=image_rows(head, [_row(annotation, size) for annotation in found]))


def read_parts(parts: Sequence[Any]) -> list[dict]:
    return [annotation for part in parts for annotation in json.loads(b"[" + part.read() + b"]")]


def _row(annotation: dict, size: tuple[int, int]) -> dict:
    counts = annotation["segmentation"]["counts"]
    text = rle.from_uncompressed(counts, size).decode("ascii") if isinstance(counts, list) else counts
    return {
        "annotation_id": annotation["id"],
        "category_id": annotation["category_id"],
        "counts": text,
        "area": int(annotation["area"]),
        "bbox": [int(side) for side in annotation["bbox"]],
    }


def mask_item(
    image: str,
    height: list[int],
    width: list[int],
    category_id: list[int | None],
    counts: list[str | None],
    area: list[int | None],
    place: Any,
    folder: str,
    more_than: int,
) -> Made:
    """A released semantic mask as it is, when it equals its painting. BadItem `mask_missing`, or as `mask_findings`."""
    name = f"{image.rpartition('.')[0]}.png"
    some = [k for k, category in enumerate(category_id) if category is not None]
    columns = ([column[k] for k in some] for column in (counts, category_id, area))
    expected = maskterial.semantic_mask(*columns, (height[0], width[0]), more_than)
    try:
        data = place.read(folder + name)
    except (BadItem, FileNotFoundError):
        told = f"there is no {folder}{name}"
        raise BadItem(error("mask_missing", told, path=folder + name, image=image)) from None
    # A class that this image does not have is a class all the same: other values differ from the painting anyway.
    findings = tree.mask_findings(data, expected, range(1, 256), folder + name)
    if findings:
        raise BadItem(*findings)
    content = maskterial.semantic_png(expected)[1]
    return Made([File(name, data, content, source=folder + name)])


def painting(found: Sequence[dict], size: tuple[int, int], more_than: int) -> np.ndarray | None:
    """The semantic mask of annotations (in ascending order of ids); None when they are no masks of that size."""
    try:
        rows = [_row(annotation, size) for annotation in found]
        areas = [int(rle.area(row["counts"], size)) for row in rows]
        return maskterial.semantic_mask(
            [row["counts"] for row in rows], [row["category_id"] for row in rows], areas, size, more_than
        )
    except (rle.RleError, KeyError, TypeError, ValueError, OverflowError):
        return None


def painted_item(more_than: int, **columns: Any) -> Made:
    """A mask that the release lacks, painted."""
    made = semantic_item(more_than=more_than, **columns)
    made.findings.append(info("mask_painted", "painted, the release has no masks", image=columns["image"]))
    return made
