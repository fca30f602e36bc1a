"""Checks of what was made of a MaskTerial split, and what the UI shows of it: flakes by class on the photograph."""

from __future__ import annotations

import io
from collections import Counter
from functools import partial

import numpy as np
import pyarrow.compute as pc
from PIL import Image, ImageDraw, ImageOps

from segassets import previews
from segassets.components import maskterial_generate as rendered
from segassets.components import maskterial_release as release
from segassets.findings import error, warning
from segassets.formats import few_shot as few
from segassets.formats import flake_items, maskterial, rle

FLAKES = 6  # tiles a line
CLASSES_A_COLUMN = 5
TILE = 132
MARGIN = 0.35
SHOWN = 8
SAMPLE_GROUPS = 8


def first_rows(annotations) -> list[dict]:
    """One row an image, in order."""
    found = {}
    for row in annotations.records(["image", "source", "sha256", "set"]):
        found.setdefault(row["image"], row)
    return list(found.values())


def is_agnostic(annotations, split: str) -> bool:
    """Whether the instances of a split have no classes."""
    names = {path.rsplit("/", 1)[-1] for path in annotations.files["path"].to_pylist()}
    return f"{split}_annotations_with_class_full.json" not in names and f"{split}_annotations_full.json" in names


def check_annotations(declared, view, random):
    """Areas and boxes against the run lengths (all, or a sample of large sets); images that are there twice;
    numbers of instances against the published ones."""
    findings, seen, counts = [], {}, Counter()
    groups = view.row_groups
    sample = set(random.sample(range(groups), min(SAMPLE_GROUPS, groups)))
    for number, table in enumerate(view.rows()):
        for image, digest in dict(zip(table["image"].to_pylist(), table["sha256"].to_pylist(), strict=True)).items():
            other = seen.setdefault(digest, image) if digest else image
            if other != image:
                told = f"byte for byte the same photograph as {other}"
                findings.append(warning("duplicate_bytes", told, image=image.rpartition(".")[0]))
        kept = table.filter(pc.is_valid(table["category_id"]))
        counts.update(kept.filter(pc.greater_equal(kept["area"], max(declared.thresholds)))["category_id"].to_pylist())
        if number in sample:
            findings += measured_wrong(kept)
    return findings


def measured_wrong(table):
    """Instances whose area or box is not that of their run lengths."""
    findings = []
    sizes = list(zip(table["height"].to_pylist(), table["width"].to_pylist(), strict=True))
    for size in dict.fromkeys(sizes):
        rows = table.filter(np.array([other == size for other in sizes])).to_pylist()
        areas, boxes = rle.stats([row["counts"] for row in rows], size)
        for row, area, box in zip(rows, areas.tolist(), boxes.tolist(), strict=True):
            if row["area"] != area or row["bbox"] != box:
                told = f"area {row['area']} and bbox {row['bbox']}, its mask has {area} and {box}"
                findings.append(error("mask_measures", told, image=row["image"], shape=row["shape"]))
    return findings


def annotations(declared, view, raw):
    """A sheet of flakes by class, and how many of which size there are."""
    by_class, areas, images, generated = {}, [], 0, False
    for table in view.rows(["image", "source", "height", "width", "category_id", "counts", "area", "bbox"]):
        images += pc.count_distinct(table["image"]).as_py()
        generated = generated or (len(table) > 0 and table["source"][0].as_py().startswith(flake_items.SOURCE))
        some = table.filter(pc.is_valid(table["category_id"]))
        areas.append(np.stack([some["category_id"].to_numpy(), some["area"].to_numpy()], 1))
        for row in some.filter(pc.greater_equal(some["area"], maskterial.FILE_THRESHOLDS[-1])).to_pylist():
            chosen = by_class.setdefault(row["category_id"], [])
            if len(chosen) < FLAKES:
                chosen.append(row)
    table = np.concatenate(areas) if areas else np.zeros((0, 2), np.int64)
    shown = {"images": images, "instances": len(table), "instances by class": class_table(table)}
    shown["areas"] = previews.histogram(table[:, 1], [0, 100, 200, 300, 1000, 3000, 10_000, 30_000, 10**9])
    if by_class:
        found = None if generated else release.find(raw, declared)
        shown["preview"] = flake_sheet(by_class, partial(_photograph, declared, raw, found))
    return {**shown, **rendered.optics(declared.recipe)} if generated else shown


def class_table(table: np.ndarray):
    """Instances by class and threshold, as bars."""
    lines = ["| class | all | >= 200 px | >= 300 px | |", "| ---: | ---: | ---: | ---: | :--- |"]
    most = max(1, max(Counter(table[:, 0].tolist()).values(), default=1))
    for number in sorted(set(table[:, 0].tolist())):
        area = table[table[:, 0] == number, 1]
        bar = "█" * int(np.ceil(24 * len(area) / most))
        lines.append(f"| {number} | {len(area):,} | {(area >= 200).sum():,} | {(area >= 300).sum():,} | {bar} |")
    return previews.markdown("\n".join(lines))


def flake_sheet(by_class: dict[int, list[dict]], photograph) -> Image.Image:
    """One line a class, many classes side by side: flakes cut from their photographs, outlines in the colour of the class."""
    palette = previews.colours(max(by_class) + 1)
    numbers = sorted(by_class)
    blocks = 1 if len(numbers) <= CLASSES_A_COLUMN else 2
    shown = max(2, FLAKES // blocks - (blocks > 1 and len(numbers) > 2 * CLASSES_A_COLUMN))
    columns = min(shown, max(len(by_class[number]) for number in numbers))
    lines = -(-len(numbers) // blocks)
    width = 30 + columns * (TILE + 4)
    sheet = Image.new("RGB", (blocks * width, 4 + lines * (TILE + 4)), (24, 24, 28))
    draw = ImageDraw.Draw(sheet)
    wanted: dict[str, list[tuple[dict, tuple[int, int]]]] = {}
    for position, number in enumerate(numbers):
        block, line = divmod(position, lines)
        left, top = block * width, 4 + line * (TILE + 4)
        draw.text((left + 8, top + TILE // 2 - 6), str(number), fill=tuple(palette[number].tolist()))
        for place, row in enumerate(by_class[number][:columns]):
            wanted.setdefault(row["source"], []).append((row, (left + 30 + place * (TILE + 4), top)))
    for tiles in wanted.values():  # each photograph once
        picture = photograph(tiles[0][0])
        if picture is not None:
            for row, place in tiles:
                sheet.paste(flake_tile(picture, row, palette[row["category_id"]]), place)
    return sheet


def flake_tile(picture: np.ndarray, row: dict, colour: np.ndarray) -> Image.Image:
    """A square cut round a flake, enlarged; its outline one pixel wide, outside the flake."""
    x, y, w, h = row["bbox"]
    side = max(w, h) * (1 + 2 * MARGIN) + 8
    left, top = int(x + w / 2 - side / 2), int(y + h / 2 - side / 2)
    side = int(side)
    mask = np.zeros((side, side), bool)
    cut = np.full((side, side, 3), 24, np.uint8)
    y0, x0, y1, x1 = max(0, top), max(0, left), min(row["height"], top + side), min(row["width"], left + side)
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    cut[inside] = picture[y0:y1, x0:x1]
    mask[inside] = rle.decode(row["counts"], (row["height"], row["width"]))[y0:y1, x0:x1] > 0
    factor = max(1, round(TILE / side))
    cut, mask = (np.repeat(np.repeat(a, factor, 0), factor, 1) for a in (cut, mask))
    cut[grown(mask) & ~mask] = colour
    return Image.fromarray(cut).resize((TILE, TILE), Image.Resampling.LANCZOS)


def grown(mask: np.ndarray) -> np.ndarray:
    """The mask and its four-neighbours."""
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def _photograph(declared, raw, found: release.Release | None, row: dict) -> np.ndarray | None:
    """The photograph of a row as it is displayed, RGB; None for one that lies in a labelme file."""
    source = row["source"]
    if source.startswith(flake_items.SOURCE):
        return rendered.photograph(declared, row)
    if found is not None and source in found.members:
        data = found.place.read(source)
    elif source in raw:
        data = raw.read(source)
    else:
        return None
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def images(view, **inputs):
    """Published photographs as they are."""
    return {
        "preview": previews.contact_sheet([_picture(view, path) for path in _spread(view.files["path"].to_pylist())])
    }


def semantic_masks(view, **inputs):
    """Published masks, a colour a class, and the share of pixels of each."""
    paths = _spread(view.files["path"].to_pylist())
    if not paths:
        return {}
    masks = [np.asarray(Image.open(io.BytesIO(view.read(path)))) for path in paths]
    share = np.bincount(np.concatenate([mask.reshape(-1) for mask in masks]), minlength=2)
    palette = np.vstack([np.full((1, 3), 24, np.uint8), previews.colours(256)[1:]])
    return {
        "preview": previews.contact_sheet([palette[mask] for mask in masks]),
        "pixels of flakes": f"{share[1:].sum() / share.sum():.2%} (of {len(masks)} masks)",
    }


def few_shot(view, **inputs):
    """Instances by class, and shot x run of all splits that were made in this process."""
    rows = list(view.records())
    if not rows:
        return {}
    lines = ["| class | wanted | available | selected | usable |", "| ---: | ---: | ---: | ---: | ---: |"]
    lines += [f"| {r['name']} | {r['wanted']} | {r['available']} | {r['selected']} | {r['usable']} |" for r in rows]
    shown = {"classes": previews.markdown("\n".join(lines)), "annotations": sum(row["selected"] for row in rows)}
    shot, run = rows[0]["shot"], rows[0]["run"]
    asset = inputs["annotations"].asset
    known = _splits.setdefault(asset, {})
    known[shot, run] = rows
    if (shot, run) == (few.SHOTS[-1], few.RUNS[-1]) or len(known) == 1:
        shown["preview"] = heat_map(known)
    return shown


#: Rows of the splits made in this process, by asset: reading all fifty for each of fifty would be most of the work.
_splits: dict[str, dict[tuple[int, int], list[dict]]] = {}


def heat_map(splits: dict[tuple[int, int], list[dict]], cell: tuple[int, int] = (46, 26)) -> Image.Image:
    """Shot x run: the number of annotations as shade and figure; a red corner where training would lose a class."""
    w, h = cell
    left, top = 62, 22
    picture = Image.new("RGB", (left + w * len(few.RUNS) + 4, top + h * len(few.SHOTS) + 4), (24, 24, 28))
    draw = ImageDraw.Draw(picture)
    most = max(sum(row["selected"] for row in rows) for rows in splits.values()) or 1
    for column, run in enumerate(few.RUNS):
        draw.text((left + column * w + 8, 6), f"run {run}", fill=(170, 170, 180))
    for line, shot in enumerate(few.SHOTS):
        draw.text((6, top + line * h + 7), f"{shot} shot", fill=(170, 170, 180))
        for column, run in enumerate(few.RUNS):
            x, y = left + column * w, top + line * h
            rows = splits.get((shot, run))
            if rows is None:
                draw.rectangle([x, y, x + w - 3, y + h - 3], outline=(60, 60, 66))
                continue
            count = sum(row["selected"] for row in rows)
            shade = (count / most) ** 0.5
            colour = tuple(int(a + (b - a) * shade) for a, b in zip((30, 44, 66), (120, 205, 190), strict=True))
            draw.rectangle([x, y, x + w - 3, y + h - 3], fill=colour)
            draw.text((x + 8, y + 6), str(count), fill=(16, 18, 22) if shade > 0.5 else (235, 235, 240))
            if any(not row["usable"] for row in rows):
                draw.polygon([(x + w - 12, y), (x + w - 3, y), (x + w - 3, y + 9)], fill=(225, 70, 60))
    return picture


def _picture(view, path):
    return np.asarray(Image.open(io.BytesIO(view.read(path))).convert("RGB"))


def _spread(values):
    step = max(1, len(values) // SHOWN)
    return values[::step][:SHOWN]
