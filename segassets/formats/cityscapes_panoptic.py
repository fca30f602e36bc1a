"""Cityscapes' panoptic PNGs and JSON from instanceIds, as csCreatePanopticImgs makes them.

A segment's id is its instanceIds value, in both variants; `train_ids` only changes the categories in the JSON.
Source of the rules: cityscapesScripts createPanopticImgs; the specification 2.4.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np

from segassets.formats import label_map
from segassets.formats.cityscapes import BY_ID, EVALUATED, FIRST_INSTANCE, check_instance_values, label_of
from segassets.formats.label_map import Runs, Segments


def categories(train_ids: bool = False) -> list[dict]:
    """The nineteen evaluated labels in table order, ids being label ids or trainIds."""
    return [
        {
            "id": label.train_id if train_ids else label.id,
            "name": label.name,
            "color": list(label.color),
            "supercategory": label.category,
            "isthing": int(label.has_instances),
        }
        for label in EVALUATED
    ]


def segments(instance_ids: np.ndarray | Runs, train_ids: bool = False) -> tuple[list[dict], np.ndarray, Segments]:
    """The segments of an image, ascending by id; the id of every value that occurs (0 where it is no segment); all values.

    `instance_ids`: uint16, (h, w) or in runs. A segment is {id, category_id, area, bbox, iscrowd}; labels that are not evaluated
    are none. A value below 1000 of a label with instances is a group: a crowd. Raises BadItem `unknown_label`.
    """
    found = label_map.segments(instance_ids)
    check_instance_values(found.values)
    records = []
    ids = np.zeros(len(found.values), np.int64)
    rows = zip(found.values.tolist(), found.areas.tolist(), found.boxes.tolist(), strict=True)
    for index, (value, area, box) in enumerate(rows):
        label = BY_ID[label_of(value)]
        if label.ignored:
            continue
        ids[index] = value
        records.append(
            {
                "id": value,
                "category_id": label.train_id if train_ids else label.id,
                "area": area,
                "bbox": box,
                "iscrowd": int(value < FIRST_INSTANCE and label.has_instances),
            }
        )
    return records, ids, found


def document(rows: Iterable[dict], train_ids: bool = False) -> Iterator[bytes]:
    """`cityscapes_panoptic_<split>[_trainId].json` in pieces: annotations, categories, images.

    `rows`: {image, height, width, segments (JSON)} in the order of images. Keys are sorted, as upstream's are. Images'
    `file_name` is the photograph's real name (upstream writes `<core>_gtFine_leftImg8bit.png`, which no one reads).
    """
    images = []
    yield b'{"annotations": ['
    for row in rows:
        head = {"file_name": f"{row['image']}_gtFine_panoptic.png", "image_id": row["image"]}
        text = json.dumps(head)[:-1] + f', "segments_info": {row["segments"]}}}'
        yield (b",\n" if images else b"\n") + text.encode()
        name = f"{row['image']}_leftImg8bit.png"
        images.append({"file_name": name, "height": row["height"], "id": row["image"], "width": row["width"]})
    tail = {"categories": categories(train_ids), "images": images}
    yield b"\n], " + json.dumps(tail)[1:].encode() + b"\n"
