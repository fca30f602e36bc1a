"""Label Studio exports: brushes, rotated rectangles, names of files, what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings

from segassets.findings import BadItem
from segassets.formats import instance_masks, label_studio
from segassets.formats.label_studio_brush import decode_brush
from segassets.formats.maskterial_classes import layers
from segassets_tests.formats.mask_strategies import masks

SIZE = (50, 100)


def brush(mask):
    """A brush as Label Studio writes it, one block a run; written from the format's description for this test."""
    values = np.zeros((*mask.shape, 4), np.uint8)
    values[..., 3] = np.where(mask, 255, 0)
    flat = values.reshape(-1)
    bits = f"{flat.size:032b}" + f"{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    at = 0
    while at < flat.size:
        stop = at
        while stop < flat.size and flat[stop] == flat[at] and stop - at < 65536:
            stop += 1
        if stop - at < 3:
            stop = min(at + 3, flat.size)
            bits += "0" + "00" + f"{stop - at - 1:03b}" + "".join(f"{v:08b}" for v in flat[at:stop])
        else:
            bits += "1" + "11" + f"{stop - at - 1:016b}" + f"{flat[at]:08b}"
        at = stop
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


@settings(max_examples=40, deadline=None)
@given(masks(size=(7, 9)))
def test_brushes(mask):
    assert np.array_equal(decode_brush(brush(mask), mask.shape), mask > 0)


def test_a_damaged_brush():
    data = brush(np.eye(6, dtype=np.uint8))
    for wrong in (data[:-3], data[:5], [300], "x", [255] * 40):
        with pytest.raises(BadItem):
            decode_brush(wrong, (6, 6))
    with pytest.raises(BadItem, match="RGBA of 5 x 6"):
        decode_brush(data, (5, 6))


def native(*values, **more):
    result = [
        {"type": "rectanglelabels", "original_width": 100, "original_height": 50, "value": value} for value in values
    ]
    task = {"id": 7, "data": {"image": "/data/upload/1/a%20b.png"}, "annotations": [{"result": result}], **more}
    return label_studio.read_native(json.dumps([task]).encode())[0]


def box(rotation=0, label="1"):
    return {"x": 10, "y": 20, "width": 20, "height": 10, "rotation": rotation, "rectanglelabels": [label]}


def test_rectangles_are_turned_about_their_upper_left_corner():
    (straight, turned), _ = label_studio.instances(native(box(), box(90)), SIZE, layers(2))
    assert (straight.mask.bbox, straight.mask.area) == ((10, 10, 20, 5), 100)
    assert (turned.mask.bbox, turned.mask.area) == ((5, 10, 5, 20), 100)


def test_the_first_annotation_that_was_not_cancelled_counts():
    done = {"result": []}
    both = native(annotations=[{"was_cancelled": True, "result": []}, done, done])
    assert [finding.code for finding in both.findings] == ["several_annotations"]
    assert native(annotations=[]).findings[0].code == "not_annotated"


def test_unknown_labels_are_named():
    with pytest.raises(BadItem, match="quintlayer"):
        label_studio.instances(native(box(label="quintlayer")), SIZE, layers(2))


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("images\\a.png", "a.png"),
        ("/data/upload/3/a%20b.png", "a b.png"),
        ("/data/local-files/?d=flakes/a.png", "a.png"),
        ("https://host/bucket/a.png?sig=1", "a.png"),
    ],
)
def test_names_of_files(place, name):
    assert label_studio.file_name(place) == name


def coco(segmentation, bbox=(10, 10, 20, 5)):
    document = {
        "images": [{"id": 0, "file_name": "images\\a.png", "width": 100, "height": 50}],
        "categories": [{"id": 0, "name": "2"}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 0, "segmentation": segmentation, "bbox": list(bbox)}],
    }
    return label_studio.read_coco(json.dumps(document).encode())[0]


def test_all_polygons_of_an_annotation_are_united():
    parts = [[10, 10, 20, 10, 20, 20, 10, 20], [40, 10, 50, 10, 50, 20, 40, 20]]
    (instance,), _ = label_studio.instances(coco(parts), SIZE, layers(2))
    assert (instance.category_id, instance.mask.area) == (2, 200)


def test_a_rectangle_without_segmentation_is_its_box():
    (instance,), findings = label_studio.instances(coco([]), SIZE, layers(2))
    assert instance.mask.area == 100
    assert [finding.code for finding in findings] == ["rectangle_as_polygon"]


@pytest.mark.parametrize("polygon", [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, None]])
def test_polygons_that_are_none(polygon):
    with pytest.raises(BadItem):
        label_studio.instances(coco([polygon]), SIZE, layers(2))


def test_instance_masks_and_their_sidecar():
    indices = np.zeros((20, 30), np.uint8)
    indices[2:6, 3:9], indices[10:15, 3:9], indices[10:12, 20:25] = 1, 2, 3
    found, findings = instance_masks.instances(indices, layers(2), {1: 2, 2: 1, 3: 0})
    assert [(i.category_id, i.mask.area, i.shape) for i in found] == [(2, 24, 1), (1, 30, 2)]
    assert [finding.code for finding in findings] == ["rejected_index"]
    with pytest.raises(BadItem, match="index 3"):
        instance_masks.instances(indices, layers(2), {1: 2, 2: 1})
