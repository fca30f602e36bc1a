"""SA-1B's JSON to mask PNGs, run lengths to pixels, control images, areas; beside pycocotools, OpenCV, Pillow."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as coco

from segassets.formats import control_image, png, rle
from segassets_tests.benchmarks.corpus import SIZE, corpus
from segassets_tests.benchmarks.harness import Row, compare


def rows(quick: bool = False) -> list[Row]:
    """All comparisons; `quick`: one image instead of four."""
    cv2.setNumThreads(1)
    documents = corpus(1 if quick else 4)
    images = [json.loads(document)["annotations"] for document in documents]
    return [
        *end_to_end(documents),
        *decoding(images[0]),
        *painting(images[0]),
        *measuring(images[0]),
        *label_maps(images[0]),
    ]


def end_to_end(documents: list[str]) -> list[Row]:
    """JSON in, a folder of PNG files an image out; a unit is a mask."""
    n = sum(len(json.loads(document)["annotations"]) for document in documents)
    made = []
    with scratch() as root:
        for depth, (name, save) in [(8, OPENCV), (8, PILLOW), (2, PILLOW)]:
            made.append(
                compare(
                    f"masks, JSON to {depth}-bit files / {name}",
                    writer(documents, root, lambda a, d, depth=depth: write_ours(a, d, depth)),
                    writer(documents, root, lambda a, d, save=save: write_baseline(a, d, save)),
                    same_pictures,
                    repeat=5,
                    units=n,
                    size=folder_bytes,
                    note="files on " + str(root.parent),
                )
            )
    return made


NUMBERS = count()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: the disk is not what is compared."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def writer(documents: list[str], root: Path, write: Callable[[list[dict], Path], None]) -> Callable[[], Path]:
    """A function that makes the folders of all images in a new folder and returns it."""

    def work() -> Path:
        target = root / str(next(NUMBERS))
        target.mkdir()
        for document in documents:
            parsed = json.loads(document)
            annotations = sorted(parsed["annotations"], key=lambda a: a["bbox"][2] * a["bbox"][3], reverse=True)
            stage = target / "stage"
            stage.mkdir()
            write(annotations, stage)
            stage.rename(target / f"sa_{parsed['image']['image_id']}")
        return target

    return work


def write_ours(annotations: list[dict], folder: Path, depth: int) -> None:
    strings = [a["segmentation"]["counts"] for a in annotations]
    at = os.open(folder, os.O_RDONLY)
    for i, data in enumerate(png.mask_pngs(strings, tuple(annotations[0]["segmentation"]["size"]), depth)):
        file = os.open(f"segmentation_{i}.png", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)
        os.write(file, data)
        os.close(file)
    os.close(at)


def write_baseline(annotations: list[dict], folder: Path, save: Callable[[str, np.ndarray], None]) -> None:
    for i, annotation in enumerate(annotations):
        save(f"{folder}/segmentation_{i}.png", coco.decode(annotation["segmentation"]) * np.uint8(255))


OPENCV = ("pycocotools + cv2.imwrite", cv2.imwrite)
PILLOW = ("pycocotools + Pillow", lambda path, mask: Image.fromarray(mask).save(path))


def same_pictures(ours: Path, theirs: Path) -> bool:
    names = sorted(path.relative_to(ours) for path in ours.rglob("*.png"))
    if names != sorted(path.relative_to(theirs) for path in theirs.rglob("*.png")):
        return False
    return all(np.array_equal(np.array(Image.open(ours / name)), np.array(Image.open(theirs / name))) for name in names)


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.png"))


def decoding(annotations: list[dict]) -> list[Row]:
    """One full frame a mask, C order; pycocotools' own result is column-major, which is what it is given credit for."""
    segmentations = [a["segmentation"] for a in annotations]

    def ours() -> list[int]:
        return [int(rle.decode(s["counts"], s["size"])[::97, ::89].sum()) for s in segmentations]

    def theirs() -> list[int]:
        return [int(coco.decode(s)[::97, ::89].sum()) for s in segmentations]

    def equal(a: list[int], b: list[int]) -> bool:
        return a == b and all(np.array_equal(rle.decode(s["counts"], s["size"]), coco.decode(s)) for s in segmentations)

    frame = rle.Frame(SIZE)

    def reused() -> list[int]:
        return [int(frame.decode(s["counts"])[::97, ::89].sum()) for s in segmentations]

    def equal_reused(a: list[int], b: list[int]) -> bool:
        return a == b and all(np.array_equal(frame.decode(s["counts"]), coco.decode(s)) for s in segmentations)

    count = len(segmentations)
    return [
        compare("run lengths to a new frame / pycocotools", ours, theirs, equal, repeat=5, units=count),
        compare("run lengths to a reused frame / pycocotools", reused, theirs, equal_reused, repeat=20, units=count),
    ]


def painting(annotations: list[dict]) -> list[Row]:
    """The control image, and the map of ranks alone; a unit is an image of all its masks."""
    strings = [a["segmentation"]["counts"] for a in annotations]

    def upstream() -> bytes:
        return cv2.imencode(".png", upstream_control_image(annotations))[1].tobytes()

    control = compare(
        "control image / full-frame painting + cv2.imencode",
        lambda: control_image.control_png(strings, SIZE)[0],
        upstream,
        lambda a, b: np.array_equal(decoded(a), decoded(b)),
        repeat=10,
        size=len,
        note=f"{len(strings)} masks",
    )

    def boolean_painting() -> np.ndarray:
        ranks = np.zeros(SIZE, np.uint8)
        for i, annotation in enumerate(annotations):
            ranks[coco.decode(annotation["segmentation"]) == 1] = i + 1
        return ranks

    paint = compare(
        "map of ranks / decode and boolean assignment",
        lambda: rle.paint_ranks(strings, SIZE),
        boolean_painting,
        np.array_equal,
        repeat=20,
        note=f"{len(strings)} masks",
    )
    return [control, paint]


def upstream_control_image(annotations: list[dict]) -> np.ndarray:
    """As ASAM's script paints, a full frame a mask, but in bytes instead of float64; channels as OpenCV has them."""
    canvas = np.zeros((*SIZE, 3), np.uint8)
    n = len(annotations)
    for j, annotation in enumerate(annotations):
        place = (2**24 - 1) * (j + 1) // n
        canvas[coco.decode(annotation["segmentation"]) == 1] = (place >> 16, place >> 8 & 255, place & 255)
    return canvas


def decoded(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)))


def measuring(annotations: list[dict]) -> list[Row]:
    """Areas and boxes; a unit is a mask."""
    segmentations = [a["segmentation"] for a in annotations]
    strings = [s["counts"] for s in segmentations]

    def ours() -> list[tuple[int, list[int]]]:
        areas, boxes = rle.stats(strings, SIZE)
        return list(zip(areas.tolist(), boxes.tolist(), strict=True))

    def by_pixels() -> list[tuple[int, list[int]]]:
        return [(int(coco.decode(s).sum()), coco.toBbox(s).astype(int).tolist()) for s in segmentations]

    def by_runs() -> list[tuple[int, list[int]]]:
        boxes = coco.toBbox(segmentations).astype(int).tolist()
        return list(zip(coco.area(segmentations).tolist(), boxes, strict=True))

    def same(a: list, b: list) -> bool:
        return a == b

    n = len(strings)
    return [
        compare("areas and boxes / decode().sum() and toBbox", ours, by_pixels, same, repeat=50, units=n),
        compare(
            "areas and boxes / pycocotools area and toBbox of lists",
            *(lambda: [ours() for _ in range(50)][-1], lambda: [by_runs() for _ in range(50)][-1], same),
            units=50 * n,
            note="ours checks every string first",
        ),
    ]


def label_maps(annotations: list[dict]) -> list[Row]:
    """PNGs of a map of ranks, grey and coloured; a unit is a map."""
    ranks = rle.paint_ranks([a["segmentation"]["counts"] for a in annotations], SIZE)
    colours = np.concatenate((np.zeros((1, 3), np.uint8), control_image.rank_colours(len(annotations))))

    def pillow(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        return file.getvalue()

    def same(a: bytes, b: bytes) -> bool:
        return np.array_equal(decoded(a), decoded(b))

    wide = ranks.astype(np.uint16) * 257
    cases = [
        ("8-bit label map / Pillow", lambda: png.gray_png(ranks), lambda: pillow(ranks)),
        ("16-bit label map / Pillow", lambda: png.gray_png(wide), lambda: pillow(wide)),
        ("index map to RGB / Pillow", lambda: png.palette_rgb_png(ranks, colours), lambda: pillow(colours[ranks])),
    ]
    return [compare(name, ours, theirs, same, repeat=10, size=len) for name, ours, theirs in cases]
