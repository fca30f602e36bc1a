"""`segassets inspect` of matting folders: what the call says of a loader that raises, of loops, of wrong options."""

import json
import os
import random

import pytest

from segassets.commands.inspect import LAYOUTS
from segassets.components.matting import MattingDataset
from segassets.declaration import Option
from segassets.errors import UsageError
from segassets_tests.commands.conftest import call  # noqa: F401
from segassets_tests.formats.test_split_zip import split_zip


def test_there_is_no_index_where_the_loader_raises(tmp_path, call):  # noqa: F811
    (tmp_path / "v/fgr/00").mkdir(parents=True)
    (tmp_path / "v/fgr/00/00000.jpg").write_bytes(b"")
    said = call("inspect", "maggie_video", tmp_path, "--json")
    assert said.status == 1 and json.loads(said.out)["index"] is None


def test_links_in_a_circle_end_with_a_warning(tmp_path, call):  # noqa: F811
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/empty").mkdir()
    (tmp_path / "set/again").symlink_to(tmp_path)
    (tmp_path / "up").symlink_to(".")
    (tmp_path / "itself").symlink_to("itself")
    said = call("inspect", "maggie_image_train", tmp_path, "--set", "split=set", "--json")
    findings = [(f["code"], f["path"]) for f in json.loads(said.out)["findings"]]
    assert findings == [("symlink_loop", "set/again"), ("symlink_loop", "up")]


def test_a_pipe_is_left_aside_with_a_warning(tmp_path, call):  # noqa: F811
    for folder in ("set/images", "set/alphas/00"):
        (tmp_path / folder).mkdir(parents=True)
        os.mkfifo(tmp_path / folder / "00.jpg")
    (tmp_path / "set/link").symlink_to("images/00.jpg")
    said = call("inspect", "maggie_image_train", tmp_path, "--set", "split=set", "--json")
    findings = [(f["severity"], f["path"]) for f in json.loads(said.out)["findings"] if f["code"] == "special_file"]
    assert findings == [("warning", f"set/{name}") for name in ("alphas/00/00.jpg", "images/00.jpg", "link")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pipe_is_nothing_to_be_inspected(tmp_path, call, layout):  # noqa: F811
    os.mkfifo(tmp_path / "X.zip")
    said = call("inspect", layout, tmp_path / "X.zip")
    assert said.status == 2 and "X.zip" in said.err


@pytest.mark.parametrize("name", ["odd\\folder", os.fsdecode(b"caf\xe9"), "new\nline"])
def test_a_folder_of_an_odd_name_is_to_be_renamed(tmp_path, call, name):  # noqa: F811
    (tmp_path / name).mkdir()
    (tmp_path / name / "X.zip").write_bytes(b"")
    for path in (tmp_path / name, tmp_path / name / "X.zip"):
        said = call("inspect", "split_zip", path)
        assert said.status == 2 and "rename it" in said.err


def test_crcs_are_checked_of_what_is_there_when_a_part_is_missing(tmp_path, call):  # noqa: F811
    members = [(f"f{k}", random.Random(k).randbytes(300)) for k in range(12)]
    parts = split_zip(members, 900)
    assert len(parts) > 4
    damaged = bytearray(parts["X.z02"])
    damaged[100] ^= 1
    for name, data in {**parts, "X.z02": bytes(damaged)}.items():
        if name != "X.z04":
            (tmp_path / name).write_bytes(data)
    said = call("inspect", "split_zip", tmp_path, "--json")
    found = {(f["code"], f["part"]) for f in json.loads(said.out)["findings"]}
    assert said.status == 1 and ("missing_part", "X.z04") in found and "crc" in {code for code, _ in found}


@pytest.mark.parametrize("given", ["clip_length=0", "clip_length=-1", "clip_overlap=3", "clip_overlap=-1"])
def test_clips_that_cannot_be(tmp_path, call, given):  # noqa: F811
    said = call("inspect", "maggie_video", tmp_path, "--set", given)
    assert said.status == 2 and given in said.err


@pytest.mark.parametrize("value", ["yes", "1", "True", ""])
def test_booleans_are_true_or_false(value):
    with pytest.raises(UsageError, match="true or false"):
        Option("lossless", bool, False).parse(value)
    assert (
        Option("lossless", bool, False).parse("true") is True and Option("lossless", bool, True).parse(False) is False
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {"dataset": "merged", "splits": ["a"]},
        {"dataset": "synthetic_mine", "splits": ["a"]},
        {"dataset": "Mine", "splits": []},
        {"dataset": "Mine", "splits": ["a"], "clip_length": 4, "clip_overlap": 4},
    ],
)
def test_datasets_that_cannot_be_declared(attributes):
    with pytest.raises(UsageError):
        MattingDataset(layout="video", **attributes).build_defs(None)
