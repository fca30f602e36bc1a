"""Cityscapes-VPS and -DVPS through real Dagster runs against what upstream's scripts made of the same clips."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import pytest

from segassets.formats.cityscapes_vps_folder import folder_findings, photo_findings
from segassets_tests.running import Place

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def golden(shared) -> Path:
    return shared / "golden/cityscapes_vps"


def raw_folder(golden: Path, folder: Path) -> Path:
    """The golden inputs as a user has them: the release, and Cityscapes beside it."""
    raw = folder / "raw"
    shutil.copytree(golden / "input/cityscapes_vps", raw / "cityscapes_vps", copy_function=shutil.copy)
    for name in ("gtFine", "leftImg8bit_sequence"):
        shutil.copytree(golden / "input" / name, raw / "cityscapes" / name, copy_function=shutil.copy)
    for path in [raw, *raw.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return raw


@pytest.fixture(scope="module")
def made(golden, tmp_path_factory) -> Place:
    """All of Cityscapes-VPS with the defaults, the golden submission scored."""
    folder = tmp_path_factory.mktemp("vps")
    raw = raw_folder(golden, folder)
    submission = raw / "cityscapes_vps/predictions/perturbed"
    shutil.copytree(golden / "vpq/perturbed/pan_pred", submission / "pan_pred", copy_function=shutil.copy)
    shutil.copy(golden / "vpq/perturbed/pred.json", submission)
    place = Place.below(folder)
    place.run("materialize", "cityscapes_vps")
    return place


def tree(place) -> Path:
    return Path(place.store) / "cityscapes_vps"


def compare(shared, golden, place, ids):
    """The golden data's own comparison of a whole prepared folder."""
    command = [sys.executable, str(shared / "compare/cityscapes_vps.py"), str(golden), str(tree(place)), "--ids", ids]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "ALL RIGHT" in done.stdout and "absent" not in done.stdout, done.stdout


def test_everything_with_structured_ids(made, golden, shared):
    compare(shared, golden, made, "canonical")


@pytest.fixture(scope="module")
def upstream(golden, tmp_path_factory) -> Place:
    """The same as upstream writes it: its colours after seed 0, its categories, ids from 0; with one worker."""
    folder = tmp_path_factory.mktemp("vps_upstream")
    place = Place.below(folder, SEGASSETS_WORKERS="1")
    place.raw = str(raw_folder(golden, folder))
    options = [f"--set={text}" for text in ("ids=colours", "seed=0", "flavour=upstream", "id_base=0")]
    place.run("materialize", "cityscapes_vps", *options)
    return place


def test_upstreams_own_ids_and_json_exactly(upstream, golden, shared):
    compare(shared, golden, upstream, "exact")
    for split in ("train", "val"):
        name = f"panoptic_gt_{split}_city_vps.json"
        assert (tree(upstream) / name).read_bytes() == (golden / "expected/cityscapes_vps" / name).read_bytes()
        found, wanted = (
            json.loads((root / f"instances_{split}_city_vps_rle.json").read_text())
            for root in (tree(upstream), golden / "expected/cityscapes_vps")
        )
        assert found["annotations"] == wanted["annotations"]
        assert found["categories"] == wanted["categories"]
        undated = [{**image, "date_captured": ""} for image in wanted["images"]]
        assert [{**image, "date_captured": ""} for image in found["images"]] == undated


def test_two_workers_write_the_same_bytes_as_one(made, upstream):
    for folder in ("labelmap", "panoptic_inst", "cls", "img"):
        for split in ("train", "val"):
            for path in (tree(made) / split / folder).iterdir():
                assert path.read_bytes() == (tree(upstream) / split / folder / path.name).read_bytes()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_lists_are_those_of_the_release(upstream, golden, split):
    kinds = ("panoptic_im",) if split == "train" else ("panoptic_im", "im_all_info")
    for kind in kinds:
        name = f"{kind}_{split}_city_vps.json"
        found = json.loads((tree(upstream) / name).read_text())
        assert found == json.loads((golden / "input/cityscapes_vps" / name).read_text())


def test_video_panoptic_quality(made, golden):
    folder, expected = tree(made) / "vpq/perturbed", golden / "vpq/perturbed/expected"
    found, wanted = (json.loads((root / "vpq_stats.json").read_text()) for root in (folder, expected))
    assert found["final"] == pytest.approx(wanted["final"], abs=1e-9)
    for length, window in wanted["per_window"].items():
        for group in ("All", "Things", "Stuff"):
            assert found["per_window"][length][group] == pytest.approx(window[group], abs=1e-9)
        for category, scores in window["per_class"].items():
            row = found["per_window"][length]["per_class"][category]
            assert row == pytest.approx(scores, abs=1e-9)
            assert [row[key] for key in ("tp", "fp", "fn")] == [scores[key] for key in ("tp", "fp", "fn")]
    for path in expected.glob("*.txt"):
        assert (folder / path.name).read_text() == path.read_text()


def test_the_odd_frames_of_the_golden_data_are_reported(made):
    codes = {finding["code"] for finding in made.findings("cityscapes_vps")}
    assert codes >= {
        "instance_dropped", "instance_class_differs", "group_void", "track_class_changes", "track_gaps",
        "no_instances", "count_differs", "categories_repaired", "ids_repaired", "licence_repaired", "ids",
    }  # fmt: skip
    assert not any(finding["severity"] == "error" for finding in made.findings("cityscapes_vps"))


def test_everything_reads_back(made):
    made.run("verify", "cityscapes_vps")


# --- broken folders --------------------------------------------------------------------------------------------------

CAUGHT = {
    "misaligned_inputs": {"cls_missing", "inst_missing"},
    "size_mismatch": {"size_differs"},
    "palette_colour_map": {"bad_mode"},
    "truncated_png": {"bad_png"},
    "frame_missing": {"panoptic_video_missing"},
    "stale_extra_frame": {"panoptic_inst_unexpected"},
    "png_id_not_in_json": {"id_not_in_json", "partition_differs"},
    "json_id_not_in_png": {"id_not_in_png"},
    "area_wrong": {"area_wrong"},
    "unknown_category": {"unknown_category"},
    "track_changes_category": {"track_category"},
    "id_shared_between_videos": {"id_shared"},
    "five_frames": {"clip_frames", "frames_differ"},
    "order_shuffled": {"order"},
    "rle_short": {"bad_rle"},
    "bbox_wrong": {"bbox_wrong"},
    "wrong_photo": {"photo_differs"},
}
INPUT = ("misaligned_inputs", "size_mismatch", "palette_colour_map", "truncated_png", "wrong_photo")


@pytest.fixture(scope="module")
def broken(made, shared, tmp_path_factory) -> Path:
    """The seventeen broken copies of the prepared folder's val split."""
    good, out = tmp_path_factory.mktemp("good"), tmp_path_factory.mktemp("broken")
    for path in tree(made).rglob("*"):
        inside = path.relative_to(tree(made))
        if path.is_file() and ("val" in inside.parts or "_val_" in path.name) and "vpq" not in inside.parts:
            (good / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, good / inside)
    command = [sys.executable, str(shared / "compare/cityscapes_vps_make_bad.py"), str(good), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "17 cases" in done.stdout, done.stderr
    shutil.copytree(good, out / "good")
    return out


def codes_of(folder: Path, golden: Path) -> set[str]:
    """What the checks of a prepared folder find."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]

    def source(name: str) -> bytes:
        city = name.split("_")[0]
        return (golden / f"input/leftImg8bit_sequence/val/{city}/{name}_leftImg8bit.png").read_bytes()

    def read(name: str) -> bytes:
        return (folder / name).read_bytes()

    found = [*folder_findings(names, read, "val"), *photo_findings(names, read, source, "val")]
    return {finding.code for finding in found if finding.severity == "error"}


def test_the_good_folder_has_no_finding(broken, golden):
    assert codes_of(broken / "good", golden) == set()


@pytest.mark.parametrize("case", sorted(CAUGHT))
def test_a_broken_folder_is_caught_by_the_right_check(broken, golden, case):
    assert codes_of(broken / case, golden) == CAUGHT[case]


def test_all_cases_are_known(broken):
    assert set(json.loads((broken / "cases.json").read_text())) == set(CAUGHT)


@pytest.mark.parametrize("cases", [INPUT[:1], INPUT[1:4], INPUT[4:]])
def test_broken_inputs_are_refused_by_the_run(broken, golden, tmp_path, cases):
    raw = raw_folder(golden, tmp_path)
    good = broken / "good/val"
    for folder in ("cls", "inst", "img"):
        target = raw / "cityscapes_vps/val" / folder
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(good / folder, target)
        for case in cases:
            lay_differences(broken / case / "val" / folder, good / folder, target)
    # The broken folder has masks of 20th frames: gtFine must not stand in for one that is gone.
    shutil.rmtree(raw / "cityscapes/gtFine")
    place = Place.below(tmp_path)
    asset = "img" if cases == INPUT[4:] else "panoptic_inst"
    done = place.run("materialize", f"cityscapes_vps/{asset}", "--partition", "val", status=1)
    assert all(code in done.stdout + done.stderr for case in cases for code in CAUGHT[case])
    assert not (tree(place) / "val" / asset).exists()


def lay_differences(source: Path, good: Path, target: Path) -> None:
    """Make `target` differ from the good folder where `source` does."""
    for path in good.iterdir():
        changed = source / path.name
        if not changed.exists():
            (target / path.name).unlink()
        elif changed.read_bytes() != path.read_bytes():
            shutil.copy(changed, target)


def test_changed_outputs_are_caught_by_verify(made, tmp_path):
    copy = tmp_path / "store"
    shutil.copytree(made.store, copy)
    place = Place(made.raw, str(copy), made.home, {})
    path = next((copy / "cityscapes_vps/val/panoptic_video").glob("*.png"))
    os.unlink(path)
    (copy / "cityscapes_vps/panoptic_gt_val_city_vps.json").write_text("{}")
    done = place.run("verify", "cityscapes_vps", status=1)
    told = done.stdout + done.stderr
    assert path.name in told and "panoptic_gt_val_city_vps.json" in told


# --- DVPS ------------------------------------------------------------------------------------------------------------


def test_dvps(shared, tmp_path):
    golden = shared / "golden/cityscapes_dvps"
    raw = tmp_path / "raw"
    shutil.copytree(golden / "input/vps/data/cityscapes_vps", raw / "cityscapes_vps", copy_function=shutil.copy)
    sequence = "leftImg8bit_sequence"
    shutil.copytree(golden / "input/vps/data" / sequence, raw / "cityscapes" / sequence, copy_function=shutil.copy)
    # As downloaded, one zip for all splits; and a split that Cityscapes-VPS has no labels of.
    (raw / "cityscapes_dvps").mkdir()
    depth = golden / "input/video_sequence"
    with zipfile.ZipFile(raw / "cityscapes_dvps/dvps.zip", "w") as archive:
        for path in sorted(depth.rglob("*.png")):
            archive.write(path, f"video_sequence/{path.relative_to(depth)}")
        archive.write(
            next((depth / "val").iterdir()), "video_sequence/test/000000_000000_munich_000000_000004_depth.png"
        )
    place = Place.below(tmp_path)
    place.run("materialize", "cityscapes_vps/panoptic_inst")
    told = place.run("materialize", "cityscapes_dvps").stdout
    assert "skipped  cityscapes_dvps/video_sequence test: Cityscapes-VPS has no labels of test" in told
    expected, found = golden / "expected/video_sequence", Path(place.store) / "cityscapes-dvps/video_sequence"
    names = sorted(path.relative_to(expected) for path in expected.rglob("*.png"))
    assert names == sorted(path.relative_to(found) for path in found.rglob("*.png"))
    for name in names:
        if name.name.endswith("_gtFine_instanceTrainIds.png"):
            a, b = (cv2.imread(str(root / name), cv2.IMREAD_UNCHANGED) for root in (expected, found))
            assert a.dtype == b.dtype and (a == b).all()
        else:
            assert (expected / name).read_bytes() == (found / name).read_bytes()
