"""The synthetic sample: the same every time, safe to write, and true to the formats it stands for."""

from __future__ import annotations

import io
import json
import pathlib
import re
import shutil
import struct
import subprocess
import tarfile
import time
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from segassets.sample import MARKER, NotOurs, archives, cityscapes, maskterial, parts, sa1b, write, writing

ANNOTATION_KEYS = ["bbox", "area", "segmentation", "predicted_iou", "point_coords", "crop_box", "id", "stability_score"]


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> pathlib.Path:
    """The sample, written once."""
    folder = tmp_path_factory.mktemp("sample") / "raw"
    write(folder)
    return folder


@pytest.fixture(scope="session")
def shards(sample) -> dict[str, dict[str, bytes]]:
    """The members of both shards, by bare name."""
    found = {}
    for shard in ("sa_000000", "sa_000001"):
        with tarfile.open(sample / "sa1b" / f"{shard}.tar") as tar:
            found[shard] = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
    return found


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def array(path: pathlib.Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_two_writes_are_equal_byte_for_byte(sample, tmp_path):
    write(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(sample)


def test_what_is_returned_is_what_is_there(sample):
    listed = write(sample)
    assert listed == sorted(set(contents(sample)) - {MARKER})
    marker = json.loads((sample / MARKER).read_text())
    assert sorted(marker["files"]) == listed
    assert sum((sample / path).stat().st_size for path in listed) < 30e6


def test_a_rerun_writes_nothing_and_is_quick(sample):
    before = {p: p.stat().st_mtime_ns for p in sample.rglob("*")}
    start = time.perf_counter()
    write(sample)
    assert time.perf_counter() - start < 1
    assert {p: p.stat().st_mtime_ns for p in sample.rglob("*")} == before


@pytest.fixture
def few(monkeypatch):
    """A sample of two small parts, so that writing can be tested often."""
    made = [{"a/one.txt": b"one", "a/two.txt": b"two"}, {"b/three.txt": b"three"}]
    monkeypatch.setattr(writing, "_made", lambda: iter(made))
    return made


def test_a_folder_with_other_files_is_refused_untouched(few, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("mine")
    with pytest.raises(NotOurs, match=r"a/mine\.txt.*new or empty folder"):
        write(tmp_path)
    assert list(contents(tmp_path)) == ["a/mine.txt"]


def test_a_file_of_the_sample_s_name_is_foreign_without_a_marker(few, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_text("mine")
    with pytest.raises(NotOurs, match=r"a/one\.txt"):
        write(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(few, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotOurs, match="is a file"):
        write(tmp_path / "file")


@pytest.mark.parametrize("text", ["[]", "{", '{"files": {"../x": {"size": 1, "sha256": ""}}}'])
def test_a_marker_that_is_not_ours_is_refused(few, tmp_path, text):
    (tmp_path / MARKER).write_text(text)
    with pytest.raises(NotOurs, match=re.escape(MARKER)):
        write(tmp_path)


def test_an_interrupted_write_is_completed(few, tmp_path, monkeypatch):
    real, calls = writing._replace, []

    def stop_at_the_fourth(path, data):
        calls.append(path)
        if len(calls) == 4:
            path.with_name(path.name + writing._TEMPORARY).write_bytes(data[:1])
            raise KeyboardInterrupt
        real(path, data)

    monkeypatch.setattr(writing, "_replace", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path)
    monkeypatch.setattr(writing, "_replace", real)
    kept = (tmp_path / "a/one.txt").stat().st_mtime_ns
    assert write(tmp_path) == ["a/one.txt", "a/two.txt", "b/three.txt"]
    assert (tmp_path / "a/one.txt").stat().st_mtime_ns == kept
    assert set(contents(tmp_path)) == {"a/one.txt", "a/two.txt", "b/three.txt", MARKER}


def test_lost_and_outdated_files_are_put_right(few, tmp_path, monkeypatch):
    write(tmp_path)
    (tmp_path / "a/two.txt").unlink()
    write(tmp_path)
    assert (tmp_path / "a/two.txt").read_bytes() == b"two"
    few[1] = {"b/four.txt": b"four"}
    monkeypatch.setattr(writing, "VERSION", "another")
    assert write(tmp_path) == ["a/one.txt", "a/two.txt", "b/four.txt"]
    assert not (tmp_path / "b/three.txt").exists()


def test_a_part_is_made_here_when_the_second_process_fails(monkeypatch):
    monkeypatch.setattr(parts, "PARTS", {parts.APART: lambda: iter([("x", b"x")])})
    monkeypatch.setattr(parts, "_start", lambda name: subprocess.Popen(["false"], stdout=subprocess.PIPE))
    assert list(parts.made()) == [{"x": b"x"}]


# --- SA-1B -----------------------------------------------------------------------------------------------------------


def documents(members: dict[str, bytes]):
    return {name: json.loads(data) for name, data in members.items() if name.endswith(".json")}


def test_shards_have_pairs_in_no_order(sample, shards):
    assert (sample / "sa1b/sa_000001.tar").read_bytes()[:2] == b"\x1f\x8b"
    for shard, prefix, count in (("sa_000000", "./", 24), ("sa_000001", "", 10)):
        names = list(shards[shard])
        assert names != sorted(names) and len(names) == 2 * count
        assert all(re.fullmatch(re.escape(prefix) + r"sa_\d+\.(jpg|json)", name) for name in names)
        assert {n[:-4] for n in names if n.endswith("jpg")} == {n[:-5] for n in names if n.endswith("json")}


@pytest.mark.parametrize("shard", ["sa_000000", "sa_000001"])
def test_documents_hold_what_sa1b_holds(shards, shard):
    members = shards[shard]
    for name, document in documents(members).items():
        assert json.dumps(document).encode() == members[name]
        image, annotations = document["image"], document["annotations"]
        with Image.open(io.BytesIO(members[name[:-4] + "jpg"])) as picture:
            assert picture.size == (image["width"], image["height"])
        assert 20 <= len(annotations) <= 60
        first = annotations[0]["id"]
        assert [a["id"] for a in annotations] == list(range(first, first + len(annotations)))
        for annotation in annotations:
            check_annotation(annotation, image["width"], image["height"])


def check_annotation(annotation: dict, width: int, height: int) -> None:
    assert list(annotation) == ANNOTATION_KEYS
    rle = annotation["segmentation"]
    assert rle["size"] == [height, width]
    x, y, w, h = coco_mask.toBbox(rle)
    assert annotation["bbox"] == [x, y, w - 1, h - 1]
    assert annotation["area"] == coco_mask.area(rle) > 0
    for score, least, most in (("predicted_iou", 0.88, 1.1), ("stability_score", 0.95, 1.0)):
        value = annotation[score]
        assert least <= value <= most and value == float(np.float32(value))
    layers = [sa1b.crop_boxes(width, height, layer) for layer in range(3)]
    layer = next(k for k, boxes in enumerate(layers) if annotation["crop_box"] in boxes)
    x0, y0, crop_w, crop_h = annotation["crop_box"]
    (px, py), grid = annotation["point_coords"][0], (32, 16, 8)[layer]
    for value, start, length in ((px, x0, crop_w), (py, y0, crop_h)):
        step = (value - start) / length * 2 * grid
        assert step == pytest.approx(round(step), abs=1e-6) and round(step) % 2 == 1


def test_masks_are_nested_holed_and_split(shards):
    masks = []
    for name in sorted(documents(shards["sa_000000"]))[:2]:
        found = [coco_mask.decode(a["segmentation"]) for a in json.loads(shards["sa_000000"][name])["annotations"]]
        masks.append([m.astype(bool) for m in found])
    assert sum((a & b).sum() == b.sum() for ms in masks for a in ms for b in ms if a is not b) > 20
    assert any(components(m)[0] > 1 for ms in masks for m in ms)
    assert any(components(m)[1] > 0 for ms in masks for m in ms)


def components(mask: np.ndarray) -> tuple[int, int]:
    """(components, holes), by scikit-image: only tests may use it."""
    from skimage.measure import euler_number, label

    count = int(label(mask, connectivity=2).max())
    return count, count - int(euler_number(mask, connectivity=2))


def test_captions_lack_one_and_have_one_too_many(sample, shards):
    for shard, members in shards.items():
        lines = (sample / f"sa1b/captions/{shard}-blip2-caption.json").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        named = {row["img"] for row in rows}
        there = {name.removeprefix("./") for name in members if name.endswith("jpg")}
        assert all(list(row) == ["img", "prompt"] and row["prompt"] for row in rows)
        odd = 1 if shard == "sa_000000" else 0
        assert len(there - named) == odd and len(named - there) == odd


def test_links_file(sample):
    data = (sample / "sa1b/sa1b_links.txt").read_bytes()
    rows = [line.split("\t") for line in data.decode("ascii").split("\n")]
    assert rows[0] == ["file_name", "cdn_link"] and not data.endswith(b"\n")
    assert "sa_images_ids.txt" in [row[0] for row in rows]
    expiries = [int(re.search(r"oe=([0-9A-F]+)", row[1])[1], 16) for row in rows[1:]]
    assert min(expiries) < 1.7e9 < max(expiries)


def test_evaluation_sets_pair_up(sample):
    root = sample / "sa1b/evaldata"
    for images, truths, old, new in (
        ("HRSOD-TE/imgs", "HRSOD-TE/gts", ".jpg", ".png"),
        ("CAMO/imgs", "CAMO/gts", ".jpg", ".png"),
        ("BIG/val", "BIG/val", "_im.jpg", "_gt.png"),
        ("ADE20K_2016_07_26/images/validation", "ADE20K_2016_07_26/images/validation", ".jpg", "_seg.png"),
        ("VOC2012/JPEGImages_val", "VOC2012/SegmentationObject", ".jpg", ".png"),
        ("DRAM_raw/test_images", "DRAM_raw/test_targets_color", ".jpg", ".png"),
        ("egohos/val/image", "egohos/val/label", ".jpg", ".png"),
        ("splits_final_deblurred/train/data", "splits_final_deblurred/train/sem_seg", ".PNG", ".PNG"),
    ):
        pictures = sorted((root / images).rglob(f"*{old}"))
        assert len(pictures) >= 2
        for picture in pictures:
            truth = root / truths / str(picture.relative_to(root / images)).replace(old, new)
            assert array(truth).shape[:2] == array(picture).shape[:2] == (120, 160)
            assert len(np.unique(array(truth))) > 1
    for listing in ("COCO2017-val/instances_val2017.json", "LVIS/annotations/lvis_v1_val.json"):
        document = json.loads((root / listing).read_text())
        known = {image["id"] for image in document["images"]}
        used = {annotation["image_id"] for annotation in document["annotations"]}
        assert used < known
        assert all(image.get("file_name") or image["coco_url"] for image in document["images"])
    assert len(list((root / "BBC038V1-Train").glob("*/masks/*.png"))) > 8


# --- Cityscapes ------------------------------------------------------------------------------------------------------


def test_label_maps_agree_with_each_other(sample):
    stems = list((sample / "cityscapes/gtFine").rglob("*_gtFine_labelIds.png"))
    assert len(stems) == 13
    for path in stems:
        labels = array(path)
        instances = array(path.with_name(path.name.replace("labelIds", "instanceIds")))
        colours = array(path.with_name(path.name.replace("labelIds", "color")))
        assert labels.dtype == np.uint8 and instances.dtype == np.uint16 and colours.shape[2] == 4
        assert np.array_equal(np.where(instances >= 1000, instances // 1000, instances), labels)
        for label in np.unique(labels):
            assert {tuple(c) for c in colours[labels == label]} == {
                (*cityscapes.COLOURS.get(int(label), (0, 0, 0)), 255)
            }


def test_video_release_lists_name_files_that_exist(sample):
    counts = {}
    for split in ("train", "val", "test"):
        images = json.loads((sample / f"cityscapes_vps/panoptic_im_{split}_city_vps.json").read_text())["images"]
        counts[split] = len(images)
        for image in images:
            name = image["id"][10:]
            photo = sample / f"cityscapes/leftImg8bit_sequence/val/frankfurt/{name}_leftImg8bit.png"
            assert photo.is_file()
            if split == "test":
                continue
            folder = sample / "cityscapes_vps" / split
            new = image["file_name"].endswith("newImg8bit.png")
            mask, inst = (
                folder / f"cls/{image['id']}_final_mask.png",
                folder / (f"inst/{image['id']}_original_image_instance_greyscale.png"),
            )
            assert mask.is_file() == inst.is_file() == new
            assert new or (sample / f"cityscapes/gtFine/val/frankfurt/{name}_gtFine_color.png").is_file()
    assert counts == {"train": 12, "val": 6, "test": 6}
    for split in ("val", "test"):
        every = json.loads((sample / f"cityscapes_vps/im_all_info_{split}_city_vps.json").read_text())["images"]
        assert [image["id"] for image in every] == list(range(10001, 10031))
        assert all((sample / "cityscapes/leftImg8bit_sequence/val/frankfurt" / i["file_name"]).is_file() for i in every)


def test_clip_numbers_follow_from_the_names(sample):
    names = sorted(p.name for p in (sample / "cityscapes/gtFine/val/frankfurt").glob("*_labelIds.png"))
    listing = json.loads((sample / "cityscapes_vps/panoptic_im_val_city_vps.json").read_text())["images"]
    centre = next(image["id"] for image in listing if image["file_name"].endswith("leftImg8bit.png"))
    assert names.index(f"{centre[10:]}_gtFine_labelIds.png") + 1 == int(centre[:4]) == 5


def test_things_move_keep_their_numbers_and_come_back(sample):
    seen: dict[int, dict[int, float]] = {}
    paths = sorted((sample / "cityscapes_vps").glob("*/inst/*.png"))
    assert any((array(path) == 26).any() for path in paths), "a car region without instance"
    clips = {path.name[:4] for path in paths}
    gaps = 0
    for clip in clips:
        seen = {}
        for k, path in enumerate(p for p in paths if p.name.startswith(clip)):
            instances = array(path)
            for value in np.unique(instances[instances >= 1000]):
                seen.setdefault(int(value), {})[k] = float(np.nonzero(instances == value)[1].mean())
        assert sum(len(track) == 5 for track in seen.values()) > 5
        assert any(np.ptp(list(track.values())) > 10 for track in seen.values())
        gaps += sum(max(track) - min(track) >= len(track) for track in seen.values())
    assert gaps


# --- MaskTerial ------------------------------------------------------------------------------------------------------


def test_flakes_are_annotated_where_they_are(sample):
    root = sample / "maskterial/GrapheneH"
    classes = json.loads((root / "classes.json").read_text())
    assert [c["id"] for c in classes["classes"]] == [1, 2, 3, 4]
    labels, grouped = set(), 0
    for split, count in (("train", 20), ("test", 6)):
        found = sorted((root / "labelme" / split).glob("*/*.json"))
        assert len(found) == count
        for path in found:
            document = json.loads(path.read_text())
            with Image.open(path.with_suffix(".jpg")) as image:
                assert image.size == (document["imageWidth"], document["imageHeight"]) == (480, 300)
            assert document["imagePath"] == path.with_suffix(".jpg").name
            groups = [s["group_id"] for s in document["shapes"] if s["group_id"] is not None]
            grouped += len(groups) > len(set(groups))
            labels |= {shape["label"] for shape in document["shapes"]}
            assert all(3 <= len(shape["points"]) <= 60 for shape in document["shapes"])
    assert labels == {"1", "2", "3", "4"} and grouped > 3


def test_more_layers_are_darker():
    sums = [sum(contrast) for contrast in maskterial.CONTRAST]
    assert sums == sorted(sums, reverse=True) and max(sums) < 0


# --- archives --------------------------------------------------------------------------------------------------------


def members_of(found: list[bytes]) -> dict[str, bytes]:
    """Read a split set by its directory: header at (part, place), data running on over the parts."""
    end = found[-1].rindex(b"PK\x05\x06")
    disk, start, _, total, _, offset = struct.unpack("<HHHHII", found[-1][end + 4 : end + 20])
    assert disk == len(found) - 1
    out = {}
    for _ in range(total):
        if offset == len(found[start]):
            start, offset = start + 1, 0
        record = struct.unpack("<IHHHHHHIIIHHHHHII", found[start][offset : offset + 46])
        assert record[0] == 0x02014B50
        method, crc, packed, size, name_length, part, place = (record[k] for k in (4, 7, 8, 9, 10, 13, 16))
        name = found[start][offset + 46 : offset + 46 + name_length].decode()
        offset += 46 + name_length
        assert found[part][place : place + 4] == b"PK\x03\x04"
        stream = found[part][place + 30 + name_length :] + b"".join(found[part + 1 :])
        data = stream[:packed] if method == 0 else zlib.decompress(stream[:packed], -15)
        assert len(data) == size and zlib.crc32(data) == crc
        out[name] = data
    return out


def test_the_split_set_can_be_read_and_has_a_member_over_a_whole_part(sample):
    found = [*sorted((sample / "maggie").glob("Sample-Split.z[0-9]*")), sample / "maggie/Sample-Split.zip"]
    data = [path.read_bytes() for path in found]
    assert len(data) >= 3 and data[0][:4] == b"PK\x07\x08" and max(map(len, data)) <= archives.PART
    members = members_of(data)
    assert len(members) == 20
    assert any(part in content for part in data[1:-1] for content in members.values())
    for name, content in members.items():
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert image.mode == ("L" if "/alphas/" in name else "RGB")


def test_the_single_archive_and_seven_zip_agree(sample, tmp_path):
    with zipfile.ZipFile(sample / "maggie/Sample-Whole.zip") as whole:
        assert whole.testzip() is None and len(whole.namelist()) == 8
        alpha = Image.open(io.BytesIO(whole.read("Sample-Whole/alphas/00000/00.png")))
        levels = np.unique(np.asarray(alpha))
        assert levels[0] == 0 and levels[-1] == 255 and len(levels) > 50
    tool = shutil.which("7z") or shutil.which("7zz")
    if tool:
        done = subprocess.run([tool, "t", str(sample / "maggie/Sample-Split.zip")], check=False, capture_output=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("room", [64, 100, 137, 300])
def test_headers_are_never_cut(room):
    entries = [(f"f{k}", bytes(range(k * 7 % 256)) * 3) for k in range(9)]
    found = archives.pack(entries, room)
    assert max(map(len, found)) <= room
    assert members_of(found) == dict(entries)
