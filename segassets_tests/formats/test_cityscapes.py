"""Cityscapes: names, tables, polygons, panoptic JSON, instances, and the messages that typical mistakes get."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from segassets.findings import BadItem
from segassets.formats import (
    cityscapes,
    cityscapes_checks,
    cityscapes_contours,
    cityscapes_instances,
    cityscapes_panoptic,
)
from segassets.formats import cityscapes_items as items
from segassets.formats import cityscapes_polygons as polygons
from segassets.formats.png import gray_png

IMAGE = "aachen_000000_000019"


def codes_of(bad) -> list[str]:
    return [finding.code for finding in bad.value.findings]


def decoded(file) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file.data)))


def drawing(*objects, size=(8, 6)) -> bytes:
    entries = [{"label": label, "polygon": corners, **more} for label, corners, more in objects]
    return json.dumps({"imgWidth": size[0], "imgHeight": size[1], "objects": entries}).encode()


ALL = [[0, 0], [7, 0], [7, 5], [0, 5]]
CORNER = [[0, 0], [2, 0], [2, 2], [0, 2]]


def test_the_table_has_nineteen_evaluated_labels_and_eight_things():
    assert [label.train_id for label in cityscapes.EVALUATED] == list(range(19))
    assert [label.id for label in cityscapes.THINGS] == [24, 25, 26, 27, 28, 31, 32, 33]
    assert len(cityscapes.LABELS) == 35


@pytest.mark.parametrize("name", ["aachen_0_19", "aachen_000000_000019_x", "../x_000000_000019", "", "_000000_000019"])
def test_other_names_are_no_images(name):
    with pytest.raises(BadItem, match="unknown_name"):
        cityscapes.ImageName.parse(name)


def test_train_ids_by_table():
    labels = np.array([[7, 33, 0, 6, 29, 24]], np.uint8)
    assert cityscapes.label_train_ids(labels).tolist() == [[0, 18, 255, 255, 255, 11]]
    instances = np.array([[7, 33000, 24, 29001, 26999, 3]], np.uint16)
    assert cityscapes.instance_train_ids(instances).tolist() == [[0, 18000, 11, 255, 13999, 255]]


@pytest.mark.parametrize("value", [34, 999, 7000, 34000, 65535])
def test_values_of_no_label_are_refused(value):
    with pytest.raises(BadItem) as bad:
        cityscapes.instance_train_ids(np.array([[value]], np.uint16))
    assert codes_of(bad) == ["unknown_label"]


def test_polygons_are_painted_in_order_and_numbered_with_the_hidden_ones():
    data = drawing(
        ("road", ALL, {}), ("car", ALL, {}), ("car", CORNER, {}), ("cargroup", [[5, 3], [7, 3], [7, 5], [5, 5]], {}),
        ("license plate", ALL, {}), ("sky", ALL, {"deleted": 1}), ("polegroup", [[7, 0], [7, 1]], {"deleted": 0}),
    )  # fmt: skip
    labels, instances = polygons.label_train_ids(data), polygons.instance_train_ids(data)
    assert (labels.dtype, instances.dtype) == (np.uint8, np.uint16)
    assert labels[0, 7] == instances[0, 7] == 255
    assert (instances[0, 0], instances[4, 0], instances[4, 6]) == (13001, 13000, 13)
    assert (labels[0, 0], labels[4, 6]) == (13, 13)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<html>", "bad_json"),
        (b"[]", "bad_json"),
        (drawing(size=(0, 5)), "bad_json"),
        (drawing(size=(1 << 20, 1 << 20)), "bad_json"),
        (drawing(("spaceship", ALL, {})), "unknown_label"),
        (drawing(("spaceshipgroup", ALL, {})), "unknown_label"),
        (drawing(("car", [[1, 1]], {})), "bad_polygon"),
        (drawing(("car", [[1, float("nan")], [2, 2]], {})), "bad_polygon"),
        (drawing(("car", "corners", {})), "bad_polygon"),
    ],
)
def test_bad_polygons_are_named(data, code):
    for draw in (polygons.label_train_ids, polygons.instance_train_ids):
        with pytest.raises(BadItem) as bad:
            draw(data)
        assert codes_of(bad) == [code]


def test_a_group_is_a_crowd_and_ignored_labels_are_no_segments():
    instances = np.array([[7, 7, 24], [24000, 24000, 29000], [3, 26001, 26001]], np.uint16)
    records, *_ = cityscapes_panoptic.segments(instances)
    assert [(r["id"], r["category_id"], r["iscrowd"], r["area"], r["bbox"]) for r in records] == [
        (7, 7, 0, 2, [0, 0, 2, 1]),
        (24, 24, 1, 1, [2, 0, 1, 1]),
        (24000, 24, 0, 2, [0, 1, 2, 1]),
        (26001, 26, 0, 2, [1, 2, 2, 1]),
    ]
    made = items.panoptic_file(IMAGE, gray_png(instances), "folder", True)
    assert [r["category_id"] for r in json.loads(made.rows["segments"][0])] == [0, 11, 11, 13]
    ids = decoded(made.files[0]).astype(int) @ [1, 256, 65536]
    assert ids.tolist() == [[7, 7, 24], [24000, 24000, 0], [0, 26001, 26001]]


def test_the_thousandth_instance_is_reported():
    made = items.panoptic_file(IMAGE, gray_png(np.array([[24999, 25000]], np.uint16)), "folder", False)
    assert [finding.code for finding in made.findings] == ["many_instances"]
    for legitimate in ([24999, 24000], [33999, 25000], [24999, 25]):
        assert items.panoptic_file(IMAGE, gray_png(np.array([legitimate], np.uint16)), "folder", False).findings == []


def test_the_panoptic_document_is_json_with_real_names():
    row = items.panoptic_file(IMAGE, gray_png(np.full((2, 3), 7, np.uint16)), "folder", False).rows
    rows = [{name: values[0] for name, values in row.items()}]
    document = json.loads(b"".join(cityscapes_panoptic.document(rows)))
    assert document["images"] == [{"id": IMAGE, "file_name": f"{IMAGE}_leftImg8bit.png", "height": 2, "width": 3}]
    assert document["annotations"][0]["segments_info"][0]["area"] == 6
    assert len(document["categories"]) == 19
    assert json.loads(b"".join(cityscapes_panoptic.document([])))["annotations"] == []


@pytest.mark.parametrize("id_base", [0, 1])
def test_the_instance_document(id_base):
    made = items.instances_row(IMAGE, gray_png(np.array([[24000, 26, 7]], np.uint16)))
    row = {name: values[0] for name, values in made.rows.items()}
    empty = {**row, "image": "ulm_000000_000019", "annotations": "[]"}
    document = json.loads(b"".join(cityscapes_instances.document([row, empty], id_base)))
    assert [(a["id"], a["image_id"], a["category_id"], a["iscrowd"]) for a in document["annotations"]] == [
        (id_base, 0, 26, 1),
        (id_base + 1, 0, 24, 0),
    ]
    assert [image["id"] for image in document["images"]] == [0, 1]
    assert document["images"][0]["segm_file"] == f"aachen/{IMAGE}_gtFine_labelTrainIds.png"
    found = cityscapes_checks.annotation_findings(IMAGE, document["annotations"], (1, 3))
    assert found == []


def test_polygons_leave_out_groups_and_instances_with_a_stray_pixel():
    instances = np.zeros((12, 20), np.uint16)
    instances[1:5, 1:6] = 24000
    instances[2, 3] = 7  # a hole, which polygons lose
    instances[6:9, 1:6] = 26001
    instances[10, 15] = 26001
    instances[1:4, 10:14] = 26
    made = items.instances_row(IMAGE, gray_png(instances), "polygons")
    row = {name: values[0] for name, values in made.rows.items()}
    document = json.loads(b"".join(cityscapes_contours.document([row], 0)))
    (person,) = document["annotations"]
    assert (person["id"], person["category_id"], person["area"], person["bbox"]) == (0, 1, 19, [1, 1, 5, 4])
    assert len(person["segmentation"]) == 1 and len(person["segmentation"][0]) == 2 * 14
    assert document["images"][0]["seg_file_name"] == f"{IMAGE}_gtFine_instanceIds.png"
    (finding,) = made.findings
    assert finding.code == "instances_left_out" and "1 of 2" in finding.message and "1 are groups" in finding.message
    records = json.loads(row["annotations"])
    assert cityscapes_checks.annotation_findings(IMAGE, records, (12, 20)) == []
    for change, code in (({"bbox": [0, 0, 5, 5]}, "bbox_wrong"), ({"area": 21}, "area_wrong"),
                         ({"segmentation": [[1, 1, 2, 2]]}, "bad_polygon"), ({"category_id": 7}, "unknown_category")):  # fmt: skip
        found = cityscapes_checks.annotation_findings(IMAGE, [{**records[0], **change}], (12, 20))
        assert [f.code for f in found] == [code]


# --- typical mistakes ------------------------------------------------------------------------------------------------


def as_png(array: np.ndarray, **options) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, "PNG", **options)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (as_png(np.zeros((2, 2, 4), np.uint8)), "8-bit RGBA PNG was found"),
        (as_png(np.zeros((2, 2), np.uint8)), "8-bit grey PNG was found"),
        (b"<html>", "no PNG file"),
        (as_png(np.zeros((64, 64), np.uint16))[:60], "cannot be decoded"),
    ],
)
def test_what_is_no_map_of_instance_ids_is_refused_with_what_was_found(data, found):
    for work in (items.panoptic_file, items.instances_row, items.instance_train_ids_file):
        more = {items.panoptic_file: ("folder", False), items.instance_train_ids_file: ("png",)}.get(work, ())
        with pytest.raises(BadItem, match=found) as bad:
            work(IMAGE, data, *more)
        assert bad.value.findings[0].image == IMAGE


def test_maps_of_two_downloads_are_noticed():
    instances, labels = gray_png(np.array([[24000, 7]], np.uint16)), gray_png(np.array([[24, 8]], np.uint8))
    with pytest.raises(BadItem, match="maps_disagree"):
        items.instance_train_ids_file(IMAGE, instances, "png", labels)


def test_checks_see_what_is_wrong():
    segment = {"id": 24000, "category_id": 24, "iscrowd": 0, "area": 1}
    ids = gray_png(np.array([[7]], np.uint16))
    rules = cityscapes_checks
    cases = {
        "duplicate_id": rules.segment_findings(IMAGE, [segment, segment], False, 9),
        "category_differs": rules.segment_findings(IMAGE, [segment], True, 9),
        "area_wrong": rules.segment_findings(IMAGE, [{**segment, "area": 10}], False, 9),
        "no_segments": rules.segment_findings(IMAGE, [], False, 9),
        "bad_value": rules.instance_map_findings(IMAGE, gray_png(np.array([[19]], np.uint16))),
    }
    for code, findings in cases.items():
        assert [finding.code for finding in findings] == [code]
    with pytest.raises(BadItem, match="bad_mode"):
        rules.label_map_findings(IMAGE, ids)
    made = items.panoptic_file(IMAGE, ids, "folder", False)
    wrong = [{**json.loads(made.rows["segments"][0])[0], "area": 5}]
    assert [f.code for f in rules.panoptic_png_findings(IMAGE, made.files[0].data, wrong)] == ["area_wrong"]
    other = [{**wrong[0], "id": 8, "area": 1}]
    found = rules.panoptic_png_findings(IMAGE, made.files[0].data, other)
    assert [finding.code for finding in found] == ["ids_differ", "pq_self"]
