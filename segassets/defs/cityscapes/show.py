"""What the UI shows of Cityscapes: the photograph beside labels and segments in colour, and what classes there are."""

import io
import json

import numpy as np
from PIL import Image

from segassets import previews
from segassets.formats.cityscapes import BY_ID, EVALUATED, ImageName, label_of
from segassets.formats.cityscapes import image_of as core_of
from segassets.formats.panoptic import read_ids
from segassets.sources.raw import Raw
from segassets.sources.zip_members import find

SHOWN = 4
CLASS_NAMES = [label.name for label in EVALUATED]
_COLOURS = np.zeros((256, 3), np.uint8)
for _label in EVALUATED:
    _COLOURS[_label.train_id] = _label.color


def decoded(data):
    """A picture as an array."""
    return np.asarray(Image.open(io.BytesIO(data)))


def spread(values, count=SHOWN):
    """At most `count` of the values, evenly from all of them."""
    return values[:: max(1, len(values) // count)][:count]


def pngs(view, count=SHOWN):
    """(item, path) of some published PNGs."""
    rows = zip(view.files["item"].to_pylist(), view.files["path"].to_pylist(), strict=True)
    return spread([(item, path) for item, path in rows if item and path.endswith(".png")], count)


def _photograph(raw, partition, image):
    """The image's photograph, or nothing where only labels were downloaded."""
    # Label assets do not read photographs: a new one makes none of them out of date.
    patterns = (f"*leftImg8bit/{partition}/{ImageName.parse(image).city}/{image}*", "*leftImg8bit*.zip")
    refs = find(Raw(raw.root, raw.dataset, patterns, raw.scratch), f"leftImg8bit/{partition}/*").refs
    path = next((p for p in refs if core_of(p, "_leftImg8bit.png") == image), None)
    return [np.asarray(Image.open(io.BytesIO(refs[path].read())).convert("RGB"))] if path else []


def coloured(values):
    """A map of trainIds or instanceTrainIds in Cityscapes' colours, instances a shade apart."""
    values = values.astype(np.int64)
    classes = np.where(values >= 1000, values // 1000, values)
    shade = np.where(values >= 1000, 0.55 + 0.45 * ((values * 7) % 10) / 9, 1.0)
    return (_COLOURS[np.minimum(classes, 255)] * shade[..., None]).astype(np.uint8)


def label_maps(view, raw):
    """Photographs beside their maps, and the share of every class; of drawn ones how far they are the official PNGs."""
    return {**instance_maps(view, raw), **_classes(view)}


def instance_maps(view, raw):
    """Photographs beside their maps in Cityscapes' colours, instances a shade apart."""
    tiles = []
    for item, path in pngs(view):
        tiles += [*_photograph(raw, _split_of(path), item), coloured(decoded(view.read(path)))]
    return {"preview": previews.contact_sheet(tiles, columns=4), **_differing(view)}


def _differing(view):
    """The share of pixels that are drawn other than in the official PNGs, over the images that were compared."""
    rows = [row for row in view.records(["height", "width", "differing"]) if row["differing"] is not None]
    pixels = sum(row["height"] * row["width"] for row in rows)
    if not pixels:
        return {}
    share = sum(row["differing"] for row in rows) / pixels
    return {"pixels other than in the official PNGs": round(share, 6), "images compared with them": len(rows)}


def _split_of(path):
    """The split that a published path speaks of."""
    return next(split for split in ("train", "val", "test") if f"/{split}/" in path or f"_{split}" in path)


def _classes(view):
    """Pixels of every class as bars, and the void share as a number that is plotted over time."""
    totals = np.zeros(len(CLASS_NAMES) + 1, np.int64)
    for row in view.records(["pixels"]):
        totals += np.array(row["pixels"])
    if not totals.sum():
        return {}
    share = totals / totals.sum()
    return {
        "classes": bars(dict(zip([*CLASS_NAMES, "void"], totals.tolist(), strict=True)), "pixels"),
        "void share": round(float(share[-1]), 4),
    }


def bars(counts, unit):
    """Counts by name as bars in a table."""
    most = max(1, *counts.values())
    lines = [f"| class | {unit} | |", "| :--- | ---: | :--- |"]
    lines += [f"| {name} | {count:,} | {'█' * round(24 * count / most)} |" for name, count in counts.items()]
    return previews.markdown("\n".join(lines))


def panoptic(view, raw):
    """Photographs beside their segments in colour; how many segments of each class there are."""
    tiles = []
    for item, path in pngs(view):
        ids = read_ids(view.read(path))
        photo = _photograph(raw, _split_of(path), item)
        tiles += [*photo, previews.overlay(photo[0] if photo else np.zeros((*ids.shape, 3), np.uint8), ids)]
    counts = dict.fromkeys(CLASS_NAMES, 0)
    images = crowds = 0
    for row in view.records(["segments"]):
        images += 1
        for segment in json.loads(row["segments"]):
            counts[BY_ID[label_of(segment["id"])].name] += 1
            crowds += segment["iscrowd"]
    total = sum(counts.values())
    return {
        "preview": previews.contact_sheet(tiles, columns=4),
        "segments": total,
        "segments per image": round(total / max(1, images), 1),
        "crowds": crowds,
        "segments by class": bars(counts, "segments"),
    }


def instances(view, raw):
    """How many instances of each class, how many crowds, how many images without any."""
    counts: dict[str, int] = {}
    crowds = empty = 0
    for row in view.records(["annotations"]):
        annotations = json.loads(row["annotations"])
        empty += not annotations
        for annotation in annotations:
            name = BY_ID[annotation["category_id"]].name
            counts[name] = counts.get(name, 0) + 1
            crowds += annotation["iscrowd"]
    shown = {"instances": sum(counts.values()), "crowds": crowds, "images without annotations": empty}
    return {**shown, **({"instances by class": bars(counts, "instances")} if counts else {})}


def photographs(view, raw):
    """Some of the photographs."""
    tiles = [np.asarray(Image.open(io.BytesIO(view.read(path))).convert("RGB")) for _, path in pngs(view, 8)]
    return {"preview": previews.contact_sheet(tiles)}


def scores(view, raw, panoptic):
    """PQ and its parts as numbers, and a table of classes."""
    path = view.files["path"].to_pylist()[0]
    result = json.loads(view.read(path))
    numbers = {
        f"{name} {key}": 100 * group[key]
        for name, group in ((n, result[n]) for n in ("All", "Things", "Stuff"))
        for key in ("pq", "sq", "rq")
        if group[key] is not None
    }
    return {**numbers, "classes": score_table(result["per_class"], {str(label.id): label.name for label in EVALUATED})}


def score_table(per_class, names):
    """A table of classes: percentages and counts, and PQ as bars."""
    lines = ["| class | PQ | SQ | RQ | TP | FP | FN | |", f"| :--- |{' ---: |' * 6} :--- |"]
    for category, row in per_class.items():
        values = " | ".join(f"{100 * row[key]:.1f}" for key in ("pq", "sq", "rq"))
        lines.append(
            f"| {names.get(category, category)} | {values} | {row['tp']} | {row['fp']} | {row['fn']} | {'█' * round(24 * row['pq'])} |"
        )
    return previews.markdown("\n".join(lines))
