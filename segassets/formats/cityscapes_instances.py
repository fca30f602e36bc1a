"""Cityscapes' instances as COCO annotations: the JSON `instancesonly_filtered_gtFine_<split>` that Video K-Net reads.

mmdetection's form, repaired: sorted, `segm_file` names labelTrainIds, ids begin at `id_base`, `annotations` is always
there. Source of the rules: mmdetection's converter; the specification 2.5.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import numpy as np

from segassets.formats import label_map, rle
from segassets.formats.cityscapes import FIRST_INSTANCE, THINGS, ImageName, check_instance_values, label_of
from segassets.formats.label_map import Runs

CATEGORIES = [{"id": label.id, "name": label.name} for label in THINGS]
_THING_IDS = {label.id for label in THINGS}


def annotations(instance_ids: np.ndarray | Runs) -> list[dict]:
    """An image's annotations in ascending instance value, without `id` and `image_id`; groups are crowds.

    `instance_ids`: uint16, a map (h, w) or its runs. segmentation: compressed run lengths; bbox: floats. Raises BadItem `unknown_label`.
    """
    found = label_map.segments(instance_ids)
    check_instance_values(found.values)
    wanted = np.array([value for value in found.values.tolist() if label_of(value) in _THING_IDS], np.int64)
    boxes = dict(zip(found.values.tolist(), found.boxes.tolist(), strict=True))
    areas = dict(zip(found.values.tolist(), found.areas.tolist(), strict=True))
    size = list(instance_ids.shape)
    return [
        {
            "iscrowd": int(value < FIRST_INSTANCE),
            "category_id": label_of(value),
            "bbox": [float(n) for n in boxes[value]],
            "area": areas[value],
            "segmentation": {"size": size, "counts": rle.from_uncompressed(lengths, size).decode()},
        }
        for value, lengths in label_map.run_lengths(instance_ids, wanted).items()
    ]


def document(rows: Iterable[dict], id_base: int = 1) -> Iterator[bytes]:
    """The JSON in pieces. `rows`: {image, height, width, annotations (JSON)}, one an image, in the order of images.

    Image ids count from 0, annotation ids from `id_base`: COCOeval takes a match with id 0 for none. Images come last,
    so that annotations are streamed.
    """
    images = []
    next_id = id_base
    yield b'{"annotations": ['
    for number, row in enumerate(rows):
        name = ImageName.parse(row["image"])
        record = {"file_name": name.photograph, "height": row["height"], "width": row["width"]}
        images.append({**record, "segm_file": name.gt("labelTrainIds.png"), "id": number})
        for annotation in json.loads(row["annotations"]):
            annotation |= {"image_id": number, "id": next_id}
            yield (b",\n" if next_id > id_base else b"\n") + json.dumps(annotation).encode()
            next_id += 1
    yield b"\n], " + json.dumps({"categories": CATEGORIES, "images": images})[1:].encode() + b"\n"
