"""Shards that are gzip files: what is unpacked, and that a damaged one is never taken for a good one."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from segassets.findings import BadItem
from segassets.sources.plain_tar import plain_tar
from segassets.sources.raw import Raw

JSON = b'{"annotations": [{"id": 1000}]}'


def _tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, data in (("sa_1.jpg", b"\xff\xd8" * 300), ("sa_1.json", JSON)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


@pytest.fixture
def scan(tmp_path):
    """What is found in a raw file of these bytes, at the first reading and at one that uses what was unpacked."""

    def scan(data: bytes):
        shard = tmp_path / "raw/sa1b/sa_000000.tar"
        shard.parent.mkdir(parents=True)
        shard.write_bytes(data)
        first, second = (
            plain_tar(Raw(str(tmp_path / "raw"), "sa1b", [shard.name], str(tmp_path / "store")), shard.name).scan()
            for _ in range(2)
        )
        assert first == second
        return first

    return scan


def test_a_sound_one_is_read_like_the_tar_in_it(scan):
    found = scan(gzip.compress(_tar()))
    assert found.complete and not found.problems
    assert [member.name for member in found.members] == ["sa_1.jpg", "sa_1.json"]


def test_bytes_that_changed_without_breaking_the_tar_are_noticed_by_the_check_sum(scan):
    stored = gzip.compress(_tar(), compresslevel=0).replace(b'"id": 1000', b'"id": 9999')
    found = scan(stored)
    assert not found.complete
    assert [problem.code for problem in found.problems] == ["tar_unreadable"]


def test_a_wrong_check_sum_alone_is_damage(scan):
    whole = gzip.compress(_tar())
    found = scan(whole[:-8] + b"\0\0\0\0" + whole[-4:])
    assert [problem.code for problem in found.problems] == ["tar_unreadable"]


def test_a_file_that_lacks_only_its_check_sum_was_cut(scan):
    found = scan(gzip.compress(_tar())[:-8])
    assert [problem.code for problem in found.problems] == ["tar_truncated"]


def test_a_file_cut_in_its_data_is_a_tar_that_ends_early(scan):
    found = scan(gzip.compress(_tar(), compresslevel=0)[:1200])
    assert not found.complete
    assert {problem.code for problem in found.problems} == {"tar_truncated"}


def test_nothing_that_can_be_unpacked(scan):
    with pytest.raises(BadItem, match="before anything can be unpacked"):
        scan(gzip.compress(_tar())[:12])
