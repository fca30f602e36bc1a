"""SA-1B through real Dagster runs against what ASAM's own scripts made of the same shards."""

import json
import shutil
import subprocess
import sys

import pytest

from segassets_tests.running import Place

pytestmark = pytest.mark.golden
SHARDS = ("sa_000000", "sa_000001")
RUN = "skip-ablation-01-mi-SD-7.5-50-SAM-sam-vit_b-140-ADV-0.2-10-0.02-0.5-100.0-100.0-1.0-2"


@pytest.fixture(scope="module")
def made(shared, tmp_path_factory) -> Place:
    """All of SA-1B, made from the golden inputs by one `segassets materialize sa1b`."""
    folder = tmp_path_factory.mktemp("sa1b")
    given, raw = shared / "golden/sa1b/input", folder / "raw/sa1b"
    (raw / "captions").mkdir(parents=True)
    for shard in SHARDS:
        shutil.copy(given / f"{shard}.tar", raw)
        shutil.copy(given / f"{shard}-captions.jsonl", raw / f"captions/{shard}-blip2-caption.json")
    for name in ("evaldata", "advdata"):
        shutil.copytree(given / name, raw / name, copy_function=shutil.copy)
    shutil.copy(given / "sa1b_links.txt", raw)
    place = Place.below(folder)
    place.run("materialize", "sa1b")
    return place


def expected(shared, name):
    return json.loads((shared / "golden/sa1b/expected" / name).read_text())


def rows(place, asset, partition):
    return list(place.published.handle(asset, partition).records())


def test_masks_control_images_captions_and_training_rows(made, shared):
    compare = [
        sys.executable,
        str(shared / "compare/sa1b.py"),
        str(shared / "golden/sa1b/expected"),
        f"{made.store}/sam-1b",
    ]
    compare += ["--strict-mode", "--only", "masks,control,captions,controlnet"]
    done = subprocess.run(compare, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "242 files compared, 0 differences" in done.stdout


@pytest.mark.parametrize("shard", SHARDS)
def test_ranks_and_boxes_of_the_mask_table(made, shared, shard):
    lines = (shared / f"golden/sa1b/expected/{shard}-mask-index.jsonl").read_text().splitlines()
    found = [
        {
            "image": f"{row['image']}.jpg",
            "rank": row["rank"],
            "source_index": row["source_index"],
            "id": row["annotation_id"],
            "area": row["area"],
            "bbox": row["bbox"],
        }
        for row in rows(made, "sa1b/mask_table", shard)
    ]
    assert found == [json.loads(line) for line in lines]


@pytest.mark.parametrize("shard", SHARDS)
def test_counts_of_the_shard(made, shared, shard):
    summary = expected(shared, f"{shard}-summary.json")
    footer = made.published.footer("sa1b/shard_index", shard)
    captions = rows(made, "sa1b/captions", shard)
    assert footer.counts["items"] == summary["images_seen"]
    assert footer.counts["rows"] == summary["images_included"]
    assert len(rows(made, "sa1b/mask_table", shard)) == summary["masks"]
    assert len(captions) == summary["captions"]
    found = [finding for finding in made.findings("sa1b") if finding["partition"] == shard]
    assert sum(finding["severity"] == "error" for finding in found) == summary["errors"]
    assert sum(finding["severity"] == "warning" for finding in found) == summary["warnings"]


@pytest.mark.parametrize("shard", SHARDS)
def test_findings(made, shared, shard):
    # The golden data name captions' images sa_2.jpg and count lines from 0; the contract says sa_2 and counts from 1.
    wanted = {
        (check["code"], check["image"].removesuffix(".jpg"), None if check["index"] is None else check["index"] + 1)
        for check in expected(shared, f"{shard}-checks.json")
    }
    found = {(f["code"], f["image"], f["index"]) for f in made.findings("sa1b") if f["partition"] == shard}
    assert found == wanted


def test_evaluation_manifests(made, shared):
    for key, wanted in expected(shared, "eval-manifest.json").items():
        path = f"sam-1b/eval/{key}.json"
        if wanted["present"]:
            assert json.loads(made.published.files.read(path)) == wanted
        else:
            assert made.published.files.stat(path) is None


def test_tuning_manifest(made, shared):
    data = made.published.files.read(f"sam-1b/tuning/sa_000000.{RUN}.json")
    assert json.loads(data) == expected(shared, "tuning-manifest.json")


def test_links(made, shared):
    wanted = expected(shared, "links.json")
    listed = [row["name"] for row in rows(made, "sa1b/download", None)]
    assert listed == sorted(wanted["shards"])


def test_everything_reads_back(made):
    made.run("verify", "sa1b")
