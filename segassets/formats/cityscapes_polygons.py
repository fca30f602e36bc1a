"""Label maps drawn from Cityscapes' polygons, as csCreateTrainIdLabelImgs and csCreateTrainIdInstanceImgs draw them.

Painter's algorithm in list order with Pillow's polygon filling, whose version therefore decides pixels at borders.
Source of the rules: cityscapesScripts json2labelImg and json2instanceImg; the specification 2.2.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from segassets.findings import BadItem, error
from segassets.formats.cityscapes import BY_NAME, FIRST_INSTANCE, VOID, Label
from segassets.formats.panoptic import MAX_PIXELS


def _document(data: bytes) -> dict:
    try:
        document = json.loads(data)
        height, width, objects = document["imgHeight"], document["imgWidth"], document["objects"]
    except (ValueError, RecursionError, KeyError, TypeError) as problem:
        message = f"cannot be read as polygons with imgHeight, imgWidth and objects: {problem!r:.200}"
        raise BadItem(error("bad_json", message)) from None
    whole = isinstance(height, int) and isinstance(width, int) and isinstance(objects, list)
    if not whole or not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise BadItem(error("bad_json", f"imgWidth {width!r:.40} and imgHeight {height!r:.40} are no size"))
    return document


def _drawn(document: dict) -> Iterator[tuple[Label, bool, list[tuple[float, float]]]]:
    """(label, is a group, corners) of every object that is drawn, in order. Raises BadItem for what cannot be."""
    for index, entry in enumerate(document["objects"]):
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
            raise BadItem(error("bad_json", "an object without a label", shape=index))
        if entry.get("deleted"):
            continue
        name, group = entry["label"], False
        if name not in BY_NAME and name.endswith("group"):
            name, group = name.removesuffix("group"), True
        if name not in BY_NAME:
            raise BadItem(error("unknown_label", f"the label {name[:80]!r} is in no table", shape=index))
        yield BY_NAME[name], group, _corners(entry.get("polygon"), index)


def _corners(polygon: object, index: int) -> list[tuple[float, float]]:
    try:
        corners = [(float(x), float(y)) for x, y in polygon]
    except (TypeError, ValueError):
        raise BadItem(error("bad_polygon", "the polygon is no list of [x, y] pairs", shape=index)) from None
    if len(corners) < 2 or not np.isfinite(corners).all():
        message = f"a polygon of {len(corners)} corners cannot be drawn, two finite ones at least are expected"
        raise BadItem(error("bad_polygon", message, shape=index))
    return corners


def label_train_ids(data: bytes) -> np.ndarray:
    """trainId of every pixel, uint8 (h, w), from a `*_polygons.json`. Raises BadItem."""
    document = _document(data)
    canvas = Image.new("L", (document["imgWidth"], document["imgHeight"]), VOID)
    pen = ImageDraw.Draw(canvas)
    for label, _, corners in _drawn(document):
        if label.id >= 0:
            pen.polygon(corners, fill=label.train_id)
    return np.array(canvas)


def instance_train_ids(data: bytes) -> np.ndarray:
    """uint16 (h, w) as `cityscapes.instance_train_ids`, from a `*_polygons.json`. Raises BadItem.

    Instances are numbered by the polygons of their label, the hidden ones counted: gaps are normal.
    """
    document = _document(data)
    canvas = Image.new("I", (document["imgWidth"], document["imgHeight"]), VOID)
    pen = ImageDraw.Draw(canvas)
    numbers: Counter[str] = Counter()
    for label, group, corners in _drawn(document):
        value = label.train_id
        if label.has_instances and not group and value != VOID:
            value = value * FIRST_INSTANCE + numbers[label.name]
            numbers[label.name] += 1
        if value >= 0:
            pen.polygon(corners, fill=value)
    return np.asarray(canvas).astype(np.uint16)
