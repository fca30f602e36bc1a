"""Who reads through the platform gets one version, whole, or is told that it is being replaced."""

from __future__ import annotations

import json
import pickle

import pytest

from segassets.errors import BeingPublished, NotPublished
from segassets.store import names
from segassets.store.store import Store
from segassets_tests.store.making import ASSET, INTO, KEY, publish, seen

OLD = {"a.png": b"old a", "b.png": b"old b"}
NEW = {"a.png": b"new a", "c.png": b"new c"}


@pytest.fixture
def store(root):
    store = Store(root)
    publish(store, OLD)
    return store


def test_what_was_never_made_is_told_with_what_to_do(root):
    with pytest.raises(NotPublished, match="run: segassets materialize toys/blocks --partition 'red'"):
        _ = Store(root).handle(ASSET, KEY).files


def test_a_handle_of_before_never_mixes_versions(store):
    handle = store.handle(ASSET, KEY)
    assert handle.read(f"{INTO}/a.png") == b"old a"
    refs = [handle.ref(f"{INTO}/{name}") for name in OLD]
    publish(store, NEW)
    for name in OLD:
        with pytest.raises(BeingPublished, match=rf"{name} is missing or is not what was published"):
            handle.read(f"{INTO}/{name}")
    for ref in refs:
        with pytest.raises(BeingPublished):
            ref.read()
    with pytest.raises(BeingPublished, match="toys/blocks red was replaced while it was read"):
        list(handle.records())
    assert seen(store) == NEW


def test_a_worker_reads_the_rows_that_its_parent_has_listed_or_is_told(store):
    handle = store.handle(ASSET, KEY)
    assert handle.row_groups == 1
    sent = pickle.dumps(handle)
    assert len(sent) < 500
    assert [row["name"] for row in pickle.loads(sent).records()] == list(OLD)
    publish(store, NEW)
    with pytest.raises(BeingPublished):
        pickle.loads(sent).row_group(0)


def test_while_a_partition_is_being_published_readers_are_told(store):
    store.files.write(names.publishing(ASSET, KEY), json.dumps({"stage": "x", "files": "y", "remove": []}).encode())
    with pytest.raises(BeingPublished, match="being published; try again in a moment"):
        _ = store.handle(ASSET, KEY).files


def test_a_file_that_was_changed_by_hand_is_not_given_out(store):
    store.files.write(f"{INTO}/a.png", b"OLD A")
    with pytest.raises(BeingPublished, match="was changed by hand"):
        store.handle(ASSET, KEY).read(f"{INTO}/a.png")


def test_the_footer_is_read_without_the_rows(store):
    assert store.footer(ASSET, KEY).asset == ASSET
    assert store.footer(ASSET, "blue") is None
    assert store.published(ASSET) == [KEY]
    assert store.assets() == [ASSET]
