"""Cityscapes-VPS: instances of every frame as COCO annotations with uncompressed run lengths.

Source of the rules: the Cityscapes-VPS specification 2.5 and section 4 (quirks 15 to 18).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from segassets.formats import label_map, rle
from segassets.formats.cityscapes_vps_frames import FrameName
from segassets.formats.cityscapes_vps_labels import FIRST_INSTANCE
from segassets.formats.cityscapes_vps_lists import DATE, categories, license_id
from segassets.formats.label_map import Runs

_INFO = {
    "description": "City2CocoStyle",
    "url": "https://github.com/mcahny/vps",
    "version": "0.1.0",
    "year": 2019,
    "contributor": "Dahun Kim",
    "date_created": DATE,
}
_LICENCES = [
    {
        "id": 0,
        "name": "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International License.",
        "url": "http://creativecommons.org/licenses/by-nc-sa/4.0/",
    }
]


def image_number(frame: FrameName) -> int:
    """The image id of the instance JSON: clip * 10000 + frame number over all clips."""
    return 10000 * frame.clip + frame.number


def annotations(pan: np.ndarray | Runs, frame: FrameName, compressed: bool = False) -> list[dict]:
    """A frame's annotations in ascending panoptic value, without `id`. `pan`: uint16 as of `panoptic_inst`, (h, w) or runs.

    segmentation: run lengths column by column, zeros first, as a list, or `compressed` as COCO's string; bbox: floats, tight, inclusive.
    """
    height, width = pan.shape
    found = label_map.segments(pan)
    things = found.values >= FIRST_INSTANCE

    def written(lengths: list[int]) -> list[int] | str:
        return rle.from_uncompressed(lengths, (height, width)).decode() if compressed else lengths

    counts = label_map.run_lengths(pan, found.values[things])
    return [
        {
            "fcn_id": value // FIRST_INSTANCE,
            "inst_id": value,
            "area": area,
            "iscrowd": 0,
            "bbox": [float(n) for n in box],
            "segmentation": {"counts": written(counts[value]), "size": [height, width]},
            "image_id": image_number(frame),
            "category_id": value // FIRST_INSTANCE,
            "width": width,
            "height": height,
        }
        for value, area, box in zip(
            found.values[things].tolist(), found.areas[things].tolist(), found.boxes[things].tolist(), strict=True
        )
    ]


def document(
    rows: Iterable[Mapping], images: Iterable[tuple[FrameName, tuple[int, int]]], split: str, flavour: str, id_base: int
) -> Iterator[bytes]:
    """`instances_<split>_city_vps_rle.json` in pieces.

    `rows`: {annotations (JSON)} in the order of `images`: (frame, (height, width)). Images without instances are
    listed. Annotation ids count from `id_base`.
    """
    head = {"info": _INFO, "licenses": _LICENCES, "categories": categories(flavour, things_only=True)}
    yield json.dumps(head)[:-1].encode() + b', "images": ['
    for number, (frame, (height, width)) in enumerate(images):
        record = {
            "id": image_number(frame),
            "file_name": frame.file_name("photograph"),
            "mode": split,
            "width": width,
            "height": height,
            "date_captured": DATE,
            "license": license_id(flavour),
            "coco_url": "",
            "flickr_url": "",
        }
        yield (b", " if number else b"") + json.dumps(record).encode()
    yield b'], "annotations": ['
    next_id = id_base
    for row in rows:
        # The run lengths are a document's bulk: they are not parsed again to add an id at the end of each record.
        for text in json.loads(row["annotations"]):
            yield (b", " if next_id > id_base else b"") + f'{text[:-1]}, "id": {next_id}}}'.encode()
            next_id += 1
    yield b"]}"
