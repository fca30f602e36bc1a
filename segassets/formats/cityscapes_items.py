"""What becomes of one Cityscapes image: the functions that run in workers. Bytes in, `Made` out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from segassets.findings import BadItem, Finding
from segassets.formats import (
    cityscapes,
    cityscapes_contours,
    cityscapes_instances,
    cityscapes_panoptic,
    cityscapes_polygons,
    png,
)
from segassets.formats.cityscapes import VOID, ImageName
from segassets.formats.label_map import Runs, row_runs
from segassets.formats.panoptic import content, grey_runs, ids_png
from segassets.items import File, Made

CLASSES = 20  # the nineteen trainIds, and void
PIXEL_ROWS = {"image": "string", "height": "int32", "width": "int32", "pixels": "list<int64>"}
PANOPTIC_ROWS = {"image": "string", "height": "int32", "width": "int32", "segments": "string"}
INSTANCE_ROWS = {"image": "string", "height": "int32", "width": "int32", "annotations": "string"}


def about(image: str, findings: list[Finding]) -> list[Finding]:
    """The findings, with the image named in them."""
    return [replace(finding, image=image) for finding in findings]


def checked(image: str, function, *arguments):
    """Call a pure function, with the image named in what it finds."""
    try:
        return function(*arguments)
    except BadItem as bad:
        raise BadItem(*about(image, bad.findings)) from None


def _shape_row(image: str, shape: tuple[int, int]) -> dict[str, list]:
    return {"image": [image], "height": [shape[0]], "width": [shape[1]]}


def label_train_ids_file(image: str, data: bytes, form: str) -> Made:
    """trainId of every pixel, 8-bit grey, from labelIds by table (`form` png) or drawn from polygons."""
    if form == "polygons":
        runs = row_runs(checked(image, cityscapes_polygons.label_train_ids, data))
        table = runs.values
    else:
        runs = checked(image, grey_runs, data, (8,), "a map of labelIds")
        table = checked(image, cityscapes.label_train_ids, runs.values)
    counts = np.bincount(table, weights=runs.lengths, minlength=VOID + 1).astype(np.int64)
    row = {**_shape_row(image, runs.shape), "pixels": [[*counts[: CLASSES - 1].tolist(), int(counts[VOID])]]}
    name = ImageName.parse(image).gt("labelTrainIds.png")
    return Made([File(name, png.gray_png(runs.painted(table)), content(runs, table))], rows=row)


def instance_train_ids_file(image: str, data: bytes, form: str, labels: bytes | None = None) -> Made:
    """1000 trainId + number for instances, the bare trainId for all else, 16-bit grey.

    `labels`: the labelIds of the image, when the two are to be compared.
    """
    if form == "polygons":
        runs = row_runs(checked(image, cityscapes_polygons.instance_train_ids, data))
        table = runs.values
    else:
        runs = checked(image, _instance_ids, data, labels)
        table = checked(image, cityscapes.instance_train_ids, runs.values)
    name = ImageName.parse(image).gt("instanceTrainIds.png")
    return Made([File(name, png.gray_png(runs.painted(table)), content(runs, table))])


def _instance_ids(data: bytes, labels: bytes | None = None) -> Runs:
    """instanceIds, compared with labelIds where they are given."""
    instance_ids = grey_runs(data, (16,), "a map of instanceIds")
    problems = []
    if labels is not None:
        problems = cityscapes.disagreement(grey_runs(labels, (8,), "a map of labelIds"), instance_ids)
    if problems:
        raise BadItem(*problems)
    return instance_ids


def panoptic_file(image: str, data: bytes, folder: str, train_ids: bool) -> Made:
    """The panoptic PNG, ids being instanceIds values, and the image's segments as a row."""
    runs = checked(image, _instance_ids, data)
    records, ids, found = checked(image, cityscapes_panoptic.segments, runs, train_ids)
    name = f"{folder}/{image}_gtFine_panoptic.png"
    row = {**_shape_row(image, runs.shape), "segments": [json.dumps(records, sort_keys=True)]}
    painted = ids[np.searchsorted(found.values, runs.values)]
    file = File(name, ids_png(runs, found.values, ids), content(runs, painted))
    return Made([file], rows=row, findings=about(image, cityscapes.number_findings(found)))


def instances_row(image: str, data: bytes, segmentation: str = "rle") -> Made:
    """The image's instances as COCO annotations, with groups as run lengths, or without as polygons."""
    runs = checked(image, _instance_ids, data)
    if segmentation == "polygons":
        annotations, findings = checked(image, cityscapes_contours.annotations, runs)
    else:
        annotations, findings = checked(image, cityscapes_instances.annotations, runs), []
    row = {**_shape_row(image, runs.shape), "annotations": [json.dumps(annotations)]}
    return Made(rows=row, findings=about(image, findings))
