"""MaGGIe's part of the sample becomes masks, synthetic images and videos, and every one has something to look at."""

import dagster as dg
import numpy as np
import pytest

from segassets.components.matting_show import instance_map, on_checkerboard
from segassets.sample import matting
from segassets_tests.running import Place

SHOWN = {
    "maggie/him2k_masks",
    "maggie/synthetic_images",
    "maggie/synthetic_videos",
    "maggie/HIM2K_M-HIM2K/samples",
    "maggie/HIM2K_M-HIM2K/trimaps",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("sample")
    for path, data in matting.files():
        target = folder / "raw" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    made = Place.below(folder)
    made.run("materialize", "maggie")
    return made


def test_only_what_a_small_folder_gives_is_made_by_itself(place):
    published = {asset: place.published.published(asset) for asset in SHOWN}
    assert published["maggie/synthetic_images"] == ["00000-00099"]
    assert sorted(published["maggie/synthetic_videos"]) == [
        "train-easy-00000-00099",
        "train-hard-01500-01599",
        "train-medium-00500-00599",
    ]
    assert sorted(published["maggie/him2k_masks"]) == [f"{matting.MODEL}|comp", f"{matting.MODEL}|natural"]
    said = place.run("materialize", "maggie/synthetic_images")
    assert "7 pictures in sources/image/HHM/train/images/" in said.stdout
    rows = list(place.published.handle("maggie/him2k_masks", f"{matting.MODEL}|comp").records())
    assert [row["source"] for row in rows] == 5 * ["predicted"] + ["none"]
    assert "nothing to do" in place.run("materialize", "maggie").stdout


def test_every_one_of_them_has_a_picture(place):
    with dg.DagsterInstance.from_config(place.home) as instance:
        for asset in SHOWN:
            event = instance.get_latest_materialization_event(dg.AssetKey(asset.split("/")))
            preview = event.asset_materialization.metadata["preview"]
            assert isinstance(preview, dg.MarkdownMetadataValue), (asset, preview)
            assert preview.value.startswith("![preview](data:image/png;base64,")


def test_a_number_beyond_is_made_when_it_is_named(place):
    place.run("materialize", "maggie/synthetic_images", "--partition", "00200-00299")
    assert len(list(place.published.handle("maggie/synthetic_images", "00200-00299").records())) == 100


@pytest.mark.parametrize(("kind", "severity", "told"), [("pha", "warning", "no alpha"), ("fgr", "error", "no frame")])
def test_a_clip_whose_frames_and_alphas_differ_is_told_once(tmp_path, kind, severity, told):
    for path, data in matting.files():
        if "/sources/video/" in path:
            target = tmp_path / "raw" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    files = sorted((tmp_path / "raw/maggie/sources/video").glob(f"**/{kind}/clip_0/*"))
    files[1].unlink()
    place = Place.below(tmp_path)
    what = ["materialize", "maggie/synthetic_videos", "--partition", "train-easy-00000-00099"]
    place.run(*what, status=1 if severity == "error" else 0)
    place.run(*what, "--max-rejected", "1")
    findings = [finding for finding in place.findings("maggie/synthetic_videos") if finding["code"] != "not_made"]
    assert [(finding["severity"], finding["code"]) for finding in findings] == [(severity, "frames_differ")]
    assert findings[0]["path"].endswith("fgr/clip_0")
    assert told in findings[0]["message"] and files[1].stem in findings[0]["message"]
    rows = list(place.published.handle("maggie/synthetic_videos", "train-easy-00000-00099").records())
    clips = {clip for row in rows for clip in row["clips"]}
    assert any(clip.endswith("clip_0") for clip in clips) == (severity == "warning")


def test_people_on_a_checkerboard():
    photograph = np.full((40, 60, 3), 50, np.uint8)
    left, right = np.zeros((2, 40, 60), np.uint8)
    left[:, :20], right[:, 10:30] = 255, 255
    shown = on_checkerboard(photograph, [left, right])
    assert (shown[:, :30] == 50).all() and (shown[:, 30:] >= 200).all()
    ids = instance_map([left, right], (40, 60))
    assert ids[0, 5] == 1 and ids[0, 25] == 2 and ids[0, 40] == 0
