"""Flakes: outlines to run lengths, area filters, semantic masks, annotation files; beside labelme's way and pycocotools.

Images of 1200 x 1920: 30 outlines of 12 to 120 corners, or 100 flakes; areas of 100 masks of 1500 x 2250.
"""

from __future__ import annotations

import io
import json
import math
import resource
import subprocess
import sys

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from rlemasklib import RLEMask

from segassets.formats import flake_photos, maskterial
from segassets.formats.flake_scenes import Flake, Frame, Recipe, Scene, scene
from segassets.formats.polygons import Canvas, coco_polygons
from segassets_tests.benchmarks.corpus import SIZE, corpus
from segassets_tests.benchmarks.harness import Row, compare

PHOTO = (1200, 1920)  # the published photographs


def rows(quick: bool = False) -> list[Row]:
    """All comparisons; `quick`: fewer outlines and a smaller synthetic set."""
    outlines = flakes(10 if quick else 30)
    annotations = json.loads(corpus(1)[0])["annotations"]
    return [
        *polygons(outlines),
        area_filter(annotations),
        *painting(),
        synthetic_files(2_000 if quick else 40_000),
        *generated(),
    ]


def flakes(count: int) -> list[list[tuple[float, float]]]:
    """Outlines of flakes, log-normal in size about the mean of the real ones (1,500 pixels)."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(count):
        corners = int(rng.integers(12, 121))
        radius = 15 * math.exp(rng.normal(0, 0.7))
        angles = np.sort(rng.uniform(0, math.tau, corners))
        spread = radius * rng.uniform(0.6, 1.2, corners)
        x, y = rng.uniform(0, PHOTO[1]), rng.uniform(0, PHOTO[0])
        points = zip(x + spread * np.cos(angles), y + spread * np.sin(angles), strict=True)
        found.append([(float(a), float(b)) for a, b in points])
    return found


def polygons(outlines: list) -> list[Row]:
    """A unit is an outline."""

    def ours() -> list:
        canvas = Canvas(PHOTO)
        found = []
        for points in outlines:
            canvas.polygon(points)
            found.append(tuple(canvas.take()))
        return found

    def by_canvas() -> list:
        """A canvas an outline, as labelme draws; then pycocotools."""
        found = []
        for points in outlines:
            image = Image.new("L", PHOTO[::-1])
            ImageDraw.Draw(image).polygon(points, outline=1, fill=1)
            run_lengths = coco.encode(np.asfortranarray(np.array(image, bool)))
            box = tuple(coco.toBbox(run_lengths).astype(int).tolist())
            found.append((run_lengths["counts"], int(coco.area(run_lengths)), box))
        return found

    def as_coco() -> list:
        flat = [[value for point in points for value in point] for points in outlines]
        return [coco_polygons([polygon], PHOTO) for polygon in flat]

    n = len(outlines)
    exact = compare("outlines to RLE, area, box / labelme's way", ours, by_canvas, list.__eq__, repeat=5, units=n)
    timed = compare(
        "the same as pycocotools draws / labelme's way", as_coco, by_canvas, lambda a, b: len(a) == len(b), repeat=5,
        units=n, note="other pixels by definition",
    )  # fmt: skip
    return [exact, timed]


def area_filter(annotations: list[dict]) -> Row:
    """Which masks have at least 300 pixels; a unit is a mask."""
    segmentations = [a["segmentation"] for a in annotations]
    strings = [s["counts"] for s in segmentations]

    def ours() -> list:
        return np.flatnonzero(maskterial.areas(strings, SIZE) >= 300).tolist()

    def by_pixels() -> list:
        return [k for k, s in enumerate(segmentations) if coco.decode(s).sum() >= 300]

    return compare("area filter / decode().sum()", ours, by_pixels, list.__eq__, repeat=50, units=len(strings))


def painting() -> list[Row]:
    """A semantic mask of 100 flakes of ten classes, and its PNG; a unit is a map."""
    outlines = flakes(100)
    canvas = Canvas(PHOTO)
    masks = []
    for points in outlines:
        canvas.polygon(points)
        masks.append(canvas.take())
    strings = [mask.counts for mask in masks]
    categories = [1 + k % 10 for k in range(len(strings))]

    def ours() -> np.ndarray:
        return maskterial.semantic_mask(strings, categories, [mask.area for mask in masks], PHOTO, 0)

    def by_decoding() -> np.ndarray:
        pixels = np.zeros(PHOTO, np.uint8)
        for counts, category in zip(strings, categories, strict=True):
            pixels[coco.decode({"size": list(PHOTO), "counts": counts}) == 1] = category
        return pixels

    name = "semantic mask / decode and boolean assignment"
    painted = compare(name, ours, by_decoding, np.array_equal, repeat=20, note=f"{len(strings)} flakes")
    pixels = ours()

    def pillow() -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    def same(a: bytes, b: bytes) -> bool:
        return np.array_equal(Image.open(io.BytesIO(a)), Image.open(io.BytesIO(b)))

    stored = compare(
        "semantic mask to PNG / Pillow", lambda: maskterial.semantic_png(pixels)[0], pillow, same, repeat=5, size=len
    )
    return [painted, stored]


def synthetic_files(images: int) -> Row:
    """The with-class file of a synthetic set, streamed from rows, beside json.dump of the whole; a unit is an image.

    Both run in processes of their own, so that the note can say what memory each needed.
    """
    peaks = {}

    def run(way: str) -> str:
        code = f"from segassets_tests.benchmarks.bench_maskterial import {way}; {way}({images})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks[way], digest = done.stdout.split()
        return digest

    row = compare(
        f"annotation file of {images:,} images x 25 flakes / json.dump",
        lambda: run("streamed"),
        lambda: run("dumped"),
        str.__eq__,
        rounds=1,
        units=images,
    )
    return Row(**{**vars(row), "note": f"peak {peaks['streamed']} MiB, json.dump {peaks['dumped']} MiB"})


def synthetic_rows(images: int):
    """Rows of a large set, one at a time."""
    counts = "PfV11_o0" + "M3N1O2O1N2" * 12
    for number in range(images):
        name = f"{number:08x}-0000-4000-8000-000000000000.jpg"
        for k in range(25):
            yield {
                "image": name, "width": 1920, "height": 1200, "annotation_id": None, "category_id": 1 + k % 10,
                "counts": counts, "area": 250 + 10 * k, "bbox": [k, k, 20 + k, 30],
            }  # fmt: skip


def generated() -> list[Row]:
    """Generated images of 1200 x 1920: regions beside a region per number of layers by pixels; and the rendering beside
    that of every tile of the picture. A unit is an image."""
    recipe = Recipe()
    frames = [Frame("Graphene", "train", index) for index in range(3)]
    scenes = [scene(recipe, frame) for frame in frames]

    def ours() -> list:
        return [sorted((n, mask.counts) for n, mask in seen.instances(recipe.layers)) for seen in scenes]

    def by_owner() -> list:
        """A mask of the whole picture for every crystal and number of layers."""
        found = []
        for seen in scenes:
            masks = []
            for number, flake in enumerate(seen.flakes, 1):
                for layers in range(1, recipe.layers + 1) if flake.thin else ():
                    mine = (seen.owners == number) & (seen.codes == layers)
                    if mine.any():
                        for part in RLEMask.from_array(mine.astype(np.uint8)).connected_components(connectivity=4):
                            masks.append((layers, part.to_dict()["counts"]))
            found.append(sorted(masks))
        return found

    annotated = compare("instances of a scene / masks of the whole picture", ours, by_owner, list.__eq__, rounds=3,
                        units=len(frames))  # fmt: skip
    light = [np.full((*recipe.size, 3), 120, np.float32) for _ in frames]

    def tiles() -> list:
        return [_painted(recipe, base, seen) for base, seen in zip(light, scenes, strict=True)]

    def whole() -> list:
        found = []
        for base, seen in zip(light, scenes, strict=True):
            seen = Scene(seen.codes, seen.owners, [Flake(0, 0, seen.codes)])  # all tiles
            found.append(_painted(recipe, base, seen))
        return found

    def alike(a: list, b: list) -> bool:
        return all(np.abs(x - y).max() < 0.01 for x, y in zip(a, b, strict=True))

    rendered = compare("colours of flakes, in tiles / of the whole picture", tiles, whole, alike, rounds=3,
                       units=len(frames))  # fmt: skip
    return [annotated, rendered]


def _painted(recipe: Recipe, base: np.ndarray, seen: Scene) -> np.ndarray:
    light = base.copy()
    flake_photos.paint_flakes(recipe, light, seen, 90.0, (0.0, 0.0))
    return light


def _report(records: int, total: int) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(peak, f"{records}/{total}")


def streamed(images: int) -> None:
    """For `synthetic_files`: our fold; prints peak MiB and what both must agree on."""
    pieces = maskterial.annotation_pieces(synthetic_rows(images), [{"id": 1, "name": "x"}], False, 300)
    _report(sum(piece.count(b'"iscrowd"') for piece in pieces), images)


def dumped(images: int) -> None:
    """For `synthetic_files`: the whole document in memory, dumped at once."""
    document = {"categories": [{"id": 1, "name": "x"}], "annotations": [], "images": []}
    for number, row in enumerate(synthetic_rows(images)):
        if number % 25 == 0:
            document["images"].append(maskterial.image_record(number // 25 + 1, row))
        if row["area"] >= 300:
            document["annotations"].append(maskterial.annotation_record(row, number + 1, number // 25 + 1))
    _report(json.dumps(document).count('"iscrowd"'), images)
