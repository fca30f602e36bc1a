"""Cityscapes through real Dagster runs against what cityscapesScripts and mmdetection made of the same images."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from segassets_tests.running import Place

pytestmark = pytest.mark.golden
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def golden(shared) -> Path:
    return shared / "golden/cityscapes"


@pytest.fixture(scope="module")
def made(golden, tmp_path_factory) -> Place:
    """All of Cityscapes from folders, with the predictions of the golden data."""
    folder = tmp_path_factory.mktemp("cityscapes")
    raw = folder / "raw/cityscapes"
    for name in ("gtFine", "leftImg8bit"):
        shutil.copytree(golden / "input" / name, raw / name, copy_function=shutil.copy)
    shutil.copy(golden / "input/license.txt", raw)
    shutil.copytree(golden / "input/pq_predictions", raw / "predictions", copy_function=shutil.copy)
    place = Place.below(folder)
    place.run("materialize", "cityscapes")
    return place


def compare(shared, kind, expected, actual):
    """The golden data's own comparison."""
    command = [sys.executable, str(shared / "compare/panoptic_images.py"), kind, str(expected), str(actual)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[:2000]


def tree(place) -> Path:
    return Path(place.store) / "cityscapes"


def test_train_id_maps(made, golden, shared, tmp_path):
    only = tmp_path / "gtFine"
    for split in SPLITS:
        shutil.copytree(tree(made) / "gtFine" / split, only / split)
    compare(shared, "png", golden / "expected/gtFine", only)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("variant", "ending"), [("panoptic", ""), ("panoptic_trainId", "_trainId")])
def test_panoptic(made, golden, shared, split, variant, ending):
    name = f"cityscapes_panoptic_{split}{ending}"
    compare(shared, "png", golden / "expected" / variant / name, tree(made) / "gtFine" / name)
    compare(shared, "panoptic", golden / f"expected/{variant}/{name}.json", tree(made) / f"annotations/{name}.json")


@pytest.mark.parametrize("split", SPLITS)
def test_instances(made, golden, shared, split):
    name = f"instancesonly_filtered_gtFine_{split}.json"
    compare(shared, "instances", golden / "expected/instancesonly_knet" / name, tree(made) / "annotations" / name)


def test_instances_as_polygons_are_detectrons(made, golden, tmp_path):
    """Categories by name, contours point by point; upstream's ids go on over the splits, ours do not."""
    place = Place(made.raw, str(tmp_path / "store"), str(tmp_path / "home"), {})
    place.run("materialize", "cityscapes/instances", "--set", "segmentation=polygons")
    kept = 0
    for split in SPLITS:
        name = f"instancesonly_filtered_gtFine_{split}.json"
        theirs = json.loads((golden / "expected/instancesonly_detectron" / name).read_text())
        ours = json.loads((tree(place) / "annotations" / name).read_text())
        assert by_image(ours) == by_image(theirs)
        assert [(c["id"], c["name"]) for c in ours["categories"]][:2] == [(1, "person"), (2, "rider")]
        assert [a["id"] for a in ours["annotations"]] == list(range(1, len(ours["annotations"]) + 1))
        kept += len(ours["annotations"])
    told = [f["message"] for f in place.findings("cityscapes/instances") if f["code"] == "instances_left_out"]
    assert kept == 64 and sum("stray pixel" in message for message in told) > 0
    assert any("groups" in message for message in told)


def by_image(document) -> dict:
    names = {category["id"]: category["name"] for category in document["categories"]}
    images = {image["id"]: {**image, "annotations": []} for image in document["images"]}
    for annotation in document["annotations"]:
        values = {key: value for key, value in annotation.items() if key not in ("id", "image_id", "category_id")}
        images[annotation["image_id"]]["annotations"].append({**values, "category": names[annotation["category_id"]]})
    return {i["file_name"]: {key: value for key, value in i.items() if key != "id"} for i in images.values()}


def test_thing_ids_of_both_json_kinds_are_equal_in_order(made):
    for split in SPLITS:
        panoptic = json.loads((tree(made) / f"annotations/cityscapes_panoptic_{split}.json").read_text())
        instances = json.loads((tree(made) / f"annotations/instancesonly_filtered_gtFine_{split}.json").read_text())
        things = [record["id"] for record in panoptic["categories"] if record["isthing"]]
        assert things == [record["id"] for record in instances["categories"]] == [24, 25, 26, 27, 28, 31, 32, 33]


def test_photographs_and_licence_are_copies(made, golden):
    for path in (golden / "input/leftImg8bit").rglob("*.png"):
        copied = tree(made) / path.relative_to(golden / "input")
        assert copied.read_bytes() == path.read_bytes()
    assert (tree(made) / "license.txt").is_file()


def test_panoptic_quality(made, golden):
    wanted = json.loads((golden / "expected/pq_results.json").read_text())
    for name, result in wanted.items():
        found = json.loads((tree(made) / f"scores/{name}/pq.json").read_text())
        for group in ("All", "Things", "Stuff"):
            assert found[group] == pytest.approx(result[group], abs=1e-9), (name, group)
        for category, scores in result["per_class"].items():
            assert {key: found["per_class"][category][key] for key in scores} == pytest.approx(scores, abs=1e-9)


def test_only_the_counts_are_reported(made):
    found = {(finding["severity"], finding["code"]) for finding in made.findings("cityscapes")}
    said = {("info", "compared"), ("info", "licence_elsewhere")}
    assert found == {("warning", "count_differs"), ("warning", "no_segments"), *said}


def test_everything_reads_back(made):
    made.run("verify", "cityscapes")


@pytest.fixture(scope="module")
def zipped(golden, tmp_path_factory) -> Place:
    """The same from zips of the official names, one of them deflated, and drawn from the polygons."""
    folder = tmp_path_factory.mktemp("cityscapes_zip")
    raw = folder / "raw/cityscapes"
    raw.mkdir(parents=True)
    for name, method in (("gtFine", zipfile.ZIP_DEFLATED), ("leftImg8bit", zipfile.ZIP_STORED)):
        with zipfile.ZipFile(raw / f"{name}_trainvaltest.zip", "w", method) as archive:
            archive.write(golden / "input/license.txt", "license.txt")
            for path in sorted((golden / "input" / name).rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(golden / "input").as_posix())
    place = Place.below(folder)
    place.run("materialize", "cityscapes", "--set", "source=polygons")
    return place


def test_zips_and_polygons_give_the_same_tree(made, zipped, shared):
    compare(shared, "png", tree(made) / "gtFine", tree(zipped) / "gtFine")
    for path in [*(tree(made) / "annotations").iterdir(), *(tree(made) / "leftImg8bit").rglob("*.png")]:
        assert path.read_bytes() == (tree(zipped) / path.relative_to(tree(made))).read_bytes()
