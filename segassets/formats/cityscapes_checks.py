"""What must hold of Cityscapes' label maps, panoptic PNGs and JSONs, as findings about one image.

Source of the rules: the specification 6 (asset checks).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from segassets.findings import Finding, error, warning
from segassets.formats import rle
from segassets.formats.cityscapes import EVALUATED, FIRST_INSTANCE, THINGS, VOID, label_of
from segassets.formats.panoptic import read_grey, read_ids
from segassets.metrics import pq

_TRAIN_IDS = frozenset(label.train_id for label in EVALUATED)
_THING_TRAIN_IDS = frozenset(label.train_id for label in THINGS)
_FEWEST_POINTS = 3
_THING_IDS = [label.id for label in THINGS]


def label_map_findings(image: str, data: bytes) -> list[Finding]:
    """A published labelTrainIds PNG: 8-bit grey, 0 to 18 and 255. Raises BadItem when it cannot be read."""
    return _strange_values(image, np.unique(read_grey(data, 8, "a map of trainIds")), lambda v: v in _TRAIN_IDS)


def instance_map_findings(image: str, data: bytes) -> list[Finding]:
    """A published instanceTrainIds PNG: 16-bit grey, values of trainIds. Raises BadItem when it cannot be read."""
    values = np.unique(read_grey(data, 16, "a map of instanceTrainIds"))
    return _strange_values(
        image, values, lambda v: v in _TRAIN_IDS if v < FIRST_INSTANCE else v // FIRST_INSTANCE in _THING_TRAIN_IDS
    )


def _strange_values(image: str, values: np.ndarray, known) -> list[Finding]:
    strange = [v for v in values.tolist() if v != VOID and not known(v)]
    return [error("bad_value", f"the values {strange[:5]} are no trainIds", image=image)] if strange else []


def segment_findings(image: str, segments: Sequence[Mapping], train_ids: bool, pixels: int) -> list[Finding]:
    """An image's segments by themselves: ids once, categories known and those of the ids, one crowd a category."""
    ids = [segment["id"] for segment in segments]
    findings = []
    if len(set(ids)) != len(ids):
        findings.append(error("duplicate_id", "a segment id is listed more than once", image=image))
    expected = {label.id: label.train_id if train_ids else label.id for label in EVALUATED}
    wrong = [segment for segment in segments if segment["category_id"] != expected.get(label_of(segment["id"]))]
    if wrong:
        told = f"{len(wrong)} segments have another category than their id says, {wrong[0]['id']} for one"
        findings.append(error("category_differs", told, image=image))
    crowds = Counter(segment["category_id"] for segment in segments if segment["iscrowd"])
    if crowds and max(crowds.values()) > 1:
        findings.append(error("several_crowds", "a category has more than one crowd", image=image))
    if sum(segment["area"] for segment in segments) > pixels:
        findings.append(error("area_wrong", "the areas sum to more than the image has pixels", image=image))
    if not segments:
        findings.append(warning("no_segments", "no pixel of it is evaluated: there are no segments", image=image))
    return findings


def panoptic_png_findings(image: str, data: bytes, segments: Sequence[Mapping]) -> list[Finding]:
    """The PNG beside its JSON: the same ids and areas, and a panoptic quality of 100 of the image against itself."""
    ids = read_ids(data)
    values, counts = np.unique(ids, return_counts=True)
    painted = {int(v): int(n) for v, n in zip(values, counts, strict=True) if v}
    listed = {segment["id"]: segment["area"] for segment in segments}
    findings = []
    if set(painted) != set(listed):
        odd = sorted(set(painted) ^ set(listed))[:5]
        findings.append(error("ids_differ", f"PNG and JSON have different ids: {odd}", image=image))
    elif painted != listed:
        wrong = [i for i in painted if painted[i] != listed[i]][:5]
        findings.append(error("area_wrong", f"the areas of {wrong} are not those of the pixels", image=image))
    return [*findings, *self_findings(image, ids, segments)]


def self_findings(image: str, ids: np.ndarray, segments: Sequence[Mapping]) -> list[Finding]:
    """Error `pq_self`: ground truth scored against itself must be exactly 100."""
    predicted = {segment["id"]: segment["category_id"] for segment in segments if not segment["iscrowd"]}
    found = pq.tallies(pq.overlaps(ids, ids), pq.truth_of(segments), predicted)
    wrong = [category for category, tally in found.items() if tally.fp or tally.fn or tally.iou != tally.tp]
    if not wrong:
        return []
    return [error("pq_self", f"scored against itself it has no PQ of 100 in the categories {wrong[:5]}", image=image)]


def annotation_findings(image: str, annotations: Sequence[Mapping], size: tuple[int, int]) -> list[Finding]:
    """An image's instance annotations: run lengths of its size, with the stated areas and boxes; known categories."""
    if any(isinstance(annotation["segmentation"], list) for annotation in annotations):
        return _polygon_findings(image, annotations, size)
    counts = [annotation["segmentation"]["counts"] for annotation in annotations]
    problems = rle.validate_all(counts, size)
    findings = [
        error("bad_rle", problem, image=image, index=index) for index, problem in enumerate(problems) if problem
    ]
    if findings:
        return findings
    areas, boxes = rle.stats(counts, size) if counts else (np.zeros(0), np.zeros((0, 4)))
    for index, (annotation, area, box) in enumerate(zip(annotations, areas, boxes, strict=True)):
        if annotation["area"] != area:
            findings.append(error("area_wrong", f"{annotation['area']}, it has {area}", image=image, index=index))
        if list(annotation["bbox"]) != box.tolist():
            told = f"{annotation['bbox']}, its pixels have {box.tolist()}"
            findings.append(error("bbox_wrong", told, image=image, index=index))
        findings += _category_findings(image, annotation, index)
    return findings


def _category_findings(image: str, annotation: Mapping, index: int) -> list[Finding]:
    if annotation["category_id"] in _THING_IDS:
        return []
    told = f"category {annotation['category_id']} is none of {_THING_IDS}"
    return [error("unknown_category", told, image=image, index=index)]


def _polygon_findings(image: str, annotations: Sequence[Mapping], size: tuple[int, int]) -> list[Finding]:
    """Contours of three points and more that together have the stated box, within the image."""
    findings = []
    for index, annotation in enumerate(annotations):
        points = [np.reshape(polygon, (-1, 2)) for polygon in annotation["segmentation"]]
        if not points or min(map(len, points)) < _FEWEST_POINTS:
            findings.append(error("bad_polygon", "a contour has less than three points", image=image, index=index))
            continue
        low, high = np.min(np.concatenate(points), 0), np.max(np.concatenate(points), 0)
        box = [*low.tolist(), *(high - low + 1).tolist()]
        inside = box[0] >= 0 and box[1] >= 0 and high[0] < size[1] and high[1] < size[0]
        if list(annotation["bbox"]) != box or not inside:
            told = f"{annotation['bbox']}, its contours have {box}"
            findings.append(error("bbox_wrong", told, image=image, index=index))
        if not 0 < annotation["area"] <= box[2] * box[3]:
            findings.append(error("area_wrong", f"{annotation['area']}, its box is {box}", image=image, index=index))
        findings += _category_findings(image, annotation, index)
    return findings
