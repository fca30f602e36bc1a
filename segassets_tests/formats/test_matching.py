"""Masks of a detector for alphas: what is kept, what is matched, what is filled, what is refused."""

import io
import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from segassets.findings import BadItem
from segassets.formats import rle
from segassets.formats.matching import best_mask, filled, masks_of_image, read_predictions, seed_of
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
        (b'[{"image_id": 7}]', json.dumps(IMAGES).encode(), "bad_json"),
        (b'{"images": [{}], "annotations": []}', None, "bad_json"),
    ],
)
def test_predictions_that_cannot_be_read(content, images, code):
    with pytest.raises(BadItem) as problem:
        read_predictions(content, images, "p.json")
    assert problem.value.findings[0].code == code


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
