"""The JSON of an SA-1B image: read, check, order; and the records that are made from it.

Belongs here: one image's annotations. Not here: the tar that holds them (`tar_index`), run lengths (`rle`), pixels.
A rejected image gives exactly one error, its first bad annotation: dropping one mask would renumber and recolour all
others, so the image is left out as a whole (golden data policy 4). Rules: SA-1B specification, sections 1 and 5.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segassets.findings import Finding, error, info, warning
from segassets.formats import rle

#: A real one has about 60 KB. JSON takes up to twenty times its size in memory, so more is not even parsed.
MAX_JSON_BYTES = 16 << 20
#: No JPEG is larger (`jpeg.MAX_PIXELS`), so no mask can be.
MAX_PIXELS = 89_478_485
MAX_ID = (1 << 63) - 1
#: Products of two sides stay exact in a float.
MAX_COORDINATE = 1 << 26
#: The filters SA-1B was generated with, as the float32 numbers in the files; the IoU head may exceed 1 a little.
IOU_RANGE = (float(np.float32(0.88)), 1.1)
STABILITY_RANGE = (float(np.float32(0.95)), 1.0)

_NUMBERS = (int, float)  # by `type(x) in`: bool is a subclass of int, but true is no number


@dataclass(slots=True)
class Annotations:
    """One image's masks as columns, in the order of the JSON (`index`), not of their rank.

    `counts`: run lengths, bytes, checked against (height, width). `bbox`: the JSON's own [x, y, w, h], where w and h
    are one less than COCO's; it is the sort key and nothing else. `area` int64[n] and `coco_bbox` int64[n, 4] are
    computed from the run lengths. `point_coords`: per mask a list of [x, y].
    """

    image_id: int
    width: int
    height: int
    counts: list[bytes]
    bbox: list[list[float]]
    area: np.ndarray
    coco_bbox: np.ndarray
    ids: list[int]
    predicted_iou: list[float]
    stability_score: list[float]
    crop_box: list[list[float]]
    point_coords: list[list[list[float]]]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> tuple[int, int]:
        """(h, w), as in COCO's `segmentation.size`."""
        return self.height, self.width


class _Bad(Exception):
    """Why something cannot be used: a finding's code and message."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def read_annotations(
    data: bytes, image_id: int, jpg_size: tuple[int, int] | None = None
) -> tuple[Annotations | None, list[Finding]]:
    """The annotations of `sa_<image_id>.json` and what is wrong with them; None when the image must be left out.

    `jpg_size`: (width, height) in the JPEG's header, None when it is not known. Errors: `json_corrupt`, `json_schema`,
    `image_size_mismatch`, `rle_size_mismatch`, `rle_invalid`. Warnings: `image_id_mismatch`, `no_annotations` (the
    result is then empty), `empty_mask`, `area_mismatch`, `bbox_mismatch`, `score_range`, `duplicate_annotation_id`.
    Info: `crop_box_outside`, `point_outside`. Never raises for what is in `data`.
    """
    name = f"sa_{image_id}"
    where = {"image": name, "member": f"{name}.json"}
    try:
        head, records = _parse(data)
        findings = _image_findings(head, image_id, where)
        width, height = head["width"], head["height"]
        if jpg_size is not None and tuple(jpg_size) != (width, height):
            raise _Bad(
                "image_size_mismatch",
                f"the JSON says {width} x {height}, the JPEG's header {jpg_size[0]} x {jpg_size[1]} (width x height, "
                "no EXIF rotation); the two are of different pictures or versions",
            )
    except _Bad as bad:
        return None, [error(bad.code, str(bad), **where)]
    annotations, bad = _read_columns(records, image_id, width, height)
    if bad is not None:
        index, code, message = bad
        number = _id_of(records[index])
        return None, [*findings, error(code, message, index=index, annotation_id=number, **where)]
    if not records:
        message = "the image has no annotations; it is left out, because an empty mask folder breaks ASAM's loader"
        findings.append(warning("no_annotations", message, **where))
    return annotations, findings + _annotation_findings(annotations, [record["area"] for record in records], where)


# --- reading ----------------------------------------------------------------------------------------------------------


def _parse(data: bytes) -> tuple[dict, list]:
    """(`image`, `annotations`) of the file, with a sound `image`. Raises _Bad."""
    if len(data) > MAX_JSON_BYTES:
        raise _Bad(
            "json_corrupt", f"{len(data):,} bytes are too many; expected about 60,000, at most {MAX_JSON_BYTES:,}"
        )
    try:
        # Python's parser takes a byte order mark and NaN, which stricter ones do not (golden data policy 10).
        content = json.loads(data)
    except RecursionError:
        raise _Bad("json_corrupt", "the JSON is nested too deeply") from None
    except ValueError as problem:  # JSONDecodeError, UnicodeDecodeError, an integer of more than 4,300 digits
        raise _Bad("json_corrupt", f"this is not JSON: {problem}; {len(data):,} bytes, cut or damaged?") from None
    if type(content) is not dict:
        raise _Bad("json_schema", f"the file holds {_shown(content)}, expected an object with image and annotations")
    head, records = content.get("image"), content.get("annotations")
    if type(head) is not dict:
        raise _Bad("json_schema", f"image is {_shown(head)}, expected an object")
    if type(records) is not list:
        raise _Bad("json_schema", f"annotations is {_shown(records)}, expected a list")
    for key in ("image_id", "width", "height"):
        if type(head.get(key)) is not int:
            raise _Bad("json_schema", f"image.{key} is {_shown(head.get(key))}, expected an integer")
    if type(head.get("file_name")) is not str:
        raise _Bad("json_schema", f"image.file_name is {_shown(head.get('file_name'))}, expected a string")
    sides = head["width"], head["height"]
    if min(sides) < 1 or max(sides) > 65535 or sides[0] * sides[1] > MAX_PIXELS:
        raise _Bad(
            "json_schema",
            f"image.width and image.height are {_shown(sides[0])} and {_shown(sides[1])}, expected 1 to 65535 each and "
            f"at most {MAX_PIXELS:,} pixels",
        )
    return head, records


def _read_columns(
    records: list, image_id: int, width: int, height: int
) -> tuple[Annotations | None, tuple[int, str, str] | None]:
    """The columns, or None and the first bad annotation as (index, code, message)."""
    size = (height, width)
    bad, rows = None, []
    for index, record in enumerate(records):
        try:
            rows.append(_read_record(record, height, width))
        except _Bad as problem:
            bad = index, problem.code, str(problem)
            break
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(7)]
    counts = columns[0]
    try:
        area, boxes = rle.stats(counts, size)
    except rle.RleError:
        problems = rle.validate_all(counts, size)
        first = next(index for index, problem in enumerate(problems) if problem is not None)
        bad = first, "rle_invalid", f"segmentation.counts is no mask of {height} x {width} (h x w): {problems[first]}"
    if bad is not None:
        return None, bad
    columns[0] = [count.encode("ascii") for count in counts]
    counts, bbox, ids, ious, stabilities, crops, points = columns
    return Annotations(image_id, width, height, counts, bbox, area, boxes, ids, ious, stabilities, crops, points), None


_KEYS = ("segmentation", "bbox", "area", "id", "predicted_iou", "stability_score", "crop_box", "point_coords")


def _read_record(record: object, height: int, width: int) -> tuple:
    """(counts str, bbox, id, predicted_iou, stability_score, crop_box, point_coords). Raises _Bad."""
    if type(record) is not dict:
        raise _Bad("json_schema", f"the annotation is {_shown(record)}, expected an object")
    try:
        segmentation, bbox, area, number, iou, stability, crop_box, points = [record[key] for key in _KEYS]
    except KeyError as missing:
        raise _Bad("json_schema", f"the annotation has no {missing.args[0]}") from None
    if type(segmentation) is not dict:
        raise _Bad("json_schema", f"segmentation is {_shown(segmentation)}, expected an object with size and counts")
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if type(size) is not list or len(size) != 2 or type(size[0]) is not int or type(size[1]) is not int:
        raise _Bad("json_schema", f"segmentation.size is {_shown(size)}, expected two integers [h, w]")
    if type(counts) is not str:
        raise _Bad("json_schema", f"segmentation.counts is {_shown(counts)}, expected a compressed string")
    if type(number) is not int or not 0 <= number <= MAX_ID:
        raise _Bad("json_schema", f"id is {_shown(number)}, expected an integer of 64 bits that is not negative")
    if type(area) not in _NUMBERS:
        raise _Bad("json_schema", f"area is {_shown(area)}, expected an integer")
    box = _floats("bbox", bbox, 4)
    if not all(-MAX_COORDINATE <= value <= MAX_COORDINATE for value in box):  # false for NaN
        raise _Bad("json_schema", f"bbox is {_shown(bbox)}, expected four finite numbers [x, y, w, h]")
    if type(points) is not list:
        raise _Bad("json_schema", f"point_coords is {_shown(points)}, expected a list of [x, y]")
    row = (
        counts,
        box,
        number,
        *_floats("predicted_iou, stability_score", [iou, stability], 2),
        _floats("crop_box", crop_box, 4),
        [_floats("point_coords", point, 2) for point in points],
    )
    if size[0] != height or size[1] != width:
        shown = f"[{_shown(size[0])}, {_shown(size[1])}]"
        message = f"segmentation.size is {shown}, expected [{height}, {width}] ([h, w] of the image)"
        raise _Bad("rle_size_mismatch", message)
    return row


def _floats(name: str, values: object, count: int) -> list[float]:
    """`count` JSON numbers as floats; NaN and infinities pass. Raises _Bad."""
    if type(values) is list and len(values) == count:
        try:
            if all(type(value) in _NUMBERS for value in values):
                return [float(value) for value in values]
        except OverflowError:
            pass
    raise _Bad("json_schema", f"{name} is {_shown(values)}, expected {count} numbers")


def _shown(value: object) -> str:
    """A JSON value for a message: short, whatever it is."""
    if value is None:
        return "missing or null"
    if type(value) is int and abs(value) >= 1 << 64:
        return f"an integer of {value.bit_length()} bits"
    if type(value) in (list, dict):
        kind, some = ("list", value) if type(value) is list else ("object", value.values())
        if not value or len(value) > 6 or any(type(item) in (list, dict, str) or _is_long(item) for item in some):
            return f"a{'n' if kind == 'object' else ''} {kind} of {len(value)}"
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_long(value: object) -> bool:
    return type(value) is int and abs(value) >= 1 << 64


def _id_of(record: object) -> int | None:
    """The id of an annotation that may be anything."""
    number = record.get("id") if type(record) is dict else None
    return number if type(number) is int and 0 <= number <= MAX_ID else None


# --- checks that leave the image in -----------------------------------------------------------------------------------


def _image_findings(head: dict, image_id: int, where: dict) -> list[Finding]:
    if head["image_id"] == image_id and head["file_name"] == f"sa_{image_id}.jpg":
        return []
    message = (
        f"the JSON says image_id {_shown(head['image_id'])} and file_name {_shown(head['file_name'])}, expected "
        f"{image_id} and 'sa_{image_id}.jpg'; the member's name is used"
    )
    return [warning("image_id_mismatch", message, **where)]


def _annotation_findings(annotations: Annotations, areas: list, where: dict) -> list[Finding]:
    """Everything that is odd about sound annotations, in the order of the JSON."""
    findings: list[tuple[int, Finding]] = []

    def report(make, index: int, code: str, message: str) -> None:
        finding = make(code, message, index=index, annotation_id=annotations.ids[index], **where)
        findings.append((index, finding))

    first_use: dict[int, int] = {}
    rows = zip(
        annotations.area.tolist(), annotations.coco_bbox.tolist(), areas, annotations.bbox, annotations.ids, strict=True
    )
    for index, (area, (x, y, w, h), stated_area, bbox, number) in enumerate(rows):
        if not area:
            report(warning, index, "empty_mask", "the mask has no pixel; it is kept, as an all-black picture")
        if stated_area != area:
            message = f"area is {_shown(stated_area)}, the mask has {area:,} pixels; the mask is used"
            report(warning, index, "area_mismatch", message)
        # SAM writes xmax - xmin, not COCO's xmax - xmin + 1, and zeros for an empty mask.
        if bbox != [x, y, w - 1 if w else 0, h - 1 if h else 0]:
            message = (
                f"bbox is {_shown(bbox)}, the mask's is {[x, y, max(w - 1, 0), max(h - 1, 0)]} ([xmin, ymin, xmax - "
                "xmin, ymax - ymin]); the order of the masks follows the JSON's, as upstream"
            )
            report(warning, index, "bbox_mismatch", message)
        first = first_use.setdefault(number, index)
        if first != index:
            message = f"annotation {first} has the same id; both are kept"
            report(warning, index, "duplicate_annotation_id", message)
    _score_findings(annotations, report)
    _prompt_findings(annotations, report)
    return [finding for _, finding in sorted(findings, key=lambda pair: pair[0])]


def _score_findings(annotations: Annotations, report) -> None:
    checks = (("predicted_iou", IOU_RANGE), ("stability_score", STABILITY_RANGE))
    for name, (least, most) in checks:
        for index, score in enumerate(getattr(annotations, name)):
            if not least <= score <= most:  # true for NaN, too
                message = f"{name} is {score}, expected {least:.4g} to {most:.4g} (SA-1B's own filters)"
                report(warning, index, "score_range", message)


def _prompt_findings(annotations: Annotations, report) -> None:
    """Where SAM looked: crops lie in the image and points in their crop. Nothing is made from them."""
    width, height = annotations.width, annotations.height
    rows = zip(annotations.crop_box, annotations.point_coords, strict=True)
    for index, ((x, y, w, h), points) in enumerate(rows):
        if not (x >= 0 and y >= 0 and w > 0 and h > 0 and x + w <= width and y + h <= height):
            message = f"crop_box is {[x, y, w, h]}, not inside the image of {width} x {height} (w x h)"
            report(info, index, "crop_box_outside", message)
        elif not all(x <= px <= x + w and y <= py <= y + h for px, py in points):
            message = f"a point of point_coords {_shown(points)} is not inside crop_box {[x, y, w, h]}"
            report(info, index, "point_outside", message)


# --- what is made from them -------------------------------------------------------------------------------------------


def rank_order(bboxes: Sequence[Sequence[float]]) -> list[int]:
    """Indices by rank: by bbox[2] * bbox[3] of the JSON, largest first, ties in JSON order.

    `segmentation_J.png` shows annotation `rank_order(...)[J]`. Source: upstream's `utils/sam_uncover_mask.py`
    (`sorted(..., reverse=True)`, which is stable).
    """
    return sorted(range(len(bboxes)), key=lambda index: bboxes[index][2] * bboxes[index][3], reverse=True)


def coco_record(annotations: Annotations, index: int, annotation_id: int | None = None) -> dict:
    """One mask as a COCO annotation: category 1 ("object"), COCO's bbox (w = xmax - xmin + 1), area by counting.

    `annotation_id`: the `id` to give, SA-1B's own when None. Bbox and area are the mask's, so they hold where the JSON
    is wrong, too.
    """
    return {
        "id": annotations.ids[index] if annotation_id is None else annotation_id,
        "image_id": annotations.image_id,
        "category_id": 1,
        "segmentation": {"size": list(annotations.size), "counts": annotations.counts[index].decode("ascii")},
        "area": int(annotations.area[index]),
        "bbox": [float(value) for value in annotations.coco_bbox[index]],
        "iscrowd": 0,
    }


def controlnet_row(prompt: str, image_id: int) -> dict:
    """One row for ControlNet's loader; names are relative to the shard's folder (`utils/modify_json.py`)."""
    return {"prompt": prompt, "target": f"sa_{image_id}.jpg", "source": f"sa_{image_id}.png"}
