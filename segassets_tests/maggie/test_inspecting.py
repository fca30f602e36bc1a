"""`segassets inspect` of matting folders: what the call says of a loader that raises, of loops, of wrong options."""

import json

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
