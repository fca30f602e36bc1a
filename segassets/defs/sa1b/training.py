"""Text for training: captions, and the rows that join them with pictures for ControlNet; and training archives."""

from dataclasses import replace
from typing import Literal

from pydantic import PositiveInt

from segassets import captioning
from segassets.artifact import artifact
from segassets.defs.sa1b import show
from segassets.defs.sa1b.members import SHARD, members
from segassets.defs.sa1b.partitions import SHARDS
from segassets.errors import SegassetsError, Skip
from segassets.formats import captions as caption_file
from segassets.formats.sa1b_captions import (
    CAPTION_ROWS,
    caption_lines,
    controlnet_lines,
    given_captions,
    made_captions,
)
from segassets.formats.sa1b_items import coco_pieces, webdataset_shard
from segassets.work.plans import Items, each, fold

CAPTIONS = "captions/{partition}-blip2-caption.json"


def read_captions(raw, partition, shard_index):
    """({image id: caption}, findings) of the raw folder's caption file; (None, []) when there is none."""
    path = CAPTIONS.format(partition=partition)
    if path not in raw:
        return None, []
    known = {row["image_id"] for row in shard_index.records(["image_id"])}
    found, findings = caption_file.parse(raw.read(path), known)
    return found, [replace(finding, path=path) for finding in findings]


def _require(captioner):
    """A clear failure before any picture is opened, when the captioner's libraries are not installed."""
    try:
        captioning.require(captioner)
    except captioning.MissingExtra as missing:
        raise SegassetsError(f"sa1b/captions: {missing}") from None


def _chunks(values, size):
    return [values[start : start + size] for start in range(0, len(values), size)]


@artifact(
    "sa1b/captions",
    SHARDS,
    into="sam-1b",
    reads=(SHARD, CAPTIONS),
    rows=CAPTION_ROWS,
    code_version="1",
    show=show.texts,
)
def captions(
    shard_index,
    raw,
    partition,
    *,
    captioner: Literal["file", "constant", "blip2"] = "file",
    constant: str = "a photo",
    device: str = "auto",
    batch_size: PositiveInt = 8,
):
    """One caption an image, JSON lines of `img` and `prompt` by ascending image id.

    `captioner=file` reads `captions/<shard>-blip2-caption.json` of the raw folder. `blip2` runs Salesforce's BLIP-2
    (Flan-T5 XL, COCO) through transformers and needs `pip install 'segassets[captions]'`.
    """
    folds = {f"{partition}-blip2-caption.json": caption_lines}
    if captioner == "file":
        found, findings = read_captions(raw, partition, shard_index)
        if found is None:
            raise Skip(f"there is no {CAPTIONS.format(partition=partition)} in the raw folder, and no captioner is set")
        items = [
            {
                "number": number,
                "images": [f"sa_{image_id}" for image_id, _ in chunk],
                "image_ids": [image_id for image_id, _ in chunk],
                "prompts": [prompt for _, prompt in chunk],
            }
            for number, chunk in enumerate(_chunks(sorted(found.items()), 1000))
        ]
        return each(Items(items, "number"), given_captions, findings=findings, folds=folds)
    _require(captioner)
    settings = {"text": constant} if captioner == "constant" else {"device": device, "batch_size": batch_size}
    if settings.get("device") == "auto":
        settings["device"] = None
    rows = list(members(shard_index, raw, "jpg"))
    items = [
        {
            "images": [row["image"] for row in chunk],
            "image_ids": [row["image_id"] for row in chunk],
            "pictures": [row["jpg"] for row in chunk],
            "number": number,
        }
        for number, chunk in enumerate(_chunks(rows, batch_size))
    ]
    source = Items(items, "number", batch_items=4)
    return each(source, made_captions, folds=folds, serial=True, captioner=captioner, settings=tuple(settings.items()))


@artifact("sa1b/controlnet_train", SHARDS, into="sam-1b", code_version="1")
def controlnet_train(captions, control_images, partition):
    """ControlNet's training list: one row an image that has a picture, a control image and a caption."""
    pictures = set(control_images.paths)
    return fold(controlnet_lines, captions.records(), pictures, name=f"{partition}-controlnet-train.json")


@artifact("sa1b/webdataset", SHARDS, into="sam-1b/webdataset", reads=(SHARD, CAPTIONS), code_version="1")
def webdataset(shard_index, control_images, raw, partition, *, images_per_shard: PositiveInt = 100):
    """Tars for streaming, grouped by image: `sa_N.jpg`, `.json`, `.control.png`, and `.txt` where there is a caption.

    Captions are those of the raw folder, so that a shard without captions has its tars, too.
    """
    found, _ = read_captions(raw, partition, shard_index)
    controls = control_images.paths
    entries = [
        {
            "image": row["image"],
            "jpg": row["jpg"],
            "json": row["json"],
            "control": control_images.ref(controls[row["image"]]),
            "caption": (found or {}).get(row["image_id"]),
        }
        for row in members(shard_index, raw, "jpg", "json")
    ]
    items = [
        {"number": number, "name": f"{partition}-{number:04d}.tar", "images": chunk}
        for number, chunk in enumerate(_chunks(entries, images_per_shard))
    ]
    return each(Items(items, "number", batch_items=1), webdataset_shard)


@artifact("sa1b/coco", SHARDS, into="sam-1b/coco", code_version="1")
def coco(shard_index, mask_table, partition):
    """The shard as one COCO JSON for detectron2, mmdetection and the like: category 1 "object", COCO's boxes."""
    images = shard_index.records(["image", "image_id", "width", "height"])
    return fold(coco_pieces, images, mask_table.rows(), name=f"{partition}.json")
