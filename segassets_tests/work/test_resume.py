"""Interrupted, rejected, repeated: what is done again, what stays, what is told."""

from __future__ import annotations

import pytest

from segassets.errors import BeingPublished, PartitionRejected, SegassetsError
from segassets.store import names
from segassets.work import local as processes
from segassets.work.make import is_current
from segassets_tests.store.making import steps
from segassets_tests.store.trees import contents, leftovers, manifests, published
from segassets_tests.work.toys import ASSET, KEY, Toys

ALL = {f"toys/red/t{number}.txt" for number in range(10)}


@pytest.fixture
def toys(root, tmp_path):
    return Toys(tmp_path, root)


@pytest.fixture
def local(tmp_path):
    return Toys(tmp_path, str(tmp_path / "store"))


def test_only_the_batches_that_are_missing_are_made_again(toys):
    toys.order(t5="fail")
    with pytest.raises(OSError, match="No space left"):
        toys.make()
    assert contents(toys.store.files) == {}
    toys.order()
    toys.make()
    assert toys.made() == ["t4", "t5", "t6", "t7", "t8", "t9"]
    assert set(contents(toys.store.files)) == ALL
    assert leftovers(toys.store) == []


def test_work_for_other_options_is_not_gone_on_with(toys):
    toys.order(t5="fail")
    with pytest.raises(OSError, match="No space left"):
        toys.make("red")
    toys.order()
    toys.make("blue")
    assert len(toys.made()) == 10
    assert toys.store.files.read("toys/red/t0.txt") == b"t0 blue"
    assert leftovers(toys.store) == []


def test_a_stage_that_was_half_discarded_is_not_gone_on_with(local):
    local.order(t5="fail")
    with pytest.raises(OSError, match="No space left"):
        local.make("red")
    with steps(2):
        local.make("blue")  # killed while it clears the red stage away
    local.order()
    local.make("red")
    assert len(local.made()) == 10
    assert set(contents(local.store.files)) == ALL


def test_nothing_is_made_again_when_nothing_has_changed(toys):
    first = toys.make()
    toys.made()
    assert toys.make().unchanged
    assert toys.made() == []
    toys.make(force=True, run_id="2")
    assert len(toys.made()) == 10
    assert toys.make().footer.data_version == first.footer.data_version


def test_what_a_killed_run_with_other_options_has_left_is_cleared_by_the_next_one(local):
    local.make("red")
    local.order(t5="fail")
    with pytest.raises(OSError, match="No space left"):
        local.make("blue")
    assert not is_current(local.job("red"))
    assert local.make("red").unchanged
    assert is_current(local.job("red"))
    assert leftovers(local.store) == []


@pytest.mark.parametrize("last", range(3, 60, 8))
def test_a_partition_whose_replacement_was_killed_is_made_by_the_next_run(local, last):
    local.make("red")
    with steps(last):
        local.make("blue")
    assert not is_current(local.job("blue")) or leftovers(local.store) == []
    local.make("blue")
    assert local.store.files.read("toys/red/t0.txt") == b"t0 blue"
    assert leftovers(local.store) == []


def test_being_published_is_not_current_and_no_error(local):
    local.make("red")
    local.store.files.write(names.publishing(ASSET, KEY), b"{}")
    assert not is_current(local.job("red"))
    with pytest.raises(BeingPublished):
        _ = local.store.handle(ASSET, KEY).files


def test_a_worker_that_was_killed_is_told_and_the_work_goes_on(local):
    local.order(t7="die")
    with pytest.raises(SegassetsError, match=r"a worker process was ended from outside.*finished batches are kept"):
        local.make(workers=2)
    local.order()
    local.make(workers=2)
    assert len(local.made()) < 10
    assert set(contents(local.store.files)) == ALL


def test_a_worker_that_was_killed_while_idle_costs_nothing(local):
    local.make("red", workers=2)
    for process in list(processes._pools[2]._processes.values()):
        process.kill()
        process.join()
    local.make("blue", workers=2)
    assert set(contents(local.store.files)) == ALL


def test_a_rejected_partition_keeps_its_old_state_and_has_its_findings(toys):
    toys.make("red")
    before = published(toys.store), manifests(toys.store)
    toys.order(t3="bad", t8="bad")
    with pytest.raises(PartitionRejected, match=r"2 of 10 items rejected, allowed are 0\.00%"):
        toys.make("blue")
    assert (published(toys.store), manifests(toys.store)) == before
    assert [(finding.code, finding.image) for finding in toys.store.findings(ASSET, KEY)] == [
        ("broken", "t3"),
        ("broken", "t8"),
    ]
    assert leftovers(toys.store) == []


def test_a_tolerated_item_is_left_out_and_the_rest_published(local):
    local.order(t3="bad")
    outcome = local.make(max_rejected=0.1)
    assert set(contents(local.store.files)) == ALL - {"toys/red/t3.txt"}
    assert outcome.footer.counts["items"] == 10
    assert outcome.footer.counts["rejected"] == 1


def test_an_item_that_would_be_written_elsewhere_is_rejected_once(local, tmp_path):
    local.order(t3="escape")
    outcome = local.make(max_rejected=0.1)
    assert [(f.code, f.image) for f in outcome.findings] == [("unsafe_path", "t3")]
    assert (outcome.footer.counts["items"], outcome.footer.counts["rows"]) == (10, 9)
    assert not list(tmp_path.rglob("escaped"))


def test_any_number_of_workers_gives_the_same_bytes(tmp_path):
    stores = []
    for workers in (1, 3):
        toys = Toys(tmp_path, str(tmp_path / str(workers)))
        toys.make(workers=workers)
        stores.append(toys.store)
    assert published(stores[0]) == published(stores[1])
    assert manifests(stores[0]) == manifests(stores[1])


def test_a_folder_and_a_bucket_get_the_same_bytes(tmp_path, s3):
    here, there = Toys(tmp_path, str(tmp_path / "store")), Toys(tmp_path, s3.url())
    here.make()
    there.make()
    assert published(here.store) == published(there.store)
    assert manifests(here.store) == manifests(there.store)
