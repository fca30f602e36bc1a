"""Cityscapes-VPS: names, colour masks, panoptic maps, ids over a video, the ground-truth JSON."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segassets.findings import BadItem
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_checks as rules
from segassets.formats import cityscapes_vps_items as items
from segassets.formats import cityscapes_vps_labels, rle
from segassets.formats.png import gray_png, rgb_png

GOLDEN = Path(__file__).parents[3] / "shared/golden/cityscapes_vps"
golden = pytest.mark.golden

CODES = {record["name"]: sum(c << 8 * i for i, c in enumerate(record["color"]))
         for record in vps.REPAIRED_CATEGORIES}  # fmt: skip
ROAD, SKY, POLE, PERSON, RIDER, CAR = (CODES[name] for name in ("road", "sky", "pole", "person", "rider", "car"))
OFF_TABLE, UNLABELED, TRAILER = 0x123456, 0, 110 << 16
CAR_ID = 13
IMAGE_ID = "0001_0004_frankfurt_000000_000294"


def png_of(image: Image.Image, **options) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG", **options)
    return target.getvalue()


def codes_of(found) -> list[str]:
    return [finding.code for finding in found]


# --- categories -----------------------------------------------------------------------------------------------------


def test_the_table_is_upstreams_with_its_slips_and_the_repaired_one_is_not():
    assert [record["id"] for record in vps.CATEGORIES] == list(range(19))
    assert [record["id"] for record in vps.CATEGORIES if record["isthing"]] == list(range(11, 19))
    assert (vps.CATEGORIES[8]["name"], vps.CATEGORIES[7]["ori_id"]) == ("vegitation", 21)
    assert (vps.REPAIRED_CATEGORIES[8]["name"], vps.REPAIRED_CATEGORIES[7]["ori_id"]) == ("vegetation", 20)
    assert len({tuple(record["color"]) for record in vps.CATEGORIES}) == 19
    assert len({record["ori_id"] for record in vps.REPAIRED_CATEGORIES}) == 19


# --- names ----------------------------------------------------------------------------------------------------------


def test_the_three_files_of_a_frame_have_one_image_id():
    new = vps.FrameName.from_image_id(IMAGE_ID)
    assert new == (1, 4, "frankfurt", 0, 294, False)
    assert new.file_name("photograph") == IMAGE_ID + "_newImg8bit.png"
    assert new.file_name("colour_mask") == IMAGE_ID + "_final_mask.png"
    assert new.file_name("instance_map") == IMAGE_ID + "_original_image_instance_greyscale.png"
    central = new._replace(central=True)
    assert central.file_name("photograph") == IMAGE_ID + "_leftImg8bit.png"
    assert central.file_name("colour_mask") == IMAGE_ID + "_gtFine_color.png"
    assert central.cityscapes_file_name("instance_map") == "frankfurt_000000_000294_gtFine_instanceIds.png"
    assert new.cityscapes_file_name("photograph") == "frankfurt_000000_000294_leftImg8bit.png"


numbers = st.integers(0, 9999)
frame_names = st.builds(
    vps.FrameName, numbers, numbers, st.sampled_from(["lindau", "bad-honnef"]), numbers, numbers, st.booleans()
)


@given(frame_names, st.sampled_from(["photograph", "colour_mask", "instance_map"]))
def test_names_are_read_as_they_are_written(frame, kind):
    assert vps.FrameName.from_file_name(frame.file_name(kind), kind) == frame
    assert vps.FrameName.from_image_id(frame.image_id, frame.central) == frame


@pytest.mark.parametrize(
    "name",
    [
        "", "x.png", IMAGE_ID, IMAGE_ID + "_final_mask.png.png", "a" + IMAGE_ID + "_final_mask.png",
        "sub/" + IMAGE_ID + "_final_mask.png", IMAGE_ID + "_final_mask.png\n", IMAGE_ID + "_newImg8bit.png",
        "٠٠٠١_0004_frankfurt_000000_000294_final_mask.png", "0001_0004__000000_000294_final_mask.png",
    ],
)  # fmt: skip
def test_other_names_are_left_aside_with_a_finding(name):
    frames, findings = vps.frames_from_names([name, IMAGE_ID + "_gtFine_color.png"], "colour_mask")
    assert [frame.central for frame in frames] == [True]
    assert [(finding.severity, finding.code, finding.path) for finding in findings] == [
        ("warning", "unknown_name", name)
    ]


def test_frames_come_in_image_id_order_and_doubles_are_left_out():
    first, second = (vps.FrameName(1, number, "lindau", 0, 5) for number in (1, 2))
    names = [second.file_name("photograph"), first.file_name("photograph")]
    assert vps.frames_from_names(names, "photograph") == ([first, second], [])
    frames, findings = vps.frames_from_names(
        [*names, first._replace(central=True).file_name("photograph")], "photograph"
    )
    assert (frames, codes_of(findings), findings[0].image) == ([second], ["duplicate_frame"], first.image_id)


def test_the_release_list_is_checked_record_by_record():
    good = {"id": IMAGE_ID, "width": 2048, "height": 1024, "file_name": IMAGE_ID + "_leftImg8bit.png"}
    records = [good, {**good, "id": "0002" + IMAGE_ID[4:]}, {"id": 7}, "x", {**good, "file_name": "x.jpg"}]
    frames, findings = vps.frames_from_release_list(json.dumps({"images": records}).encode())
    assert [(frame.image_id, frame.central) for frame in frames] == [(IMAGE_ID, True)]
    assert codes_of(findings) == ["name_differs", "unknown_name", "unknown_name", "unknown_name"]
    assert [finding.index for finding in findings] == [1, 2, 3, 4]
    frames, findings = vps.frames_from_release_list(json.dumps({"images": [good, good]}).encode())
    assert (frames, codes_of(findings)) == ([], ["duplicate_frame"])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_json"), (b"<html>", "bad_json"), (b"\xff\xfe\xfd", "bad_json"), (b"[" * 100_000, "bad_json"),
        (b"[]", "not_a_frame_list"), (b'{"images": {}}', "not_a_frame_list"), (b"3", "not_a_frame_list"),
        (b"1" * 5000, "bad_json"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused(data, code):
    with pytest.raises(BadItem, match=code):
        vps.frames_from_release_list(data)


# --- decoding -------------------------------------------------------------------------------------------------------


def test_colour_codes_are_r_g_b_whatever_the_alpha():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (5, 7, 4), np.uint8)
    want = pixels[..., :3].astype(int) @ [1, 256, 65536]
    for data in (png_of(Image.fromarray(pixels)), rgb_png(np.ascontiguousarray(pixels[..., :3]))):
        found = vps.read_colour_mask(data)
        assert found.dtype == np.uint32
        assert (found == want).all()
    assert (vps.rgb_of(vps.read_colour_mask(data)) == pixels[..., :3]).all()


def test_instance_maps_may_have_8_or_16_bits():
    values = np.array([[0, 255], [3, 4]])
    for array in (values.astype(np.uint8), (values * 100).astype(np.uint16)):
        found = vps.read_instances(gray_png(array))
        assert found.dtype == np.uint16
        assert (found == array).all()


GREY = Image.fromarray(np.eye(4, dtype=np.uint8))


@pytest.mark.parametrize(
    ("read", "image", "found"),
    [
        (vps.read_instances, GREY.convert("RGB"), "8-bit RGB PNG"),
        (vps.read_instances, GREY.convert("RGBA"), "8-bit RGBA PNG"),
        (vps.read_instances, GREY.convert("P"), "8-bit palette PNG"),
        (vps.read_instances, GREY.convert("1"), "1-bit grey PNG"),
        (vps.read_colour_mask, GREY, "8-bit grey PNG"),
        (vps.read_colour_mask, GREY.convert("P"), "8-bit palette PNG"),
        (vps.read_colour_mask, GREY.convert("LA"), "8-bit grey with alpha PNG"),
    ],
)
def test_other_modes_are_refused_and_named(read, image, found):
    with pytest.raises(BadItem, match=f"bad_mode.*{found}"):
        read(png_of(image))


def png_chunks(width: int, height: int, depth: int, colour: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_16_bit_colours_are_not_cut_to_8():
    with pytest.raises(BadItem, match="16-bit RGB PNG"):
        vps.read_colour_mask(png_chunks(1, 1, 16, 2, bytes(7)))


@pytest.mark.parametrize("size", [(0, 5), (1 << 31, 1 << 31), (100_000, 100_000)])
def test_sizes_that_lie_are_refused_before_decoding(size):
    with pytest.raises(BadItem, match="bad_png"):
        vps.read_instances(png_chunks(*size, 16, 0))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_pngs_are_refused_or_read_never_a_crash(data):
    good = data.draw(st.sampled_from([png_of(GREY), png_of(GREY.convert("RGB")), png_of(GREY.convert("RGBA"))]))
    blob = bytearray(good)
    for _ in range(data.draw(st.integers(0, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    blob = bytes(blob[: data.draw(st.integers(0, len(blob)))])
    for read in (vps.read_colour_mask, vps.read_instances):
        try:
            assert read(blob).ndim == 2
        except BadItem as problem:
            assert problem.findings


# --- label maps and panoptic maps -----------------------------------------------------------------------------------


def naive_panoptic(codes: np.ndarray, instances: np.ndarray, crowd: bool) -> np.ndarray:
    """The rule of section 2.3 as it reads, value by value over full frames."""
    labels = vps.labelmap(codes).astype(int)
    pan = np.where(labels <= 10, labels, 255)
    if crowd:
        pan = np.where((labels >= 11) & (labels < 255) & (instances < 1000), labels, pan)
    for value in np.unique(instances):
        if value >= 1000:
            region = instances == value
            colours, votes = np.unique(codes[region], return_counts=True)
            category = int(vps.labelmap(colours[votes.argmax()].reshape(1, 1))[0, 0])
            if 11 <= category < 255:
                pan[region] = 1000 * category + value % 1000
    return pan


some_codes = st.sampled_from([ROAD, SKY, POLE, PERSON, CAR, OFF_TABLE, UNLABELED, TRAILER])
some_instances = st.sampled_from([0, 24, 999, 1000, 24000, 24005, 25005, 26999, 30001, 65535])


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 8), st.integers(1, 8), st.booleans(), st.sampled_from([1, 20, 1 << 16]))
def test_panoptic_maps_follow_the_rule_exactly(data, h, w, crowd, many):
    with pytest.MonkeyPatch.context() as patch:  # also in the way that maps of noise go
        patch.setattr(cityscapes_vps_labels, "_MANY", many)
        _follows_the_rule(data, h, w, crowd)


def _follows_the_rule(data, h, w, crowd):
    codes = np.array(data.draw(st.lists(some_codes, min_size=h * w, max_size=h * w)), np.uint32).reshape(h, w)
    values = data.draw(st.lists(some_instances, min_size=h * w, max_size=h * w))
    instances = np.array(values, np.uint16).reshape(h, w)
    pan, findings = vps.panoptic_inst(codes, instances, "crowd" if crowd else "void")
    assert pan.dtype == np.uint16
    assert (pan == naive_panoptic(codes, instances, crowd)).all()
    assert len(set(codes_of(findings))) == len(findings)
    ids = vps.structured_ids(vps.pan_values(pan), 7)
    id_map, segments = vps.panoptic_video(pan, ids)
    assert ((id_map == 0) == (pan == 255)).all()
    assert {s["id"]: s["area"] for s in segments} == {
        int(i): int((id_map == i).sum()) for i in np.unique(id_map[id_map > 0])
    }
    assert sum(s["area"] for s in segments) == (pan != 255).sum()
    assert all(s["iscrowd"] == 0 for s in segments) or crowd


def test_labelmap_knows_19_colours_and_nothing_else():
    every = np.array([[CODES[record["name"]] for record in vps.REPAIRED_CATEGORIES], [OFF_TABLE] * 19], np.uint32)
    labels = vps.labelmap(every)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [list(range(19)), [255] * 19]
    assert vps.labelmap(np.array([[0xFFFFFF, 0, TRAILER]], np.uint32)).tolist() == [[255, 255, 255]]


def row(*values) -> np.ndarray:
    return np.array([values], np.uint32)


def test_a_tie_goes_to_the_smallest_code_and_unknown_colours_vote():
    tie = [CAR, PERSON]
    winner = 11 if min(tie) == PERSON else 13
    assert vps.panoptic_inst(row(*tie), row(26001, 26001))[0].tolist() == [[winner * 1000 + 1] * 2]
    assert vps.panoptic_inst(row(*tie[::-1]), row(26001, 26001))[0].tolist() == [[winner * 1000 + 1] * 2]
    pan, findings = vps.panoptic_inst(row(OFF_TABLE, OFF_TABLE, CAR), row(26001, 26001, 26001))
    assert pan.tolist() == [[255, 255, 255]]
    assert "instance_dropped" in codes_of(findings)


@pytest.mark.parametrize(
    ("codes", "instances", "pan", "found"),
    [
        ([CAR, CAR], [26000, 26], [13000, 255], ["group_void"]),
        ([PERSON, RIDER], [24005, 25005], [11005, 12005], []),
        ([PERSON, PERSON], [24005, 25005], [11005, 11005], ["instance_class_differs", "instance_collision"]),
        ([ROAD, ROAD, CAR], [26001] * 3, [0, 0, 255], ["instance_dropped"]),
        ([CAR, CAR, SKY], [26001] * 3, [13001] * 3, ["instance_disagreement"]),
        ([TRAILER, UNLABELED], [30001, 0], [255, 255], []),
        ([OFF_TABLE, ROAD], [0, 7], [255, 0], ["unknown_colour"]),
        ([CAR], [24001], [13001], ["instance_class_differs"]),
        ([POLE], [17], [5], []),
        ([ROAD] * 3, [65535, 34000, 29001], [0] * 3, ["instance_dropped"]),
    ],
)
def test_what_is_odd_in_a_frame_is_reported(codes, instances, pan, found):
    values, findings = vps.panoptic_inst(row(*codes), row(*instances))
    assert (values.tolist(), codes_of(findings)) == ([pan], found)


def test_unknown_colours_are_a_matter_of_the_colour_mask():
    """The instance map was blamed, which has no colours."""
    cls, inst = rgb_png(np.full((4, 4, 3), 3, np.uint8)), gray_png(np.full((4, 4), 7, np.uint16))
    made = items.panoptic_inst_file(IMAGE_ID, cls, inst, "a.png", "void", paths=("cls.png", "inst.png"))
    assert [(f.code, f.path) for f in made.findings] == [("unknown_colour", "cls.png")]


def test_groups_become_crowds_when_asked():
    pan, findings = vps.panoptic_inst(row(CAR, CAR, ROAD), row(26, 26001, 0), groups="crowd")
    assert (pan.tolist(), codes_of(findings)) == ([[13, 13001, 0]], ["group_crowd"])
    _, segments = vps.panoptic_video(pan, vps.structured_ids(vps.pan_values(pan), 5))
    assert [(s["category_id"], s["iscrowd"]) for s in segments] == [(0, 0), (13, 1), (13, 0)]


def test_maps_of_different_sizes_are_refused():
    with pytest.raises(BadItem, match="size_differs"):
        vps.panoptic_inst(np.zeros((2, 3), np.uint32), np.zeros((3, 2), np.uint16))


def test_a_map_of_noise_stays_small_and_quick():
    random = np.random.default_rng(1)
    codes = random.integers(0, 1 << 24, (256, 512), dtype=np.uint32)
    instances = random.integers(0, 1 << 16, (256, 512)).astype(np.uint16)
    pan, _ = vps.panoptic_inst(codes, instances)
    assert (pan == 255).mean() > 0.99


# --- ids over a video -----------------------------------------------------------------------------------------------


def test_structured_ids_are_24_bits_distinct_and_reversible():
    values = [*range(19), 11000, 18999]
    tables = {clip: vps.structured_ids(values, clip) for clip in (0, 1, 511)}
    things = [i for table in tables.values() for v, i in table.items() if v >= 11]
    assert len(set(things)) == len(things) == 30
    assert max(things) < 1 << 24
    for clip, table in tables.items():
        assert [table[0], table[10]] == [ROAD, SKY]
        assert all(vps.value_of_structured(table[v]) == ((clip, v) if v >= 11 else None) for v in values)
    with pytest.raises(BadItem, match="clip_too_large"):
        vps.structured_ids(values, 512)


def test_no_structured_id_of_a_thing_is_the_colour_of_stuff():
    stuff = {sum(c << 8 * k for k, c in enumerate(record["color"])) for record in vps.CATEGORIES[:11]}
    things = [*range(11, 19), *range(11000, 19000)]
    moved = 0
    for clip in range(512):
        table = vps.structured_ids(things, clip)
        assert not stuff & set(table.values())
        moved += sum(number != clip * 32768 + value for value, number in table.items())
        assert len(set(table.values())) == len(things)
    assert moved == sum(11000 <= number % 32768 < 19000 or 11 <= number % 32768 < 19 for number in stuff) > 0
    assert vps.value_of_structured(vps.structured_ids([11002], 61)[11002]) == (61, 11002)


def test_colour_ids_start_with_the_categories_colours_and_never_repeat():
    frames = [(5, [0, 10, 13001, 13002]), (5, [0, 13002, 13003]), (15, [0, 13001])]
    ids = vps.colour_ids(frames, seed=3)
    assert (ids[5][0], ids[5][10], ids[5][13001]) == (ROAD, SKY, CAR)
    things = [i for table in ids.values() for v, i in table.items() if v >= 1000]
    assert len(set(things)) == len(things) == 4
    for code in things:
        distance = np.subtract([code & 255, code >> 8 & 255, code >> 16], vps.CATEGORIES[13]["color"])
        assert abs(distance).max() <= 30
    assert vps.colour_ids(frames, seed=3) == ids != vps.colour_ids(frames, seed=4)


def test_a_thing_keeps_its_colour_through_gaps_and_a_clip_comes_once():
    assert vps.colour_ids([(5, [13001]), (5, []), (5, [13001])]) == {5: {13001: CAR}}
    with pytest.raises(ValueError, match="order"):
        vps.colour_ids([(5, [13001]), (6, []), (5, [])])


def test_values_of_no_category_are_refused():
    for bad in (19, 254, 256, 1000, 10999, 19000, 65535):
        with pytest.raises(BadItem, match="bad_panoptic_value"):
            vps.pan_values(np.array([[0, bad]], np.uint16))
    with pytest.raises(BadItem, match="bad_panoptic_value"):
        vps.pan_values(np.array([[0, -1]], np.int32))
    with pytest.raises(BadItem, match="bad_panoptic_value"):
        vps.pan_values(np.array([[0.5]]))


# --- panoptic_gt ----------------------------------------------------------------------------------------------------


def test_panoptic_gt_is_one_document_in_upstreams_order():
    names = [vps.FrameName(5, number, "lindau", 1, number, number == 28) for number in (27, 28)]
    segments = [{"id": ROAD, "category_id": 0, "iscrowd": 0, "area": 3}]
    chunks = list(vps.panoptic_gt((name, (2, 4), found) for name, found in zip(names, (segments, []), strict=True)))
    document = json.loads(b"".join(chunks))
    assert b"".join(chunks) == json.dumps(document).encode()
    assert list(document) == ["images", "annotations", "categories"]
    assert document["images"][1] == {
        "id": "0005_0028_lindau_000001_000028", "width": 4, "height": 2,
        "file_name": "0005_0028_lindau_000001_000028_leftImg8bit.png",
    }  # fmt: skip
    assert document["annotations"][0] == {
        "image_id": "0005_0027_lindau_000001_000027",
        "file_name": "0005_0027_lindau_000001_000027_final_mask.png", "segments_info": segments,
    }  # fmt: skip
    assert document["annotations"][1]["segments_info"] == []
    assert document["categories"] == vps.CATEGORIES


def test_panoptic_gt_without_frames_and_out_of_order():
    assert json.loads(b"".join(vps.panoptic_gt([], vps.REPAIRED_CATEGORIES)))["images"] == []
    first, second = (vps.FrameName(5, number, "lindau", 1, 1) for number in (1, 2))
    with pytest.raises(ValueError, match="order"):
        list(vps.panoptic_gt([(second, (1, 1), []), (first, (1, 1), [])]))


# --- golden data ----------------------------------------------------------------------------------------------------


def golden_frames(split: str) -> dict[vps.FrameName, tuple[np.ndarray, np.ndarray]]:
    release = GOLDEN / "input/cityscapes_vps"
    frames, findings = vps.frames_from_release_list((release / f"panoptic_im_{split}_city_vps.json").read_bytes())
    assert not findings
    maps = {}
    for frame in frames:
        paths = []
        for kind, folder in (("colour_mask", "cls"), ("instance_map", "inst")):
            central = GOLDEN / "input/gtFine/val" / frame.city / frame.cityscapes_file_name(kind)
            paths.append(central if frame.central else release / split / folder / frame.file_name(kind))
        maps[frame] = vps.read_colour_mask(paths[0].read_bytes()), vps.read_instances(paths[1].read_bytes())
    return maps


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@golden
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden data is not there")
@pytest.mark.parametrize("split", ["train", "val"])
def test_golden_maps_ids_and_json_are_equal(split):
    expected = GOLDEN / "expected/cityscapes_vps" / split
    pans = {}
    for frame, (codes, instances) in golden_frames(split).items():
        name = frame.file_name("colour_mask")
        assert (vps.labelmap(codes) == pixels(expected / "labelmap" / name)).all()
        pans[frame], _ = vps.panoptic_inst(codes, instances)
        assert (pans[frame] == pixels(expected / "panoptic_inst" / name)).all()
    ids = vps.colour_ids(((frame.clip, vps.pan_values(pan)) for frame, pan in pans.items()), seed=0)
    records = []
    for frame, pan in pans.items():
        id_map, segments = vps.panoptic_video(pan, ids[frame.clip])
        name = frame.file_name("colour_mask")
        assert (vps.rgb_of(id_map) == pixels(expected / "panoptic_video" / name)).all()
        records.append((frame, pan.shape, segments))
    document = b"".join(vps.panoptic_gt(records))
    assert document == (expected.parent / f"panoptic_gt_{split}_city_vps.json").read_bytes()


@golden
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden data is not there")
def test_golden_crowds_are_equal():
    folder = GOLDEN / "vpq/crowd"
    pans = {
        vps.FrameName.from_file_name(path.name, "colour_mask"): pixels(path)
        for path in sorted((folder / "input/cityscapes_vps/val/panoptic_inst").iterdir())
    }
    ids = vps.colour_ids((frame.clip, vps.pan_values(pan)) for frame, pan in pans.items())
    records = []
    for frame, pan in pans.items():
        id_map, segments = vps.panoptic_video(pan, ids[frame.clip])
        name = frame.file_name("colour_mask")
        assert (vps.rgb_of(id_map) == pixels(folder / "expected/panoptic_video" / name)).all()
        records.append((frame, pan.shape, segments))
    document = b"".join(vps.panoptic_gt(records))
    assert document == (folder / "expected/panoptic_gt_val_city_vps.json").read_bytes()
    assert b'"iscrowd": 1' in document


# --- options that are off by default ---------------------------------------------------------------------------------


def test_the_ego_vehicle_becomes_road_on_request_as_it_was_until_2020():
    codes = np.full((10, 4), UNLABELED, np.uint32)
    codes[6:, :2] = CAR
    instances = np.zeros((10, 4), np.uint16)
    instances[9, 0] = 26000
    cls, inst = rgb_png(vps.rgb_of(codes)), gray_png(instances)
    for made, car in (
        (items.labelmap_file(IMAGE_ID, cls, "a.png", True), CAR_ID),
        (items.panoptic_inst_file(IMAGE_ID, cls, inst, "b.png", "crowd", True), CAR_ID),
        (items.panoptic_inst_file(IMAGE_ID, cls, inst, "c.png", "void", True), None),
    ):
        found = np.asarray(Image.open(io.BytesIO(made.files[0].data)))
        assert (found[:7, 2:] == 255).all() and (found[7:, 2:] == 0).all()
        assert (found[7:9, :2] == (0 if car is None else car)).all()
        assert found[9, 0] == (car if found.dtype == np.uint8 else 1000 * CAR_ID)
    plain = items.labelmap_file(IMAGE_ID, cls, "a.png")
    assert (np.asarray(Image.open(io.BytesIO(plain.files[0].data)))[:, 2:] == 255).all()


def test_run_lengths_are_lists_or_cocos_strings():
    pan = np.full((6, 5), 255, np.uint16)
    pan[1:4, 2:4] = 13001
    made = [json.loads(json.loads(items.instances_row(IMAGE_ID, gray_png(pan), c).rows["annotations"][0])[0])
            for c in (False, True)]  # fmt: skip
    lengths, string = (record.pop("segmentation") for record in made)
    assert made[0] == made[1] and lengths["size"] == string["size"] == [6, 5]
    assert rle.to_uncompressed(string["counts"], (6, 5)) == lengths["counts"] == [13, 3, 3, 3, 8]
    record = {**made[0], "id": 1, "segmentation": string}
    sizes = {record["image_id"]: (6, 5)}
    assert list(rules.instance_findings([record], sizes)) == []
    for change in ({"area": 7}, {"segmentation": {**string, "counts": "zz"}}):
        assert len(list(rules.instance_findings([{**record, **change}], sizes))) == 1
