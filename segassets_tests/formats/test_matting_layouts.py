"""The three layouts: every finding about names, and what the loaders would use."""

import io

import numpy as np
import pytest
from PIL import Image

from segassets.findings import BadItem
from segassets.formats.matting_dataset import Folders, Layout
from segassets.formats.matting_layouts import find_root, further_masks, judge, nested_roots
from segassets.formats.matting_samples import look
from segassets.formats.png import gray_png

TRAIN = Layout("image_train", "set")
EVAL = Layout("image_eval", "s", mask_dir_name="masks")
VIDEO = Layout("video", "v", "pha", "xmem")


def codes(judged):
    return {(finding.severity, finding.code) for finding in judged.findings}


def video(frames=5, alphas=("0.png",), name="00"):
    stems = [f"{k:05d}" for k in range(frames)]
    paths = [f"v/fgr/{name}/{stem}.jpg" for stem in stems]
    return paths + [f"v/{kind}/{name}/{stem}/{a}" for kind in ("pha", "xmem") for stem in stems for a in alphas]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (["set/images/x.jpg.jpg"], ("error", "stem_with_extension")),
        (["set/images/.hidden"], ("warning", "hidden_file")),
        (["set/images/notes.txt"], ("warning", "foreign_file")),
        (["set/alphas/a/Thumbs.db"], ("warning", "foreign_file")),
        (["set/images/b.png"], ("error", "image_extension")),
    ],
)
def test_training(extra, expected):
    judged = judge(Folders(["set/images/a.jpg", "set/alphas/a/0.png", *extra]), TRAIN)
    assert expected in codes(judged)


def test_evaluation_lists_whole_mask_folders():
    paths = [f"{kind}/s/a/0.png" for kind in ("alphas", "masks")]
    judged = judge(Folders(["images/s/a.jpg", *paths, "masks/s/a/.DS_Store"]), EVAL)
    assert ("error", "hidden_file") in codes(judged)
    assert judged.index == [["images/s/a.jpg", ["alphas/s/a/.DS_Store", "alphas/s/a/0.png"]]]


def test_the_alpha_folders_name_in_the_roots_path():
    paths = ["images/s/a.jpg", "alphas/s/a/0.png", "masks/s/a/0.png"]
    assert ("error", "name_in_path") in codes(judge(Folders(paths), EVAL, "/data/my_alphas_v2"))
    assert codes(judge(Folders(paths), EVAL, "/data/v2")) == set()


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([*video(2)], ("warning", "video_too_short")),
        ([*video(), "v/pha/.DS_Store"], ("error", "hidden_file")),
        ([*video(), "v/fgr/01/00000.jpg"], ("error", "missing_alpha_video")),
        ([*video(), "v/pha/01/00000/0.png"], ("error", "missing_frames")),
        ([*video(), "v/pha/00/00002/1.png"], ("error", "instances_differ")),
        ([*video(), "v/pha/00/00002/1.png"], ("error", "alpha_without_mask")),
        ([*video(), "v/fgr/00/00005.png"], ("error", "frame_extension")),
        ([*video(3), "v/fgr/00/10.jpg", "v/fgr/00/9.jpg"], ("error", "frame_order")),
        ([*video(alphas=[f"{k:02d}.png" for k in range(11)])], ("warning", "too_many_instances")),
        ([*video(), "v/pha/00/00007/0.png"], ("warning", "missing_frames")),
    ],
)
def test_videos(paths, expected):
    assert expected in codes(judge(Folders(paths), VIDEO))


def test_where_the_constructor_raises_there_is_no_index():
    assert judge(Folders([*video(), "v/pha/01/00000/0.png"]), VIDEO).index is None
    assert judge(Folders(["v/fgr/00/00000.jpg"]), VIDEO).index is None


@pytest.mark.parametrize(("mode", "frames", "clips"), [("test", 5, 3), ("train", 8, 1), ("train", 7, 0)])
def test_clips_of_the_modes(mode, frames, clips):
    judged = judge(Folders(video(frames)), Layout("video", "v", "pha", "", mode))
    assert len(judged.index) == clips


def test_the_root_is_found_below_other_folders():
    inner = ["HIM2K/images/natural/a.jpg", "HIM2K/alphas/natural/a/1.png"]
    assert find_root(inner, Layout("image_eval", "natural"), "HIM2K_M-HIM2K") == ("HIM2K/", "")
    own = ["images/0.jpg", "alphas/0/0.png"]
    assert find_root(own, Layout("image_train", "I-HIM50K"), "I-HIM50K") == ("", "I-HIM50K/")


@pytest.mark.parametrize(
    ("kind", "split", "name", "folders", "root", "nested"),
    [
        ("video", "test", "V", ["backup/test/fgr/a", "test/fgr/a"], ("", ""), ["backup/test/fgr"]),
        ("image_train", "train", "T", ["__MACOSX/top/train/images", "top/train/images"], ("top/", ""), []),
        ("image_train", "train", "T", [".old/train/images", "top/in/train/images"], ("top/in/", ""), []),
        ("image_train", "T", "T", ["images", "old/T/images"], ("", "T/"), ["old/T/images"]),
        ("image_train", "T", "T", ["T/images", "old/images"], ("", ""), ["old/images"]),
        ("image_eval", "s", "E", ["a/b/images/s", "z/images/s"], ("z/", ""), ["a/b/images/s"]),
    ],
)
def test_the_root_nearest_to_the_top_is_taken(kind, split, name, folders, root, nested):
    paths = [f"{folder}/a.jpg" for folder in folders]
    assert find_root(paths, Layout(kind, split), name) == root
    assert [(f.severity, f.path) for f in nested_roots(paths, Layout(kind, split), name)] == [
        ("warning", path) for path in nested
    ]


def test_two_roots_at_one_depth_are_an_error_that_names_both():
    with pytest.raises(BadItem, match="one/s/images and two/s/images"):
        find_root(["one/s/images/a.jpg", "two/s/images/a.jpg"], Layout("image_train", "s"), "T")


def jpeg(size):
    sink = io.BytesIO()
    Image.new("RGB", size).save(sink, "JPEG")
    return sink.getvalue()


def png(mode, size=(8, 6)):
    sink = io.BytesIO()
    Image.new(mode, size, 1 if mode in ("I;16", "1", "P") else None).save(sink, "PNG")
    return sink.getvalue()


FULL = gray_png(np.full((6, 8), 255, np.uint8))


@pytest.mark.parametrize(
    ("alpha", "code"),
    [
        (png("RGBA"), "alpha_format"),
        (png("I;16"), "alpha_format"),
        (png("1"), "alpha_format"),
        (png("P"), "alpha_format"),
        (gray_png(np.zeros((6, 8), np.uint8)), "alpha_empty"),
        (gray_png(np.full((6, 8), 90, np.uint8)), "alpha_never_foreground"),
        (gray_png(np.full((6, 9), 255, np.uint8)), "size_mismatch"),
        (FULL[:40], "unreadable"),
        (b"<html>", "unreadable"),
    ],
)
def test_alphas(alpha, code):
    files = {"images/s/a.jpg": jpeg((8, 6)), "alphas/s/a/0.png": alpha}
    judged = judge(Folders(files), Layout("image_eval", "s"))
    found = look(judged.samples[0], Layout("image_eval", "s"), files.__getitem__).findings
    assert [(finding.severity, finding.code) for finding in found] == [("error", code)]


def test_alphas_that_add_up_to_more_than_one_and_masks_that_do_not_fit():
    corner = np.zeros((6, 8), np.uint8)
    corner[0, 0] = 255
    files = {"images/s/a.jpg": jpeg((8, 6)), "alphas/s/a/0.png": FULL, "alphas/s/a/1.png": FULL}
    files |= {"masks/s/a/0.png": FULL, "masks/s/a/1.png": gray_png(corner)}
    judged = judge(Folders(files), EVAL)
    found = look(judged.samples[0], EVAL, files.__getitem__).findings
    assert [(f.severity, f.code) for f in found] == [("info", "alphas_sum"), ("info", "mask_low_iou")]


def test_an_alpha_without_a_mask_belongs_to_the_dataset_and_is_looked_at():
    files = {
        "images/s/a.jpg": jpeg((8, 6)),
        "alphas/s/a/0.png": FULL,
        "alphas/s/a/1.png": png("RGBA"),
        "masks/s/a/0.png": FULL,
    }
    judged = judge(Folders(files), EVAL)
    (sample,) = judged.samples
    assert (sample.alphas, sample.unmasked) == (["alphas/s/a/0.png"], ["alphas/s/a/1.png"])
    assert judged.index == [["images/s/a.jpg", ["alphas/s/a/0.png"]]]
    found = look(sample, EVAL, files.__getitem__).findings
    assert [(f.code, f.path) for f in found] == [("alpha_format", "alphas/s/a/1.png")]


def test_what_the_loader_with_masks_never_reads_is_told():
    paths = [f"{kind}/s/a/0.png" for kind in ("alphas", "masks")]
    extra = ["alphas/s/a/.DS_Store", "alphas/s/a/notes.txt", "masks/s/.DS_Store", "masks/s/list.txt"]
    found = judge(Folders(["images/s/a.jpg", *paths, *extra]), EVAL).findings
    assert sorted((f.severity, f.code, f.path) for f in found) == [
        ("warning", "foreign_file", "alphas/s/a/notes.txt"), ("warning", "foreign_file", "masks/s/list.txt"),
        ("warning", "hidden_file", "alphas/s/a/.DS_Store"), ("warning", "hidden_file", "masks/s/.DS_Store"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "paths"),
    [
        (EVAL, {"a": ["masks/s/a/0.png", "masks_x/s/a/0.png"], "b": ["masks_matched_x/s/b/1.png"]}),
        (TRAIN, {"a": ["set/masks_x/a/0.png"]}),
        (VIDEO, {"00": ["v/masks_x/00/00000/0.png"]}),
    ],
)
def test_masks_of_all_detectors_belong_to_their_sample(layout, paths):
    others = [
        "alphas/s/a/0.png",
        "masks/t/a/0.png",
        "masks/s/a/.0.png",
        "masks/s/a/0.txt",
        "masks/s/0.png",
        "set/x/a/0.png",
    ]
    assert further_masks([*others, *(path for some in paths.values() for path in some)], layout) == paths


@pytest.mark.parametrize(
    ("kind", "paths", "told"),
    [
        ("image_eval", ["set/images/a.jpg"], "found set/images (that is the layout for image training)"),
        ("image_eval", ["v/fgr/00/00000.jpg"], "found v/fgr (that is the layout for video)"),
        ("image_train", ["images/s/a.jpg"], "found images/s (that is the layout for image validation and testing)"),
    ],
)
def test_another_layout_is_recognised_without_a_split(kind, paths, told):
    (finding,) = judge(Folders(paths), Layout(kind, "")).findings
    assert finding.code == "layout" and "<split>" in finding.message and told in finding.message
