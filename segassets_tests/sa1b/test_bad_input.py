"""Bad shards of every kind: each ends in a finding that names what is wrong, and costs no more than its image."""

import gzip
import json
import os

import numpy as np
import pytest

from segassets.errors import PartitionRejected
from segassets_tests.sa1b.conftest import SHARD, Bench
from segassets_tests.sa1b.shards import changed, document, picture, sound, tar


def run(bench, data, asset="shard_index", **options):
    """Make the index (or another asset) of a shard; the findings, and what was published."""
    bench.put(f"{SHARD}.tar", data)
    outcome = bench.make(asset, max_rejected=0.5, **options)
    return outcome.findings, bench.handle(asset)


def told(findings):
    return {(finding.severity, finding.code, finding.image, finding.index) for finding in findings}


def edit(number, path, value):
    """A change of one value of an image's JSON, by its path."""

    def change(content):
        place = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return lambda members: changed(members, number, change)


def drop(name):
    return lambda members: {key: value for key, value in members.items() if key != name}


def put(name, data):
    return lambda members: {**members, name: data}


first = ("annotations", 1)
ERRORS = {
    "missing_jpg": (drop("sa_2.jpg"), ("error", "missing_jpg", "sa_2", None)),
    "missing_json": (drop("sa_2.json"), ("error", "missing_json", "sa_2", None)),
    "jpg_unreadable": (put("sa_2.jpg", b"no picture"), ("error", "jpg_unreadable", "sa_2", None)),
    "jpg_truncated": (put("sa_2.jpg", picture(2)[:-200]), ("error", "jpg_truncated", "sa_2", None)),
    "html instead of a picture": (put("sa_2.jpg", b"<html>expired</html>"), ("error", "jpg_unreadable", "sa_2", None)),
    "json_corrupt": (put("sa_2.json", b'{"image": '), ("error", "json_corrupt", "sa_2", None)),
    "json of the wrong shape": (put("sa_2.json", b"[1, 2]"), ("error", "json_schema", "sa_2", None)),
    "json_schema": (edit(2, (*first, "segmentation"), []), ("error", "json_schema", "sa_2", 1)),
    "a box that is no number": (edit(2, (*first, "bbox"), [0, 0, "1", 2]), ("error", "json_schema", "sa_2", 1)),
    "a bool as an area": (edit(2, (*first, "area"), True), ("error", "json_schema", "sa_2", 1)),
    "image_size_mismatch": (put("sa_2.jpg", picture(2, (48, 65))), ("error", "image_size_mismatch", "sa_2", None)),
    "rle_size_mismatch": (
        edit(2, (*first, "segmentation", "size"), [64, 48]),
        ("error", "rle_size_mismatch", "sa_2", 1),
    ),
    "json_corrupt by its size": (put("sa_2.json", b" " * (17 << 20)), ("error", "json_corrupt", "sa_2", None)),
    "runs that do not add up": (edit(2, (*first, "segmentation", "counts"), "0"), ("error", "rle_invalid", "sa_2", 1)),
    "a bad character": (edit(2, (*first, "segmentation", "counts"), "a b"), ("error", "rle_invalid", "sa_2", 1)),
    "an endless number": (
        edit(2, (*first, "segmentation", "counts"), "o" * 5000),
        ("error", "rle_invalid", "sa_2", 1),
    ),
}
WARNINGS = {
    "image_id_mismatch": (edit(2, ("image", "image_id"), 7), ("warning", "image_id_mismatch", "sa_2", None)),
    "no_annotations": (edit(2, ("annotations",), []), ("warning", "no_annotations", "sa_2", None)),
    "area_mismatch": (edit(2, (*first, "area"), 5), ("warning", "area_mismatch", "sa_2", 1)),
    "bbox_mismatch": (edit(2, (*first, "bbox"), [1, 2, 3, 4]), ("warning", "bbox_mismatch", "sa_2", 1)),
    "score_range": (edit(2, (*first, "predicted_iou"), 0.5), ("warning", "score_range", "sa_2", 1)),
    "a score that is NaN": (edit(2, (*first, "stability_score"), float("nan")), ("warning", "score_range", "sa_2", 1)),
    "duplicate_annotation_id": (edit(2, (*first, "id"), 2000), ("warning", "duplicate_annotation_id", "sa_2", 1)),
    "unexpected_member": (put("more/sa_9.jpg", b"x"), ("warning", "unexpected_member", None, None)),
    "a finder's file": (put("._sa_2.jpg", b"x"), ("warning", "unexpected_member", None, None)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_leaves_its_image_out_and_no_other(bench, name):
    change, wanted = ERRORS[name]
    findings, handle = run(bench, tar(change(sound())))
    assert told(findings) == {wanted}
    assert all(finding.path == f"{SHARD}.tar" and finding.message for finding in findings)
    assert [row["image"] for row in handle.records()] == ["sa_1", "sa_3", "sa_4", "sa_5"]


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_keeps_its_image(bench, name):
    change, wanted = WARNINGS[name]
    findings, handle = run(bench, tar(change(sound())))
    assert wanted in told(findings)
    assert {finding.severity for finding in findings} == {"warning"}
    left_out = {"sa_2"} if name == "no_annotations" else set()
    assert {row["image"] for row in handle.records()} == {f"sa_{n}" for n in range(1, 6)} - left_out


def test_an_empty_mask_is_kept_and_reported(bench):
    from segassets_tests.sa1b.shards import annotation

    def change(content):
        content["annotations"][1] = annotation(np.zeros((48, 64), bool), 77)

    findings, _ = run(bench, tar(changed(sound(), 2, change)))
    assert told(findings) == {("warning", "empty_mask", "sa_2", 1)}


def test_only_the_first_bad_annotation_of_an_image_is_reported(bench):
    def change(content):
        content["annotations"][1]["segmentation"]["counts"] = "0"
        content["annotations"][2]["segmentation"]["counts"] = "0"

    findings, _ = run(bench, tar(changed(sound(), 2, change)))
    assert told(findings) == {("error", "rle_invalid", "sa_2", 1)}


def test_of_a_member_that_comes_twice_the_last_is_used(bench):
    members = sound()
    again = [("sa_2.json", json.dumps(document(2, masks=1)).encode())]
    findings, handle = run(bench, tar([*members.items(), *again]))
    assert told(findings) == {("warning", "duplicate_member", "sa_2", None)}
    assert {row["image"]: row["masks"] for row in handle.records()}["sa_2"] == 1


@pytest.mark.parametrize("name", ["../sa_9.jpg", "/sa_9.jpg", "a\\sa_9.jpg"])
def test_an_unsafe_member_is_refused_by_name(bench, name):
    findings, handle = run(bench, tar(put(name, b"x")(sound())))
    assert [(finding.severity, finding.code) for finding in findings] == [("error", "unsafe_member")]
    assert handle.row_count() == 5


def test_ids_that_two_images_share_are_reported_once(bench):
    change = edit(2, (*first, "id"), 1001)
    run(bench, tar(change(sound())))
    findings, _ = run(bench, tar(change(sound())), asset="mask_table")
    assert told(findings) == {("warning", "duplicate_annotation_id", "sa_2", None)}
    assert findings[0].annotation_id == 1001 and "sa_1" in findings[0].message


SHARD_ERRORS = {
    "tar_truncated": lambda: tar(sound())[:-3000],
    "cut on a boundary": lambda: tar(sound())[: -(-len(tar(sound())) // 1024 // 2 * 512) or None][:10240],
    "tar_empty": lambda: tar({}),
    "tar_unreadable": lambda: b"<!DOCTYPE html><html><title>Link expired</title></html>",
    "random bytes": lambda: np.random.default_rng(1).bytes(20_000),
    "nothing at all": lambda: b"",
    "gzip that is cut": lambda: gzip.compress(tar(sound()))[:-500],
    "gzip that is cut at once": lambda: gzip.compress(tar(sound()))[:40],
    "only strangers": lambda: tar({"readme.txt": b"x"}),
}


@pytest.mark.parametrize("name", SHARD_ERRORS)
def test_a_shard_that_is_broken_as_a_whole_fails_whatever_is_allowed(bench, name):
    with pytest.raises(PartitionRejected) as rejected:
        run(bench, SHARD_ERRORS[name]())
    codes = {finding.code for finding in rejected.value.findings if finding.severity == "error"}
    assert codes & {"tar_truncated", "tar_empty", "tar_unreadable"}
    assert f"{SHARD}.tar" in str(rejected.value)
    assert not (bench.folder / "store/.segassets/manifests").exists()


def test_what_is_complete_before_a_cut_can_be_asked_for(bench):
    whole = tar(sound())
    findings, handle = run(bench, whole[: len(whole) * 3 // 5], allow_truncated=True)
    assert ("warning", "tar_truncated", None, None) in told(findings)
    assert 1 <= handle.row_count() < 5


@pytest.mark.parametrize("prefix", ["", "./"])
def test_gzip_order_and_prefix_make_no_difference(tmp_path, declared, prefix):
    members = [(f"{prefix}{name}", data) for name, data in reversed(sound().items())]
    plain, _ = run(Bench(tmp_path / "a"), tar(sound()))
    findings, handle = run(Bench(tmp_path / "b"), gzip.compress(tar(members)))
    assert findings == plain == []
    assert [row["image"] for row in handle.records()] == [f"sa_{n}" for n in range(1, 6)]
    _, table = run(Bench(tmp_path / "b"), gzip.compress(tar(members)), asset="mask_table")
    assert table.row_count() == 15


def test_a_cut_gzip_is_called_truncated_and_not_empty(bench):
    with pytest.raises(PartitionRejected) as rejected:
        run(bench, gzip.compress(tar(sound()))[:-300])
    assert {finding.code for finding in rejected.value.findings} == {"tar_truncated"}


def test_what_is_no_file_is_no_shard(bench):
    bench.put("sa_000001.tar", tar(sound()))
    (bench.raw / f"{SHARD}.tar").symlink_to(f"{SHARD}.tar")
    os.mkfifo(bench.raw / "sa_000002.tar")
    for partition in (SHARD, "sa_000002"):
        with pytest.raises(PartitionRejected, match="there is no"):
            bench.make("shard_index", partition)
    assert bench.make("shard_index", "sa_000001").footer.counts["rows"] == 5
