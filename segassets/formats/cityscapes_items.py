"""What becomes of one Cityscapes image: the functions that run in workers. Bytes in, `Made` out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from segassets.findings import BadItem, Finding, error
from segassets.formats import (
    cityscapes,
    cityscapes_contours,
    cityscapes_instances,
    cityscapes_panoptic,
    cityscapes_polygons,
    png,
)
from segassets.formats.cityscapes import VOID, ImageName
from segassets.formats.label_map import Runs, joined, row_runs
from segassets.formats.panoptic import content, grey_runs, ids_png, png_size
from segassets.formats.png_whole import ENDS, IEND
from segassets.items import File, Made

CLASSES = 20  # the nineteen trainIds, and void
MAP_ROWS = {"image": "string", "height": "int32", "width": "int32", "differing": "int64"}
PIXEL_ROWS = {**MAP_ROWS, "pixels": "list<int64>"}
PANOPTIC_ROWS = {"image": "string", "height": "int32", "width": "int32", "segments": "string"}
INSTANCE_ROWS = {"image": "string", "height": "int32", "width": "int32", "annotations": "string"}
_AGREEMENT = 0.99  # of the pixels of a drawn map and the official PNG


def about(image: str, findings: list[Finding], path: str | None = None) -> list[Finding]:
    """The findings, with the image and its file named in them."""
    return [replace(finding, image=image, path=finding.path or path) for finding in findings]


def checked(image: str, function, *arguments, path: str | None = None):
    """Call a pure function, with the image, and the file that it reads, named in what it finds."""
    try:
        return function(*arguments)
    except BadItem as bad:
        raise BadItem(*about(image, bad.findings, path)) from None


def _shape_row(image: str, shape: tuple[int, int]) -> dict[str, list]:
    return {"image": [image], "height": [shape[0]], "width": [shape[1]]}


def photograph_file(item: str, name: str, data: bytes) -> Made:
    """A photograph out of a zip as it is, a PNG with an end; or a licence beside it. Raises BadItem `bad_png`."""
    if name.endswith(".png"):
        checked(item, png_size, data, path=name)
        if IEND not in data[-ENDS:]:
            told = f"its {len(data):,} bytes have not the end of a PNG: it is cut off; download it again"
            raise BadItem(error("bad_png", told, image=item, path=name))
    return Made([File(name, data)])


def label_train_ids_file(
    image: str,
    data: bytes,
    form: str,
    path: str | None = None,
    official: bytes | None = None,
    other: str | None = None,
) -> Made:
    """trainId of every pixel, 8-bit grey, from labelIds by table (`form` png) or drawn from polygons.

    `official`: the labelIds of an image that is drawn, to be compared with it. `path` and `other` name the file and
    the one that it is compared with, for messages.
    """
    if form == "polygons":
        runs = row_runs(checked(image, cityscapes_polygons.label_train_ids, data, path=path))
        table = runs.values
    else:
        runs, table = checked(image, _official_labels, data, path=path)
    counts = np.bincount(table, weights=runs.lengths, minlength=VOID + 1).astype(np.int64)
    pixels = [*counts[: CLASSES - 1].tolist(), int(counts[VOID])]
    row = {**_drawn_row(image, runs, table, official, _official_labels, other), "pixels": [pixels]}
    name = ImageName.parse(image).gt("labelTrainIds.png")
    findings = _empty(image, data, form, table, path)
    return Made([File(name, png.runs_png(runs, table), content(runs, table))], row, findings)


def instance_train_ids_file(
    image: str,
    data: bytes,
    form: str,
    labels: bytes | None = None,
    path: str | None = None,
    official: bytes | None = None,
    other: str | None = None,
) -> Made:
    """1000 trainId + number for instances, the bare trainId for all else, 16-bit grey.

    `labels`: the labelIds of the image, when the two are to be compared; `official`, the instanceIds of an image that
    is drawn; `path`, `other`: as of the label maps.
    """
    if form == "polygons":
        runs = row_runs(checked(image, cityscapes_polygons.instance_train_ids, data, path=path))
        table = runs.values
    else:
        runs = checked(image, _instance_ids, data, path=path)
        table = checked(image, cityscapes.instance_train_ids, runs.values, path=path)
        if labels is not None:
            theirs = checked(image, grey_runs, labels, (8,), "a map of labelIds", path=other)
            if problems := cityscapes.disagreement(theirs, runs):
                raise BadItem(*about(image, problems, path))
    name = ImageName.parse(image).gt("instanceTrainIds.png")
    row = _drawn_row(image, runs, table, official, _official_instances, other)
    findings = _empty(image, data, form, table, path)
    return Made([File(name, png.runs_png(runs, table), content(runs, table))], row, findings)


def _official_labels(data: bytes) -> tuple[Runs, np.ndarray]:
    runs = grey_runs(data, (8,), "a map of labelIds")
    return runs, cityscapes.label_train_ids(runs.values)


def _official_instances(data: bytes) -> tuple[Runs, np.ndarray]:
    runs = _instance_ids(data)
    return runs, cityscapes.instance_train_ids(runs.values)


def _drawn_row(
    image: str, runs: Runs, table: np.ndarray, official: bytes | None, read, path: str | None
) -> dict[str, list]:
    """An image's row; `differing`: pixels other than in the official PNG, None unless it is compared.

    Raises BadItem `size_differs`, or `maps_disagree` when more than one in a hundred pixels are others.
    """
    row = {**_shape_row(image, runs.shape), "differing": [None]}
    if official is None:
        return row
    theirs, values = checked(image, read, official, path=path)
    if theirs.shape != runs.shape:
        told = f"the polygons are of {runs.shape[::-1]} pixels, the official PNG has {theirs.shape[::-1]}"
        raise BadItem(error("size_differs", f"{told}: get both again", image=image, path=path))
    _, lengths, mine, other = joined(runs._replace(values=table), theirs._replace(values=values))
    differing, total = int(lengths[mine != other].sum()), int(lengths.sum())
    if differing > (1 - _AGREEMENT) * total:
        told = f"{differing} of {total} pixels are drawn other than in the official PNG, at most 1 % are expected"
        raise BadItem(
            error("maps_disagree", f"{told}: polygons and PNG are not of one download", image=image, path=path)
        )
    return {**row, "differing": [differing]}


def _empty(image: str, data: bytes, form: str, table: np.ndarray, path: str | None) -> list[Finding]:
    """What is to be said of polygons of which nothing is seen."""
    if form != "polygons" or (table != VOID).any():
        return []
    return about(image, cityscapes_polygons.findings(data), path)


def _instance_ids(data: bytes) -> Runs:
    return grey_runs(data, (16,), "a map of instanceIds")


def panoptic_file(image: str, data: bytes, folder: str, train_ids: bool, path: str | None = None) -> Made:
    """The panoptic PNG, ids being instanceIds values, and the image's segments as a row."""
    runs = checked(image, _instance_ids, data, path=path)
    records, ids, found = checked(image, cityscapes_panoptic.segments, runs, train_ids, path=path)
    name = f"{folder}/{image}_gtFine_panoptic.png"
    row = {**_shape_row(image, runs.shape), "segments": [json.dumps(records, sort_keys=True)]}
    painted = ids[np.searchsorted(found.values, runs.values)]
    file = File(name, ids_png(runs, found.values, ids), content(runs, painted))
    return Made([file], rows=row, findings=about(image, cityscapes.number_findings(found), path))


def instances_row(image: str, data: bytes, segmentation: str = "rle", path: str | None = None) -> Made:
    """The image's instances as COCO annotations, with groups as run lengths, or without as polygons."""
    runs = checked(image, _instance_ids, data, path=path)
    if segmentation == "polygons":
        annotations, findings = checked(image, cityscapes_contours.annotations, runs, path=path)
    else:
        annotations, findings = checked(image, cityscapes_instances.annotations, runs, path=path), []
    row = {**_shape_row(image, runs.shape), "annotations": [json.dumps(annotations)]}
    return Made(rows=row, findings=about(image, findings, path))
