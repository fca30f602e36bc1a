"""What SA-1B's artifacts are, beyond what the golden data show: options, text, archives."""

import io
import json
import sys
import tarfile
import zipfile

import fsspec
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO

from segassets.errors import SegassetsError, Skip, UsageError
from segassets_tests.sa1b.conftest import SHARD
from segassets_tests.sa1b.shards import document

CAPTIONS = f"captions/{SHARD}-blip2-caption.json"


def expected_mask(number, rank):
    annotations = document(number)["annotations"]
    order = sorted(range(len(annotations)), key=lambda k: -annotations[k]["bbox"][2] * annotations[k]["bbox"][3])
    return coco.decode(annotations[order[rank]]["segmentation"]) * 255


@pytest.mark.parametrize("depth", [8, 2, 1])
def test_masks_have_the_same_pixels_at_every_depth(shard, depth):
    shard.make("masks", png_depth=depth)
    folder = shard.published / SHARD / "sa_3"
    assert sorted(path.name for path in folder.iterdir()) == [f"segmentation_{rank}.png" for rank in range(3)]
    for rank in range(3):
        with Image.open(folder / f"segmentation_{rank}.png") as image:
            np.testing.assert_array_equal(np.asarray(image.convert("L")), expected_mask(3, rank))
            assert image.mode == ("1" if depth == 1 else "L")


def test_another_depth_is_the_same_data_version(shard):
    versions = {shard.make("masks", png_depth=depth).footer.data_version for depth in (8, 2)}
    assert len(versions) == 1


def test_a_packed_shard_is_one_stored_zip_that_fsspec_reads_by_member(shard):
    loose = shard.make("masks").footer.data_version
    files = {str(path.relative_to(shard.published)): path.read_bytes() for path in shard.published.rglob("segm*.png")}
    packed = shard.make("masks", packing="zip")
    archive = shard.published / f"{SHARD}-masks.zip"
    assert not (shard.published / SHARD / "sa_1").exists()
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == files
        assert {info.compress_type for info in opened.infolist()} == {zipfile.ZIP_STORED}
    with fsspec.open(f"zip://{SHARD}/sa_1/segmentation_0.png::file://{archive}") as member:
        assert member.read() == files[f"{SHARD}/sa_1/segmentation_0.png"]
    assert packed.footer.data_version != loose  # other files are published, though of the same pixels


def test_control_images_are_the_ranks_colours_small_over_large(shard):
    with Image.open(shard.published / SHARD / "sa_2.png") as image:
        pixels = np.asarray(image)
    wanted = np.zeros((48, 64, 3), np.uint8)
    for rank in range(3):
        place = (2**24 - 1) * (rank + 1) // 3
        wanted[expected_mask(2, rank) > 0] = (place & 255, place >> 8 & 255, place >> 16)
    np.testing.assert_array_equal(pixels, wanted)


def test_without_captions_and_captioner_there_is_nothing_to_make(shard):
    with pytest.raises(Skip, match=r"captions/sa_000000-blip2-caption\.json"):
        shard.make("captions")


def test_a_captioner_captions_every_image_and_training_rows_follow(shard):
    shard.make("captions", captioner="constant", constant="a picture of {name}", batch_size=2)
    shard.make("controlnet_train")
    lines = (shard.published / f"{SHARD}-blip2-caption.json").read_text().splitlines()
    captions = [json.loads(line) for line in lines]
    assert captions == [{"img": f"sa_{n}.jpg", "prompt": f"a picture of sa_{n}.jpg"} for n in range(1, 6)]
    rows = (shard.published / f"{SHARD}-controlnet-train.json").read_text().split("\n")
    assert json.loads(rows[4]) == {"prompt": "a picture of sa_5.jpg", "target": "sa_5.jpg", "source": "sa_5.png"}


def test_a_captioner_that_is_not_installed_is_named_with_its_extra(shard, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SegassetsError, match=r"segassets\[captions\]"):
        shard.make("captions", captioner="blip2")


def test_an_unknown_captioner_is_refused_with_those_there_are(shard):
    with pytest.raises(UsageError, match=r"file \| constant \| blip2"):
        shard.make("captions", captioner="gpt")


def test_webdataset_groups_everything_of_an_image(shard):
    line = json.dumps({"img": "sa_1.jpg", "prompt": " a red house "})
    shard.put(CAPTIONS, line.encode())
    shard.make("webdataset", images_per_shard=2)
    tars = sorted((shard.published / "webdataset").iterdir())
    assert [path.name for path in tars] == [f"{SHARD}-{n:04d}.tar" for n in range(3)]
    with tarfile.open(tars[0]) as tar:
        names = tar.getnames()
        assert names == [
            *(f"sa_1.{suffix}" for suffix in ("jpg", "json", "control.png", "txt")),
            *(f"sa_2.{suffix}" for suffix in ("jpg", "json", "control.png")),
        ]
        assert tar.extractfile("sa_1.txt").read() == b"a red house"
        control = Image.open(io.BytesIO(tar.extractfile("sa_2.control.png").read()))
        assert control.mode == "RGB" and control.size == (64, 48)


def test_coco_loads_and_its_boxes_are_the_masks(shard):
    shard.make("coco")
    loaded = COCO(shard.published / "coco" / f"{SHARD}.json")
    assert sorted(loaded.imgs) == [1, 2, 3, 4, 5]
    assert len(loaded.anns) == 15
    for annotation in loaded.anns.values():
        assert annotation["bbox"] == coco.toBbox(annotation["segmentation"]).tolist()
        assert annotation["area"] == loaded.annToMask(annotation).sum()
