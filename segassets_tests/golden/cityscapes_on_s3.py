"""The three Cityscapes rooms with raw folder and store in a bucket, against the golden data: for any S3 server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from segassets_tests.running import Place
from segassets_tests.store.s3 import S3

SPLITS = ("train", "val", "test")


def images(s3: S3, shared: Path, folder: Path) -> None:
    """Label maps, panoptic PNGs and JSONs, instances and photographs."""
    golden = shared / "golden/cityscapes"
    upload(s3, golden / "input", "images/raw/cityscapes", "gtFine/", "leftImg8bit/", "license.txt")
    place = run(s3, folder, "images", "cityscapes")
    tree = fetched(s3, "images/store/cityscapes/", folder / "images")
    compare = comparison(shared)
    for split in SPLITS:
        for variant, ending in (("panoptic", ""), ("panoptic_trainId", "_trainId")):
            name = f"cityscapes_panoptic_{split}{ending}"
            compare("png", golden / "expected" / variant / name, tree / "gtFine" / name)
            compare("panoptic", golden / f"expected/{variant}/{name}.json", tree / f"annotations/{name}.json")
        name = f"instancesonly_filtered_gtFine_{split}.json"
        compare("instances", golden / "expected/instancesonly_knet" / name, tree / "annotations" / name)
        compare("png", golden / "expected/gtFine" / split, tree / "gtFine" / split)
    for path in (golden / "input/leftImg8bit").rglob("*.png"):
        assert (tree / path.relative_to(golden / "input")).read_bytes() == path.read_bytes()
    place.run("verify", "cityscapes")


def videos(s3: S3, shared: Path, folder: Path) -> None:
    """Cityscapes-VPS: all that the golden data's own comparison looks at."""
    golden = shared / "golden/cityscapes_vps"
    upload(s3, golden / "input/cityscapes_vps", "videos/raw/cityscapes_vps")
    upload(s3, golden / "input", "videos/raw/cityscapes", "gtFine/", "leftImg8bit_sequence/")
    place = run(s3, folder, "videos", "cityscapes_vps")
    tree = fetched(s3, "videos/store/cityscapes_vps/", folder / "videos")
    command = [sys.executable, str(shared / "compare/cityscapes_vps.py"), str(golden), str(tree), "--ids", "canonical"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "ALL RIGHT" in done.stdout, done.stdout[-3000:] + done.stderr[-2000:]
    place.run("verify", "cityscapes_vps")


def depth(s3: S3, shared: Path, folder: Path) -> None:
    """Cityscapes-DVPS: triplets from the depth drop and from what Cityscapes-VPS publishes."""
    golden = shared / "golden/cityscapes_dvps"
    upload(s3, golden / "input/vps/data/cityscapes_vps", "depth/raw/cityscapes_vps")
    upload(s3, golden / "input/vps/data", "depth/raw/cityscapes", "leftImg8bit_sequence/")
    upload(s3, golden / "input", "depth/raw/cityscapes_dvps", "video_sequence/")
    run(s3, folder, "depth", "cityscapes_vps/panoptic_inst")
    place = run(s3, folder, "depth", "cityscapes_dvps")
    tree = fetched(s3, "depth/store/cityscapes-dvps/video_sequence/", folder / "depth")
    expected = golden / "expected/video_sequence"
    names = sorted(path.relative_to(expected) for path in expected.rglob("*.png"))
    assert names == sorted(path.relative_to(tree) for path in tree.rglob("*.png"))
    for kind in ("train", "val"):
        comparison(shared)("png", expected / kind, tree / kind)
    place.run("verify", "cityscapes_dvps")


def upload(s3: S3, folder: Path, to: str, *beginnings: str) -> None:
    """The files below a folder whose paths in it have one of these beginnings."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name.startswith(beginnings or ""):
            s3.client.upload_file(str(path), s3.bucket, f"{to}/{name}")


def run(s3: S3, folder: Path, part: str, what: str) -> Place:
    environment = {**s3.environment, "AWS_ENDPOINT_URL": s3.server}
    place = Place(s3.url(f"{part}/raw"), s3.url(f"{part}/store"), str(folder / f"home_{part}"), environment)
    place.run("materialize", what)
    return place


def fetched(s3: S3, prefix: str, folder: Path) -> Path:
    """What was published, in a folder: the comparisons read folders."""
    for key in s3.keys(prefix):
        target = folder / key.removeprefix(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.client.download_file(s3.bucket, key, str(target))
    return folder


def comparison(shared: Path):
    """The golden data's own comparison of PNG folders and JSONs."""

    def compare(kind: str, expected: Path, actual: Path) -> None:
        command = [sys.executable, str(shared / "compare/panoptic_images.py"), kind, str(expected), str(actual)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[:2000]

    return compare
