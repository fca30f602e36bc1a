"""`segassets inspect` of matting folders: what the call says of a loader that raises, of loops, of wrong options."""

import json

import pytest

from segassets.components.matting import MattingDataset
from segassets.declaration import Option
from segassets.errors import UsageError
from segassets_tests.commands.conftest import call  # noqa: F401


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
