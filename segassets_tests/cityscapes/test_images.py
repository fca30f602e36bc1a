"""Cityscapes' inputs beside each other: what does not fit is an error of that image, and names its file."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from segassets.errors import Skip, UsageError
from segassets.registry import registry
from segassets_tests.cityscapes.conftest import HEIGHT, WIDTH, Bench, drawing, photo, png

A, B = "aachen_000000_000019", "new_york-2_000000_000019"
LABELS = ("label_train_ids", "instance_train_ids", "panoptic", "panoptic_train_id", "instances")


def told(findings) -> list[tuple]:
    return [(f.code, f.image, f.path) for f in findings if f.severity == "error"]


@pytest.mark.parametrize("image", [A, B, "köln_000000_000019", "ko\u0308ln_000000_000019", "3_000001_000002"])
def test_a_city_is_what_stands_before_the_numbers(bench: Bench, image):
    bench.fine(image)
    bench.photograph(image)
    city = image.rsplit("_", 2)[0]
    for asset in (*LABELS, "images"):
        bench.make(f"cityscapes/{asset}")
    assert f"gtFine/val/{city}/{image}_gtFine_labelTrainIds.png" in bench.paths("cityscapes")
    assert f"leftImg8bit/val/{city}/{image}_leftImg8bit.png" in bench.paths("cityscapes")


def test_an_image_in_two_cities_folders_is_used_from_neither(bench: Bench):
    bench.fine(A)
    stem = bench.fine(B)
    other = f"cityscapes/gtFine/val/ulm/{B}_gtFine_instanceIds.png"
    bench.put(other, png(np.full((HEIGHT, WIDTH), 8, np.uint16)))
    for asset in LABELS:
        assert told(bench.errors(f"cityscapes/{asset}")) == [("duplicate_image", B, f"{stem}instanceIds.png")]
    bench.make("cityscapes/panoptic", max_rejected=0.5)
    assert {path for path in bench.paths("cityscapes") if path.endswith(".png")} == {
        f"gtFine/cityscapes_panoptic_val/{A}_gtFine_panoptic.png"
    }


def test_a_photograph_in_two_cities_folders_is_used_from_neither(bench: Bench):
    bench.photograph(A)
    path = bench.photograph(B)
    bench.put(f"cityscapes/leftImg8bit/val/ulm/{B}_leftImg8bit.png", photo())
    assert told(bench.errors("cityscapes/images")) == [("duplicate_image", B, path)]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("labelIds_png", png(np.full((HEIGHT, 5), 7, np.uint8))),
        ("color_png", png(np.full((5, WIDTH, 4), 7, np.uint8))),
        ("polygons_json", drawing(5)),
    ],
)
def test_the_four_files_of_an_image_have_one_size(bench: Bench, kind, data):
    bench.fine(A)
    stem = bench.fine(B, **{kind: data})
    for asset in LABELS:
        assert told(bench.errors(f"cityscapes/{asset}")) == [("size_differs", B, stem + kind.replace("_", "."))]


def test_labels_and_instances_of_two_downloads_are_noticed_in_a_small_set(bench: Bench):
    for image in (A, "bonn_000000_000019", "ulm_000000_000019"):
        bench.fine(image)
    stem = bench.fine(B, labelIds_png=png(np.full((HEIGHT, WIDTH), 8, np.uint8)))
    assert told(bench.errors("cityscapes/instance_train_ids")) == [("maps_disagree", B, f"{stem}instanceIds.png")]
    outcome = bench.make("cityscapes/instance_train_ids", max_rejected=0.5)
    (said,) = [finding for finding in outcome.findings if finding.code == "compared"]
    assert "in 4 of 4 images" in said.message


def test_labels_that_are_missing_are_an_error_of_the_instances_that_name_them(bench: Bench):
    bench.fine(A)
    bench.fine(B, without=("labelIds.png",))
    (finding,) = bench.errors("cityscapes/instances")
    assert (finding.code, finding.image) == ("labels_missing", B)
    assert "segm_file" in finding.message and "unpack gtFine" in finding.message


def test_an_image_of_which_only_the_colours_are_there_is_not_all_there(bench: Bench):
    bench.fine(A)
    bench.fine(B, without=("labelIds.png", "instanceIds.png", "polygons.json"))
    assert told(bench.errors("cityscapes/panoptic")) == [("instances_missing", B, None)]


@pytest.mark.parametrize("data", [b"", b"<html>", photo()[:-20], photo(3, 4)])
@pytest.mark.parametrize("zipped", [False, True])
def test_photographs_are_whole_pngs_of_the_size_of_their_labels(bench: Bench, data, zipped):
    for image in (A, B):
        bench.fine(image)
    if zipped:
        with zipfile.ZipFile(bench.put("cityscapes/leftImg8bit.zip", b""), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"leftImg8bit/val/aachen/{A}_leftImg8bit.png", photo())
            archive.writestr(f"leftImg8bit/val/new_york-2/{B}_leftImg8bit.png", data)
            archive.writestr("license.txt", "none")
    else:
        bench.photograph(A)
        bench.photograph(B, data)
    (finding,) = bench.errors("cityscapes/images")
    assert finding.code == ("size_differs" if len(data) > 90 and data[-8:-4] == b"IEND" else "bad_png")
    assert finding.image == B and f"{B}_leftImg8bit.png" in finding.path
    bench.make("cityscapes/images", max_rejected=0.5)
    assert f"leftImg8bit/val/aachen/{A}_leftImg8bit.png" in bench.paths("cityscapes")


def test_foreign_files_beside_photographs_are_named(bench: Bench):
    bench.photograph(A)
    bench.put("cityscapes/leftImg8bit/val/aachen/notes.txt", b"x")
    (finding,) = [f for f in bench.make("cityscapes/images").findings if f.code == "foreign_files"]
    assert finding.severity == "warning" and "notes.txt" in finding.message


def test_splits_say_with_which_one_the_licence_is_published(bench: Bench):
    for split in ("train", "val"):
        bench.photograph(A, split=split)
    bench.put("cityscapes/license.txt", b"none")
    found = {split: bench.make("cityscapes/images", split).findings for split in ("train", "val")}
    (finding,) = [f for f in found["train"] if f.code == "licence_elsewhere"]
    assert finding.severity == "info" and "--partition val" in finding.message
    assert not any(f.code.startswith("licence") for f in found["val"])
    assert "license.txt" in bench.paths("cityscapes")


@pytest.mark.parametrize("folder", ["val/aachen", "foo/val/aachen", "gtFine/aachen", "foo/gtFine/aachen"])
def test_labels_in_the_wrong_place_are_named(bench: Bench, folder):
    path = f"cityscapes/{folder}/{A}_gtFine_labelIds.png"
    bench.put(path, png(np.full((HEIGHT, WIDTH), 7, np.uint8)))
    for asset in LABELS:
        (finding,) = bench.errors(f"cityscapes/{asset}")
        assert (finding.code, finding.path) == ("wrong_root", path)


def test_labels_in_the_wrong_place_of_a_zip_are_named(bench: Bench):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(f"val/aachen/{A}_gtFine_labelIds.png", b"")
    bench.put("cityscapes/gtFine_trainvaltest.zip", sink.getvalue())
    (finding,) = bench.errors("cityscapes/panoptic")
    assert finding.code == "wrong_root"
    with pytest.raises(Skip):
        bench.make("cityscapes/panoptic", "train")


def test_other_splits_are_no_labels_in_the_wrong_place(bench: Bench):
    bench.fine(A, "train")
    bench.put(f"cityscapes/predictions/val/{A}_gtFine_panoptic.png", b"")
    with pytest.raises(Skip):
        bench.make("cityscapes/panoptic", "val")


# --- source=polygons -------------------------------------------------------------------------------------------------

SQUARE = [[1, 1], [9, 1], [9, 9]]


def test_a_thousandth_instance_is_an_error_of_the_instances(bench: Bench):
    objects = [{"label": "person", "polygon": SQUARE}] * 1001
    stem = bench.fine(A, polygons_json=drawing(objects=objects), without=("labelIds.png", "instanceIds.png"))
    expected = [("many_instances", A, f"{stem}polygons.json")]
    assert told(bench.errors("cityscapes/instance_train_ids", source="polygons")) == expected
    bench.make("cityscapes/label_train_ids", source="polygons")
    bench.fine(A, polygons_json=drawing(objects=objects[:1000]), without=("labelIds.png", "instanceIds.png"))
    bench.make("cityscapes/instance_train_ids", source="polygons")
    (path,) = [p for p in bench.paths("cityscapes") if p.endswith("instanceTrainIds.png")]
    assert np.asarray(Image.open(bench.published / "cityscapes" / path)).max() == 11999


def test_an_image_without_polygons_is_a_warning(bench: Bench):
    stem = bench.fine(A, polygons_json=drawing(objects=[]), without=("labelIds.png", "instanceIds.png"))
    for asset in ("label_train_ids", "instance_train_ids"):
        found = bench.make(f"cityscapes/{asset}", source="polygons").findings
        assert [f.path for f in found if f.code == "no_objects" and f.severity == "warning"] == [f"{stem}polygons.json"]


def test_drawn_maps_are_compared_with_the_official_ones(bench: Bench):
    bench.fine(A)
    for source, differing in (("polygons", 0), ("png", None)):
        bench.make("cityscapes/label_train_ids", source=source)
        assert [row["differing"] for row in bench.rows("cityscapes/label_train_ids")] == [differing]
    other = png(np.full((HEIGHT, WIDTH), 8, np.uint16))
    stem = bench.fine(B, instanceIds_png=other, labelIds_png=png(np.full((HEIGHT, WIDTH), 8, np.uint8)))
    for asset, kind in (("label_train_ids", "labelIds"), ("instance_train_ids", "instanceIds")):
        assert told(bench.errors(f"cityscapes/{asset}", source="polygons")) == [
            ("maps_disagree", B, f"{stem}{kind}.png")
        ]


@pytest.mark.parametrize("corner", [[10**400, 1], [1e300, 1], ["x", 1], [float("inf"), 1]])
def test_a_bad_polygon_names_file_object_and_label(bench: Bench, corner):
    objects = [{"label": "road", "polygon": SQUARE}, {"label": "person", "polygon": [corner, *SQUARE]}]
    stem = bench.fine(A, polygons_json=drawing(objects=objects))
    (finding,) = bench.errors("cityscapes/label_train_ids", source="polygons")
    assert (finding.code, finding.path, finding.shape) == ("bad_polygon", f"{stem}polygons.json", 1)
    assert "object 1 (person)" in finding.message


def test_a_polygon_that_is_never_drawn_may_be_anything(bench: Bench):
    road = {"label": "road", "polygon": [[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]]}
    bench.fine(A, polygons_json=drawing(objects=[road, {"label": "license plate", "polygon": [[1, 1]]}]))
    for asset in ("label_train_ids", "instance_train_ids"):
        bench.make(f"cityscapes/{asset}", source="polygons")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'{"imgHeight": 12, "objects": []}', "it has no imgWidth"), (b"[]", "it has no imgHeight, imgWidth, objects"),
        (b"{", "it is no JSON"), (b"[" * 100_000, "it is no JSON"), (b"\xff", "it is no JSON"),
    ],
)  # fmt: skip
def test_polygons_that_are_none_say_what_was_expected(bench: Bench, text, found):
    bench.fine(A, polygons_json=text)
    (finding,) = bench.errors("cityscapes/label_train_ids", source="polygons")
    assert found in finding.message and "download it again" in finding.message and "Error" not in finding.message


@pytest.mark.parametrize("folder", ["", "__MACOSX/"])
def test_what_macos_notes_of_a_zip_is_no_zip(bench: Bench, folder):
    """It stopped every asset: `._gtFine_trainvaltest.zip` cannot be read as one."""
    bench.fine(A)
    bench.put(f"cityscapes/{folder}._gtFine_trainvaltest.zip", b"\0\x05\x16\x07")
    outcome = bench.make("cityscapes/label_train_ids")
    assert outcome.footer.counts["items"] == 1
    assert any(f.code == "foreign_files" and "._gtFine_trainvaltest.zip" in f.message for f in outcome.findings)


def test_annotation_ids_begin_at_nought_at_least(declared):
    for asset in ("cityscapes/instances", "cityscapes_vps/instances"):
        with pytest.raises(UsageError, match="id_base"):
            registry()[asset].parse_options({"id_base": "-3"})
        assert registry()[asset].parse_options({"id_base": "0"})["id_base"] == 0


# --- predictions -----------------------------------------------------------------------------------------------------


def scored(bench: Bench, *changes) -> None:
    """A submission of two images that is right but for what `changes` make of its annotations."""
    entries = []
    for image in (A, B):
        bench.fine(image)
        bench.put(f"cityscapes/predictions/mine/{image}.png", png(np.full((HEIGHT, WIDTH, 3), (7, 0, 0), np.uint8)))
        segments = [{"id": 7, "category_id": 7}]
        entries.append({"image_id": image, "file_name": f"{image}.png", "segments_info": segments})
    bench.make("cityscapes/panoptic")
    for change in changes:
        change(entries)
    bench.put("cityscapes/predictions/mine.json", json.dumps({"annotations": entries}).encode())


def test_predictions_are_scored(bench: Bench):
    scored(bench)
    bench.make("cityscapes/pq", "mine")
    assert json.loads((bench.published / "cityscapes/scores/mine/pq.json").read_text())["All"]["pq"] == 1


def test_two_annotations_of_an_image_are_an_error(bench: Bench):
    scored(bench, lambda entries: entries.append({**entries[0], "segments_info": []}))
    (finding,) = bench.errors("cityscapes/pq", "mine")
    assert (finding.code, finding.image) == ("duplicate_image", A)


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("[]", "it has no annotations"), ("{}", "it has no annotations"), ('{"annotations": 5}', "annotations are a int"),
        ('{"annotations": []}', "is empty"), ("{", "it is no JSON"),
    ],
)  # fmt: skip
def test_a_json_of_no_predictions_is_named_and_says_what_is_expected(bench: Bench, document, found):
    scored(bench)
    bench.put("cityscapes/predictions/mine.json", document.encode())
    (finding,) = bench.errors("cityscapes/pq", "mine")
    assert (finding.code, finding.path) == ("bad_json", "predictions/mine.json")
    assert found in finding.message and 'a list "annotations" is expected' in finding.message


@pytest.mark.parametrize("image_id", [None, [1], 5])
def test_an_annotation_without_an_image_is_named_by_its_index(bench: Bench, image_id):
    scored(bench, lambda entries: entries[1].update(image_id=image_id))
    found = bench.errors("cityscapes/pq", "mine")
    assert [(f.code, f.image, f.index) for f in found] == [("bad_annotation", None, 1), ("prediction_missing", B, None)]


@pytest.mark.parametrize("file_name", [None, [1], "other.png"])
def test_an_annotation_without_its_png_says_which_one_is_expected(bench: Bench, file_name):
    scored(bench, lambda entries: entries[1].update(file_name=file_name))
    (finding,) = bench.errors("cityscapes/pq", "mine")
    assert (finding.code, finding.image) == ("predicted_png_missing", B) and "file_name" in finding.message


@pytest.mark.parametrize("segment", [None, {"id": float("inf"), "category_id": 7}, {"id": "7", "category_id": 7}])
def test_a_bad_segment_is_that_images(bench: Bench, segment):
    scored(bench, lambda entries: entries[1]["segments_info"].append(segment))
    (finding,) = bench.errors("cityscapes/pq", "mine")
    assert (finding.code, finding.image, finding.index) == ("bad_annotation", B, 1)
