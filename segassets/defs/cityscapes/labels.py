"""Label maps, panoptic PNGs and JSON, instances: everything that is made of gtFine."""

from functools import partial
from typing import Literal

from pydantic import NonNegativeInt

from segassets.artifact import artifact
from segassets.defs.cityscapes import checks, show
from segassets.defs.cityscapes.raw import ENDINGS, GT, SPLITS, ground_truth
from segassets.findings import info
from segassets.formats import cityscapes_contours, cityscapes_instances, cityscapes_panoptic
from segassets.formats.cityscapes_items import (
    INSTANCE_ROWS,
    MAP_ROWS,
    PANOPTIC_ROWS,
    PIXEL_ROWS,
    instance_train_ids_file,
    instances_row,
    label_train_ids_file,
    panoptic_file,
)
from segassets.work.plans import Items, each

COMPARED = 16  # of so many images one is compared with another of its files, of small sets one in fewer:
AT_LEAST = 64  # so many are, or all


def _compare(truth, items, kind, as_name, what):
    """Give some images their file of another kind to be compared with; the finding that says how many."""
    sample = [item for item in items if item["image"] in truth.paths[kind]]
    sample = sample[:: max(1, min(COMPARED, len(sample) // AT_LEAST))]
    for item in sample:
        ref = truth.ref(kind, item["image"])
        item.update({as_name: ref, "other": ref.label})
    told = f"{what} is compared with *{ENDINGS[kind]} in {len(sample)} of {len(items)} images, where both can be read"
    return [info("compared", told)] if sample else []


@artifact(
    "cityscapes/label_train_ids",
    SPLITS,
    into="cityscapes/gtFine/{partition}",
    reads=GT,
    rows=PIXEL_ROWS,
    code_version="2",
    check=checks.label_maps,
    show=show.label_maps,
)
def label_train_ids(raw, partition, *, source: Literal["png", "polygons"] = "png", strict_counts: bool = False):
    """trainId of every pixel: 0 to 18, 255 ignored; 8-bit grey.

    By table from the official labelIds, so that it agrees with the panoptic and instance artifacts in every pixel; or
    drawn from the polygons, as csCreateTrainIdLabelImgs does, whose borders depend on Pillow's version.
    """
    truth, items, findings = ground_truth(raw, partition, "labels" if source == "png" else "polygons", strict_counts)
    if source == "polygons":
        findings += _compare(truth, items, "labels", "official", "what is drawn")
    return each(Items(items, "image"), label_train_ids_file, findings=findings, form=source)


@artifact(
    "cityscapes/instance_train_ids",
    SPLITS,
    into="cityscapes/gtFine/{partition}",
    reads=GT,
    rows=MAP_ROWS,
    code_version="2",
    check=checks.instance_maps,
    show=show.instance_maps,
)
def instance_train_ids(raw, partition, *, source: Literal["png", "polygons"] = "png", strict_counts: bool = False):
    """1000 trainId + number for instances, else the trainId (groups: the bare trainId); 16-bit grey."""
    truth, items, findings = ground_truth(raw, partition, "instances" if source == "png" else "polygons", strict_counts)
    if source == "png":
        findings += _compare(truth, items, "labels", "labels", "the class of every pixel")
    else:
        findings += _compare(truth, items, "instances", "official", "what is drawn")
    return each(Items(items, "image"), instance_train_ids_file, findings=findings, form=source)


def _panoptic(raw, partition, strict_counts, name, train_ids):
    _, items, findings = ground_truth(raw, partition, "instances", strict_counts)
    return each(
        Items(items, "image"),
        panoptic_file,
        findings=findings,
        folds={f"annotations/{name}.json": partial(cityscapes_panoptic.document, train_ids=train_ids)},
        folder=f"gtFine/{name}",
        train_ids=train_ids,
    )


@artifact(
    "cityscapes/panoptic",
    SPLITS,
    into="cityscapes",
    reads=GT,
    rows=PANOPTIC_ROWS,
    code_version="2",
    check=checks.panoptic,
    show=show.panoptic,
)
def panoptic(raw, partition, *, strict_counts: bool = False):
    """Segment ids as RGB and their JSON, categories being label ids (things 24 to 33): what Video K-Net needs."""
    return _panoptic(raw, partition, strict_counts, f"cityscapes_panoptic_{partition}", train_ids=False)


@artifact(
    "cityscapes/panoptic_train_id",
    SPLITS,
    into="cityscapes",
    reads=GT,
    rows=PANOPTIC_ROWS,
    code_version="2",
    check=checks.panoptic_train_id,
    show=show.panoptic,
)
def panoptic_train_id(raw, partition, *, strict_counts: bool = False):
    """The same with trainIds as categories (things 11 to 18); the ids in the PNGs stay instanceIds values."""
    return _panoptic(raw, partition, strict_counts, f"cityscapes_panoptic_{partition}_trainId", train_ids=True)


@artifact(
    "cityscapes/instances",
    SPLITS,
    into="cityscapes/annotations",
    reads=GT,
    rows=INSTANCE_ROWS,
    code_version="3",
    check=checks.instances,
    show=show.instances,
)
def instances(
    raw,
    partition,
    *,
    id_base: NonNegativeInt = 1,
    segmentation: Literal["rle", "polygons"] = "rle",
    strict_counts: bool = False,
):
    """Instances and groups of the eight things as COCO annotations; `segm_file` names labelTrainIds.

    Images are sorted by city and name and count from 0; annotations count from `id_base`. `segmentation=polygons`:
    Detectron's form, which has no groups, no holes and none of the instances with a stray pixel (needs OpenCV).
    """
    form, needs = cityscapes_instances, {"labels": ", and segm_file names the labelTrainIds that are made of it"}
    if segmentation == "polygons":
        form, needs = cityscapes_contours, {}
        form.opencv()  # says at once when it is not there
    _, items, findings = ground_truth(raw, partition, "instances", strict_counts, needs)
    folds = {f"instancesonly_filtered_gtFine_{partition}.json": partial(form.document, id_base=id_base)}
    return each(Items(items, "image"), instances_row, findings=findings, folds=folds, segmentation=segmentation)
