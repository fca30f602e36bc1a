"""labelme files: groups, old files, masks, and what is refused."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from segassets.findings import BadItem
from segassets.formats import labelme
from segassets.formats.maskterial_classes import from_document, layers, parse

SIZE = (60, 80)


def square(x, **more):
    points = [[x, 10], [x + 10, 10], [x + 10, 20], [x, 20]]
    return {"label": "1", "points": points, "group_id": None, "shape_type": "polygon", **more}


def found(*shapes, **top):
    document = {"shapes": list(shapes), "imagePath": "a.jpg", "imageData": None, "imageHeight": 60, "imageWidth": 80}
    return labelme.instances(labelme.read(json.dumps({**document, **top}).encode()), SIZE, layers(4))


def codes(problem):
    return [finding.code for finding in problem.value.findings]


def test_group_zero_is_a_group():
    instances, findings = found(square(0, group_id=0), square(30), square(15, group_id=0))
    assert [instance.mask.area for instance in instances] == [242, 121]
    assert not findings


def test_one_group_of_two_labels_is_two_instances():
    instances, findings = found(square(0, group_id=3), square(30, group_id=3, label="2"))
    assert [instance.category_id for instance in instances] == [1, 2]
    assert [finding.code for finding in findings] == ["group_mixed_labels"]


def test_old_files_without_fields():
    shape = {"label": "2L", "points": square(5)["points"], "shape_type": None}
    instances, _ = found(shape, imageHeight=None, imageWidth=None)
    assert [(i.category_id, i.mask.area) for i in instances] == [(2, 121)]


def patch(height, width, mode="L"):
    sink = io.BytesIO()
    Image.fromarray(np.ones((height, width), bool) if mode == "1" else np.full((height, width), 7, np.uint8)).save(
        sink, "PNG"
    )
    return base64.b64encode(sink.getvalue()).decode()


@pytest.mark.parametrize("mode", ["1", "L"])
def test_mask_shapes(mode):
    shape = {"label": "1", "shape_type": "mask", "points": [[70, 50], [84, 54]], "mask": patch(5, 15, mode)}
    instances, _ = found(shape)
    assert (instances[0].mask.area, instances[0].mask.bbox) == (50, (70, 50, 10, 5))
    with pytest.raises(BadItem) as problem:
        found({**shape, "mask": patch(5, 14, mode)})
    assert codes(problem) == ["mask_size"]


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        (square(0, label=5), "bad_label"),
        (square(0, group_id=True), "bad_group"),
        (square(0, shape_type="spline"), "unknown_shape_type"),
        (square(0, points=[[1, 2], [3, 4]]), "too_few_points"),
        (square(0, points=[[1, 2], [3, float("nan")], [5, 6]]), "bad_points"),
        (square(0, points=[[1, 2], [3, 2.0**40], [5, 6]]), "bad_points"),
        (square(0, points=[[1, 2], [3], [5, 6]]), "bad_points"),
        (square(0, shape_type="mask", points=[[0, 0], [3, 3]]), "bad_mask"),
        (square(0, label="quintlayer"), "unknown_label"),
    ],
)
def test_what_is_refused(shape, code):
    with pytest.raises(BadItem) as problem:
        found(square(40), shape)
    assert codes(problem) == [code]
    assert problem.value.findings[0].shape == 1


def test_what_is_left_out_and_told():
    instances, findings = found(
        square(0, shape_type="linestrip"), square(200), square(1), square(0, label="__ignore__")
    )
    assert len(instances) == 1
    assert [finding.code for finding in findings] == ["empty_instance"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"shapes": 3}', b"[" * 100_000])
def test_what_is_no_labelme_file(data):
    with pytest.raises(BadItem):
        labelme.read(data)


def test_places_of_photographs():
    assert labelme.image_path(b'{"imagePath": "..\\\\images\\\\a.jpg"}') == "../images/a.jpg"
    assert labelme.is_absolute("C:/Users/x/a.jpg") and labelme.is_absolute("/home/x/a.jpg")
    assert not labelme.is_absolute("images/a.jpg")


@pytest.mark.parametrize(
    "classes",
    [
        [{"id": 0}],
        [{"id": 1}, {"id": 3}],
        [{"id": 1, "labels": ["a"]}, {"id": 2, "labels": ["a"]}],
        [{"id": "1"}],
        [],
        [{"id": 1, "labels": ["__ignore__"]}],
    ],
)
def test_classes_that_contradict_themselves(classes):
    with pytest.raises(ValueError, match=r"class|label|expected"):
        from_document({"classes": classes})
    with pytest.raises(BadItem):
        parse(json.dumps({"classes": classes}).encode())
