"""Label maps, panoptic PNGs and JSON, instances: everything that is made of gtFine."""

from functools import partial
from typing import Literal

from segassets.artifact import artifact
from segassets.defs.cityscapes import checks, show
from segassets.defs.cityscapes.raw import GT, SPLITS, ground_truth
from segassets.formats import cityscapes_contours, cityscapes_instances, cityscapes_panoptic
from segassets.formats.cityscapes_items import (
    INSTANCE_ROWS,
    PANOPTIC_ROWS,
    PIXEL_ROWS,
    instance_train_ids_file,
    instances_row,
    label_train_ids_file,
    panoptic_file,
)
from segassets.work.plans import Items, each

COMPARED = 16  # of so many images one is compared with its labelIds


def _items(refs):
    return [{"image": image, "data": ref} for image, ref in refs.items()]


@artifact(
    "cityscapes/label_train_ids",
    SPLITS,
    into="cityscapes/gtFine/{partition}",
    reads=GT,
    rows=PIXEL_ROWS,
    code_version="1",
    check=checks.label_maps,
    show=show.label_maps,
)
def label_train_ids(raw, partition, *, source: Literal["png", "polygons"] = "png", strict_counts: bool = False):
    """trainId of every pixel: 0 to 18, 255 ignored; 8-bit grey.

    By table from the official labelIds, so that it agrees with the panoptic and instance artifacts in every pixel; or
    drawn from the polygons, as csCreateTrainIdLabelImgs does, whose borders depend on Pillow's version.
    """
    refs, findings = ground_truth(raw, partition, "labels" if source == "png" else "polygons", strict_counts)
    return each(Items(_items(refs), "image"), label_train_ids_file, findings=findings, form=source)


@artifact(
    "cityscapes/instance_train_ids",
    SPLITS,
    into="cityscapes/gtFine/{partition}",
    reads=GT,
    code_version="1",
    check=checks.instance_maps,
    show=show.instance_maps,
)
def instance_train_ids(raw, partition, *, source: Literal["png", "polygons"] = "png", strict_counts: bool = False):
    """1000 trainId + number for instances, else the trainId (groups: the bare trainId); 16-bit grey."""
    refs, findings = ground_truth(raw, partition, "instances" if source == "png" else "polygons", strict_counts)
    items = _items(refs)
    if source == "png":
        labels, _ = ground_truth(raw, partition, "labels")
        for item in items[::COMPARED]:
            item["labels"] = labels.get(item["image"])
    return each(Items(items, "image"), instance_train_ids_file, findings=findings, form=source)


def _panoptic(raw, partition, strict_counts, name, train_ids):
    refs, findings = ground_truth(raw, partition, "instances", strict_counts)
    return each(
        Items(_items(refs), "image"),
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
    code_version="1",
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
    code_version="1",
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
    code_version="2",
    check=checks.instances,
    show=show.instances,
)
def instances(
    raw,
    partition,
    *,
    id_base: int = 1,
    segmentation: Literal["rle", "polygons"] = "rle",
    strict_counts: bool = False,
):
    """Instances and groups of the eight things as COCO annotations; `segm_file` names labelTrainIds.

    Images are sorted by city and name and count from 0; annotations count from `id_base`. `segmentation=polygons`:
    Detectron's form, which has no groups, no holes and none of the instances with a stray pixel (needs OpenCV).
    """
    refs, findings = ground_truth(raw, partition, "instances", strict_counts)
    form = cityscapes_instances
    if segmentation == "polygons":
        form = cityscapes_contours
        form.opencv()  # says at once when it is not there
    folds = {f"instancesonly_filtered_gtFine_{partition}.json": partial(form.document, id_base=id_base)}
    items = Items(_items(refs), "image")
    return each(items, instances_row, findings=findings, folds=folds, segmentation=segmentation)
