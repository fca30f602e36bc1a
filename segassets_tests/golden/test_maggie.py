"""MaGGIe through real Dagster runs against what upstream's tools made: archives, masks, trimaps, synthesis."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segassets_tests.running import Place

pytestmark = pytest.mark.golden
CASES = [
    "p01_infozip_him",
    "p02_short_parts",
    "p03_not_split",
    "p04_one_part_pk00",
    "p05_descriptors",
    "p06_member_over_three_parts",
    "p07_directory_over_parts",
    "p08_missing_first",
    "p09_truncated_middle",
    "p10_raw_split_001",
    "p11_utf8_names",
]
BROKEN = {"p08_missing_first": "missing_part", "p09_truncated_middle": "truncated_part"}


@pytest.fixture(scope="module")
def golden(shared) -> Path:
    return shared / "golden/maggie"


def record(golden, case):
    return json.loads((golden / f"expected/splitzip/{case}.json").read_text())


@pytest.fixture(scope="module")
def archives(golden, tmp_path_factory) -> Place:
    """Every split archive as a partition of its own; what is broken stays unmade, then is made as far as it goes."""
    folder = tmp_path_factory.mktemp("archives")
    lay_archives(golden, folder / "raw/maggie")
    place = Place.below(folder)
    place.run("materialize", "maggie/members", "maggie/merged_zip", status=1)
    return place


def lay_archives(golden, raw):
    """Every case's parts in one raw folder, the case's name as stem."""
    raw.mkdir(parents=True)
    for case in CASES:
        about = record(golden, case)
        base = about["last_part"].split(".zip")[0]
        for file in about["files"]:
            shutil.copy(golden / f"input/splitzip/{case}" / file["name"], raw / (case + file["name"][len(base) :]))


def test_archives_that_are_broken_are_refused_with_code_and_part(archives):
    found = archives.findings("maggie/archive_index")
    errors = {(f["partition"], f["code"], f["part"]) for f in found if f["severity"] == "error"}
    assert errors == {
        ("p08_missing_first", "missing_part", "p08_missing_first.z01"),
        ("p09_truncated_middle", "truncated_part", "p09_truncated_middle.z02"),
    }
    for case in BROKEN:
        assert archives.published.footer("maggie/members", case) is None
        assert not Path(archives.store, "maggie", case).exists()


@pytest.mark.parametrize("case", [case for case in CASES if case not in BROKEN])
def test_merged_and_extracted(archives, golden, shared, case):
    merged = f"{archives.store}/maggie/merged/{case}.zip"
    compare = [sys.executable, str(shared / "compare/maggie.py"), "merge", str(golden), case, merged]
    done = subprocess.run(compare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    truth = record(golden, case)["truth"]
    data = Path(merged).read_bytes()[: truth["data_region"]["length"]]
    assert hashlib.sha256(data).hexdigest() == truth["data_region"]["sha256"]
    assert extracted(archives, case) == {
        m["name"]: m["sha256"] for m in truth["members"] if not m["name"].endswith("/")
    }


def extracted(place, case):
    """sha256 by path of what was published; the golden cases' top folders are never named like our partition."""
    root = Path(place.store, "maggie", case)
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_extents_of_the_index_hold_header_and_data(archives, golden):
    for case in set(CASES) - set(BROKEN) - {"p10_raw_split_001"}:
        rows = {row["raw_name"]: row for row in archives.published.handle("maggie/archive_index", case).records()}
        for member in record(golden, case)["truth"]["members"]:
            row = rows[bytes.fromhex(member["name_raw_hex"])]
            assert (row["size"], row["compressed_size"], f"{row['crc']:08x}") == (
                member["size"],
                member["csize"],
                member["crc32"],
            )
            if "start_disk" in member:  # the others were cut by Info-ZIP, and no writer has noted where they are
                assert row["extents"][0][:2] == [member["start_disk"], member["start_offset"]]
                assert sum(extent[2] for extent in row["extents"]) >= member["header_length"] + member["csize"]


def test_what_is_readable_of_broken_archives(archives, golden):
    for case in BROKEN:
        what = ("maggie/members", "--partition", case, "--max-rejected", "1")
        archives.run("materialize", *what)
        assert sorted(extracted(archives, case)) == sorted(record(golden, case)["recoverable"])
    archives.run("verify", "maggie/members")


def same_pictures(expected: Path, found: Path) -> int:
    """The same set of pictures with the same pixels; how many."""
    names = {path.relative_to(expected) for path in expected.rglob("*") if path.suffix in (".png", ".jpg")}
    for name in sorted(names):
        assert np.array_equal(np.asarray(Image.open(expected / name)), np.asarray(Image.open(found / name))), name
    return len(names)


@pytest.fixture(scope="module")
def derived(golden, tmp_path_factory) -> Place:
    """Masks, trimaps of an own dataset (one YAML file), synthetic images and videos."""
    folder = tmp_path_factory.mktemp("derived")
    place = Place.below(folder, SEGASSETS_DEFS=lay_derived(golden, folder))
    make_derived(place)
    return place


def lay_derived(golden, folder) -> str:
    """The raw folder `folder`/raw; the folder of the own dataset's YAML."""
    raw = folder / "raw/maggie"
    shutil.copytree(golden / "input/match/comp/alphas", raw / "HIM2K_M-HIM2K/alphas/comp")
    predictions = raw / "predictions/model"
    predictions.mkdir(parents=True)
    shutil.copy(golden / "input/match/comp/predictions.json", predictions / "comp.json")
    shutil.copy(golden / "input/match/comp/images.json", predictions / "comp_images.json")
    shutil.copytree(golden / "input/synth_image", raw / "sources/image")
    shutil.copytree(golden / "input/synth_video/data", raw / "sources/video")
    for image in sorted((golden / "input/eval/image/alphas").iterdir()):
        shutil.copytree(image, raw / "own/alphas/all" / image.name)
        size = Image.open(next(image.glob("*.png"))).size
        (raw / "own/images/all").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90, 120, 60)).save(raw / f"own/images/all/{image.name}.jpg")
    defs = folder / "defs/own"
    defs.mkdir(parents=True)
    (defs / "defs.yaml").write_text(
        "type: segassets.components.matting.MattingDataset\n"
        "attributes: {dataset: own, layout: image_eval, splits: [all]}\n"
    )
    return str(folder / "defs")


def make_derived(place):
    """Everything that is made from it."""
    # The dynamic models are registered by the first dynamic asset of a call.
    place.run("materialize", "maggie/archive_index", "maggie/him2k_masks", "maggie/own/trimaps")
    place.run("materialize", "maggie/synthetic_images", "--partition", "00000-00099", "--set", "lossless=true")
    ranges = ("train-easy-00000-00099", "train-medium-00500-00599", "train-hard-01500-01599")
    keys = [word for key in ranges for word in ("--partition", key)]
    place.run("materialize", "maggie/synthetic_videos", *keys, "--set", "lossless=true")


def test_masks_and_what_they_come_from(derived, golden):
    root = Path(derived.store, "maggie/HIM2K_M-HIM2K")
    for kind in ("masks_model", "masks_matched_model"):
        expected = golden / f"expected/match/comp/{kind}"
        count = same_pictures(expected, root / kind / "comp")
        assert count == len(list((root / kind / "comp").rglob("*.png")))
    wanted = json.loads((golden / "expected/match/comp/match.json").read_text())
    for row in derived.published.handle("maggie/him2k_masks", "model|comp").records():
        truth = wanted[row["image"]]["alphas"][row["alpha"]]
        assert row["matched"] == truth["matched"]
        assert row["best_iou"] == pytest.approx(truth["best_iou"], abs=2e-6)
        assert row["best_mask"] == truth["best_mask"]
        assert row["source"] == ("predicted" if truth["matched"] else "none")


def test_trimaps_of_an_own_dataset(derived, golden):
    assert same_pictures(golden / "expected/eval/trimaps", Path(derived.store, "maggie/own/trimaps/all")) == 6


def test_synthetic_images(derived, golden):
    assert same_pictures(golden / "expected/synth_image", Path(derived.store, "maggie/synthetic_images")) == 80


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_synthetic_videos(derived, golden, level):
    expected = golden / f"expected/synth_video/{level}"
    found = Path(derived.store, f"maggie/synthetic_videos/train/{level}")
    assert same_pictures(expected, found) > 50
    run = json.loads((expected / "run.json").read_text())
    assert {number for number in run["tried"] if (found / f"fgr/{number:05d}").exists()} == set(run["made"])


def test_derived_data_read_back(derived):
    for asset in ("him2k_masks", "synthetic_images", "synthetic_videos", "own/samples"):
        derived.run("verify", f"maggie/{asset}")
