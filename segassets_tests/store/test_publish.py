"""Publishing: old, new, or said to be on the way, whatever step a kill comes before; files of others stay."""

from __future__ import annotations

import os

import pytest

from segassets.errors import BeingPublished, ForeignFile, NotPublished, SegassetsError
from segassets.findings import warning
from segassets.store.store import Store
from segassets_tests.store.making import ASSET, INTO, KEY, publish, seen, steps
from segassets_tests.store.trees import contents, leftovers

OLD = {f"{folder}/{number}.png": f"old {folder} {number}".encode() for folder in "ab" for number in range(3)}
OLD["list.txt"] = b"old list"
MORE = {f"{folder}/{number}.png": f"new {folder} {number}".encode() for folder in "abc" for number in range(4)}
OTHER = {"a/0.png": b"new a 0", "a/1.png": OLD["a/1.png"], "a/9.png": b"new a 9", "c/0.png": b"new c 0"}
FEWER = {"a/0.png": b"new a 0", "list.txt": b"old list"}


@pytest.fixture
def store(root):
    return Store(root)


def _tree(made):
    return {f"{INTO}/{name}" for name in made}


@pytest.mark.parametrize("before, after", [({}, OLD), (OLD, OTHER)], ids=["first", "replacement"])
def test_a_kill_before_any_step_leaves_old_or_new_and_the_next_run_completes(root, before, after, tmp_path):
    whole = _of(root, "whole")
    if before:
        publish(whole, before)
    with steps() as counted:
        publish(whole, after)
    assert counted.done > 5
    for last in range(counted.done):
        store = _of(root, f"killed{last}")
        if before:
            publish(store, before)
        with steps(last):
            publish(store, after)
        _is_old_new_or_on_the_way(store, before, after)
        publish(store, after)
        assert seen(store) == after
        assert contents(store.files) == contents(whole.files)
        assert leftovers(store) == []


def _of(root, name):
    return Store(f"{root}/{name}")


def _is_old_new_or_on_the_way(store, before, after):
    try:
        assert seen(store) in (before, after)
    except NotPublished:
        assert not before
    except BeingPublished as told:
        assert "run: segassets materialize toys/blocks" in str(told)


def test_a_kill_while_publishing_is_finished_by_whoever_takes_the_lock_next(store):
    publish(store, OLD)
    with steps() as counted:
        publish(Store(f"{store.root}/other"), OLD)
    with steps(counted.done - 3):
        publish(store, MORE)
    with store.locked(ASSET, KEY):
        pass
    assert seen(store) == MORE
    assert leftovers(store) == []


def test_nothing_lies_in_the_published_tree_but_published_files(store):
    publish(store, OLD)
    assert set(contents(store.files)) == _tree(OLD)


def test_a_file_at_the_top_of_the_store_can_be_published_and_replaced(store):
    publish(store, {"list.txt": b"1"}, into="")
    publish(store, {"list.txt": b"2"}, into="")
    assert store.files.read("list.txt") == b"2"


@pytest.mark.parametrize("published", [{}, OLD], ids=["first", "replacement"])
def test_a_foreign_file_is_never_overwritten(store, published):
    if published:
        publish(store, published)
    store.files.write(f"{INTO}/c/1.png", b"the user's own")
    before = contents(store.files)
    with pytest.raises(ForeignFile, match=r"foreign_file: 1 of the target paths .*toys/red/c/1\.png"):
        publish(store, MORE, findings=[warning("odd", "an oddity")])
    assert contents(store.files) == before
    assert [finding.code for finding in store.findings(ASSET, KEY)] == ["odd", "foreign_file"]
    store.files.delete([f"{INTO}/c/1.png"])
    publish(store, MORE)
    assert seen(store) == MORE


def test_a_foreign_file_in_one_of_many_folders_is_found(store):
    many = {f"{number}/mask.png": b"ours" for number in range(40)}
    store.files.write(f"{INTO}/17/mask.png", b"the user's own")
    with pytest.raises(ForeignFile, match=r"17/mask\.png"):
        publish(store, many)
    assert list(contents(store.files)) == [f"{INTO}/17/mask.png"]


def test_another_assets_file_is_foreign(store):
    publish(store, OLD)
    with pytest.raises(ForeignFile):
        publish(store, OLD, asset="toys/other")
    assert seen(store) == OLD


def test_a_file_where_a_folder_must_be_is_foreign(store):
    store.files.write("toys/red", b"a file")
    with pytest.raises(ForeignFile, match="toys/red"):
        publish(store, OLD)
    assert store.files.read("toys/red") == b"a file"


def test_the_users_own_files_beside_ours_stay(store):
    store.files.write(f"{INTO}/a/notes.txt", b"mine")
    publish(store, OLD)
    publish(store, FEWER)
    assert store.files.read(f"{INTO}/a/notes.txt") == b"mine"
    assert set(contents(store.files)) == _tree(FEWER) | {f"{INTO}/a/notes.txt"}


def test_a_name_that_is_a_file_and_a_folder_is_refused(s3):
    store = Store(s3.url())  # a folder refuses it by itself
    with pytest.raises(SegassetsError, match="toys/red/a would be a file and a folder"):
        publish(store, {"a": b"1", "a/0": b"2"})
    assert contents(store.files) == {}


def test_a_lost_stage_is_no_silent_hole(tmp_path):
    with steps() as counted:
        publish(Store(str(tmp_path / "whole")), MORE)
    for last in range(counted.done):
        store, staged = Store(str(tmp_path / str(last))), tmp_path / str(last) / ".segassets/stages/toys/blocks/red"
        with steps(last):
            publish(store, MORE)
        lost = staged / "files/toys/red/c/0.png"
        if (tmp_path / str(last) / ".segassets/publishing").exists() and lost.exists():
            break
    lost.unlink()
    with pytest.raises(SegassetsError, match=r"c/0\.png cannot be published"):
        publish(store, MORE)


def test_a_folder_of_the_store_on_another_disk_takes_copies(tmp_path, monkeypatch):
    store, plain = Store(str(tmp_path)), os.replace

    def replace(source, target):
        if "/stages/" in source and "/stages/" not in target and target.endswith((".png", ".txt")):
            raise OSError(18, "another disk")
        plain(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(18, "another disk")))
    publish(store, OLD)
    assert seen(store) == OLD
    assert leftovers(store) == []
