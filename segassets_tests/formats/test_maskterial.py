"""The tree's rules: thresholds, ids, painting; files read from a stream; places of records."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from segassets.findings import BadItem
from segassets.formats import maskterial, rle
from segassets.formats.maskterial_checks import read_file
from segassets.formats.maskterial_json import records
from segassets.formats.maskterial_released import spans
from segassets_tests.formats.mask_strategies import masks

SIZE = (24, 40)


def row(image, pixels=None, category=1):
    base = dict.fromkeys(maskterial.ROWS) | {"image": image, "width": SIZE[1], "height": SIZE[0]}
    if pixels is None:
        return base
    flat = np.zeros(SIZE[0] * SIZE[1], np.uint8)
    flat[:pixels] = 1
    encoded = coco.encode(np.asfortranarray(flat.reshape(SIZE)))
    bbox = coco.toBbox(encoded).astype(int).tolist()
    return base | {"category_id": category, "counts": encoded["counts"].decode(), "area": pixels, "bbox": bbox}


ROWS = [row("a.jpg", 199), row("a.jpg", 200, 2), row("b.jpg"), row("c.jpg", 299), row("c.jpg", 300, 2)]
CATEGORIES = [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]


def document(agnostic, least):
    return json.loads(b"".join(maskterial.annotation_pieces(ROWS, CATEGORIES, agnostic, least)))


def test_ids_are_given_once_and_kept_and_every_image_is_in_every_file():
    assert [(a["id"], a["image_id"]) for a in document(False, 1)["annotations"]] == [(1, 1), (2, 1), (3, 3), (4, 3)]
    assert [a["id"] for a in document(False, 200)["annotations"]] == [2, 3, 4]
    assert [(a["id"], a["category_id"]) for a in document(True, 300)["annotations"]] == [(4, 1)]
    for least in (1, 200, 300):
        assert [image["id"] for image in document(False, least)["images"]] == [1, 2, 3]


def test_an_instance_of_200_pixels_is_in_the_file_and_not_in_the_mask():
    for pixels, painted in ((200, 0), (201, 201)):
        instance = row("a.jpg", pixels, 3)
        found = maskterial.semantic_mask([instance["counts"]], [3], [pixels], SIZE)
        assert np.count_nonzero(found == 3) == painted


@settings(max_examples=60, deadline=None)
@given(st.lists(masks(size=SIZE), max_size=8), st.data())
def test_later_instances_are_painted_over_earlier_ones(found, data):
    categories = [data.draw(st.integers(1, 4)) for _ in found]
    counts = [rle.encode(mask) for mask in found]
    expected = np.zeros(SIZE, np.uint8)
    for mask, category in zip(found, categories, strict=True):
        expected[mask > 0] = category
    areas = [int(mask.sum()) for mask in found]
    assert np.array_equal(maskterial.semantic_mask(counts, categories, areas, SIZE, 0), expected)
    assert maskterial.areas(counts, SIZE).tolist() == areas


def test_names():
    stem = "0B7F0C1E-7d52-4a7e-9c8e-1f2d3c4b5a69"
    assert maskterial.image_name(stem, ".JPEG", "D") == f"{stem}.jpg"
    assert maskterial.image_name("IMG_1", ".tif", "D", "00") == maskterial.image_name("IMG_2", ".bmp", "D", "00")
    assert maskterial.image_name("IMG_1", ".png", "D", "00") != maskterial.image_name("IMG_1", ".png", "E", "00")


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_a_stream_gives_every_record_and_its_place(indent, monkeypatch):
    monkeypatch.setattr("segassets.formats.maskterial_json.BUFFER", 7)
    text = {"info": {"who": "Jülich"}, "images": [{"id": k, "n": "ä" * k} for k in range(9)], "none": [], "last": 12.5}
    data = json.dumps(text, indent=indent, ensure_ascii=False).encode()
    found = list(records(io.BytesIO(data)))
    assert [r.value for r in found if r.key == "images"] == text["images"]
    assert {r.key: r.value for r in found if r.index is None} == {"info": text["info"], "last": 12.5}
    assert all(json.loads(data[r.start : r.stop]) == r.value for r in found if r.index != -1)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": [1, 2', b'{"a": 1} x', b'{"a" 1}', b'{"a": [1 2]}', b"<html>"])
def test_a_stream_that_is_cut_or_no_json(data):
    with pytest.raises(BadItem):
        list(records(io.BytesIO(data)))


def test_where_the_annotations_of_an_image_lie():
    data = b"".join(maskterial.annotation_pieces(ROWS, CATEGORIES, False, 1))
    found = read_file(io.BytesIO(data), "x.json", False)
    assert not found.findings
    parts = spans(found)
    assert {image: len(places) for image, places in parts.items()} == {1: 1, 3: 1}
    ((start, stop),) = parts[3]
    assert [a["id"] for a in json.loads(b"[" + data[start:stop] + b"]")] == [3, 4]


def test_a_file_may_hold_thin_flakes_only():
    """`_max_10`: those of more layers are left out, the others keep their ids."""
    head = {
        "image": "a.jpg",
        "width": 4,
        "height": 2,
        "annotation_id": None,
        "counts": "08",
        "area": 8,
        "bbox": [0] * 4,
    }
    rows = [{**head, "category_id": layers} for layers in (3, 12, 10)]
    pieces = maskterial.annotation_pieces(rows, [{"id": 1, "name": "x"}], agnostic=True, least=1, highest=10)
    document = json.loads(b"".join(pieces))
    assert [a["id"] for a in document["annotations"]] == [1, 3]
    assert len(document["images"]) == 1
