"""labelme's JSON: what it says, what is wrong with it, and its shapes as instances.

Belongs here: one annotation file. Not here: where its photograph lies, which images a split has. Old files without
`group_id`, `shape_type` or `flags` are read as labelme reads them. Group 0 is a group like any other. Coordinates are
those of the displayed photograph, so sizes are compared after its EXIF orientation.
Source: MaskTerial specification, 2.1, and labelme's own behaviour; nothing of labelme is used or copied.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import ntpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from PIL import Image

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats.maskterial_classes import Classes
from segassets.formats.polygons import MAX_COORDINATE, Canvas, Mask, coco_polygons, united

Rasterizer = Literal["labelme", "coco"]

#: Shape types, and how many points each has: exactly, or (polygon) at least.
POINTS = {"polygon": 3, "oriented_rectangle": 4, "rectangle": 2, "circle": 2, "mask": 2}
#: labelme draws these 10 pixels wide; no flake is meant by that, so they are reported and left out.
WITHOUT_AREA = ("line", "linestrip", "point", "points")


@dataclass(frozen=True)
class Shape:
    """One shape: `points` [(x, y), ...] in pixels, its group or None, `patch` (bool h x w) of a mask shape."""

    index: int
    label: str
    kind: str
    points: tuple[tuple[float, float], ...]
    group: int | None
    patch: np.ndarray | None = None


@dataclass(frozen=True)
class Document:
    """An annotation file: shapes with an area, in order; `size` is (height, width) as the file says."""

    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None
    image_path: str
    image_data: bytes | None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Instance:
    """One flake: its class, its pixels, and the index of its first shape."""

    category_id: int
    mask: Mask
    shape: int


def image_path(data: bytes) -> str | None:
    """The photograph that a file names, with `/`; None when it cannot be read or names none."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    path = document.get("imagePath") if isinstance(document, dict) else None
    return path.replace("\\", "/") if isinstance(path, str) and path else None


def is_absolute(path: str) -> bool:
    """Whether an imagePath names a place on somebody's computer."""
    return path.startswith("/") or bool(ntpath.splitdrive(path)[0])


def read(data: bytes, **where: Any) -> Document:
    """Parse and check an annotation file; `where` goes into its findings.

    BadItem with all errors: bad_json, bad_document, bad_label, bad_points, too_few_points, bad_group,
    unknown_shape_type, bad_mask. Warnings of the document: shape_without_area.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_json", f"it cannot be read as JSON: {problem}; save it again", **where)) from None
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        raise BadItem(error("bad_document", "no list `shapes` at the top level: labelme's JSON is expected", **where))
    shapes, findings = [], []
    for index, entry in enumerate(document["shapes"]):
        try:
            shape = _shape(entry, index)
        except _BadShape as bad:
            findings.append(replace(bad.finding, shape=index, **where))
        else:
            if shape.kind in WITHOUT_AREA:
                told = f"a {shape.kind} has no area; left out (draw a polygon round the flake)"
                findings.append(warning("shape_without_area", told, shape=index, **where))
            else:
                shapes.append(shape)
    size = _size(document, findings, where)
    picture = _image_data(document, findings, where)
    if any(finding.severity == "error" for finding in findings):
        raise BadItem(*findings)
    path = document.get("imagePath")
    return Document(tuple(shapes), size, path if isinstance(path, str) else "", picture, tuple(findings))


class _BadShape(Exception):
    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.finding = error(code, message)


def _shape(entry: Any, index: int) -> Shape:
    if not isinstance(entry, dict):
        raise _BadShape("bad_document", f"shape is {str(entry)[:40]!r}, expected an object")
    label = entry.get("label")
    if not isinstance(label, str):
        raise _BadShape("bad_label", f"label is {label!r}, expected a string")
    kind = entry.get("shape_type") or "polygon"
    if kind not in POINTS and kind not in WITHOUT_AREA:
        known = ", ".join([*POINTS, *WITHOUT_AREA])
        raise _BadShape("unknown_shape_type", f"shape_type is {str(kind)[:40]!r}, known are {known}")
    group = entry.get("group_id")
    if group is not None and (isinstance(group, bool) or not isinstance(group, int)):
        raise _BadShape("bad_group", f"group_id is {group!r}, expected a whole number or null")
    points = _points(entry.get("points"), kind)
    patch = _patch(entry.get("mask"), points) if kind == "mask" else None
    return Shape(index, label, kind, points, group, patch)


def _points(points: Any, kind: str) -> tuple[tuple[float, float], ...]:
    if not isinstance(points, list):
        raise _BadShape("bad_points", f"points of this {kind} are {str(points)[:40]!r}, expected [[x, y], ...]")
    for number, point in enumerate(points):
        plain = isinstance(point, list) and len(point) == 2
        if not plain or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in point):
            raise _BadShape("bad_points", f"point {number} of this {kind} is {str(point)[:40]}, expected [x, y]")
        if any(not math.isfinite(value) or abs(value) > MAX_COORDINATE for value in point):
            told = f"point {number} of this {kind} is {str(point)[:60]}, expected finite pixels"
            raise _BadShape("bad_points", f"{told} within {MAX_COORDINATE:,}")
    wanted = POINTS.get(kind, 0)
    wrong = len(points) < wanted if kind == "polygon" else wanted and len(points) != wanted
    if wrong:
        amount = f"at least {wanted}" if kind == "polygon" else f"{wanted}"
        raise _BadShape("too_few_points", f"{kind} with {len(points)} points, expected {amount}")
    return tuple((float(x), float(y)) for x, y in points)


def _patch(data: Any, points: tuple[tuple[float, float], ...]) -> np.ndarray:
    if not isinstance(data, str) or not data:
        raise _BadShape("bad_mask", "a mask shape without `mask` (a PNG in base64)")
    try:
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True)), formats=["PNG"]) as picture:
            if picture.width * picture.height > 1 << 28:
                raise _BadShape("bad_mask", f"its mask has {picture.width} x {picture.height} pixels: refused")
            pixels = np.asarray(picture.convert("L") if picture.mode not in ("1", "L", "I;16", "I", "P") else picture)
    except (binascii.Error, OSError, ValueError, SyntaxError) as problem:
        raise _BadShape("bad_mask", f"its mask is no PNG in base64 ({type(problem).__name__})") from None
    if all(value == round(value) for point in points for value in point):
        (x0, y0), (x1, y1) = points
        extent = (int(y1 - y0) + 1, int(x1 - x0) + 1)
        if pixels.shape != extent:
            found = f"{pixels.shape[1]} x {pixels.shape[0]}"
            told = f"its mask has {found} pixels, its points say {extent[1]} x {extent[0]} (both ends included)"
            raise _BadShape("mask_size", told)
    return pixels != 0


def _size(document: dict, findings: list[Finding], where: dict) -> tuple[int, int] | None:
    size = [document.get("imageHeight"), document.get("imageWidth")]
    if size == [None, None]:
        return None  # files of labelme before 3.5
    if all(type(side) is int and side > 0 for side in size):
        return size[0], size[1]
    told = f"imageHeight is {size[0]!r} and imageWidth {size[1]!r}, expected whole numbers of pixels"
    findings.append(error("bad_document", told, **where))
    return None


def _image_data(document: dict, findings: list[Finding], where: dict) -> bytes | None:
    data = document.get("imageData")
    if data is None or data == "":
        return None
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError, TypeError):
        findings.append(error("bad_image_data", "imageData is no base64; save the file again", **where))
        return None


def check_size(document: Document, size: tuple[int, int], **where: Any) -> None:
    """BadItem `size_differs` unless the file's size is that of the photograph (height, width), as displayed."""
    if document.size is not None and document.size != tuple(size):
        told = f"imageHeight x imageWidth is {document.size[0]} x {document.size[1]}, the photograph as displayed has"
        raise BadItem(error("size_differs", f"{told} {size[0]} x {size[1]}: it belongs to another one", **where))


def instances(
    document: Document, size: tuple[int, int], classes: Classes, rasterizer: Rasterizer = "labelme", **where: Any
) -> tuple[list[Instance], list[Finding]]:
    """The flakes of a file, in order of their first shapes, and warnings: group_mixed_labels, empty_instance.

    Shapes of one label and one group are one instance; parts are united, there are no holes but in mask shapes.
    BadItem `unknown_label` for labels that are no class and are not ignored.
    """
    kept = [shape for shape in document.shapes if not classes.is_ignored(shape.label)]
    unknown = [shape for shape in kept if classes.id_of(shape.label) is None]
    if unknown:
        known = ", ".join(classes.labels)
        raise BadItem(
            *(
                error(
                    "unknown_label", f"label {shape.label!r} is no class; known are {known}", shape=shape.index, **where
                )
                for shape in unknown
            )
        )
    findings = list(_mixed_groups(kept, where))
    canvas = Canvas(size)
    found = []
    for parts in _grouped(kept):
        mask = draw(parts, canvas, rasterizer)
        if mask.area:
            found.append(Instance(classes.id_of(parts[0].label), mask, parts[0].index))
        else:
            told = f"this {parts[0].kind} has no pixel inside the image of {size[1]} x {size[0]}; left out"
            findings.append(warning("empty_instance", told, shape=parts[0].index, **where))
    return found, findings


def _mixed_groups(shapes: Iterable[Shape], where: dict) -> Iterator[Finding]:
    labels: dict[int, str] = {}
    told = set()
    for shape in shapes:
        if shape.group is None:
            continue
        first = labels.setdefault(shape.group, shape.label)
        if first != shape.label and shape.group not in told:
            told.add(shape.group)
            message = f"group {shape.group} has the labels {first!r} and {shape.label!r}: taken as two instances"
            yield warning("group_mixed_labels", message, shape=shape.index, **where)


def _grouped(shapes: Iterable[Shape]) -> list[list[Shape]]:
    """Shapes of one (label, group), in order of first appearance; without a group each is by itself."""
    found: dict[Any, list[Shape]] = {}
    for shape in shapes:
        key = (shape.label, shape.group) if shape.group is not None else shape.index
        found.setdefault(key, []).append(shape)
    return list(found.values())


def draw(parts: list[Shape], canvas: Canvas, rasterizer: Rasterizer) -> Mask:
    """The union of some shapes; `coco` draws outlines with corners as pycocotools does, the rest as labelme."""
    outlines = [shape for shape in parts if shape.kind in ("polygon", "oriented_rectangle", "rectangle")]
    if rasterizer == "labelme":
        outlines = []
    drawn = {shape.index for shape in outlines}
    others = [shape for shape in parts if shape.index not in drawn]
    masks = []
    for shape in others:
        _draw(shape, canvas)
    if others:
        masks.append(canvas.take())
    if outlines:
        masks.append(coco_polygons([_flat(shape) for shape in outlines], canvas.size))
    return united(masks, canvas.size)


def _draw(shape: Shape, canvas: Canvas) -> None:
    if shape.kind == "mask":
        x, y = shape.points[0]
        canvas.patch(shape.patch, (round(x), round(y)))
    elif shape.kind == "rectangle":
        canvas.rectangle(shape.points)
    elif shape.kind == "circle":
        canvas.circle(shape.points)
    else:
        canvas.polygon(shape.points)


def _flat(shape: Shape) -> list[float]:
    if shape.kind == "rectangle":
        (x0, y0), (x1, y1) = shape.points
        return [x0, y0, x1, y0, x1, y1, x0, y1]
    return [value for point in shape.points for value in point]
