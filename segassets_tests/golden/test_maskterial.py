"""MaskTerial through real Dagster runs against its golden tree; its 37 error cases; real labelme and MaskTerial files."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segassets.components.maskterial_inspect import inspect_labelme, inspect_maskterial
from segassets.formats import few_shot, instance_masks, label_studio, labelme
from segassets.formats import maskterial_classes as known
from segassets_tests.running import Place

pytestmark = pytest.mark.golden
WHOLE = ("GrapheneH", "WSe2L")  # the first and the last in upstream's order
YAML = "type: segassets.components.maskterial.MaskTerialDataset\n\nattributes:\n  dataset: {}\n"


def run(shared, script, *arguments):
    command = [sys.executable, str(shared / "compare" / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def load(path):
    return json.loads(path.read_bytes())


def test_the_golden_tree(shared, tmp_path):
    """All eight datasets from labelme: ids, masks, sets, bytes; few-shot splits by both samplers; loading, evaluation."""
    golden = shared / "golden/maskterial"
    shutil.copytree(golden / "input", tmp_path / "raw/maskterial", copy_function=shutil.copy)
    place = Place.below(tmp_path)
    place.run("materialize", "maskterial", "--partition", "train", "--partition", "test")
    tree = tmp_path / "store/maskterial"
    told = run(shared, "maskterial.py", golden / "expected", tree, "--strict-ids", "--images")
    assert "{'json': 64, 'mask': 127, 'meta': 16, 'image': 127} differences: 0" in told
    files = sorted(tree.glob("*/RLE_annotations/*.json"))
    for path in files:
        loads_as_in_detectron2(path, tree)
    for split in ("train", "test"):
        scores_itself(tree / f"GrapheneH/RLE_annotations/{split}_annotations_with_class_300.json")
    shots = ["--partition", "4|3"]
    place.run("materialize", "maskterial/GrapheneH/few_shot", "maskterial/WSe2L/few_shot", *shots)
    has_splits(tree, golden / "expected/fewshot_hashrank.json", "annotations")
    place.run("materialize", "maskterial/GrapheneH/few_shot", "maskterial/WSe2L/few_shot", *shots,
              "--set", "sampler=upstream")  # fmt: skip
    has_splits(tree, golden / "expected/fewshot_upstream.json", "with_class")
    verbatim = "WSe2L/RLE_annotations/3_shot/run_4"
    for name in (few_shot.WITH_CLASS_FILE, few_shot.AGNOSTIC_FILE):
        assert load(tree / verbatim / name) == load(golden / "expected/fewshot_upstream_samples" / verbatim / name)
    place.run("verify", "maskterial/GrapheneH")


def has_splits(tree, compact, key):
    expected = load(compact)
    for dataset in WHOLE:
        path = tree / dataset / "RLE_annotations/3_shot/run_4" / few_shot.WITH_CLASS_FILE
        assert [a["id"] for a in load(path)["annotations"]] == expected[dataset]["3/4"][key]


def loads_as_in_detectron2(path, tree):
    """What load_coco_json and its mapper insist on, written down; and pycocotools' own reading."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    ids = [a["id"] for a in coco.dataset["annotations"]]
    assert len(set(ids)) == len(ids)
    assert sorted(coco.getCatIds()) == list(range(1, len(coco.getCatIds()) + 1))
    split = path.name.split("_")[0]
    for image in coco.dataset["images"]:
        picture = tree / path.parts[-3] / f"{split}_images" / image["file_name"]
        assert picture.is_file()
        for annotation in coco.imgToAnns[image["id"]]:
            assert not annotation.get("ignore", 0)
            assert annotation["category_id"] in coco.cats
            assert isinstance(annotation["segmentation"]["counts"], str)
            assert coco.annToMask(annotation).shape == (image["height"], image["width"])


def scores_itself(path):
    """Ground truth against itself: exactly 1 wherever there is anything; id 0 would make it less."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        keys = ("image_id", "category_id", "segmentation")
        found = truth.loadRes([{**{k: a[k] for k in keys}, "score": 1.0} for a in truth.dataset["annotations"]])
        evaluation = COCOeval(truth, found, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == evaluation.stats[1] == 1.0
    assert evaluation.stats[8] == 1.0


def test_a_released_zip_is_read_where_it_lies(shared, tmp_path):
    golden = shared / "golden/maskterial"
    (tmp_path / "raw/maskterial").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "raw/maskterial/Real_WS2.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((golden / "expected/WS2").rglob("*.*")):
            archive.write(path, path.relative_to(golden / "expected"))
        for path in sorted((golden / "input/WS2/labelme").rglob("*.jpg")):
            archive.write(path, f"WS2/{path.parts[-3]}_images/{path.name}")
    place = Place.below(tmp_path)
    place.run("materialize", "maskterial/WS2", "--partition", "train", "--partition", "test")
    tree = tmp_path / "store/maskterial"
    run(shared, "maskterial.py", golden / "expected", tree, "--strict-ids", "--images", "--datasets", "WS2")
    for path in (golden / "expected/WS2/RLE_annotations").glob("*.json"):
        assert (tree / "WS2/RLE_annotations" / path.name).read_bytes() == path.read_bytes()


def cases(shared):
    document = load(shared / "golden/maskterial/errors/cases.json")
    return document if isinstance(document, list) else document["cases"]


def test_every_error_case_is_named(shared):
    found = {}
    for case in cases(shared):
        check = inspect_labelme if case["kind"] == "labelme" else inspect_maskterial
        found[case["case"]] = check(shared / "golden/maskterial/errors" / case["path"], {})
    assert len(found) == 37
    for case in cases(shared):
        findings = found[case["case"]]
        if case["severity"] == "none":
            assert not [str(finding) for finding in findings if finding.severity != "info"]
            continue
        severity = {"error": "error", "warn": "warning"}[case["severity"]]
        told = [str(finding).lower() for finding in findings if finding.severity == severity]
        assert any(all(token in line for token in case["must_mention"]) for line in told), (case, told)


def test_error_cases_as_sources_fail_their_runs(shared, tmp_path):
    errors = shared / "golden/maskterial/errors"
    (tmp_path / "defs").mkdir()
    wanted = {}
    for case in [c for c in cases(shared) if c["case"] in RUN]:
        name = case["case"]
        (tmp_path / "defs" / name).mkdir()
        (tmp_path / "defs" / name / "defs.yaml").write_text(YAML.format(name))
        target = tmp_path / "raw/maskterial" / name
        if case["kind"] == "labelme":
            shutil.copytree(errors / case["path"], target / "labelme/train", copy_function=shutil.copy)
            shutil.move(target / "labelme/train/classes.json", target)
        else:
            shutil.copytree(errors / case["path"], target, copy_function=shutil.copy)
        wanted[name] = case
    place = Place.below(tmp_path, SEGASSETS_DEFS=str(tmp_path / "defs"))
    selected = [f"maskterial/{name}/{RUN[name]}" for name in wanted]
    place.run("materialize", *selected, "--partition", "train", "--partition", "test", status=1)
    for name, case in wanted.items():
        told = [str(finding).lower() for finding in place.findings(f"maskterial/{name}")]
        assert any(all(token in line for token in case["must_mention"]) for line in told), (case, told)


#: Which asset is the first that can know.
RUN = {
    "lm_unknown_label": "annotations",
    "lm_empty_dir": "annotations",
    "ds_area_mismatch": "annotations",
    "ds_missing_instance": "annotations",
    "ds_leak_same_bytes": "annotations",
    "ds_mask_one_pixel": "semantic_masks",
    "ds_meta_unknown_uuid": "meta_data",
}


@pytest.mark.parametrize(("name", "read"), [("coco/result.json", "read_coco"), ("native.json", "read_native")])
def test_label_studio(shared, name, read):
    golden = shared / "golden/maskterial"
    classes = known.parse((golden / "input_labelstudio/classes.json").read_bytes())
    wanted = load(golden / f"expected_labelstudio/{name.split('/')[0].removesuffix('.json')}_full.json")
    pictures = getattr(label_studio, read)((golden / "input_labelstudio" / name).read_bytes())
    assert [picture.name for picture in pictures] == [image["file_name"] for image in wanted["images"]]
    found = [
        described(number, instance)
        for number, picture in enumerate(pictures, 1)
        for instance in label_studio.instances(picture, picture.size, classes)[0]
    ]
    assert found == [stated(a) for a in wanted["annotations"]]


def described(image, instance):
    mask = instance.mask
    return image, instance.category_id, mask.counts.decode(), mask.area, list(mask.bbox)


def stated(a):
    return a["image_id"], a["category_id"], a["segmentation"]["counts"], a["area"], a["bbox"]


def test_real_instance_masks(shared):
    golden = shared / "golden/maskterial"
    wanted = load(golden / "expected_instance_masks/annotations_full.json")
    found = []
    for image in wanted["images"]:
        data = (golden / "input_instance_masks" / image["file_name"].replace(".jpg", ".png")).read_bytes()
        instances, findings = instance_masks.instances(instance_masks.read_mask(data), known.layers(1))
        assert not findings
        found += [described(image["id"], instance) for instance in instances]
    assert found == [stated(a) for a in wanted["annotations"]]


def test_polygons_as_pycocotools_draws_them(shared):
    golden = shared / "golden/maskterial"
    for path in sorted((golden / "expected_coco_raster").glob("*/RLE_annotations/*_full.json")):
        wanted, dataset, split = load(path), path.parts[-3], path.name.split("_")[0]
        classes = known.parse((golden / f"input/{dataset}/classes.json").read_bytes())
        sources = {p.stem: p for p in (golden / f"input/{dataset}/labelme/{split}").rglob("*.json")}
        found = []
        for image in wanted["images"]:
            document = labelme.read(sources[image["file_name"].split(".")[0]].read_bytes())
            size = (image["height"], image["width"])
            instances, _ = labelme.instances(document, size, classes, "coco")
            found += [described(image["id"], instance) for instance in instances]
        assert found == [stated(a) for a in wanted["annotations"]]


def classes_named(*labels):
    flakes = tuple(known.FlakeClass(k, label, (label,)) for k, label in enumerate(labels, 1))
    return known.Classes(flakes)


def test_real_labelme_files_have_the_areas_of_labelmes_own_export(shared):
    folder = shared / "real/labelme/instance_segmentation"
    wanted = load(folder / "reference_data_dataset_coco_annotations.json")
    labels = [c["name"] for c in wanted["categories"]]
    numbers = {c["id"]: labels.index(c["name"]) + 1 for c in wanted["categories"]}
    for image in wanted["images"]:
        stem = image["file_name"].rsplit("/", 1)[1].rsplit(".", 1)[0]
        document = labelme.read((folder / f"{stem}.json").read_bytes())
        instances, _ = labelme.instances(document, (image["height"], image["width"]), classes_named(*labels))
        found = Counter((i.category_id, i.mask.area, i.mask.bbox) for i in instances)
        reference = Counter(
            (numbers[a["category_id"]], int(a["area"]), tuple(map(int, a["bbox"])))
            for a in wanted["annotations"]
            if a["image_id"] == image["id"]
        )
        assert found == reference


def test_every_shape_type_of_a_real_file(shared):
    data = (shared / "real/labelme/primitives/primitives.json").read_bytes()
    document = labelme.read(data)
    assert {shape.kind for shape in document.shapes} >= {"rectangle", "circle", "polygon", "mask"}
    assert {finding.code for finding in document.findings} == {"shape_without_area"}
    labels = sorted({shape.label for shape in document.shapes})
    with Image.open(shared / "real/labelme/primitives/primitives.jpg") as picture:
        size = picture.size[::-1]
    instances, findings = labelme.instances(document, size, classes_named(*labels))
    assert not findings and all(instance.mask.area for instance in instances)


def test_an_embedded_photograph_is_that_of_the_file(shared):
    document = labelme.read((shared / "real/labelme/tutorial/apc2016_obj3.json").read_bytes())
    with Image.open(io.BytesIO(document.image_data)) as embedded:
        assert embedded.size[::-1] == document.size
        beside = Image.open(shared / "real/labelme/tutorial/apc2016_obj3.jpg")
        assert np.asarray(embedded.convert("RGB")).shape == np.asarray(beside.convert("RGB")).shape
