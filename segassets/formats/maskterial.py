"""MaskTerial's tree: the table of instances, the annotation files made of it, semantic masks, names, sets.

Belongs here: rules about a split's files. Not here: how annotations are read (`labelme`, `label_studio`,
`instance_masks`, `maskterial_json`), nor what is wrong with files that somebody else made (`maskterial_checks`).
Source: MaskTerial specification, section 1. Ids begin at 1, since pycocotools' evaluation takes 0 for "unmatched"; they
are given once, over all instances in (image, first appearance) order, and kept in every file.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from pycocotools import mask as coco

from segassets.formats import png, rle

#: One row an instance, images by file name, instances by id; an image without instances has one row, its
#: `category_id` is null. `annotation_id` is null where ids are still to be given.
ROWS = {
    "image": "string",
    "width": "int32",
    "height": "int32",
    "set": "string",
    "source": "string",
    "sha256": "string",
    "annotation_id": "int64",
    "category_id": "int32",
    "counts": "string",
    "area": "int64",
    "bbox": "list<int32>",
    "shape": "int32",
}

FILE_THRESHOLDS = (200, 300)
"""An annotation file keeps instances of at least so many pixels."""
MASK_THRESHOLD = 200
"""A semantic mask shows instances of more pixels than this: one of exactly 200 is in the _200 file and not painted."""

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/Jaluus/MaskTerial")
_AREA_PIECE = 255
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_SUFFIXES = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png"}
PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")


def is_uuid(stem: str) -> bool:
    """Whether a picture already has the name it will have."""
    return _UUID.fullmatch(stem) is not None


def image_name(stem: str, suffix: str, dataset: str, sha256: str | None = None) -> str:
    """The published name: a UUID stem as it is, else one made of the data set and the picture's bytes.

    JPEG and PNG keep their kind; everything else is converted to PNG, since upstream's loaders know no other.
    """
    if not is_uuid(stem):
        stem = str(uuid.uuid5(NAMESPACE, f"{dataset}/{sha256}"))
    return stem + _SUFFIXES.get(suffix.lower(), ".png")


def is_copied(suffix: str) -> bool:
    """Whether pictures of this kind are published byte for byte."""
    return suffix.lower() in _SUFFIXES


def threshold_names(split: str, thresholds: Sequence[int] = FILE_THRESHOLDS) -> dict[str, tuple[bool, int]]:
    """The annotation files of a split: name → (class-agnostic, least area)."""
    names = {f"{split}_annotations_with_class_full.json": (False, 1)}
    names |= {f"{split}_annotations_with_class_{least}.json": (False, least) for least in thresholds}
    return names | {f"{split}_annotations_{max(thresholds)}.json": (True, max(thresholds))}


def agnostic_names(split: str, thresholds: Sequence[int] = FILE_THRESHOLDS) -> dict[str, tuple[bool, int]]:
    """The files of a split whose instances have no classes."""
    names = {f"{split}_annotations_full.json": (True, 1)}
    return names | {f"{split}_annotations_{least}.json": (True, least) for least in thresholds}


def annotation_pieces(
    records: Iterable[Mapping],
    categories: Sequence[Mapping],
    agnostic: bool,
    least: int,
    info: Mapping | None = None,
    highest: int | None = None,
) -> Iterator[bytes]:
    """An annotation file of the rows, streamed: `categories`, then `annotations` of at least `least` pixels (and of a
    category of at most `highest`), then `images`, all of them. Ids are those of the rows, or 1, 2, ... over all
    instances, in this file or not.

    Compact JSON, a record a line. Memory: the images' records.
    """
    images: list[str] = []
    last, number, comma = None, 0, ""
    head = f'"info": {_dump(info)},\n' if info else ""
    yield f'{{{head}"categories": {_dump(list(categories))},\n"annotations": ['.encode()
    for row in records:
        if row["image"] != last:
            last = row["image"]
            images.append(_dump(image_record(len(images) + 1, row)))
        if row["category_id"] is None:
            continue
        number += 1
        if row["area"] >= least and (highest is None or row["category_id"] <= highest):
            yield f"{comma}\n{_dump(annotation_record(row, number, len(images), agnostic))}".encode()
            comma = ","
    yield ("],\n" + '"images": [\n' + ",\n".join(images) + "]}\n").encode()


def image_record(number: int, row: Mapping) -> dict:
    """COCO's record of an image."""
    return {"id": number, "file_name": row["image"], "width": row["width"], "height": row["height"]}


def annotation_record(row: Mapping, number: int, image: int, agnostic: bool = False) -> dict:
    """COCO's record of an instance; `number` is its id unless the row has one."""
    return {
        "id": row["annotation_id"] or number,
        "image_id": image,
        "category_id": 1 if agnostic else row["category_id"],
        "segmentation": {"size": [row["height"], row["width"]], "counts": row["counts"]},
        "area": row["area"],
        "bbox": row["bbox"],
        "iscrowd": 0,
    }


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def semantic_mask(
    counts: Sequence[str | bytes],
    category_ids: Sequence[int],
    areas: Sequence[int],
    size: tuple[int, int],
    more_than: int = MASK_THRESHOLD,
) -> np.ndarray:
    """Category of every pixel, uint8 (h, w), 0 is the background: instances of more than so many pixels are painted
    in the given order (ascending id), later ones over earlier ones. Raises RleError.
    """
    shown = [k for k, area in enumerate(areas) if area > more_than]
    if not shown:
        return np.zeros(size, np.uint8)
    return rle.paint([counts[k] for k in shown], [category_ids[k] for k in shown], size)


def areas(counts: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Numbers of pixels, int64, of run lengths that have been checked: pycocotools reads beyond damaged ones, and
    (2.0.11 with NumPy 2) overflows for lists of 256 and more."""
    h, w = size
    segmentations = [{"size": [h, w], "counts": text} for text in counts]
    pieces = [coco.area(segmentations[k : k + _AREA_PIECE]) for k in range(0, len(segmentations), _AREA_PIECE)]
    return np.concatenate([np.zeros(0, np.int64), *pieces]).astype(np.int64)


def semantic_png(pixels: np.ndarray) -> tuple[bytes, bytes]:
    """An 8-bit grey PNG (mode L: OpenCV reads the values as they are) and the digest of its pixels."""
    head = b"L %d %d " % pixels.shape
    return png.gray_png(pixels), hashlib.sha256(head + np.ascontiguousarray(pixels).data).digest()


def set_names(rows: Iterable[Mapping]) -> dict[str, list[str]]:
    """Images by the exfoliation run they were taken in, sorted: set name → ["<uuid>.png", ...], each image once.

    Upstream's files name PNGs there, whatever the images are.
    """
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["set"], set()).add(f"{row['image'].rsplit('.', 1)[0]}.png")
    return {name: sorted(found[name]) for name in sorted(found)}


def set_file(rows: Iterable[Mapping]) -> bytes:
    """`meta_data/<split>_set_name_to_uuid.json`."""
    return (json.dumps(set_names(rows), indent=1) + "\n").encode()
