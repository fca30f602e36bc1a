"""The JSON of an SA-1B image: what is accepted, what rejects the image, what is only said."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segassets.formats import rle, sa1b
from segassets.formats.sa1b import coco_record, controlnet_row, rank_order, read_annotations
from segassets.formats.sa1b_members import classify
from segassets.formats.tar_index import scan

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "sa1b"
H, W = 20, 30


def mask(x, y, w, h):
    pixels = np.zeros((H, W), np.uint8)
    pixels[y : y + h, x : x + w] = 1
    return pixels


def annotation(number, box=(3, 4, 6, 5)):
    x, y, w, h = box
    pixels = mask(*box)
    empty = not pixels.any()
    return {
        "bbox": [0, 0, 0, 0] if empty else [float(x), float(y), w - 1.0, h - 1.0],
        "area": int(pixels.sum()),
        "segmentation": {"size": [H, W], "counts": rle.encode(pixels).decode()},
        "predicted_iou": 0.9,
        "point_coords": [[x + 0.5, y + 0.5]],
        "crop_box": [0.0, 0.0, float(W), float(H)],
        "id": number,
        "stability_score": 0.96,
    }


def document(*annotations):
    image = {"image_id": 7, "width": W, "height": H, "file_name": "sa_7.jpg"}
    return {"image": image, "annotations": list(annotations)}


def read(content, jpg_size=None):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_annotations(data, 7, jpg_size)


def seen(findings):
    return [(f.code, f.severity, f.index) for f in findings]


def test_sound_annotations_become_columns():
    boxes = [(3, 4, 6, 5), (0, 0, 30, 20), (29, 19, 1, 1)]
    result, findings = read(document(*(annotation(100 + i, box) for i, box in enumerate(boxes))), (W, H))
    assert findings == []
    assert len(result) == 3 and result.size == (H, W) and result.ids == [100, 101, 102]
    assert result.area.tolist() == [30, 600, 1]
    assert result.coco_bbox.tolist() == [list(box) for box in boxes]
    assert result.bbox[0] == [3.0, 4.0, 5.0, 4.0]
    for counts, box in zip(result.counts, boxes, strict=True):
        assert isinstance(counts, bytes) and (rle.decode(counts, result.size) == mask(*box)).all()


def test_byte_order_mark_and_nan_are_accepted():
    content = document(annotation(1))
    content["annotations"][0]["predicted_iou"] = float("nan")
    result, findings = read(b"\xef\xbb\xbf" + json.dumps(content).encode())
    assert result is not None and seen(findings) == [("score_range", "warning", 0)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"<html>",
        b"[" * 200_000,
        b'{"image": ' + b"9" * 5000 + b"}",
        b'{"a": 1} x',
        b"\x80abc",
    ],
)
def test_corrupt_json(data):
    result, (finding,) = read(data)
    assert result is None and seen([finding]) == [("json_corrupt", "error", None)]
    assert finding.image == "sa_7" and finding.member == "sa_7.json" and len(finding.message) < 500


def test_oversized_json_is_not_parsed(monkeypatch):
    monkeypatch.setattr(sa1b, "MAX_JSON_BYTES", 100)
    assert seen(read(document(annotation(1)))[1]) == [("json_corrupt", "error", None)]


DELETE = object()


def changed(path, value):
    content = document(annotation(1), annotation(2, (1, 1, 9, 9)))
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is DELETE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


@pytest.mark.parametrize("value", [DELETE, None, True, "1", 1.0, -1, 0, 10**400, 70_000])
@pytest.mark.parametrize("key", ["width", "height"])
def test_image_sides_must_be_sensible_integers(key, value):
    assert seen(read(changed(["image", key], value))[1]) == [("json_schema", "error", None)]


def test_too_many_pixels():
    content = document()
    content["image"] |= {"width": 60_000, "height": 60_000}
    assert seen(read(content)[1]) == [("json_schema", "error", None)]


@pytest.mark.parametrize(
    "content", [[], 3, None, {}, {"image": {}}, {"image": [], "annotations": []}, changed(["annotations"], {})]
)
def test_top_level_must_have_its_shape(content):
    assert seen(read(content)[1]) == [("json_schema", "error", None)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[([key], DELETE) for key in annotation(1)],
        *[([key], None) for key in annotation(1)],
        (["segmentation"], [[1, 2, 3, 4, 5, 6]]),
        (["segmentation", "counts"], [1, 2, 3]),
        (["segmentation", "counts"], DELETE),
        (["segmentation", "size"], [H]),
        (["segmentation", "size"], [float(H), W]),
        (["segmentation", "size"], [True, W]),
        (["bbox"], [1, 2, 3]),
        (["bbox"], [1, 2, 3, "4"]),
        (["bbox"], [1, 2, 3, True]),
        (["bbox"], [1, 2, 3, float("nan")]),
        (["bbox"], [1, 2, 3, float("inf")]),
        (["bbox"], [1, 2, 3, 10**400]),
        (["area"], "30"),
        (["area"], False),
        (["id"], True),
        (["id"], 1.0),
        (["id"], 2**63),
        (["id"], -1),
        (["predicted_iou"], "0.9"),
        (["stability_score"], 10**400),
        (["crop_box"], [0, 0, 1]),
        (["point_coords"], [1, 2]),
        (["point_coords"], [[1]]),
    ],
)
def test_schema_of_an_annotation(path, value):
    result, (finding,) = read(changed(["annotations", 1, *path], value))
    assert result is None and seen([finding]) == [("json_schema", "error", 1)]
    assert len(finding.message) < 300


def test_annotation_that_is_no_object():
    assert seen(read(changed(["annotations", 0], 5))[1]) == [("json_schema", "error", 0)]


def test_image_size_must_be_the_jpegs():
    content = document(annotation(1))
    assert read(content, (W, H))[0] is not None
    result, findings = read(content, (H, W))
    assert result is None and seen(findings) == [("image_size_mismatch", "error", None)]
    assert "30 x 20" in findings[0].message and "20 x 30" in findings[0].message


def test_rle_errors():
    assert seen(read(changed(["annotations", 1, "segmentation", "size"], [W, H]))[1]) == [
        ("rle_size_mismatch", "error", 1)
    ]
    for counts in ("", "é", "~", "0", "PP", "o" * 400, rle.encode(np.ones((H, W + 1), np.uint8)).decode()):
        result, findings = read(changed(["annotations", 1, "segmentation", "counts"], counts))
        assert result is None and seen(findings) == [("rle_invalid", "error", 1)]
        assert findings[0].annotation_id == 2


def test_only_the_first_bad_annotation_is_reported():
    content = document(*(annotation(i) for i in range(5)))
    content["annotations"][4]["bbox"] = None
    content["annotations"][3]["segmentation"]["size"] = [1, 1]
    assert seen(read(content)[1]) == [("rle_size_mismatch", "error", 3)]
    content["annotations"][2]["segmentation"]["counts"] = "0"
    content["annotations"][1]["area"] = 12345  # a warning does not matter any more
    assert seen(read(content)[1]) == [("rle_invalid", "error", 2)]


def test_warnings_leave_the_image_in():
    content = document(annotation(1), annotation(2), annotation(2), annotation(4, (0, 0, 0, 0)))
    content["annotations"][0]["area"] += 1
    content["annotations"][1]["bbox"][2] += 1  # COCO's convention is not SA-1B's
    content["image"]["image_id"] = 8
    result, findings = read(content)
    assert len(result) == 4
    assert seen(findings) == [
        ("image_id_mismatch", "warning", None),
        ("area_mismatch", "warning", 0),
        ("bbox_mismatch", "warning", 1),
        ("duplicate_annotation_id", "warning", 2),
        ("empty_mask", "warning", 3),
    ]
    assert result.area.tolist()[3] == 0 and result.coco_bbox.tolist()[3] == [0, 0, 0, 0]


def test_no_annotations():
    result, findings = read(document())
    assert len(result) == 0 and seen(findings) == [("no_annotations", "warning", None)]


@pytest.mark.parametrize(
    ("key", "value", "wrong"),
    [
        ("predicted_iou", 0.88, False),
        ("predicted_iou", 0.8799, True),
        ("predicted_iou", 1.0023, False),
        ("predicted_iou", 1.2, True),
        ("predicted_iou", float("inf"), True),
        ("stability_score", 0.95, False),
        ("stability_score", 0.9, True),
        ("stability_score", 1, False),
        ("stability_score", 1.001, True),
        ("stability_score", float("nan"), True),
    ],
)
def test_scores(key, value, wrong):
    result, findings = read(changed(["annotations", 0, key], value))
    assert result is not None and [f.code for f in findings] == ["score_range"] * wrong


def test_crops_and_points_are_only_informed_about():
    content = document(annotation(1), annotation(2))
    content["annotations"][0]["crop_box"] = [0, 0, W + 1, H]
    content["annotations"][1]["crop_box"] = [10, 10, 5, 5]
    assert seen(read(content)[1]) == [("crop_box_outside", "info", 0), ("point_outside", "info", 1)]


def test_rank_order_is_stable_and_descending():
    boxes = [[0, 0, 2, 3], [0, 0, 9, 9], [5, 5, 3, 2], [0, 0, 0, 7], [1, 1, 6, 1], [0, 0, 4, 0]]
    assert rank_order(boxes) == [1, 0, 2, 4, 3, 5]
    assert rank_order([]) == []


def test_coco_record_uses_cocos_conventions():
    result, _ = read(document(annotation(5, (3, 4, 6, 5))))
    record = coco_record(result, 0)
    assert json.loads(json.dumps(record)) == {
        "id": 5,
        "image_id": 7,
        "category_id": 1,
        "segmentation": {"size": [H, W], "counts": rle.encode(mask(3, 4, 6, 5)).decode()},
        "area": 30,
        "bbox": [3.0, 4.0, 6.0, 5.0],
        "iscrowd": 0,
    }
    assert coco_record(result, 0, 99)["id"] == 99
    assert controlnet_row("a dog", 7) == {"prompt": "a dog", "target": "sa_7.jpg", "source": "sa_7.png"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*annotation(1), "image", "size", "counts"]), inner)
    ),
    max_leaves=12,
)
fuzz = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def check_reading(content):
    result, findings = read(content)
    assert (result is None) == any(f.severity == "error" for f in findings)
    for finding in findings:
        str(finding).encode()


@fuzz
@given(JSON)
def test_fuzz_any_json(content):
    check_reading(content)


@fuzz
@given(st.sampled_from(sorted(annotation(1))), JSON, st.sampled_from([("size",), ("counts",), ()]))
def test_fuzz_any_value_in_an_annotation(key, value, inner):
    content = copy.deepcopy(document(annotation(1)))
    place = content["annotations"][0]
    if inner and key == "segmentation":
        place["segmentation"][inner[0]] = value
    else:
        place[key] = value
    check_reading(content)


@fuzz
@given(st.binary(max_size=200))
def test_fuzz_any_bytes(data):
    check_reading(data)


@fuzz
@given(st.text(st.characters(max_codepoint=130), max_size=30))
def test_fuzz_any_run_lengths(counts):
    check_reading(changed(["annotations", 0, "segmentation", "counts"], counts))


@pytest.mark.golden
@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden data")
@pytest.mark.parametrize("shard", ["sa_000000", "sa_000001"])
def test_golden_annotations(shard):
    rows = []
    with (GOLDEN / "input" / f"{shard}.tar").open("rb") as stream:
        for number, pair in classify(scan(stream).members)[0].items():
            stream.seek(pair["json"].offset)
            result, findings = read_annotations(stream.read(pair["json"].size), number)
            assert findings == []
            for rank, index in enumerate(rank_order(result.bbox)):
                rows.append(
                    {
                        "image": f"sa_{number}.jpg",
                        "rank": rank,
                        "source_index": index,
                        "id": result.ids[index],
                        "area": int(result.area[index]),
                        "bbox": result.bbox[index],
                    }
                )
    expected = (GOLDEN / "expected" / f"{shard}-mask-index.jsonl").read_text().splitlines()
    assert rows == [json.loads(line) for line in expected]
