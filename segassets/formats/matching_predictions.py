"""Predictions of a detector in COCO's results format: what is read of them, and what is wrong with which one.

Belongs here: JSON in, predictions by image out. Not here: which of them count, and for which alpha (`matching`).
Source: the COCO results format (RLE as string or list, polygons); the MaGGIe specification 4.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats import rle
from segassets.formats.polygons import coco_polygons

_EXPECTED = "expected a COCO object with `images` and `annotations`, or a list of results"
MAX_OUTLINE = 100  # length of a polygon's outline, in heights and widths of the image


def read_predictions(
    data: bytes, images: bytes | None, path: str, images_path: str = "images.json"
) -> tuple[dict[str, list[dict]], list[Finding]]:
    """Predictions by image name (up to the first dot, as upstream names its folders), by falling score.

    `data`: a COCO object with `images` and `annotations`, or a results list with the images in `images`. One that
    cannot be used is an error `bad_prediction` with its place in the file and its image. Raises BadItem `bad_json`,
    `predictions_images_missing`, with the path of the file that is to blame.
    """
    results = _json(data, path)
    if isinstance(results, dict):
        missing = [name for name in ("images", "annotations") if not isinstance(results.get(name), list)]
        if missing:
            told = f"found an object without a list {' and '.join(missing)}: {_shown(results)}"
            raise BadItem(error("bad_json", f"{_EXPECTED}, {told}", path=path))
        listed, results, images_path = results["images"], results["annotations"], path
    elif not isinstance(results, list):
        raise BadItem(error("bad_json", f"{_EXPECTED}, found {_shown(results)}", path=path))
    elif images is None:
        message = "a list of results says nothing about images: put <subset>_images.json or images.json beside it"
        raise BadItem(error("predictions_images_missing", message, path=path))
    else:
        about = _json(images, images_path)
        listed = about.get("images") if isinstance(about, dict) else about
        if not isinstance(listed, list):
            told = f"expected COCO's list of images, or an object that has it as `images`, found {_shown(about)}"
            raise BadItem(error("bad_json", told, path=images_path))
    try:
        sizes = {entry["id"]: (entry.get("height"), entry.get("width")) for entry in listed}
        names = {entry["id"]: re.sub(r".*/", "", str(entry["file_name"])).split(".")[0] for entry in listed}
    except (KeyError, TypeError, AttributeError) as problem:
        told = f"an image without id or file_name, or with one that is none ({type(problem).__name__}: {problem})"
        raise BadItem(error("bad_json", f"not COCO's images: {told}", path=images_path)) from None
    found: dict[str, list[dict]] = {name: [] for name in names.values()}
    findings = []
    for index, result in enumerate(results):
        where = {"path": path, "index": index}
        if not isinstance(result, dict):
            message = f"expected an object with image_id, category_id, segmentation and score, found {_shown(result)}"
            findings.append(error("bad_prediction", message, **where))
            continue
        image = result.get("image_id")
        if isinstance(image, list | dict) or image not in names:
            message = f"image_id {_shown(image)} is not among the images; left aside"
            findings.append(warning("unknown_image", message, **where))
            continue
        try:
            found[names[image]].append({**_prediction(result, sizes[image]), "index": index})
        except ValueError as problem:
            findings.append(error("bad_prediction", str(problem), image=names[image], **where))
    return {name: sorted(kept, key=lambda one: -one["score"]) for name, kept in found.items()}, findings


def _json(data: bytes, path: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_json", f"it cannot be read as JSON: {problem}", path=path)) from None


def _prediction(result: Mapping[str, Any], image_size: tuple[Any, Any]) -> dict[str, Any]:
    """Score, category, size, and `counts` or `polygons`. ValueError says what is wrong with it."""
    score = result.get("score", 1.0)  # annotations of people, not of a detector, have none
    if not _is_number(score):
        raise ValueError(f"its score is {_shown(score)}: a finite number is expected")
    category = result.get("category_id")
    if not _is_number(category) or category != int(category):
        raise ValueError(f"its category_id is {_shown(category)}: a whole number is expected, 1 for a person")
    return {"score": float(score), "category": int(category), **_segmentation(result.get("segmentation"), image_size)}


def _segmentation(given: Any, image_size: tuple[Any, Any]) -> dict[str, Any]:
    if isinstance(given, dict):
        if not isinstance(given.get("counts"), str | list):
            raise ValueError(
                f"counts in its segmentation are {_shown(given.get('counts'))}: a string or a list expected"
            )
        return {"size": _size(given.get("size"), "its segmentation"), "counts": given["counts"]}
    if isinstance(given, list) and given:
        if not all(_is_polygon(polygon) for polygon in given):
            raise ValueError("its segmentation is a list, but not of polygons [x0, y0, x1, y1, x2, y2, ...]")
        size = _size(list(image_size), "the image of its polygons")
        if not all(_fits(polygon, size) for polygon in given):
            raise ValueError(f"its polygons do not fit into an image of {size[1]} x {size[0]} pixels")
        return {"size": size, "polygons": given}
    raise ValueError(f"its segmentation is {_shown(given)}: run lengths with their size, or polygons, are expected")


def _size(given: Any, of: str) -> list[int]:
    if not isinstance(given, list) or len(given) != 2 or not all(type(n) is int and n > 0 for n in given):
        raise ValueError(f"the size of {of} is {_shown(given)}: [height, width] are expected")
    return given


def _is_polygon(given: Any) -> bool:
    return isinstance(given, list) and len(given) >= 6 and len(given) % 2 == 0 and all(map(_is_number, given))


def _fits(polygon: Sequence[float], size: Sequence[int]) -> bool:
    """Whether it can be drawn: drawing takes memory by the pixels of the outline, wherever they lie."""
    points = np.array(polygon, np.float64).reshape(-1, 2)
    length = np.abs(points - np.roll(points, 1, 0)).max(1).sum()
    return bool(np.abs(points).max() <= 4 * max(size) and length <= MAX_OUTLINE * sum(size))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and abs(value) < 1 << 53


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def mask_of(prediction: Mapping[str, Any], size: Sequence[int]) -> np.ndarray:
    """A prediction's mask: bool, (height, width). Raises ValueError where its run lengths are wrong.

    Polygons are drawn by COCO's own rule (frPyObjects, merged).
    """
    size = (int(size[0]), int(size[1]))
    if "polygons" in prediction:
        counts: Any = coco_polygons(prediction["polygons"], size).counts
    else:
        counts = prediction["counts"]
        counts = rle.from_uncompressed(counts, size) if isinstance(counts, list) else counts
    return rle.decode(counts, size).astype(bool)
