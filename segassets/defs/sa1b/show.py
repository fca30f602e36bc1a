"""Checks of what was made of a shard, and what the UI shows of it."""

import io
from itertools import islice

import numpy as np
import pyarrow.compute as pc
from PIL import Image

from segassets import previews
from segassets.defs.sa1b.members import members
from segassets.findings import error
from segassets.formats import rle
from segassets.formats.sa1b_shard import duplicate_ids

SHOWN = 8
PAINTED = 480
SAMPLE = 16


def check_ids(view, random):
    """Annotation ids that two images of the shard share; every image's ranks without a gap."""
    columns = ((t["image"].to_pylist(), t["annotation_id"].to_numpy()) for t in view.rows(["image", "annotation_id"]))
    return duplicate_ids(columns)


def check_masks(view, random):
    """On a sample of images: files 0 to n-1 and no other; grey PNGs that every reader opens, with 0 and 255 only."""
    files = view.files
    images = pc.unique(files["item"]).drop_null().to_pylist()
    findings = []
    for image in random.sample(images, min(SAMPLE, len(images))):
        paths = files.filter(pc.equal(files["item"], image))["path"].to_pylist()
        names = {path.rsplit("/", 1)[1] for path in paths}
        if names != {f"segmentation_{rank}.png" for rank in range(len(paths))}:
            findings.append(error("mask_numbering", f"its {len(paths)} files are not numbered 0 to n-1", image=image))
        findings += _check_pixels(image, view.read(random.choice(paths)))
    return findings


def _check_pixels(image, data):
    picture = Image.open(io.BytesIO(data))
    values = set(np.unique(np.asarray(picture.convert("L"))).tolist())
    if picture.mode in ("L", "1") and values <= {0, 255}:
        return []
    found = f"a mask PNG has mode {picture.mode} and values {sorted(values)[:5]}, expected grey, 0 and 255"
    return [error("mask_pixels", found, image=image)]


def photographs(view, shard_index, raw):
    """Photographs with their masks in colour, small over large, and how many masks there are."""
    wanted = {row["image"]: row for row in _spread(list(members(shard_index, raw, "jpg")), SHOWN)}
    tiles, areas, per_image = [], [], []
    for table in view.rows(["image", "height", "width", "counts", "area"]):
        areas.append(table["area"].to_numpy())
        counts = table["image"].value_counts().to_pylist()
        per_image += [entry["counts"] for entry in counts]
        for image in (entry["values"] for entry in counts if entry["values"] in wanted):
            rows = table.filter(pc.equal(table["image"], image)).to_pylist()
            tiles.append(_painted(wanted[image]["jpg"].read(), rows))
    area = np.concatenate(areas) if areas else np.zeros(1, np.int64)
    return {
        "preview": previews.contact_sheet(tiles),
        "masks": len(area) if areas else 0,
        "masks per image": round(float(np.mean(per_image)), 1) if per_image else 0.0,
        "median area": int(np.median(area)),
        "areas": previews.histogram(area, [0, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 10**9]),
    }


def _painted(jpg, rows):
    """A photograph with its masks in colour, at the size of a preview."""
    ids = rle.paint_ranks([row["counts"] for row in rows], (rows[0]["height"], rows[0]["width"]))
    step = max(1, ids.shape[1] // PAINTED)
    ids = ids[::step, ::step]
    photograph = Image.open(io.BytesIO(jpg)).convert("RGB").resize(ids.shape[::-1])
    return previews.overlay(np.asarray(photograph), ids)


def masks(view, mask_table):
    """Masks as they are published, white on black; those in a zip are not shown."""
    paths = view.files["path"].filter(pc.is_valid(view.files["item"]))
    return {"preview": previews.contact_sheet(_pictures(view, paths))}


def pictures(view, **inputs):
    """Published pictures as they are."""
    return {"preview": previews.contact_sheet(_pictures(view, view.files["path"]))}


def _pictures(view, paths):
    """A few of the files, evenly from all of them, decoded. There may be a million: only the chosen leave Arrow."""
    chosen = [paths[place].as_py() for place in _spread(range(len(paths)), SHOWN)]
    return [np.asarray(Image.open(io.BytesIO(view.read(path))).convert("RGB")) for path in chosen]


def texts(view, **inputs):
    """The first captions."""
    first = [f"- `{row['image']}`: {row['prompt']}" for row in islice(view.records(["image", "prompt"]), 10)]
    return {"captions": previews.markdown("\n".join(first))}


def _spread(values, count):
    """At most `count` of the values, evenly from all of them."""
    step = max(1, len(values) // count)
    return values[::step][:count]
