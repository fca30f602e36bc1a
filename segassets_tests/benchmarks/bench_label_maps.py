"""Cityscapes and Cityscapes-VPS: label maps, panoptic PNGs, run lengths and VPQ; beside a mask a segment with numpy.

The baselines are what the published scripts do, written plainly: a comparison of the whole map for every id, Pillow's
default PNG, itertools for run lengths, one sort of all pixels for every window.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import groupby

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from segassets.formats import _label_deflate, cityscapes, cityscapes_items, label_map, png_runs
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_items as vps_items
from segassets.formats import panoptic_scores as scores
from segassets.metrics import vpq
from segassets_tests.benchmarks.harness import Row, compare

HEIGHT, WIDTH = 1024, 2048
STUFF = (23, 11, 12, 13, 21, 22, 8, 7, 17, 17, 17, 19, 20, 6, 4)
THINGS = (24, 24, 24, 25, 26, 26, 26, 26, 27, 28, 32, 33)
IMAGE = "frankfurt_000000_000294"
FRAME = "0005_0025_frankfurt_000000_002176"


def rows(quick: bool = False) -> list[Row]:
    """All comparisons; `quick`: fewer rounds."""
    rounds = 2 if quick else 5
    loaded = [kernel.load() for kernel in (png_runs.KERNEL, label_map.KERNEL, _label_deflate.KERNEL)]
    how = "PNGs read by numba" if all(loaded) else "PNGs decoded by Pillow: numba is not installed"
    maps = Maps(0)
    found = [*images(maps, rounds), *videos(maps, rounds), clip(1 if quick else 3)]
    return [replace(row, note="; ".join(filter(None, (row.note, how)))) for row in found]


class Maps:
    """A street of 1024 x 2048 as polygons, and what is drawn from them: all of it as files."""

    def __init__(self, seed: int, shift: int = 0):
        objects = list(street(seed, shift))
        document = {"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": objects}
        self.polygons = json.dumps(document).encode()
        self.labels, self.instances = drawn(objects)
        table = np.zeros((256, 4), np.uint8)
        for label in cityscapes.LABELS:
            if label.id >= 0:
                table[label.id] = (*label.color, 255)
        self.colour_png = pillow(table[self.labels])
        self.label_png, self.instance_png = pillow(self.labels), pillow(self.instances)
        codes, instances = vps.read_colour_mask(self.colour_png), vps.read_instances(self.instance_png)
        self.pan_png = pillow(vps.panoptic_inst(codes, instances)[0])


def street(seed: int, shift: int) -> Iterator[dict]:
    """Objects with ragged borders: bands of stuff, poles and signs, and thirty things before them."""
    rng = np.random.default_rng(seed)
    for k, label in enumerate(STUFF[:8]):
        top = k * HEIGHT // 8 + np.cumsum(rng.integers(-3, 4, WIDTH // 4))
        border = [(4 * i, int(y)) for i, y in enumerate(top)]
        yield shape(label, [(0, HEIGHT), *border, (WIDTH, border[-1][1]), (WIDTH, HEIGHT)])
    for k in range(40):
        x, y = int(rng.integers(0, WIDTH)), int(rng.integers(100, HEIGHT))
        wide, high = (8, 300) if k % 3 else (40, 30)
        yield shape(STUFF[8 + k % 7], [(x, y), (x + wide, y), (x + wide, y + high), (x, y + high)])
    for k in range(30):
        x, y = int(rng.integers(60, WIDTH - 60)) + shift, int(rng.integers(300, HEIGHT - 60))
        angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        radius = rng.integers(15, 110) * (1 + 0.12 * rng.standard_normal(90))
        yield shape(THINGS[k % len(THINGS)], np.stack((x + radius * np.cos(angle), y + radius * np.sin(angle)), 1))


def shape(label: int, corners) -> dict:
    """An object as in `*_polygons.json`."""
    return {"label": cityscapes.BY_ID[label].name, "polygon": [[int(x), int(y)] for x, y in corners]}


def drawn(objects: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """labelIds (uint8) and instanceIds (uint16)."""
    labels, instances = Image.new("L", (WIDTH, HEIGHT)), Image.new("I", (WIDTH, HEIGHT))
    pens, counts = (ImageDraw.Draw(labels), ImageDraw.Draw(instances)), {}
    for entry in objects:
        label = cityscapes.BY_NAME[entry["label"]]
        number = counts[label.id] = counts.get(label.id, -1) + 1
        corners = [tuple(corner) for corner in entry["polygon"]]
        pens[0].polygon(corners, fill=label.id)
        pens[1].polygon(corners, fill=label.id * 1000 + number if label.has_instances else label.id)
    return np.array(labels), np.asarray(instances).astype(np.uint16)


def pillow(array: np.ndarray) -> bytes:
    """A PNG as Pillow writes it by default."""
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, "PNG")
    return sink.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def same_pictures(ours, theirs) -> bool:
    """Results are (PNGs, records): equal pixels and types, equal records."""
    pairs = zip(ours[0], theirs[0], strict=True)
    equal = all(pixels(a).dtype == pixels(b).dtype and np.array_equal(pixels(a), pixels(b)) for a, b in pairs)
    return equal and ours[1] == theirs[1]


def picture_bytes(result) -> int:
    return sum(map(len, result[0]))


def images(maps: Maps, rounds: int) -> list[Row]:
    """Cityscapes: PNGs in, PNGs out."""
    check = partial(compare, equal=same_pictures, rounds=rounds, repeat=3, size=picture_bytes)
    return [
        check("panoptic PNG and JSON from instanceIds", partial(our_panoptic, maps), partial(a_mask_an_id, maps)),
        check("labelTrainIds", partial(our_train_ids, maps, "label"), partial(from_polygons, maps, "label")),
        check("instanceTrainIds", partial(our_train_ids, maps, "instance"), partial(from_polygons, maps, "instance")),
    ]


def our_panoptic(maps: Maps):
    made = cityscapes_items.panoptic_file(IMAGE, maps.instance_png, "folder", False)
    return [made.files[0].data], json.loads(made.rows["segments"][0])


def a_mask_an_id(maps: Maps):
    """Every value of the map compared with the whole map: colour, area and box from its mask."""
    values = np.array(Image.open(io.BytesIO(maps.instance_png)))
    painted, records = np.zeros((*values.shape, 3), np.uint8), []
    for value in np.unique(values).tolist():
        label = cityscapes.BY_ID[value if value < 1000 else value // 1000]
        if label.ignored:
            continue
        mask = values == value
        painted[mask] = [value % 256, value // 256, 0]
        columns, lines = np.flatnonzero(np.sum(mask, axis=0)), np.flatnonzero(np.sum(mask, axis=1))
        x, y = int(columns[0]), int(lines[0])
        box = [x, y, int(columns[-1]) - x + 1, int(lines[-1]) - y + 1]
        crowd = int(value < 1000 and label.has_instances)
        area = int(np.sum(mask))
        records.append({"id": value, "category_id": label.id, "area": area, "bbox": box, "iscrowd": crowd})
    return [pillow(painted)], records


def our_train_ids(maps: Maps, kind: str):
    work = getattr(cityscapes_items, f"{kind}_train_ids_file")
    return [work(IMAGE, maps.label_png if kind == "label" else maps.instance_png, "png").files[0].data], []


def from_polygons(maps: Maps, kind: str):
    """Drawn anew from the polygons, as cityscapesScripts does."""
    document = json.loads(maps.polygons)
    canvas = Image.new("L" if kind == "label" else "I", (document["imgWidth"], document["imgHeight"]), 255)
    pen, counts = ImageDraw.Draw(canvas), {}
    for entry in document["objects"]:
        label = cityscapes.BY_NAME[entry["label"]]
        value = label.train_id
        if kind == "instance" and label.has_instances and value != 255:
            number = counts[label.id] = counts.get(label.id, -1) + 1
            value = value * 1000 + number
        pen.polygon([tuple(corner) for corner in entry["polygon"]], fill=value)
    # Today's Pillow refuses to write mode I: its users convert, so the baseline does.
    return [pillow(np.array(canvas) if kind == "label" else np.array(canvas).astype(np.uint16))], []


def videos(maps: Maps, rounds: int) -> list[Row]:
    """Cityscapes-VPS: one frame."""
    check = partial(compare, rounds=rounds, repeat=3)
    pictures = partial(check, equal=same_pictures, size=picture_bytes)
    return [
        pictures("labelmap + panoptic_inst", partial(our_maps, maps), partial(a_mask_an_instance, maps)),
        pictures("panoptic_video with JSON", partial(our_video, maps), partial(a_mask_a_segment, maps)),
        check("instance run lengths", partial(our_lengths, maps), partial(grouped, maps), equal=lambda a, b: a == b),
    ]


def our_maps(maps: Maps):
    labels = vps_items.labelmap_file(FRAME, maps.colour_png, "a.png")
    pan = vps_items.panoptic_inst_file(FRAME, maps.colour_png, maps.instance_png, "b.png", "void")
    return [labels.files[0].data, pan.files[0].data], []


def a_mask_an_instance(maps: Maps):
    """As create_panoptic_labels does: every colour and every instance that occurs compared with the whole picture."""
    colours = np.array(Image.open(io.BytesIO(maps.colour_png)), dtype=np.uint32)
    codes = colours[..., 0] + colours[..., 1] * 256 + colours[..., 2] * 256 * 256
    instances = np.array(Image.open(io.BytesIO(maps.instance_png)))
    category = {sum(c << 8 * k for k, c in enumerate(r["color"])): r["id"] for r in vps.CATEGORIES}
    things = {r["id"] for r in vps.CATEGORIES if r["isthing"]}
    labels = np.full(codes.shape, 255, np.uint8)
    pan = np.full(codes.shape, 255, np.uint32)
    for code in np.unique(codes):
        if code in category:
            mask = codes == code
            labels[mask] = category[code]
            if category[code] not in things:
                pan[mask] = category[code]
    for value in np.unique(instances):
        if value >= 1000:
            mask = instances == value
            found, counts = np.unique(codes[mask], return_counts=True)
            kind = category.get(found[np.argmax(counts)])
            if kind in things:
                pan[mask] = kind * 1000 + value % 1000
    # Today's Pillow refuses 32 bits, which older ones wrote as 16.
    return [pillow(labels), pillow(pan.astype(np.uint16))], []


def our_video(maps: Maps):
    made = vps_items.panoptic_video_file(FRAME, maps.pan_png, f"{FRAME}_final_mask.png")
    row = {name: values[0] for name, values in made.rows.items()}
    return [made.files[0].data], json.loads(b"".join(vps_items.panoptic_gt_pieces([row], vps.CATEGORIES, False)))


def a_mask_a_segment(maps: Maps):
    """Every value compared with the whole map and painted; areas counted again from the colours."""
    pan = np.array(Image.open(io.BytesIO(maps.pan_png)))
    painted, records = np.zeros((*pan.shape, 3), np.uint8), []
    values = [value for value in np.unique(pan).tolist() if value != 255]
    ids = vps.structured_ids(values, 5)
    for value in values:
        number = ids[value]
        painted[pan == value] = [number & 255, number >> 8 & 255, number >> 16]
        records.append({"id": number, "category_id": value if value < 1000 else value // 1000, "iscrowd": 0})
    wide = painted.astype(np.uint32)
    found, counts = np.unique(wide[..., 0] + 256 * wide[..., 1] + 65536 * wide[..., 2], return_counts=True)
    areas = dict(zip(found.tolist(), counts.tolist(), strict=True))
    records = [{**record, "area": areas[record["id"]]} for record in records]
    image = {"id": FRAME, "width": WIDTH, "height": HEIGHT, "file_name": f"{FRAME}_newImg8bit.png"}
    annotation = {"image_id": FRAME, "file_name": f"{FRAME}_final_mask.png", "segments_info": records}
    document = {"images": [image], "annotations": [annotation], "categories": vps.CATEGORIES}
    return [pillow(painted)], json.loads(json.dumps(document))


def our_lengths(maps: Maps):
    texts = json.loads(vps_items.instances_row(FRAME, maps.pan_png).rows["annotations"][0])
    records = [json.loads(text) for text in texts]
    return [(r["inst_id"], r["area"], r["bbox"], r["segmentation"]["counts"]) for r in records]


def grouped(maps: Maps):
    """Every instance's mask, its runs by itertools, its area and box by pycocotools."""
    pan = np.array(Image.open(io.BytesIO(maps.pan_png)))
    made = []
    for value in np.unique(pan[pan >= 1000]).tolist():
        mask = (pan == value).astype(np.uint8)
        counts = [0] if mask[0, 0] else []
        counts += [len(list(run)) for _, run in groupby(mask.ravel(order="F").tolist())]
        encoded = coco.encode(np.asfortranarray(mask))
        made.append((value, int(coco.area(encoded)), coco.toBbox(encoded).tolist(), counts))
    return made


def clip(rounds: int) -> Row:
    """VPQ of one clip of six frames, predictions being the same street a little to the right."""
    frames = []
    for k in range(6):
        truth, predicted = (vps_frame(shift) for shift in (3 * k, 3 * k + 4))
        frames.append({"image": FRAME, "truth": truth, "predicted": predicted})
    categories = tuple(range(19))
    note = "unit: a clip of 6 frames 1024 x 2048"
    ours, theirs = partial(our_vpq, frames, categories), partial(sorted_windows, frames)
    return compare("VPQ, four windows", ours, theirs, same_tallies, rounds=rounds, note=note)


def vps_frame(shift: int):
    """A frame's panoptic PNG (Pillow's) and its segments."""
    made = vps_items.panoptic_video_file(FRAME, Maps(7, shift).pan_png, f"{FRAME}_final_mask.png")
    return pillow(pixels(made.files[0].data)), json.loads(made.rows["segments"][0])


class Bytes:
    """Bytes where a reference is expected."""

    label = "predicted.png"

    def __init__(self, data: bytes):
        self.data = data

    def read(self) -> bytes:
        return self.data


def our_vpq(frames, categories):
    items = [
        {
            "image": frame["image"],
            "truth_png": Bytes(frame["truth"][0]),
            "predicted_png": Bytes(frame["predicted"][0]),
            "segments": frame["truth"][1],
            "prediction": frame["predicted"][1],
        }
        for frame in frames
    ]
    made = scores.score_clip("0005", items, categories)
    columns = [made.rows[name] for name in ("window", "category", "iou", "tp", "fp", "fn")]
    return {(w, c): (iou, tp, fp, fn) for w, c, iou, tp, fp, fn in zip(*columns, strict=True)}


def sorted_windows(frames):
    """Pictures decoded once; in every window anew: ids of its frames, areas of predictions, all pixels sorted."""
    truth, predicted = ([pixels(frame[side][0]) for frame in frames] for side in ("truth", "predicted"))
    result = {}
    for length in vpq.WINDOWS:
        for start in range(len(frames) - length + 1):
            window = slice(start, start + length)
            ids = [[ids_of(picture) for picture in side[window]] for side in (truth, predicted)]
            areas = [dict(zip(*np.unique(i, return_counts=True), strict=True)) for i in ids[1]]
            joint = np.stack(ids[0]).astype(np.uint64) * np.uint64(1 << 24) + np.stack(ids[1]).astype(np.uint64)
            pairs, counts = np.unique(joint, return_counts=True)
            found = {(int(p) >> 24, int(p) & 0xFFFFFF): int(n) for p, n in zip(pairs, counts, strict=True)}
            count_window(found, frames[window], areas, length, result)
    return result


def ids_of(picture: np.ndarray) -> np.ndarray:
    wide = picture.astype(np.uint32)
    return wide[..., 0] + 256 * wide[..., 1] + 65536 * wide[..., 2]


def count_window(found, frames, areas, length, result) -> None:
    """Match the tubes of one window; there are no crowds in this corpus."""
    sides = []
    for side in ("truth", "predicted"):
        tubes = {}
        for frame, counted in zip(frames, areas, strict=True):
            for segment in frame[side][1]:
                tube = tubes.setdefault(segment["id"], {"category": segment["category_id"], "area": 0})
                tube["area"] += segment["area"] if side == "truth" else int(counted[segment["id"]])
        sides.append(tubes)
    truth, predicted = sides
    matched = set()
    for (a, b), n in found.items():
        if a in truth and b in predicted and truth[a]["category"] == predicted[b]["category"]:
            union = truth[a]["area"] + predicted[b]["area"] - n - found.get((0, b), 0)
            if n / union > 0.5:
                matched |= {("truth", a), ("predicted", b)}
                add(result, length, truth[a]["category"], (n / union, 1, 0, 0))
    for a, tube in truth.items():
        if ("truth", a) not in matched:
            add(result, length, tube["category"], (0, 0, 0, 1))
    for b, tube in predicted.items():
        if ("predicted", b) not in matched and not found.get((0, b), 0) / tube["area"] > 0.5:
            add(result, length, tube["category"], (0, 0, 1, 0))


def add(result, length, category, values) -> None:
    before = result.get((length, category), (0.0, 0, 0, 0))
    result[length, category] = tuple(x + y for x, y in zip(before, values, strict=True))


def same_tallies(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(np.allclose(ours[k], theirs[k], rtol=0, atol=1e-9) for k in ours)
