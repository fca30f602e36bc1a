"""Cityscapes-VPS and -DVPS from inputs that do not fit: the frame that is wrong is the one that is left out."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from segassets.declaration import Artifact
from segassets.errors import Skip, UsageError
from segassets.files.folder import Folder
from segassets.formats import cityscapes_vps_lists as lists
from segassets.registry import registry
from segassets.settings import Settings
from segassets.sources import png_ends
from segassets.work.job import Job
from segassets_tests.cityscapes.conftest import HEIGHT, WIDTH, Bench, photo, png

LIST = "cityscapes_vps/panoptic_im_val_city_vps.json"
CLIPS = {5: 2191, 15: 294}  # the 20th frame of frankfurt_000000


def frame_name(clip: int, j: int) -> tuple[str, str]:
    """(image id, Cityscapes name) of a labelled frame."""
    name = f"frankfurt_000000_{CLIPS[clip] + 5 * (j - 4):06d}"
    return f"{clip:04d}_{6 * (clip - 1) + j:04d}_{name}", name


FRAMES = [frame_name(clip, j) for clip in CLIPS for j in range(1, 7)]
IDS = [image_id for image_id, _ in FRAMES]


def cls(height: int = HEIGHT, width: int = WIDTH) -> bytes:
    return png(np.full((height, width, 3), (128, 64, 128), np.uint8))


def inst(height: int = HEIGHT, width: int = WIDTH) -> bytes:
    return png(np.full((height, width), 7, np.uint16))


@pytest.fixture
def release(bench: Bench) -> Bench:
    """Two clips of val: masks, gtFine for the 20th frames, a list, and all photographs."""
    for number, (image_id, name) in enumerate(FRAMES):
        if number % 6 == 3:
            bench.fine(name, color_png=png(np.full((HEIGHT, WIDTH, 4), (128, 64, 128, 255), np.uint8)))
        else:
            bench.put(f"cityscapes_vps/val/cls/{image_id}_final_mask.png", cls())
            bench.put(f"cityscapes_vps/val/inst/{image_id}_original_image_instance_greyscale.png", inst())
    records = [
        {"id": i, "file_name": f"{i}_{'leftImg8bit' if k % 6 == 3 else 'newImg8bit'}.png", "width": WIDTH, "height": HEIGHT}
        for k, i in enumerate(IDS)
    ]  # fmt: skip
    bench.put(LIST, json.dumps({"images": records}).encode())
    for frame in CLIPS.values():
        for number in range(frame - 19, frame + 11):
            sequence_photo(bench, f"frankfurt_000000_{number:06d}")
    return bench


def sequence_photo(bench: Bench, name: str, data: bytes | None = None, city: str = "frankfurt") -> str:
    path = f"cityscapes/leftImg8bit_sequence/val/{city}/{name}_leftImg8bit.png"
    bench.put(path, photo() if data is None else data)
    return path


def change_list(bench: Bench, change) -> None:
    document = json.loads((bench.raw / LIST).read_text())
    change(document["images"])
    (bench.raw / LIST).write_text(json.dumps(document))


def codes(findings) -> list[tuple]:
    return [(f.code, f.image) for f in findings]


def warned(outcome) -> dict[str, str]:
    return {f.code: f.message for f in outcome.findings if f.severity == "warning"}


def made(bench: Bench, *assets: str, **options) -> None:
    for asset in assets:
        bench.make(f"cityscapes_vps/{asset}", **options)


def sizes_in(bench: Bench, kind: str) -> set[tuple[int, int]]:
    document = json.loads((bench.published / f"cityscapes_vps/{kind}_val_city_vps.json").read_text())
    return {(record["height"], record["width"]) for record in document["images"]}


def test_swapped_ids_in_a_list_are_two_lost_frames(release: Bench):
    def swap(images):
        images[0]["id"], images[1]["id"] = images[1]["id"], images[0]["id"]

    change_list(release, swap)
    found = release.errors("cityscapes_vps/frame_list")
    assert codes(found) == [("name_differs", IDS[1]), ("name_differs", IDS[0])]
    assert {f.path for f in found} == {LIST}


@pytest.mark.parametrize("record", [{"id": 5, "file_name": "x"}, None, [], {}])
def test_a_list_without_a_usable_record_is_refused(release: Bench, record):
    release.put(LIST, json.dumps({"images": [record, record]}).encode())
    found = [f for f in release.errors("cityscapes_vps/frame_list") if f.code == "unknown_name"]
    assert [f.index for f in found] == [0, 1] and all(LIST in f.message for f in found)
    outcome = release.make("cityscapes_vps/frame_list", max_rejected=1)
    assert outcome.footer.counts["rejected"] == outcome.footer.counts["items"] - 1 >= 2
    made(release, "panoptic_im", "im_all_info")


@pytest.mark.parametrize(
    ("image_id", "why"),
    [
        ("0005_0099_frankfurt_000000_002171", "clip 0005 has the numbers 25 to 30"),
        ("0006_0031_frankfurt_000000_002171", "clip 0006 is of train"),
    ],
)
def test_names_that_break_the_numbering_are_told(release: Bench, image_id, why):
    (release.raw / LIST).unlink()
    for kind, ending in (("cls", "final_mask"), ("inst", "original_image_instance_greyscale")):
        folder = release.raw / "cityscapes_vps/val" / kind
        (folder / f"{IDS[0]}_{ending}.png").rename(folder / f"{image_id}_{ending}.png")
    told = warned(release.make("cityscapes_vps/frame_list"))["numbering_differs"]
    assert told.startswith("1 names of val") and f"{image_id}: {why}" in told


@pytest.mark.parametrize(
    ("document", "found"),
    [(b"[]", "it has no images"), (b'{"images": [{"file_name": null}]}', "images[0]"), (b"{", "it is no JSON")],
)
def test_a_dense_list_that_is_none_says_what_was_expected(release: Bench, document, found):
    made(release, "frame_list")
    release.put("cityscapes_vps/im_all_info_val_city_vps.json", document)
    (finding,) = release.errors("cityscapes_vps/im_all_info")
    assert finding.code == "bad_json" and found in finding.message and "Error" not in finding.message


def test_an_empty_list_beside_masks_is_named(release: Bench):
    release.put(LIST, b'{"images": []}')
    (finding,) = release.errors("cityscapes_vps/frame_list")
    assert (finding.code, finding.path) == ("empty_list", LIST) and "masks" in finding.message


def test_masks_that_a_list_does_not_name_are_errors(release: Bench):
    change_list(release, lambda images: images.pop(0))
    found = release.errors("cityscapes_vps/frame_list")
    assert codes(found) == [("cls_unexpected", IDS[0]), ("inst_unexpected", IDS[0])]


@pytest.mark.parametrize(("kind", "number"), [("cls", 0), ("inst", 0), ("cls", 3), ("inst", 3)])
def test_a_mask_that_is_missing_is_missed_without_a_list(release: Bench, kind, number):
    (release.raw / LIST).unlink()
    image_id, name = FRAMES[number]
    ending = {"cls": "color.png", "inst": "instanceIds.png"}[kind]
    central = f"cityscapes/gtFine/val/frankfurt/{name}_gtFine_{ending}"
    (own,) = [*(release.raw / f"cityscapes_vps/val/{kind}").glob(f"{image_id}*"), release.raw / central][:1]
    own.unlink()
    assert codes(release.errors("cityscapes_vps/frame_list")) == [(f"{kind}_missing", image_id)]


def test_the_files_decide_sizes_and_not_the_list(release: Bench):
    wrong = [10**12, True, 2048, None]
    change_list(release, lambda images: [r.update(width=wrong[k % 4]) for k, r in enumerate(images)])
    outcome = release.make("cityscapes_vps/frame_list")
    assert "of 12 of 12 frames" in warned(outcome)["list_size_differs"]
    made(release, "panoptic_im", "im_all_info")
    assert sizes_in(release, "panoptic_im") == sizes_in(release, "im_all_info") == {(HEIGHT, WIDTH)}


@pytest.mark.parametrize("number", [0, 3])
def test_the_odd_frame_of_a_clip_is_left_out_of_everything(release: Bench, number):
    image_id, name = FRAMES[number]
    if number == 3:
        path = f"{release.fine(name, color_png=cls(5), instanceIds_png=inst(5))}color.png"
    else:
        path = f"cityscapes_vps/val/cls/{image_id}_final_mask.png"
        release.put(path, cls(5))
        release.put(f"cityscapes_vps/val/inst/{image_id}_original_image_instance_greyscale.png", inst(5))
    (finding,) = release.errors("cityscapes_vps/frame_list")
    assert (finding.code, finding.image, finding.path) == ("size_differs", image_id, path)
    made(release, "frame_list", "cls", "inst", "labelmap", "panoptic_inst", "panoptic_video", max_rejected=0.1)
    made(release, "instances", "panoptic_gt")
    for folder in ("labelmap", "panoptic_inst", "panoptic_video"):
        names = release.paths(f"cityscapes_vps/val/{folder}")
        assert len(names) == 11 and not any(path.startswith(image_id) for path in names)


def without_masks(bench: Bench) -> None:
    for folder in ("cls", "inst"):
        for path in (bench.raw / "cityscapes_vps/val" / folder).iterdir():
            path.unlink()


def test_a_list_without_any_mask_gives_lists_and_photographs(release: Bench):
    without_masks(release)
    assert "val/cls" in warned(release.make("cityscapes_vps/frame_list"))["no_masks"]
    made(release, "img", "img_all", "panoptic_im", "im_all_info")
    assert len(release.paths("cityscapes_vps/val/img")) == 12
    assert len(release.paths("cityscapes_vps/val/img_all")) == 60
    for asset in ("cls", "inst"):
        with pytest.raises(Skip, match="val/cls and val/inst"):
            release.make(f"cityscapes_vps/{asset}")


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_rule_alone_gives_lists_and_photographs(bench: Bench, split, monkeypatch):
    monkeypatch.setattr(lists, "is_published", lambda names: len(set(names)) == 10)
    for number in range(1, 11):
        bench.fine(f"frankfurt_000000_{100 * number:06d}", without=("color.png",))
        if number in (4, 5):
            for frame in range(100 * number - 19, 100 * number + 11):
                sequence_photo(bench, f"frankfurt_000000_{frame:06d}")
    bench.make("cityscapes_vps/frame_list", split)
    if split == "val":
        made(bench, "img", "img_all", "panoptic_im", "im_all_info")
        assert sizes_in(bench, "panoptic_im") == sizes_in(bench, "im_all_info") == {(HEIGHT, WIDTH)}
    else:
        found = bench.errors("cityscapes_vps/panoptic_im", split)
        assert {f.code for f in found} == {"size_unknown"} and len(found) == 8 * 6 - 6


def test_in_a_bucket_a_list_is_believed_until_the_sample_says_otherwise(release: Bench, monkeypatch):
    monkeypatch.setattr(png_ends, "Bucket", Folder)
    monkeypatch.setattr(png_ends.looked_at, "__defaults__", (3,))
    looks, look = [], png_ends._head
    monkeypatch.setattr(png_ends, "_head", lambda ref, length: looks.append(ref.path) or look(ref, length))
    made(release, "frame_list")
    assert len(looks) == 3
    change_list(release, lambda images: [record.update(width=5) for record in images])
    assert "of 12 of 12 frames" in warned(release.make("cityscapes_vps/frame_list"))["list_size_differs"]
    assert len(looks) == 3 + 12


@pytest.mark.parametrize(("data", "code"), [(b"", "bad_png"), (photo()[:300], "bad_png"), (photo(5), "size_differs")])
def test_photographs_that_are_cut_or_of_another_size_are_errors(release: Bench, data, code):
    made(release, "frame_list")
    image_id, name = FRAMES[1]
    path = sequence_photo(release, name, data)
    for asset, item in (("img", image_id), ("img_all", name)):
        (finding,) = release.errors(f"cityscapes_vps/{asset}")
        assert (finding.code, finding.image, finding.path) == (code, item, path)
        made(release, asset, max_rejected=0.1)
    without_masks(release)  # then it is the other photographs of the clip that say it
    made(release, "frame_list")
    assert codes(release.errors("cityscapes_vps/img")) == [(code, image_id)]


def test_a_photograph_in_two_folders_is_used_from_neither(release: Bench):
    made(release, "frame_list")
    sequence_photo(release, FRAMES[1][1], photo(), "lindau")
    assert codes(release.errors("cityscapes_vps/img")) == [("duplicate_image", FRAMES[1][0])]


def test_the_smaller_part_of_a_clip_is_odd_and_the_split_decides_a_tie():
    sizes = {"a": (1, 1), "b": (2, 2), "c": (2, 2), "d": (1, 1), "e": (2, 2)}
    clips = {"a": 1, "b": 1, "c": 1, "d": 2, "e": 2}
    assert lists.odd_sizes(sizes, clips) == {"a": ((1, 1), (2, 2)), "d": ((1, 1), (2, 2))}
    assert list(lists.odd_sizes(sizes, clips, {"b": (1, 1), "c": None})) == ["a", "b", "d"]


@pytest.mark.parametrize("seed", ["-1", str(1 << 32), "x"])
def test_a_seed_that_numpy_does_not_take_is_refused_when_the_call_is_read(declared, seed):
    artifact: Artifact = registry()["cityscapes_vps/panoptic_video"]
    with pytest.raises(UsageError, match="seed"):
        artifact.parse_options({"seed": seed})
    assert artifact.parse_options({"seed": str((1 << 32) - 1)})["seed"] == (1 << 32) - 1


# --- DVPS ------------------------------------------------------------------------------------------------------------


def depth(height: int = HEIGHT, width: int = WIDTH) -> bytes:
    return png(np.random.default_rng(1).integers(1, 60000, (height, width), np.uint16))


@pytest.fixture
def sequences(release: Bench) -> Bench:
    made(release, "frame_list", "cls", "inst", "panoptic_inst")
    for number in range(len(FRAMES)):
        release.put(depth_path(number), depth())
    return release


def depth_path(number: int) -> str:
    video, position = divmod(number, 6)
    return f"cityscapes_dvps/video_sequence/val/{video:06d}_{position:06d}_{FRAMES[number][1]}_depth.png"


FLIPPED = bytearray(depth())
FLIPPED[len(FLIPPED) // 2] ^= 16


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (depth()[:300], "bad_png"), (bytes(FLIPPED), "bad_png"), (b"", "bad_png"), (depth(5), "size_differs"),
        (png(np.ones((HEIGHT, WIDTH), np.uint8)), "bad_mode"),
    ],
)  # fmt: skip
def test_depth_is_decoded(sequences: Bench, data, code):
    sequences.put(depth_path(1), data)
    (finding,) = sequences.errors("cityscapes_dvps/video_sequence")
    assert (finding.code, finding.path) == (code, depth_path(1))
    sequences.make("cityscapes_dvps/video_sequence", max_rejected=0.1)
    assert len(sequences.paths("cityscapes-dvps")) == 3 * 11


def test_depth_files_by_another_name_are_told(sequences: Bench):
    folder = depth_path(0).rpartition("/")[0]
    sequences.put(f"{folder}/000001_000000_depth.png", depth())
    sequences.put(f"{folder}/000000_000000_{FRAMES[0][1]}_leftImg8bit.png", photo())
    told = warned(sequences.make("cityscapes_dvps/video_sequence"))["foreign_files"]
    assert told.startswith("1 files") and "000001_000000_depth.png" in told


def test_depth_without_a_pixel_is_a_warning(sequences: Bench):
    sequences.put(depth_path(1), png(np.zeros((HEIGHT, WIDTH), np.uint16)))
    outcome = sequences.make("cityscapes_dvps/video_sequence")
    assert [f.path for f in outcome.findings if f.code == "depth_empty"] == [depth_path(1)]


@pytest.mark.parametrize(
    ("data", "code"), [(photo()[:300], "bad_png"), (photo(5), "size_differs"), (None, "photo_missing")]
)
def test_photographs_of_triplets_are_checked(sequences: Bench, data, code):
    path = sequence_photo(sequences, FRAMES[1][1], data)
    if data is None:
        (sequences.raw / path).unlink()
    stem = depth_path(1).rsplit("/", 1)[1].removesuffix("_depth.png")
    assert codes(sequences.errors("cityscapes_dvps/video_sequence")) == [(code, stem)]


def test_another_photograph_makes_a_triplet_stale_and_photographs_alone_give_nothing(sequences: Bench):
    assert not sequences.make("cityscapes_dvps/video_sequence").unchanged
    assert sequences.make("cityscapes_dvps/video_sequence").unchanged
    sequence_photo(sequences, FRAMES[1][1], photo(seed=5))
    assert not sequences.make("cityscapes_dvps/video_sequence").unchanged
    shutil.rmtree(sequences.raw / "cityscapes_dvps")
    artifact = registry()["cityscapes_dvps/video_sequence"]
    raw = Job(artifact, "val", Settings(raw=str(sequences.raw), store=str(sequences.published))).raw
    assert raw.paths and "there are no cityscapes_dvps" in artifact.lacks("val", raw)


# --- predictions -----------------------------------------------------------------------------------------------------


def prediction(segments, **more) -> dict:
    return {"segments_info": segments, **more}


GOOD = [{"id": 7, "category_id": 0}]


def submission(bench: Bench, entries: list) -> None:
    for image_id in IDS:
        bench.put(
            f"cityscapes_vps/predictions/mine/pan_pred/{image_id}.png",
            png(np.full((HEIGHT, WIDTH, 3), (7, 0, 0), np.uint8)),
        )
    bench.put("cityscapes_vps/predictions/mine/pred.json", json.dumps({"annotations": entries}).encode())


BAD = [
    None, [], {}, {"segments_info": None}, {"segments_info": [None]}, prediction([{"id": float("inf"), "category_id": 0}]),
    prediction([{"id": "7", "category_id": 0}]), prediction([{"id": True, "category_id": 0}]),
    prediction([*GOOD, {"id": 8, "category_id": "3"}]), prediction([{"id": 7, "category_id": 3.5}]),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_annotation_is_that_frames(release: Bench, bad):
    made(release, "frame_list", "cls", "inst", "panoptic_inst", "panoptic_video")
    submission(release, [prediction(GOOD)] * 2 + [bad] + [prediction(GOOD)] * 9)
    (finding,) = release.errors("cityscapes_vps/vpq", "mine")
    assert (finding.code, finding.image, finding.index) == ("bad_annotation", IDS[2], 2)
    release.make("cityscapes_vps/vpq", "mine", max_rejected=0.4)


@pytest.mark.parametrize(("categories", "score"), [((0, 0), 100), ((0, 3), 100), ((3, 0), 0)])
def test_of_an_id_that_is_listed_twice_the_first_entry_counts(release: Bench, categories, score):
    """As in upstream's eval_vpq, which takes the area from the PNG."""
    made(release, "frame_list", "cls", "inst", "panoptic_inst", "panoptic_video")
    submission(release, [prediction([{"id": 7, "category_id": category} for category in categories])] * 12)
    told = warned(release.make("cityscapes_vps/vpq", "mine"))["duplicate_id"]
    assert told.startswith("1 ids are listed more than once (7)")
    stats = json.loads((release.published / "cityscapes_vps/vpq/mine/vpq_stats.json").read_text())
    assert stats["final"]["All"] == score


def test_two_annotations_of_a_frame_are_an_error(release: Bench):
    made(release, "frame_list", "cls", "inst", "panoptic_inst", "panoptic_video")
    entries = [prediction(GOOD, image_id=image_id) for image_id in IDS]
    submission(release, [*entries, prediction([], image_id=IDS[4])])
    assert codes(release.errors("cityscapes_vps/vpq", "mine")) == [("duplicate_image", IDS[4])]
    submission(release, [entries[0], *(prediction(GOOD) for _ in IDS[1:])])
    assert {f.code for f in release.errors("cityscapes_vps/vpq", "mine")} == {"bad_annotation", "prediction_missing"}
