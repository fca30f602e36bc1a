"""Paths: nothing leaves the store or enters the platform's own part; what a file system can name, a store can hold."""

from __future__ import annotations

import os
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segassets.files.folder import Folder
from segassets.files.paths import UnsafePath, check_relative
from segassets.items import File, Made
from segassets.sources.raw import Raw
from segassets.store.batch import BatchWriter, Place
from segassets.store.store import Store
from segassets_tests.store.making import INTO, publish, seen

PIECES = st.sampled_from(
    ["..", ".", "", "a", "b.png", "ünï", "日本", "~", "C:", " ", "-", "\\", "\x00", "\n", "*", "%2e"]
)


@given(st.one_of(st.text(max_size=40), st.lists(PIECES, min_size=1, max_size=6).map("/".join)))
def test_an_accepted_path_stays_below_its_root_and_is_its_own_normal_form(path):
    try:
        accepted = check_relative(path)
    except UnsafePath:
        return
    assert accepted == path == posixpath.normpath(path)
    assert posixpath.join("/root", path).startswith("/root/") and ".." not in path.split("/")
    assert path.isprintable() or not any(char < " " for char in path)
    path.encode()


@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_characters="/\\", exclude_categories=["Cc"]), min_size=1, max_size=8
        ),
        min_size=1,
        max_size=4,
    )
)
def test_plain_names_of_any_script_are_accepted(parts):
    if any(part in (".", "..") for part in parts):
        return
    assert check_relative("/".join(parts)) == "/".join(parts)


@pytest.mark.parametrize(
    "path", ["", "/a", "a/../b", "..", "a//b", "a/", "./a", "a\\b", "a\0", "a\nb", "\udcff", "x" * 256]
)
def test_other_paths_are_refused(path):
    with pytest.raises(UnsafePath):
        check_relative(path)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "a\\..\\x"])
@pytest.mark.parametrize("into", ["", "toys/red"])
def test_a_file_that_would_leave_its_target_folder_is_refused_and_leaves_no_trace(tmp_path, into, name):
    writer = BatchWriter(Place(str(tmp_path), ".segassets/stages/x", into), 0)
    with pytest.raises(UnsafePath):
        writer.add("item", Made([File("good.png", b"1"), File(name, b"2")]))
    summary = writer.commit()
    assert (summary.items, summary.files) == (0, 0)


def test_nothing_is_published_into_the_platforms_own_folder(tmp_path):
    place = Place(str(tmp_path), ".segassets/stages/x", "")
    with pytest.raises(UnsafePath, match="own folder"):
        place.target(".segassets/manifests/toys/blocks/red.parquet")


def test_names_of_255_bytes_and_of_any_script_are_published(root):
    made = {f"{'ü' * 120}/{'x' * 251}.png": b"1", "日本/ﬀ %2e+&=?#*.png": b"2", "a b/'\"$`.png": b"3"}
    store = Store(root)
    publish(store, made)
    assert seen(store) == made
    assert set(store.files.walk("toys")) == {f"{INTO}/{name}" for name in made}


def test_a_raw_folder_may_be_and_may_hold_symbolic_links(tmp_path):
    (tmp_path / "disk/deep").mkdir(parents=True)
    (tmp_path / "disk/deep/1.jpg").write_bytes(b"1")
    (tmp_path / "raw").mkdir()
    os.symlink("../disk", tmp_path / "raw/photos")
    os.symlink("../../disk/deep/1.jpg", tmp_path / "disk/2.jpg")
    os.symlink("nowhere", tmp_path / "disk/dangling.jpg")
    os.rename(tmp_path / "disk/2.jpg", tmp_path / "raw/2.jpg")
    (tmp_path / "raw/2.jpg").unlink()
    os.symlink("photos/deep/1.jpg", tmp_path / "raw/2.jpg")
    raw = Raw(str(tmp_path), "raw", ["*.jpg"], scratch="")
    assert raw.paths == ["2.jpg", "photos/deep/1.jpg"]
    assert raw.ref("2.jpg").read() == b"1"


def test_links_in_a_circle_are_walked_once(tmp_path):
    for name in ("a", "ab", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"1")
    os.symlink("../b", tmp_path / "a/to_b")
    os.symlink("../a", tmp_path / "b/to_a")
    os.symlink("../a", tmp_path / "ab/to_a")  # `a` is how its name begins, but it does not lie in it
    walked = set(Folder(str(tmp_path)).walk(""))
    assert {"a/file", "a/to_b/file", "b/to_a/file", "ab/to_a/file"} <= walked
    assert not any(path.count("to_") > 2 for path in walked)


def test_a_folder_with_an_odd_name_does_not_stop_the_listing(tmp_path):
    (tmp_path / "odd\nname").mkdir()
    (tmp_path / "odd\nname/file").write_bytes(b"1")
    (tmp_path / "good").write_bytes(b"1")
    assert set(Folder(str(tmp_path)).walk("")) == {"odd\nname/file", "good"}
