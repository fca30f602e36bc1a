"""Few-shot splits through real runs: exact semantics, fifty in one run, what a replay of upstream's stream hangs on."""

import json
import os
import uuid
from pathlib import Path
from unittest import mock

import dagster as dg
import pytest

from segassets_tests.components.test_maskterial import jpeg
from segassets_tests.running import Place

FEW_SHOT = "maskterial/GrapheneL/few_shot"
CLASSES = {"classes": [{"id": 1, "name": "one", "labels": ["1"]}, {"id": 2, "name": "two", "labels": ["2"]}]}


def square(label, k):
    x, y = 2 + 26 * (k % 3), 2 + 28 * (k // 3)
    points = [[x, y], [x + 23, y], [x + 23, y + 23], [x, y + 23]]
    return {"label": label, "points": points, "group_id": None, "shape_type": "polygon"}


def put(raw, dataset, number, labels):
    folder = raw / "maskterial" / dataset / "labelme/train/run"
    folder.mkdir(parents=True, exist_ok=True)
    (raw / "maskterial" / dataset / "classes.json").write_text(json.dumps(CLASSES))
    stem = str(uuid.UUID(int=number, version=4))
    (folder / f"{stem}.jpg").write_bytes(jpeg(number))
    document = {"shapes": [square(label, k) for k, label in enumerate(labels)], "imagePath": f"{stem}.jpg",
                "imageData": None, "imageHeight": 60, "imageWidth": 80}  # fmt: skip
    (folder / f"{stem}.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """GrapheneH and, after it in upstream's order, GrapheneL, each with three annotated images; all splits of the
    latter, by hashrank, in one run."""
    folder = tmp_path_factory.mktemp("few_shot")
    for offset, dataset in ((0, "GrapheneH"), (10, "GrapheneL")):
        for number, labels in enumerate(("11122", "1122", "1222"), 1):
            put(folder / "raw", dataset, offset + number, labels)
    place = Place.below(folder)
    keys = [f"maskterial/{dataset}/annotations" for dataset in ("GrapheneH", "GrapheneL")]
    place.run("materialize", *keys, "--partition", "train")
    place.told = place.run("materialize", FEW_SHOT, "--only")
    return place


def split(place, shot, run, kind="with_class_"):
    path = f"{place.store}/maskterial/GrapheneL/RLE_annotations/{shot}_shot/run_{run}/train_annotations_{kind}300.json"
    with open(path, "rb") as file:
        return json.load(file)


def test_fifty_splits_are_one_run(place):
    assert "45 more partitions" in place.told.stdout and "no preview" not in place.told.stderr + place.told.stdout
    assert len(place.published.published(FEW_SHOT)) == 50
    events = metadata(place, FEW_SHOT)
    events = events[-50:]  # the first ones; other tests may have made some again
    assert len({run for run, _ in events}) == 1
    assert all("classes" in shown for _, shown in events)
    assert any("preview" in shown for _, shown in events)  # the heat map


def metadata(place, asset):
    """(run, names of the metadata) of every materialization in the instance."""
    with mock.patch.dict(os.environ, place.environ()), dg.DagsterInstance.get() as instance:
        found = instance.fetch_materializations(dg.AssetKey(asset.split("/")), limit=100).records
        return [(r.event_log_entry.run_id, set(r.asset_materialization.metadata)) for r in found]


def test_exact_keeps_k_a_class(place):
    place.run("materialize", FEW_SHOT, "--only", "--partition", "0|2", "--set", "semantics=exact")
    made, agnostic = split(place, 2, 0), split(place, 2, 0, "")
    assert sorted(a["category_id"] for a in made["annotations"]) == [1, 1, 2, 2]
    assert [a["id"] for a in made["annotations"]] == [a["id"] for a in agnostic["annotations"]]
    assert {a["image_id"] for a in made["annotations"]} == {image["id"] for image in made["images"]}
    whole = split(place, 2, 1)  # with all annotations of its images
    per_image = [sum(a["image_id"] == image["id"] for a in whole["annotations"]) for image in whole["images"]]
    assert set(per_image) <= {4, 5} and len(whole["annotations"]) > 4


def test_a_replay_hangs_on_the_datasets_before(place):
    """Another number of GrapheneH's annotations: GrapheneL's replayed splits are out of date, hashrank's are not."""
    replay = ("--only", "--partition", "4|1", "--set", "sampler=upstream")
    place.run("materialize", FEW_SHOT, *replay)
    assert "nothing to do" in place.run("materialize", FEW_SHOT, *replay, "--dry-run").stdout
    put(Path(place.raw), "GrapheneH", 9, "1212")
    told = place.run("materialize", "maskterial/GrapheneH/annotations", FEW_SHOT, "--partition", "train", *replay)
    assert f"made     {FEW_SHOT} 4|1" in told.stdout
    assert "nothing to do" in place.run("materialize", FEW_SHOT, "--only", "--partition", "5|1", "--dry-run").stdout
    inputs = place.published.footer(FEW_SHOT, "4|1").inputs
    assert {"maskterial/GrapheneH/annotations train", "maskterial/GrapheneL/annotations train"} == set(inputs)


def test_a_replay_without_the_datasets_before_is_refused(tmp_path):
    for number, labels in enumerate(("11122", "1122"), 1):
        put(tmp_path / "raw", "GrapheneM", number, labels)
    place = Place.below(tmp_path)
    place.run("materialize", "maskterial/GrapheneM/annotations", "--partition", "train")
    told = place.run("materialize", "maskterial/GrapheneM/few_shot", "--partition", "0|1", "--set", "sampler=upstream",
                     status=1)  # fmt: skip
    assert "GrapheneH, GrapheneL" in told.stderr
