"""ASAM's evaluation sets: pairs, mask counts and problems, on small made-up trees."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segassets.formats import asam_eval
from segassets.formats.asam_eval import DATASETS, folders, manifest, tuning_manifest

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "sa1b"


def picture(pixels=None, form="PNG", size=(8, 6), **options):
    image = Image.new("RGB", size) if pixels is None else Image.fromarray(np.asarray(pixels))
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def grey(*values, size=(8, 6), dtype=np.uint8):
    pixels = np.zeros((size[1], size[0]), dtype)
    pixels.ravel()[: len(values)] = values
    return pixels


JPG, PNG = picture(form="JPEG"), picture()


def run(key, tree):
    result, findings = manifest(key, list(tree), tree.__getitem__)
    json.dumps(result)
    return result, findings


def codes(result):
    return [(p["code"], p["image"], p["gt"]) for p in result["problems"]]


def test_table():
    assert len(DATASETS) == 27
    assert {d["kind"] for d in DATASETS.values()} == {"binary", "rgb_unique", "gray_unique", "coco", "lvis", "mask_dir"}


def test_folders_are_all_that_is_read():
    assert folders("hrsod_val") == ["HRSOD-TE/imgs/", "HRSOD-TE/gts/"]
    assert folders("big_val") == ["BIG/val/"]
    assert folders("TimberSeg") == ["y5npsm3gkj-2/prescaled/"]
    assert folders("coco2017_val") == ["COCO2017-val/val2017/", "COCO2017-val/instances_val2017.json"]
    with pytest.raises(KeyError, match="no evaluation set"):
        folders("nope")


def test_absent_set():
    assert run("camo", {"CAMO/readme.txt": b"", "CAMO/imgs/.DS_Store": b""}) == ({"present": False}, [])


def test_binary_pairs_and_their_problems():
    noise = picture(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))
    tree = {
        "CAMO/imgs/b.jpg": JPG,
        "CAMO/gts/b.png": picture(grey(255)),
        "CAMO/imgs/sub/a.jpg": JPG,
        "CAMO/gts/sub/a.png": picture(grey(1)),
        "CAMO/imgs/lonely.jpg": JPG,
        "CAMO/imgs/size.jpg": JPG,
        "CAMO/gts/size.png": picture(grey(255, size=(6, 8))),
        "CAMO/imgs/broken.jpg": JPG,
        "CAMO/gts/broken.png": noise[: len(noise) // 2],
        "CAMO/imgs/page.jpg": b"<html>",
        "CAMO/gts/page.png": PNG,
        "CAMO/gts/nobody.png": PNG,
        "CAMO/imgs/._b.jpg": b"",
    }
    result, findings = run("camo", tree)
    assert result["items"] == [
        {"image": "CAMO/imgs/b.jpg", "gt": "CAMO/gts/b.png", "masks": 1},
        {"image": "CAMO/imgs/sub/a.jpg", "gt": "CAMO/gts/sub/a.png", "masks": 0},
    ]
    assert codes(result) == [
        ("gt_unreadable", "CAMO/imgs/broken.jpg", "CAMO/gts/broken.png"),
        ("gt_missing", "CAMO/imgs/lonely.jpg", "CAMO/gts/lonely.png"),
        ("image_unreadable", "CAMO/imgs/page.jpg", "CAMO/gts/page.png"),
        ("size_mismatch", "CAMO/imgs/size.jpg", "CAMO/gts/size.png"),
        ("gt_empty", "CAMO/imgs/sub/a.jpg", "CAMO/gts/sub/a.png"),
    ]
    severities = {f.code: f.severity for f in findings}
    assert severities["gt_missing"] == "error" and severities["gt_empty"] == "warning"
    assert severities["image_missing"] == "info"


def test_folder_names_are_not_touched_by_suffixes():
    tree = {"CAMO/imgs/x.jpg.d/a.jpg": JPG, "CAMO/gts/x.jpg.d/a.png": picture(grey(200))}
    assert run("camo", tree)[0]["items"][0]["gt"] == "CAMO/gts/x.jpg.d/a.png"


def test_bilevel_ground_truth_is_empty_for_asam():
    tree = {"CAMO/imgs/a.jpg": JPG, "CAMO/gts/a.png": picture(grey(1).astype(bool))}
    assert codes(run("camo", tree)[0]) == [("gt_empty", "CAMO/imgs/a.jpg", "CAMO/gts/a.png")]


def test_colours_are_masks_but_for_black_and_vocs_border():
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[0, 0], pixels[0, 1], pixels[0, 2], pixels[0, 3] = (1, 0, 0), (0, 1, 0), (0, 0, 1), (224, 224, 192)
    tree = {"VOC2012/JPEGImages_val/a.jpg": JPG, "VOC2012/SegmentationObject/a.png": picture(pixels)}
    assert run("voc2012_val", tree)[0]["items"][0]["masks"] == 3
    tree = {"Plant_Phenotyping_Datasets/a_rgb.png": PNG, "Plant_Phenotyping_Datasets/a_label.png": picture(pixels)}
    assert run("ppdls", tree)[0]["items"][0]["masks"] == 4


def test_palette_and_grey_ground_truth_as_colours():
    image = Image.fromarray(grey(1, 2, 2))
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    out = io.BytesIO()
    image.save(out, "PNG")
    tree = {"VOC2012/JPEGImages_val/a.jpg": JPG, "VOC2012/SegmentationObject/a.png": out.getvalue()}
    assert run("voc2012_val", tree)[0]["items"][0]["masks"] == 2
    tree["VOC2012/SegmentationObject/a.png"] = picture(grey(5, 6, 7))
    assert run("voc2012_val", tree)[0]["items"][0]["masks"] == 3


def test_grey_values_are_masks():
    ids = picture(grey(7, 26001, 26002, dtype=np.uint16))
    tree = {
        "cityscapes/leftImg8bit/val/x/a_leftImg8bit.png": PNG,
        "cityscapes/gtFine/val/x/a_gtFine_instanceIds.png": ids,
        "cityscapes/gtFine/val/x/a_gtFine_labelIds.png": b"",
    }
    assert run("cityscapes_val", tree)[0]["items"][0]["masks"] == 4  # 0 counts as well
    tree = {"egohos/val/image/a.jpg": JPG, "egohos/val/label/a.png": picture(grey(1, 2, 2, 3))}
    assert run("egohos", tree)[0]["items"][0]["masks"] == 3


def test_dram_drops_training_pictures_and_changes_a_folder():
    tree = {
        "DRAM_raw/test_images/m/1.jpg": JPG,
        "DRAM_raw/test_targets_color/m/1.png": picture(grey(9)),
        "DRAM_raw/train_images/m/1.jpg": JPG,
    }
    result, findings = run("DRAM_test", tree)
    gt = "DRAM_raw/test_targets_color/m/1.png"
    assert result["items"] == [{"image": "DRAM_raw/test_images/m/1.jpg", "gt": gt, "masks": 1}] and findings == []


def test_mask_folders():
    one = picture(grey(255))
    tree = {
        "BBC038V1-Train/a/images/a.png": PNG,
        "BBC038V1-Train/a/masks/1.png": one,
        "BBC038V1-Train/a/masks/2.png": one,
        "BBC038V1-Train/b/images/b.png": PNG,
        "BBC038V1-Train/c/images/c.png": PNG,
        "BBC038V1-Train/c/masks/1.png": b"no",
        "BBC038V1-Train/d/masks/1.png": one,
        "BBC038V1-Train/e/images/e.png": PNG,
        "BBC038V1-Train/e/masks/1.png": picture(grey()),
    }
    result, _ = run("BBC038v1", tree)
    assert [(i["image"][15:], i["masks"]) for i in result["items"]] == [("a/images/a.png", 2), ("e/images/e.png", 1)]
    assert [code for code, *_ in codes(result)] == ["no_masks", "gt_unreadable", "gt_empty", "image_missing"]


def coco(images, annotations, **more):
    return json.dumps({"info": {"x": [1, {}]}, "images": images, "annotations": annotations, **more}, indent=1).encode()


def test_coco():
    data = coco(
        [
            {"id": 2, "file_name": "b.jpg", "width": 8, "height": 6},
            {"id": 1, "file_name": "a.jpg", "width": 8, "height": 6},
            {"id": 3, "file_name": "empty.jpg", "width": 8, "height": 6},
            {"id": 4, "file_name": "gone.jpg", "width": 8, "height": 6},
            {"id": 5, "file_name": "c.jpg", "width": 9, "height": 9},
            {"id": 6, "file_name": "../up.jpg"},
        ],
        [{"image_id": i} for i in (1, 2, 2, 4, 5, 6)],
    )
    tree = {"NDD20/ABOVE_LABELS.json": data} | {f"NDD20/ABOVE/{name}.jpg": JPG for name in "abc"}
    result, _ = run("NDD20_ABOVE", tree)
    assert result["items"] == [{"image": "NDD20/ABOVE/a.jpg", "masks": 1}, {"image": "NDD20/ABOVE/b.jpg", "masks": 2}]
    assert [code for code, *_ in codes(result)] == ["image_missing", "size_mismatch", "image_missing"]


def test_coco_without_its_annotation_file():
    assert codes(run("NDD20_ABOVE", {"NDD20/ABOVE/a.jpg": JPG})[0]) == [("gt_missing", None, "NDD20/ABOVE_LABELS.json")]


def test_lvis_goes_by_url_and_drops_what_is_not_there():
    urls = [{"id": i, "coco_url": f"http://x/train2017/{i}.jpg"} for i in (1, 2)]
    data = coco(urls, [{"image_id": 1}, {"image_id": 2}])
    result, findings = run("LVIS", {"LVIS/annotations/lvis_v1_val.json": data, "LVIS/val2017/2.jpg": JPG})
    assert result["items"] == [{"image": "LVIS/val2017/2.jpg", "masks": 1}] and findings == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"images": [1]}',
        b'{"images": [{"id": []}]}',
        b'{"images": [{"id": 1}',
        b"[" * 100_000,
        b"\xff",
        b'{"images": ' + b"[" * 100_000,
        b"{[1]: 2}",
        b'{"a" 1}',
        b'{"images": [{"id": 1},]}',
        b'{"images": [] "a": 1}',
    ],
)
def test_annotation_files_that_are_none(data):
    result, (finding,) = run("NDD20_ABOVE", {"NDD20/ABOVE_LABELS.json": data})
    assert result["items"] == [] and finding.code == "gt_unreadable" and len(finding.message) < 400


def test_empty_annotation_file():
    assert [c for c, *_ in codes(run("NDD20_ABOVE", {"NDD20/ABOVE_LABELS.json": b"{}"})[0])] == ["no_masks"]


def test_bombs_are_refused(monkeypatch):
    monkeypatch.setattr(asam_eval, "MAX_PIXELS", 10)
    tree = {"CAMO/imgs/a.jpg": JPG, "CAMO/gts/a.png": PNG}
    assert [c for c, *_ in codes(run("camo", tree)[0])] == ["gt_unreadable"]


def tuning(tree, masks):
    return tuning_manifest("run-1", list(tree), tree.__getitem__, masks, "sa_000000")


def test_tuning_manifest():
    square = picture(form="JPEG", size=(8, 8))
    tree = {
        "adv/sa_10.jpg": square,
        "record/sa_10.txt": b"0.5\n",
        "adv/sa_2.jpg": square,
        "adv/sa_2.png": square,
        "record/sa_2.txt": b"nan",
        "adv/sa_3.jpg": JPG,
        "adv/sa_4.jpg": square,
        "adv/sa_5.jpg": b"",
        "pair/sa_6.jpg": square,
        "adv/other.jpg": square,
    }
    result, findings = tuning(tree, {2: 5, 3: 1, 5: 1, 10: 7})
    row = {"gt": "sa_000000/sa_10", "image": "adv/sa_10.jpg", "masks": 7, "adv_size": [8, 8], "worst_iou": 0.5}
    assert [r["image"] for r in result["rows"]] == ["adv/sa_2.jpg", "adv/sa_3.jpg", "adv/sa_10.jpg"]
    assert result["rows"][2] == row and result["rows"][0]["worst_iou"] is None
    assert [(f.code, f.severity) for f in findings] == [
        ("unexpected_file", "warning"),
        ("duplicate_image", "warning"),
        ("record_unreadable", "warning"),
        ("size_mismatch", "warning"),
        ("record_missing", "warning"),
        ("gt_missing", "error"),
        ("image_unreadable", "error"),
    ]


def listing(root):
    return [os.path.relpath(os.path.join(top, name), root) for top, _, names in os.walk(root) for name in names]


@pytest.mark.golden
@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden data")
def test_golden_eval_manifest():
    root = GOLDEN / "input" / "evaldata"
    paths = listing(root)
    expected = json.loads((GOLDEN / "expected" / "eval-manifest.json").read_text())
    assert {key: manifest(key, paths, lambda path: (root / path).read_bytes())[0] for key in DATASETS} == expected


@pytest.mark.golden
@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden data")
def test_golden_tuning_manifest():
    (root,) = (GOLDEN / "input" / "advdata" / "sa_000000-Grad").iterdir()
    tree = GOLDEN / "expected" / "sa_000000"
    masks = {int(d.name[3:]): len(list(d.iterdir())) for d in tree.iterdir() if d.is_dir()}
    result, findings = tuning_manifest(
        root.name, listing(root), lambda path: (root / path).read_bytes(), masks, "sa_000000"
    )
    assert result == json.loads((GOLDEN / "expected" / "tuning-manifest.json").read_text()) and findings == []
