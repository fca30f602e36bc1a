"""Masks of a detector for alphas: what is kept, what is matched, what is filled, what is refused."""

import io
import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from segassets.findings import BadItem
from segassets.formats import rle
from segassets.formats.matching import best_mask, filled, masks_of_image, seed_of
from segassets.formats.matching_predictions import read_predictions
from segassets.formats.png import gray_png

SIZE = (40, 60)
IMAGES = [{"id": 7, "file_name": "some/a.b.jpg", "width": 60, "height": 40}]


@dataclass
class Bytes:
    data: bytes
    label: str = "x"

    def read(self):
        return self.data


def box(top, left, bottom, right):
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def prediction(mask, score=0.9, category=1, image=7):
    segmentation = {"size": list(SIZE), "counts": rle.encode(mask).decode()}
    return {"image_id": image, "category_id": category, "segmentation": segmentation, "score": score}


def made(predictions, alphas, fill=False):
    content = json.dumps({"images": IMAGES, "annotations": predictions}).encode()
    by_image, _ = read_predictions(content, None, "p.json")
    given = {name: Bytes(gray_png(alpha)) for name, alpha in alphas.items()}
    return masks_of_image("a", given, by_image["a"], "model", "comp", fill)


def pixels(files, path):
    return np.asarray(Image.open(io.BytesIO(next(file.data for file in files if file.path == path))))


def test_persons_that_are_sure_and_large_enough_are_kept_by_falling_score():
    large, small = box(0, 0, 20, 30), box(0, 0, 6, 7)
    given = [
        prediction(large, 0.71),
        prediction(large, 0.9, category=2),
        prediction(large, 0.69),
        prediction(small, 0.99),
        prediction(box(10, 10, 40, 60), 0.95),
    ]
    files = made(given, {}).files
    assert [file.path for file in files] == ["masks_model/comp/a/00.png", "masks_model/comp/a/01.png"]
    assert np.array_equal(pixels(files, "masks_model/comp/a/00.png"), box(10, 10, 40, 60) * 255)


def test_one_mask_may_serve_two_alphas_and_a_bad_match_none():
    alphas = {"01.png": box(0, 0, 20, 30) * 255, "04.png": box(0, 0, 20, 28) * 200, "06.png": box(30, 0, 40, 9) * 255}
    result = made([prediction(box(0, 0, 20, 30))], alphas)
    matched = [file.path for file in result.files if "matched" in file.path]
    assert matched == [f"masks_matched_model/comp/a/{name}" for name in ("01.png", "04.png")]
    assert result.rows["source"] == ["predicted", "predicted", "none"]
    assert [finding.code for finding in result.findings] == ["alpha_without_mask"]


def test_unmatched_alphas_are_filled_the_same_way_each_time():
    alphas = {"01.png": box(5, 5, 35, 50) * 255}
    first, second = (made([], alphas, fill=True) for _ in range(2))
    assert first.rows["source"] == ["synthetic"]
    assert [file.data for file in first.files] == [file.data for file in second.files]
    assert pixels(first.files, "masks_matched_model/comp/a/01.png").any()
    assert seed_of("m", "comp", "a", "01.png") != seed_of("m", "comp", "a", "02.png")
    assert filled(box(0, 0, 1, 1) * 255, 3).any()


def test_the_first_of_equal_masks_wins():
    masks = [box(0, 0, 9, 9) > 0, box(0, 0, 20, 20) > 0, box(0, 0, 20, 20) > 0]
    assert best_mask(box(0, 0, 20, 20), masks)[0] == 1
    assert best_mask(box(0, 0, 20, 20), []) == (None, 0.0)


def test_alphas_and_predictions_of_different_size():
    with pytest.raises(BadItem, match="60 x 40"):
        made([prediction(box(0, 0, 20, 30))], {"01.png": np.full((30, 30), 255, np.uint8)})


@pytest.mark.parametrize(
    ("content", "images", "code"),
    [
        (b"no", None, "bad_json"),
        (b"[]", None, "predictions_images_missing"),
        (b'"text"', json.dumps(IMAGES).encode(), "bad_json"),
        (b'{"images": [{}], "annotations": []}', None, "bad_json"),
    ],
)
def test_predictions_that_cannot_be_read(content, images, code):
    with pytest.raises(BadItem) as problem:
        read_predictions(content, images, "p.json")
    assert problem.value.findings[0].code == code


@pytest.mark.parametrize(
    ("content", "images", "blamed", "told"),
    [
        (b"{}", None, "p.json", "without a list images and annotations: {}"),
        (b'{"error": "not found"}', b"[]", "p.json", "without a list images and annotations"),
        (b'{"annotations": []}', None, "p.json", "without a list images:"),
        (b'{"images": []}', None, "p.json", "without a list annotations:"),
        (b'{"images": [], "annotations": null}', None, "p.json", "without a list annotations:"),
        (b"null", None, "p.json", "found null"),
        (b"3", b"[]", "p.json", "found 3"),
        (b'"x"', None, "p.json", 'found "x"'),
        (b"[]", b"{", "i.json", "cannot be read as JSON"),
        (b"[]", b"5", "i.json", "found 5"),
        (b"[]", b"{}", "i.json", "found {}"),
        (b"[]", b'[{"id": 1}]', "i.json", "file_name"),
        (b'{"images": [{"id": [1]}], "annotations": []}', None, "p.json", "not COCO's images"),
    ],
)
def test_what_is_no_coco_file_is_told_with_its_path(content, images, blamed, told):
    with pytest.raises(BadItem) as caught:
        read_predictions(content, images, "p.json", "i.json")
    assert [(f.code, f.path) for f in caught.value.findings] == [("bad_json", blamed)]
    assert told in caught.value.findings[0].message


def test_a_list_of_results_with_its_images():
    results = json.dumps([prediction(box(0, 0, 20, 30)), prediction(box(0, 0, 20, 30), image=8)]).encode()
    found, findings = read_predictions(results, json.dumps({"images": IMAGES}).encode(), "p.json")
    assert len(found["a"]) == 1
    assert [finding.code for finding in findings] == ["unknown_image"]


def test_damaged_run_lengths():
    bad = prediction(box(0, 0, 20, 30))
    bad["segmentation"]["counts"] = "~~~"
    with pytest.raises(BadItem, match="bad_rle"):
        made([bad], {})


def test_a_mask_of_another_size_costs_its_image_and_is_named():
    other = {**prediction(box(0, 0, 20, 30)), "segmentation": {"size": [40, 1], "counts": [0, 40]}}
    with pytest.raises(BadItem) as problem:
        made([prediction(box(0, 0, 20, 30)), other], {"01.png": box(0, 0, 20, 30) * 255})
    (finding,) = problem.value.findings
    assert (finding.code, finding.image, finding.index) == ("size_mismatch", "a", 1)
    assert "1 x 40 pixels, the alphas 60 x 40" in finding.message


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    "change",
    [
        {"score": NAN},
        {"score": INFINITE},
        {"score": "high"},
        {"score": None},
        {"score": True},
        {"category_id": None},
        {"category_id": 1.5},
        {"category_id": INFINITE},
        {"segmentation": None},
        {"segmentation": []},
        {"segmentation": [[1, 1, 20, 1]]},
        {"segmentation": [[1, 1, 20, 1, NAN, 20]]},
        {"segmentation": [[1, 1, 20, 1, 1e9, 20]]},
        {"segmentation": [[0, 0, 60, 40] * 2000]},
        {"segmentation": {"size": [40, 60], "counts": None}},
        {"segmentation": {"size": [40], "counts": [2400]}},
        {"segmentation": {"size": [-40, 60], "counts": [2400]}},
    ],
)
def test_a_prediction_that_cannot_be_used_is_named_and_the_others_are_read(change):
    results = [prediction(box(0, 0, 20, 30), 0.8), prediction(box(0, 0, 20, 30)) | change, prediction(box(0, 0, 9, 9))]
    content = json.dumps({"images": IMAGES, "annotations": results}).encode()
    found, (finding,) = read_predictions(content, None, "p.json")
    assert [one["index"] for one in found["a"]] == [2, 0]
    assert (finding.severity, finding.code, finding.image, finding.index) == ("error", "bad_prediction", "a", 1)


@pytest.mark.parametrize(("result", "code"), [([1], "bad_prediction"), (None, "bad_prediction"),
                                              ({"image_id": [7]}, "unknown_image"), ({}, "unknown_image")])  # fmt: skip
def test_a_result_of_no_image(result, code):
    content = json.dumps({"images": IMAGES, "annotations": [result, prediction(box(0, 0, 9, 9))]}).encode()
    found, (finding,) = read_predictions(content, None, "p.json")
    assert (finding.code, finding.image, finding.index) == (code, None, 0) and len(found["a"]) == 1


def test_polygons_are_drawn_as_coco_draws_them():
    polygons = [[1, 1, 50, 1, 50, 30, 1.5, 30], [52, 5, 58, 5, 58, 35]]
    files = made([prediction(box(0, 0, 1, 1)) | {"segmentation": polygons}], {}).files
    drawn = coco.decode(coco.merge(coco.frPyObjects(polygons, *SIZE)))
    assert np.array_equal(pixels(files, "masks_model/comp/a/00.png"), drawn * 255)
