"""Label maps drawn from Cityscapes' polygons, as csCreateTrainIdLabelImgs and csCreateTrainIdInstanceImgs draw them.

Painter's algorithm in list order with Pillow's polygon filling, whose version therefore decides pixels at borders.
Source of the rules: cityscapesScripts json2labelImg and json2instanceImg; the specification 2.2.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats.cityscapes import BY_NAME, FIRST_INSTANCE, LAST_NUMBER, VOID, Label
from segassets.formats.panoptic import MAX_PIXELS

_KEYS = ("imgHeight", "imgWidth", "objects")
_FARTHEST = 1 << 20  # of a corner, in pixels: the official ones are a few pixels outside at most


def _document(data: bytes) -> dict:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_json", f"it is no JSON ({str(problem)[:200]}): download it again")) from None
    lacks = [key for key in _KEYS if key not in document] if isinstance(document, dict) else list(_KEYS)
    if lacks:
        message = f"it has no {', '.join(lacks)}: an object with {', '.join(_KEYS)} is expected; download it again"
        raise BadItem(error("bad_json", message))
    height, width, objects = (document[key] for key in _KEYS)
    whole = type(height) is int and type(width) is int and isinstance(objects, list)
    if not whole or not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise BadItem(
            error(
                "bad_json",
                f"imgWidth {width!r:.40} and imgHeight {height!r:.40} are no size, or objects no list: download it again",
            )
        )
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
            told = f"the label {name[:80]!r} of object {index} is in no table: correct or remove it"
            raise BadItem(error("unknown_label", told, shape=index))
        if BY_NAME[name].id >= 0:  # licence plates are never drawn, whatever their polygons are
            yield BY_NAME[name], group, _corners(entry.get("polygon"), index, entry["label"])


def _corners(polygon: object, index: int, label: str) -> list[tuple[float, float]]:
    about = f"the polygon of object {index} ({label[:80]})"
    try:
        corners = [(float(x), float(y)) for x, y in polygon]
    except (TypeError, ValueError, OverflowError):
        told = f"{about} is no list of [x, y] pairs that are numbers: correct or remove it"
        raise BadItem(error("bad_polygon", told, shape=index)) from None
    if len(corners) < 2 or not (np.abs(corners) <= _FARTHEST).all():
        told = f"{about} has {len(corners)} corners, at least two within {_FARTHEST} pixels are expected"
        raise BadItem(error("bad_polygon", told, shape=index))
    return corners


def size_of(head: bytes) -> tuple[int, int] | None:
    """(height, width) from the first bytes of a `*_polygons.json`; None where they do not say so."""
    found = [re.search(rb'"%s"\s*:\s*([0-9]{1,9})\b' % key, head) for key in (b"imgHeight", b"imgWidth")]
    return (int(found[0][1]), int(found[1][1])) if all(found) else None


def findings(data: bytes) -> list[Finding]:
    """Warning `no_objects` of a document that can be read and has none: all of it becomes void."""
    if any(not entry.get("deleted") for entry in _document(data)["objects"] if isinstance(entry, dict)):
        return []
    return [warning("no_objects", "it has no polygon: all of the image is void; is it a label file of test?")]


def label_train_ids(data: bytes) -> np.ndarray:
    """trainId of every pixel, uint8 (h, w), from a `*_polygons.json`. Raises BadItem."""
    document = _document(data)
    canvas = Image.new("L", (document["imgWidth"], document["imgHeight"]), VOID)
    pen = ImageDraw.Draw(canvas)
    for label, _, corners in _drawn(document):
        pen.polygon(corners, fill=label.train_id)
    return np.array(canvas)


def instance_train_ids(data: bytes) -> np.ndarray:
    """uint16 (h, w) as `cityscapes.instance_train_ids`, from a `*_polygons.json`. Raises BadItem.

    Instances are numbered by the polygons of their label, the hidden ones counted: gaps are normal. A thousandth one
    would have the value of another class: upstream writes it, here it is the error `many_instances`.
    """
    document = _document(data)
    canvas = Image.new("I", (document["imgWidth"], document["imgHeight"]), VOID)
    pen = ImageDraw.Draw(canvas)
    numbers: Counter[str] = Counter()
    for label, group, corners in _drawn(document):
        value = label.train_id
        if label.has_instances and not group and value != VOID:
            if numbers[label.name] > LAST_NUMBER:
                told = f"there are more than {FIRST_INSTANCE} instances of {label.name}: their numbers end at {LAST_NUMBER}"
                raise BadItem(error("many_instances", f"{told}, and the next is another class; join some into a group"))
            value = value * FIRST_INSTANCE + numbers[label.name]
            numbers[label.name] += 1
        pen.polygon(corners, fill=value)
    return np.asarray(canvas).astype(np.uint16)
