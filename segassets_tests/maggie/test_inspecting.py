"""`segassets inspect` of matting folders: what the call says of a loader that raises, of loops, of wrong options."""

import json

import pytest

from segassets.errors import UsageError
from segassets.sources.split_archive_inspect import inspect_matting
from segassets_tests.commands.conftest import call  # noqa: F401


def test_there_is_no_index_where_the_loader_raises(tmp_path, call):  # noqa: F811
    (tmp_path / "v/fgr/00").mkdir(parents=True)
    (tmp_path / "v/fgr/00/00000.jpg").write_bytes(b"")
    said = call("inspect", "maggie_video", tmp_path, "--json")
    assert said.status == 1 and json.loads(said.out)["index"] is None
