"""Commands that only look: status, findings, verify, explain, inspect; and a wrong environment for any of them."""

from __future__ import annotations

import json
import os

import dagster as dg
import pytest

from segassets_tests.dagster.platform import IMAGES, OTHER, SHARD, Platform, captions, shard

KEYS = {
    *("severity", "code", "path", "member", "image", "index"),
    *("annotation_id", "shape", "part", "message", "item"),
}


@pytest.fixture
def seen(made_once: Platform, monkeypatch) -> Platform:
    """The platform that is only looked at."""
    made_once.use(monkeypatch)
    return made_once


def rows(said) -> dict[str, dict]:
    return {row["asset"]: row for row in json.loads(said.out)}


def test_status_counts_partitions_files_bytes_and_findings(seen: Platform, call):
    said = call("status", "sa1b", "--json")
    assert said.status == 0
    found = rows(said)
    masks = found["sa1b/masks"]
    assert (masks["made"], masks["missing"], masks["failed"]) == (1, 1, 0)
    assert masks["files"] == IMAGES * 3 and masks["bytes"] > 0
    assert (found["sa1b/eval_manifest"]["made"], found["sa1b/eval_manifest"]["missing"]) == (0, 2)
    table = call("status")
    assert table.lines[0].split()[:4] == ["asset", "made", "missing", "failed"]
    datasets = [line.split("/")[0] for line in table.lines[1:]]
    assert datasets == sorted(datasets), "a dataset's assets stand together"
    assert call("status", "sa1b/masks").lines[1].split()[:4] == ["sa1b/masks", "1", "1", "0"]


def test_status_and_findings_after_a_failure(made: Platform, call):
    shard(made.tar, first=1, bad=2)
    shard(made.raw / f"sa1b/{OTHER}.tar", first=11188, images=2, bad=1)
    assert call("materialize", "sa1b/shard_index").status == 1
    row = rows(call("status", "sa1b/shard_index", "--json"))["sa1b/shard_index"]
    assert (row["made"], row["missing"], row["failed"], row["errors"]) == (1, 0, 2, 3)
    found = [json.loads(line) for line in call("findings", "sa1b", "--json").lines]
    assert len(found) == 3
    for finding in found:
        assert set(finding) == KEYS | {"asset", "partition"}
        assert finding["severity"] == "error" and finding["path"] == f"{finding['partition']}.tar"
        assert finding["item"] == f"{finding['path']}, {finding['member']}"
    only = call("findings", "sa1b/shard_index", "--partition", OTHER)
    assert only.lines == [
        f"sa1b/shard_index {OTHER}: error {found[-1]['code']}: {found[-1]['item']}: {found[-1]['message']}"
    ]


def test_findings_of_a_partition_that_is_published_all_the_same(made: Platform, call):
    captions(made.raw / f"sa1b/captions/{SHARD}-blip2-caption.json", 1, IMAGES - 1)
    assert call("materialize", "sa1b/captions", "--partition", SHARD).status == 0
    said = call("findings", "sa1b/captions", "--partition", SHARD, "--json")
    assert said.status == 0
    assert {json.loads(line)["severity"] for line in said.lines} == {"warning"}


def test_verify_reads_everything_back(made: Platform, call):
    said = call("verify", "sa1b")
    assert (said.status, said.err) == (0, "")
    assert f"sa1b/masks {SHARD}: {IMAGES * 3} files as published" in said.lines
    folder = made.store / f"sam-1b/{SHARD}/sa_1"
    (folder / "segmentation_0.png").unlink()
    (folder / "segmentation_1.png").write_bytes((folder / "segmentation_1.png").read_bytes()[:-1] + b"?")
    (folder / "segmentation_7.png").write_bytes(b"mine")
    said = call("verify", "sa1b/masks", "--partition", SHARD)
    assert said.status == 1 and said.out == ""
    for kind, name in (("missing", "segmentation_0"), ("changed", "segmentation_1"), ("extra", "segmentation_7")):
        (line,) = [line for line in said.err.splitlines() if name in line]
        assert f"sa1b/masks {SHARD}: {kind}: " in line


def test_verify_of_what_was_never_made_says_so(seen: Platform, call):
    said = call("verify", "sa1b/eval_manifest")
    assert said.status == 0 and "nothing of sa1b/eval_manifest is published" in said.out


def test_explain_a_published_file(seen: Platform, call, monkeypatch):
    file = seen.store / f"sam-1b/{SHARD}/sa_2/segmentation_1.png"
    about = json.loads(call("explain", file, "--json").out)
    assert (about["asset"], about["partition"], about["item"]) == ("sa1b/masks", SHARD, "sa_2")
    assert about["raw files"] == [f"sa1b/{SHARD}.tar"]
    assert "sa_2.json" in about["source"] and "annotations" in about["source"]
    assert about["code version"] and about["data version"] and about["made at"]
    assert about["versions"]["numpy"] and about["configuration"]["png_depth"] == 8
    assert set(about["made from"]) == {"sa1b/mask_table"}
    assert "sa1b/masks" in call("explain", file).out
    monkeypatch.chdir(seen.store)
    for other in (f"sam-1b/{SHARD}/sa_2/segmentation_1.png", f"./sam-1b/{SHARD}/sa_2/../sa_2/segmentation_1.png"):
        assert json.loads(call("explain", other, "--json").out) == about


def test_explain_goes_down_to_what_was_read_and_says_whether_it_has_changed(made: Platform, call):
    file = made.store / f"sam-1b/{SHARD}-controlnet-train.json"
    about = json.loads(call("explain", file, "--json").out)
    assert about["raw files"] == [f"sa1b/captions/{SHARD}-blip2-caption.json", f"sa1b/{SHARD}.tar"]
    read = about["raw as read"][f"sa1b/{SHARD}.tar"]
    assert (read["files"], read["bytes"]) == (1, made.tar.stat().st_size) and len(read["digest"]) == 32
    assert about["since then"] == "nothing of it has changed"
    before = {step["asset"]: step for step in about["steps before"]}
    assert set(before) == {f"sa1b/{name}" for name in ("captions", "control_images", "mask_table", "shard_index")}
    for step in before.values():
        assert step["code version"] and step["versions"]["numpy"] and step["made at"] and step["data version"]
    captions(made.raw / f"sa1b/captions/{SHARD}-blip2-caption.json", 1, IMAGES, "a door")
    about = json.loads(call("explain", file, "--json").out)
    assert about["since then"] == f"changed: sa1b/captions/{SHARD}-blip2-caption.json"
    assert call("materialize", "sa1b/captions", "--only", "--partition", SHARD).status == 0
    assert "sa1b/captions" in json.loads(call("explain", file, "--json").out)["since then"]


def test_explain_says_whether_the_file_is_still_the_published_one(made: Platform, call):
    photo = made.store / "sam-1b/sa_000000/sa_1.jpg"
    assert "as published" in call("explain", photo).out
    data = photo.read_bytes()
    photo.unlink()
    assert "missing: sam-1b/sa_000000/sa_1.jpg; this is about the file that was published" in call("explain", photo).out
    for other in (b"short", data[:-1] + b"?"):
        photo.unlink(missing_ok=True)
        photo.write_bytes(other)
        assert "changed: sam-1b/sa_000000/sa_1.jpg" in call("explain", photo).out
    said = call("explain", made.store / "sam-1b/coco/sa_000000.json").out
    assert "None" not in said


def test_a_run_tells_the_ui_where_a_partition_came_from(seen: Platform):
    instance = seen.catalogue().instance
    event = instance.get_latest_materialization_event(dg.AssetKey(["sa1b", "images"])).asset_materialization
    told = event.metadata["provenance"].value
    assert told["raw files"][f"{SHARD}.tar"]["bytes"] == seen.tar.stat().st_size
    assert set(told["made from"]) == {"sa1b/shard_index"}
    assert told["code version"] and told["versions"]["numpy"] and told["configuration"] == {}


def test_explain_what_was_made_from_a_raw_file(seen: Platform, call):
    made = json.loads(call("explain", seen.tar, "--made-from", "--json").out)
    assert {row["asset"] for row in made} == {
        f"sa1b/{name}"
        for name in (
            *("shard_index", "images", "mask_table", "masks", "control_images", "captions"),
            *("controlnet_train", "coco", "webdataset"),
        )
    }
    assert {row["partition"] for row in made} == {SHARD}
    named = {row["asset"]: row["files that name it"] for row in made}
    assert (named["sa1b/images"], named["sa1b/masks"]) == (2 * IMAGES, 0), "masks name the mask table's rows"
    caption_file = seen.raw / f"sa1b/captions/{SHARD}-blip2-caption.json"
    made = json.loads(call("explain", caption_file, "--made-from", "--json").out)
    assert {row["asset"] for row in made} == {"sa1b/captions", "sa1b/controlnet_train", "sa1b/webdataset"}


def test_explain_a_file_that_nobody_published(seen: Platform, call):
    said = call("explain", "sam-1b/nothing.png")
    assert said.status == 1 and "no manifest lists it" in said.err
    assert call("explain", "--made-from", seen.raw / "sa1b/nothing.tar").status == 1


def test_inspect_a_shard_that_is_not_in_the_raw_folder(tmp_path, call):
    shard(tmp_path / "good.tar", first=1)
    said = call("inspect", "sa1b_shard", tmp_path / "good.tar")
    assert said.status == 0 and "6 images in good.tar, 6 usable" in said.out
    shard(tmp_path / "bad.tar", first=1, bad=1)
    said = call("inspect", "sa1b_shard", tmp_path / "bad.tar", "--json")
    assert said.status == 1
    found = json.loads(said.out)
    assert set(found) == {"findings", "index"}
    assert [set(finding) for finding in found["findings"]] == [KEYS]


def test_inspect_called_wrongly(tmp_path, call):
    shard(tmp_path / "good.tar", first=1)
    for arguments, told in (
        (("shard", tmp_path), "there is no layout 'shard'; there are "),
        (("sa1b_shard", tmp_path / "none.tar"), "does not exist"),
        (("sa1b_shard", tmp_path), "is a folder"),
        (("sa1b_shard", tmp_path / "good.tar", "--set", "depth=3"), "--set depth"),
        (("sa1b_shard", tmp_path / "good.tar", "--set", "decode=perhaps"), "--set decode=perhaps"),
    ):
        said = call("inspect", *arguments)
        assert said.status == 2 and told in said.err


@pytest.mark.parametrize("command", ["status", "findings", "verify"])
def test_unknown_names_and_partitions(seen: Platform, call, command):
    said = call(command, "sa1c")
    assert said.status == 2 and "did you mean sa1b" in said.err
    if command != "status":
        said = call(command, "sa1b/masks", "--partition", "sa_000009")
        assert said.status == 2 and f"known are {SHARD}" in said.err


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SEGASSETS_WORKERS", "abc", "SEGASSETS_WORKERS: Input should be a valid integer"),
        ("SEGASSETS_WORKERS", "0", "SEGASSETS_WORKERS: Input should be greater than or equal to 1"),
        ("SEGASSETS_RAW", "ftp://host/raw", "SEGASSETS_RAW: 'ftp://host/raw' is neither a folder nor s3://"),
        ("SEGASSETS_RAW", " ", "SEGASSETS_RAW: is empty"),
        ("SEGASSETS_STORE", "s3://", "SEGASSETS_STORE: 's3://' is neither a folder nor s3://"),
        ("SEGASSETS_COPY", "move", "SEGASSETS_COPY: Input should be 'auto'"),
        ("SEGASSETS_RAW", __file__, "is a file; expected a folder"),
        ("SEGASSETS_STORE", __file__, "is a file; expected a folder"),
    ],
)
def test_a_wrong_environment_names_the_variable(seen: Platform, call, variable, value, told):
    said = call("status", "sa1b", **{variable: value})
    assert (said.status, said.out) == (2, "") and told in said.err


def test_a_raw_folder_that_is_not_there_makes_nothing_and_is_said(made: Platform, tmp_path, call):
    said = call("materialize", "sa1b/masks", SEGASSETS_RAW=tmp_path / "none", DAGSTER_HOME=tmp_path / "other")
    assert said.status == 0 and f"nothing in {tmp_path / 'none'} gives a partition" in said.out


def test_a_raw_folder_that_cannot_be_read(seen: Platform, tmp_path, call, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(closed) and allowed(path, mode))
    said = call("status", "sa1b", SEGASSETS_RAW=closed)
    assert said.status == 1 and f"SEGASSETS_RAW: {closed} cannot be read" in said.err


def test_a_store_that_cannot_be_written(fresh: Platform, call):
    said = call("materialize", "sa1b/shard_index", "--partition", SHARD, SEGASSETS_STORE="/proc/store")
    assert said.status == 1 and "/proc/store: it does not exist" in said.err and "SEGASSETS_STORE" in said.err


def test_a_home_that_is_a_file_or_relative(seen: Platform, tmp_path, call, monkeypatch):
    (tmp_path / "file").write_text("")
    said = call("status", "sa1b", DAGSTER_HOME=tmp_path / "file")
    assert said.status == 1 and f"DAGSTER_HOME: {tmp_path / 'file'}" in said.err
    monkeypatch.chdir(tmp_path)
    assert call("status", "sa1b/masks", DAGSTER_HOME="here").status == 0
    assert (tmp_path / "here/dagster.yaml").exists()


def test_unknown_commands_and_options(call):
    assert "No such command" in call("materialise").err
    assert call("status", "--frobnicate").status == 2
    assert call("ui", "--port", "99999").status == 2
    assert call().status == 2
    for command in ("materialize", "status", "findings", "inspect", "ui", "verify", "explain", "sample"):
        said = call(command, "--help")
        assert said.status == 0 and said.out.startswith("Usage: segassets " + command)


def test_sample_refuses_what_it_did_not_write(fresh: Platform, tmp_path, call):
    said = call("sample", fresh.raw)
    assert said.status == 1 and "did not write" in said.err
    assert call("sample", SEGASSETS_RAW="s3://bucket/raw").status == 2
