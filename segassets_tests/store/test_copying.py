"""Unchanged files: linked, shared or copied as SEGASSETS_COPY says, hashed once, and never written into."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest

from segassets.errors import BeingPublished, SegassetsError
from segassets.files.folder import Folder
from segassets.files.ref import Ref
from segassets.items import File, Made
from segassets.store import copying
from segassets.store.batch import BatchWriter
from segassets.store.manifest import Footer
from segassets.store.store import Store

DATA = bytes(range(256)) * 4000


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/photo.jpg").write_bytes(DATA)
    return Ref(str(tmp_path / "raw"), "photo.jpg")


@pytest.fixture
def folder(tmp_path):
    return Folder(str(tmp_path / "store"))


def _bring(folder, source, mode):
    size, digest = copying.bring(folder, "a/photo.jpg", source, mode)
    assert (size, digest) == (len(folder.read("a/photo.jpg")), hashlib.sha256(folder.read("a/photo.jpg")).digest())
    return folder.read("a/photo.jpg")


def _same_file(folder, raw):
    return os.path.samefile(folder.path("a/photo.jpg"), os.path.join(raw.root, raw.path))


def _reflinks_work(tmp_path):
    try:
        copying._reflink(str(tmp_path / "raw/photo.jpg"), str(tmp_path / "reflinked"))
        return True
    except OSError:
        return False


def test_a_copy_is_a_file_of_its_own(folder, raw):
    assert _bring(folder, raw, "copy") == DATA
    assert not _same_file(folder, raw)


def test_a_hard_link_is_the_same_file(folder, raw):
    assert _bring(folder, raw, "hardlink") == DATA
    assert _same_file(folder, raw)


def test_auto_shares_blocks_or_links(folder, raw, tmp_path):
    assert _bring(folder, raw, "auto") == DATA
    assert _same_file(folder, raw) is not _reflinks_work(tmp_path)


def test_auto_copies_where_nothing_can_be_linked(folder, raw, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(copying, "_reflink", refuse)
    monkeypatch.setattr(os, "link", refuse)
    assert _bring(folder, raw, "auto") == DATA
    assert not _same_file(folder, raw)


@pytest.mark.parametrize("mode, way", [("reflink", "_reflink"), ("hardlink", "_hardlink")])
def test_a_way_that_was_asked_for_and_cannot_be_is_an_error(folder, raw, monkeypatch, mode, way):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(copying, way, refuse)
    with pytest.raises(SegassetsError, match=f"SEGASSETS_COPY={mode}: .* cannot be linked .* use auto or copy"):
        copying.bring(folder, "a/photo.jpg", raw, mode)


@pytest.mark.parametrize("by_kernel", [True, False])
@pytest.mark.parametrize("offset, length", [(0, 10), (512, 700_000), (len(DATA), 0), (7, None)])
def test_a_range_is_copied(folder, raw, monkeypatch, by_kernel, offset, length):
    if not by_kernel:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    part = Ref(raw.root, raw.path, offset, length)
    assert _bring(folder, part, "auto") == DATA[offset : None if length is None else offset + length]


def test_a_range_beyond_the_end_is_told(folder, raw):
    with pytest.raises(EOFError, match=r"expected 100 bytes at 1023999, found 1"):
        copying.bring(folder, "a/photo.jpg", Ref(raw.root, raw.path, len(DATA) - 1, 100), "auto")


def test_a_symbolic_link_in_the_raw_folder_gives_the_file_it_leads_to(folder, raw):
    os.symlink("photo.jpg", os.path.join(raw.root, "link.jpg"))
    assert _bring(folder, Ref(raw.root, "link.jpg"), "hardlink") == DATA
    assert not os.path.islink(folder.path("a/photo.jpg"))


def test_every_write_replaces_a_linked_file_and_leaves_the_raw_one_alone(folder, raw):
    original = os.path.join(raw.root, raw.path)
    writes = [
        lambda path: folder.write(path, b"new"),
        lambda path: folder.write_many({path: b"new"}),
        lambda path: copying.bring(folder, path, Ref(raw.root, raw.path, 0, 3), "copy"),
        lambda path: (folder.write("other", b"new"), folder.move("other", path)),
    ]
    for write in writes:
        copying.bring(folder, "a/photo.jpg", raw, "hardlink")
        write("a/photo.jpg")
        assert len(folder.read("a/photo.jpg")) == 3
        with open(original, "rb") as file:
            assert file.read() == DATA


def test_a_published_link_is_replaced_by_the_next_version(raw, tmp_path):
    store = Store(str(tmp_path / "store"))
    _publish(store, File("photo.jpg", raw))
    assert os.path.samefile(store.files.path("toys/photo.jpg"), tmp_path / "raw/photo.jpg")
    _publish(store, File("photo.jpg", b"another"))
    assert store.files.read("toys/photo.jpg") == b"another"
    assert (tmp_path / "raw/photo.jpg").read_bytes() == DATA


def _publish(store, file):
    with store.locked("toys/photos", None):
        stage = store.stage("toys/photos", None, "toys", repr(file), copy_mode="hardlink")
        writer = BatchWriter(stage.place, 0)
        writer.add("photo", Made([file]))
        stage.add(writer.commit())
        store.publish(stage, Footer("toys/photos", None, "1", repr(file), stage.data_version()), [])


def test_a_published_file_that_was_replaced_meanwhile_is_not_copied(folder, raw):
    with pytest.raises(BeingPublished, match=r"photo\.jpg"):
        copying.bring(folder, "a/photo.jpg", Ref(raw.root, raw.path, digest=b"another"), "copy")


def test_within_s3_whole_objects_are_copied_by_the_server(s3):
    store, raw = Store(s3.url("store")), s3.at("raw")
    raw.write_many({f"photos/{n}.jpg": DATA[:1000] + bytes([n]) for n in range(20)})
    s3.proxy.requests.clear()
    with store.locked("toys/photos", None):
        stage = store.stage("toys/photos", None, "toys", "1")
        writer = BatchWriter(stage.place, 0)
        for n in range(20):
            writer.add(str(n), Made([File(f"{n}.jpg", Ref(raw.root, f"photos/{n}.jpg"))]))
        summary = writer.commit()
        stage.add(summary)
        store.publish(stage, Footer("toys/photos", None, "1", "1", stage.data_version()), [])
    assert summary.bytes == 20 * 1001
    assert s3.proxy.counts()["COPY"] == 2 * 20 + 2  # into the stage, into place; the record and the manifest
    assert not [r for r in s3.proxy.requests if r.kind == "GET" and "/raw/photos/" in r.key]
    table = store.handle("toys/photos", None).all_files
    for row in table.to_pylist():
        assert row["digest_kind"] == "etag"
        assert row["digest"].decode() == store.files.stat(row["path"]).version
    assert store.files.read("toys/7.jpg")[-1] == 7
