"""Real annotations of SA-1B, COCO and MaskTerial: run lengths and PNGs agree with pycocotools mask by mask."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from segassets.formats import control_image, png, rle

REAL = Path(__file__).parents[2].parent / "shared" / "real"

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not REAL.is_dir(), reason="the real annotations are not beside the project"),
]


def sa1b_images() -> list[tuple[tuple[int, int], list[dict]]]:
    documents = [json.loads(path.read_text()) for path in sorted(REAL.glob("sa1b/*.partial.json"))]
    assert documents
    return [((d["image"]["height"], d["image"]["width"]), d["annotations"]) for d in documents]


def assert_agrees(strings: list[str], size: tuple[int, int]) -> None:
    """Everything that `rle` and `png` say of these masks is what pycocotools says."""
    rles = [{"size": list(size), "counts": string} for string in strings]
    areas, boxes = rle.stats(strings, size)
    assert areas.tolist() == [int(coco.area(r)) for r in rles]
    assert boxes.tolist() == [coco.toBbox(r).tolist() for r in rles]
    assert rle.validate_all(strings, size) == [None] * len(strings)
    pngs = {depth: png.mask_pngs(strings, size, depth) for depth in (8, 2, 1)}
    for i, (string, r) in enumerate(zip(strings, rles, strict=True)):
        mask = coco.decode(r)
        np.testing.assert_array_equal(rle.decode(string, size), mask)
        assert rle.encode(mask) == rle.canonical(string, size) == string.encode()
        assert rle.from_uncompressed(rle.to_uncompressed(string, size), size) == string.encode()
        for depth, data in pngs.items():
            image = Image.open(io.BytesIO(data[i]))
            assert image.mode == ("1" if depth == 1 else "L")
            np.testing.assert_array_equal(np.array(image.convert("L")), mask * np.uint8(255))


def test_sa1b_masks():
    for size, masks in sa1b_images():
        assert_agrees([a["segmentation"]["counts"] for a in masks], size)


def test_sa1b_areas_and_boxes_are_those_of_the_annotations():
    for size, masks in sa1b_images():
        areas, boxes = rle.stats([a["segmentation"]["counts"] for a in masks], size)
        assert areas.tolist() == [a["area"] for a in masks]
        # SA-1B writes xmax - xmin, one less than the width.
        assert (boxes - [0, 0, 1, 1]).tolist() == [a["bbox"] for a in masks]


def test_sa1b_control_images():
    for size, masks in sa1b_images():
        strings = [a["segmentation"]["counts"] for a in masks]
        expected = np.zeros((*size, 3), np.uint8)
        for string, colour in zip(strings, control_image.rank_colours(len(strings)), strict=True):
            expected[coco.decode({"size": list(size), "counts": string}) == 1] = colour
        np.testing.assert_array_equal(
            np.array(Image.open(io.BytesIO(control_image.control_png(strings, size)[0]))), expected
        )


@pytest.mark.parametrize("backend", ["numpy", "rlemasklib"])
def test_coco_masks(backend):
    (path,) = REAL.glob("coco_instances/*segm100*.json")
    by_size: dict[tuple[int, int], list[str]] = {}
    for result in json.loads(path.read_text()):
        segmentation = result["segmentation"]
        by_size.setdefault(tuple(segmentation["size"]), []).append(segmentation["counts"])
    assert sum(map(len, by_size.values())) > 100
    previous = rle._use_backend(backend)
    try:
        for size, strings in by_size.items():
            assert_agrees(strings, size)
    finally:
        rle._use_backend(previous)


def test_maskterial_instances():
    paths = sorted(REAL.glob("maskterial/instance_masks/*/*.png"))
    assert paths
    found = 0
    for path in paths:
        labels = np.array(Image.open(path))
        assert labels.ndim == 2
        instances = [(labels == i).astype(np.uint8) for i in np.unique(labels) if i]
        strings = [rle.encode(mask) for mask in instances]
        assert strings == [coco.encode(np.asfortranarray(mask))["counts"] for mask in instances]
        assert_agrees([string.decode() for string in strings], labels.shape)
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(png.gray_png(labels)))), labels)
        found += len(instances)
    assert found
