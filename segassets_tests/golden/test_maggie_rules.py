"""The rules alone against golden data: structures with their effective index, metrics, perturbed masks."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segassets.formats.trimap import perturbed, trimap
from segassets.metrics.matting import average, dtssd, image_scores
from segassets.sources.split_archive_inspect import inspect_matting, inspect_split_zip

pytestmark = pytest.mark.golden
LAYOUTS = {"image_train": "maggie_image_train", "image_val": "maggie_image_eval", "video": "maggie_video"}
STRUCTURES = ("train_bad", "train_ok", "val_bad", "val_layout_for_train", "val_ok", "video_ok")


@pytest.fixture(scope="module")
def golden(shared) -> Path:
    return shared / "golden/maggie"


@pytest.mark.parametrize("case", STRUCTURES)
def test_structures(golden, tmp_path, case):
    about = json.loads((golden / f"expected/structure/{case}.json").read_text())
    shutil.copytree(golden / f"input/structure/{case}", tmp_path / case)
    if case == "train_bad":  # an empty folder, which a repository cannot hold
        (tmp_path / case / "root/set/alphas/emptydir").mkdir(exist_ok=True)
    options = {name: str(value) for name, value in about["params"].items()}
    findings, index, _ = inspect_matting(LAYOUTS[about["structure"]], tmp_path / case / about["root"], options)
    found = {(f.severity, f.code, f.path) for f in findings if f.severity != "info"}
    assert found == {(f["severity"], f["code"], f["path"]) for f in about["findings"]}
    assert index == about["upstream"].get("index", about["upstream"].get("clips"))


def test_archives_given_to_inspect(golden):
    for case in sorted((golden / "input/splitzip").iterdir()):
        about = json.loads((golden / f"expected/splitzip/{case.name}.json").read_text())
        errors = [finding for finding in inspect_split_zip(case, {})[0] if finding.severity == "error"]
        assert {finding.code for finding in errors} == ({about["kind"]} if about["outcome"] == "error" else set())


def pictures(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def test_image_metrics(golden):
    wanted = json.loads((golden / "expected/eval/metrics.json").read_text())["image"]
    given = golden / "input/eval/image"
    scores, instances = [], []
    for image, truth in wanted["per_image"].items():
        alphas, predictions = pictures(given / "alphas" / image), pictures(given / "preds" / image)
        trimaps = np.stack([trimap(alpha) for alpha in alphas])
        scores.append(image_scores(predictions / 255, alphas / 255, trimaps))
        instances.append(len(alphas))
        assert scores[-1] == pytest.approx(truth, rel=1e-6)
    assert average(scores, instances) == pytest.approx(wanted["average"], rel=1e-6)


def test_video_metrics(golden):
    wanted = json.loads((golden / "expected/eval/metrics.json").read_text())["video"]
    given = golden / "input/eval/video"
    alphas, predictions = (
        np.stack([pictures(frame) for frame in sorted((given / kind).iterdir())]) / 255 for kind in ("alphas", "preds")
    )
    assert dtssd(predictions, alphas) == pytest.approx(wanted["dtSSD"], rel=1e-6)
    pytest.importorskip("cv2")
    from segassets.metrics.matting_flow import messddt

    assert messddt(predictions, alphas) == pytest.approx(wanted["MESSDdt"], rel=1e-2)


def test_perturbed_masks(golden):
    for path in sorted((golden / "expected/eval/perturbed").rglob("*.png")):
        name, _, seed = path.stem.partition("_seed")
        alpha = np.asarray(Image.open(golden / f"input/eval/image/alphas/{path.parent.name}/{name}.png"))
        assert np.array_equal(perturbed(alpha, np.random.RandomState(int(seed))), np.asarray(Image.open(path)))
