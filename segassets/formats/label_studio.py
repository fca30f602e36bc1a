"""Label Studio's two exports: COCO polygons, and its native JSON with polygons, rectangles, ellipses and brushes.

Belongs here: what an export says about each picture. Not here: where the pictures lie. Classes go by label name, never
by Label Studio's ids, which begin at 0 in an order of its own. Outlines are drawn as pycocotools does; all polygons of
an annotation are united (upstream's notebook keeps the first only).
Source: MaskTerial specification, 2.3; label_studio_converter's documented formats.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats import rle
from segassets.formats.label_studio_brush import decode_brush
from segassets.formats.labelme import Instance
from segassets.formats.maskterial_classes import Classes
from segassets.formats.polygons import MAX_COORDINATE, Mask, coco_polygons, mask_of_crop, measured

ELLIPSE_POINTS = 64


@dataclass
class Picture:
    """One picture of an export: its file's name, its size (height, width) as stated, its regions as exported."""

    name: str
    size: tuple[int, int] | None
    regions: list[dict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read_coco(data: bytes, **where: Any) -> list[Picture]:
    """The pictures of a COCO export in its order; every region is {"label", "segmentation", "bbox"}.

    BadItem `bad_json`, `bad_document`.
    """
    document = _json(data, where)
    parts = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(part), list) for part in parts):
        raise BadItem(error("bad_document", f"expected a COCO export with {', '.join(parts)}", **where))
    try:
        names = {entry["id"]: str(entry["name"]) for entry in document["categories"]}
        pictures = {
            entry["id"]: Picture(file_name(str(entry["file_name"])), (int(entry["height"]), int(entry["width"])))
            for entry in document["images"]
        }
        for entry in document["annotations"]:
            region = {"label": names[entry["category_id"]], "id": entry.get("id")}
            region |= {"segmentation": entry.get("segmentation"), "bbox": entry.get("bbox")}
            pictures[entry["image_id"]].regions.append(region)
    except (KeyError, TypeError, ValueError) as problem:
        told = f"not a whole COCO export ({type(problem).__name__}: {problem}); export it again"
        raise BadItem(error("bad_document", told, **where)) from None
    return list(pictures.values())


def read_native(data: bytes, **where: Any) -> list[Picture]:
    """The pictures of a native export, of each task its first annotation that was not cancelled.

    Pictures without one are left out of training: they carry the warning `not_annotated` and no size.
    BadItem `bad_json`, `bad_document`.
    """
    tasks = _json(data, where)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise BadItem(error("bad_document", "expected Label Studio's native export: a list of tasks", **where))
    return [_task(task) for task in tasks]


def _json(data: bytes, where: dict) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_json", f"it cannot be read as JSON: {problem}; export it again", **where)) from None


def file_name(place: str) -> str:
    """The name of a picture's file from a path with either slash, a URL, or a local-files address."""
    parts = urlsplit(place.replace("\\", "/"))
    path = parse_qs(parts.query).get("d", [parts.path])[0]
    return unquote(path).rsplit("/", 1)[-1]


def _task(task: dict) -> Picture:
    data = task.get("data") if isinstance(task.get("data"), dict) else {}
    texts = [data.get("image"), *data.values()]
    place = next((text for text in texts if isinstance(text, str) and "." in file_name(text)), "")
    name = file_name(place) or f"task {task.get('id')}"
    annotations = task.get("annotations")
    done = [a for a in annotations or [] if isinstance(a, dict) and not a.get("was_cancelled")]
    if not done:
        told = "no annotation that was not cancelled; left out"
        return Picture(name, None, findings=[warning("not_annotated", told, image=name)])
    findings = []
    if len(done) > 1:
        told = f"{len(done)} annotations; the first (id {done[0].get('id')}) is taken"
        findings.append(warning("several_annotations", told, image=name))
    result = done[0].get("result")
    regions = [region for region in result or [] if isinstance(region, dict) and isinstance(region.get("value"), dict)]
    sized = [(r.get("original_height"), r.get("original_width")) for r in regions if "original_width" in r]
    size = sized[0] if sized and all(type(side) is int and side > 0 for side in sized[0]) else None
    return Picture(name, size, regions, findings)


def instances(picture: Picture, size: tuple[int, int], classes: Classes) -> tuple[list[Instance], list[Finding]]:
    """The flakes of a picture in export order, and warnings. BadItem with all errors.

    Errors: size_differs, unknown_label, no_label, bad_polygon, bad_brush, bad_region. Warnings: empty_instance,
    shape_without_area, rectangle_as_polygon (info).
    """
    if picture.size is not None and tuple(picture.size) != tuple(size):
        told = f"the export says {picture.size[0]} x {picture.size[1]} (h x w), the picture has {size[0]} x {size[1]}"
        raise BadItem(error("size_differs", f"{told}: it is another one, or was resized"))
    found, findings = [], list(picture.findings)
    for index, region in enumerate(picture.regions):
        try:
            instance = _instance(region, index, size, classes, findings)
        except BadItem as bad:
            findings += [replace(finding, shape=index) for finding in bad.findings]
            continue
        if instance is None:
            continue
        if instance.mask.area:
            found.append(instance)
        else:
            told = f"this region has no pixel inside the image of {size[1]} x {size[0]}; left out"
            findings.append(warning("empty_instance", told, shape=index))
    if any(finding.severity == "error" for finding in findings):
        raise BadItem(*findings)
    return found, findings


def _instance(
    region: dict, index: int, size: tuple[int, int], classes: Classes, findings: list[Finding]
) -> Instance | None:
    label = _label(region)
    if label is None:
        if "label" in region or _has_outline(region):
            raise BadItem(error("no_label", "this region has no label: give it one in Label Studio"))
        return None  # a choice, a rating, a text: not about pixels
    if classes.is_ignored(label):
        return None
    category = classes.id_of(label)
    if category is None:
        raise BadItem(error("unknown_label", f"label {label!r} is no class; known are {', '.join(classes.labels)}"))
    mask = _coco_mask(region, size, findings, index) if "label" in region else _native_mask(region, size)
    if mask is None:
        findings.append(warning("shape_without_area", f"a {region.get('type')} has no area; left out", shape=index))
        return None
    return Instance(category, mask, index)


def _label(region: dict) -> str | None:
    if "label" in region:
        return region["label"]
    value = region["value"]
    kind = str(region.get("type", ""))
    labels = value.get(kind) or next((v for k, v in value.items() if k.endswith("labels") and v), None)
    return labels[0] if isinstance(labels, list) and labels and isinstance(labels[0], str) else None


def _has_outline(region: dict) -> bool:
    return any(key in region["value"] for key in ("points", "rle", "width", "radiusX"))


def _coco_mask(region: dict, size: tuple[int, int], findings: list[Finding], index: int) -> Mask:
    segmentation = region["segmentation"]
    if isinstance(segmentation, dict):
        return run_lengths(segmentation, size)
    if not segmentation:
        x, y, w, h = _numbers(region["bbox"], "bbox", 4)
        told = "a rectangle: its box is taken as its outline"
        findings.append(info("rectangle_as_polygon", told, shape=index))
        segmentation = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    if not isinstance(segmentation, list):
        raise BadItem(error("bad_polygon", f"segmentation is {str(segmentation)[:40]!r}, expected polygons"))
    return coco_polygons([_polygon(polygon) for polygon in segmentation], size)


def run_lengths(segmentation: dict, size: tuple[int, int]) -> Mask:
    """A COCO run-length object, counts as a string or as a list. BadItem `bad_rle`."""
    counts, stated = segmentation.get("counts"), segmentation.get("size")
    if list(stated or []) != list(size):
        raise BadItem(error("bad_rle", f"its size is {stated}, expected [height, width] {list(size)}"))
    try:
        return measured(
            rle.from_uncompressed(counts, size) if isinstance(counts, list) else _checked(counts, size), size
        )
    except rle.RleError as problem:
        raise BadItem(error("bad_rle", str(problem))) from None


def _checked(counts: Any, size: tuple[int, int]) -> bytes:
    return rle.canonical(counts, size)


def _numbers(values: Any, name: str, count: int | None = None) -> list[float]:
    plain = isinstance(values, (list, tuple)) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) and abs(v) <= MAX_COORDINATE
        for v in values
    )
    if not plain or (count is not None and len(values) != count):
        raise BadItem(error("bad_polygon", f"{name} is {str(values)[:60]}, expected finite numbers"))
    return [float(value) for value in values]


def _polygon(values: Any) -> list[float]:
    numbers = _numbers(values, "polygon")
    if len(numbers) < 6 or len(numbers) % 2:
        told = f"polygon with {len(numbers)} numbers, expected x and y of at least 3 points"
        raise BadItem(error("bad_polygon", told))
    return numbers


def _native_mask(region: dict, size: tuple[int, int]) -> Mask | None:
    value = region["value"]
    if value.get("format") == "rle" or "rle" in value:
        return mask_of_crop(decode_brush(value.get("rle"), size), (0, 0), size)
    if "points" in value:
        points = value["points"]
        if not isinstance(points, list):
            raise BadItem(error("bad_polygon", f"points are {str(points)[:40]!r}, expected [[x, y], ...]"))
        percent = [_numbers(point, "point", 2) for point in points]
    elif "radiusX" in value:
        percent = None
        return coco_polygons([_ellipse(value, size)], size)
    elif "width" in value and "height" in value:
        return coco_polygons([_rectangle(value, size)], size)
    else:
        return None
    h, w = size
    return coco_polygons([_polygon([v for x, y in percent for v in (x * w / 100, y * h / 100)])], size)


def _pixels(value: dict, size: tuple[int, int], *names: str) -> list[float]:
    """Values in percent of the picture's width (x..., width) or height, in pixels."""
    h, w = size
    numbers = _numbers([value.get(name) for name in names], "/".join(names))
    across = [name in ("x", "width", "radiusX") for name in names]
    return [number * (w if horizontal else h) / 100 for number, horizontal in zip(numbers, across, strict=True)]


def _turn(value: dict) -> tuple[float, float]:
    (degrees,) = _numbers([value.get("rotation") or 0], "rotation")
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def _rectangle(value: dict, size: tuple[int, int]) -> list[float]:
    """The corners, turned clockwise about the upper left one, as Label Studio does."""
    x, y, w, h = _pixels(value, size, "x", "y", "width", "height")
    cos, sin = _turn(value)
    corners: Sequence[tuple[float, float]] = ((0, 0), (w, 0), (w, h), (0, h))
    return [v for dx, dy in corners for v in (x + dx * cos - dy * sin, y + dx * sin + dy * cos)]


def _ellipse(value: dict, size: tuple[int, int]) -> list[float]:
    """The ellipse about (x, y), turned clockwise, as a polygon."""
    x, y, rx, ry = _pixels(value, size, "x", "y", "radiusX", "radiusY")
    cos, sin = _turn(value)
    angles = [math.tau * k / ELLIPSE_POINTS for k in range(ELLIPSE_POINTS)]
    around = [(rx * math.cos(angle), ry * math.sin(angle)) for angle in angles]
    return [v for dx, dy in around for v in (x + dx * cos - dy * sin, y + dx * sin + dy * cos)]
