"""What Dagster calls stale is what has to be made again, and nothing else."""

from __future__ import annotations

import dagster as dg
import pytest

from segassets_tests.dagster.platform import IMAGES, OTHER, SHARD, Platform, captions, shard, touch

OF_RAW = {"shard_index", "images", "mask_table", "captions", "webdataset"}


def test_everything_is_fresh_after_a_run(made: Platform):
    assert made.stale() == {}


def test_a_run_over_unchanged_input_changes_no_version_and_leaves_everything_fresh(made: Platform):
    before = made.versions()
    assert made.run("shard_index", "mask_table").success
    assert made.versions() == before
    assert made.stale() == {}


def test_a_changed_tar_makes_what_is_read_from_it_stale_until_it_is_made_again(made: Platform):
    before = made.versions()
    shard(made.tar, first=1, masks=2)
    assert made.stale() == {}, "nobody has looked at the raw folder yet"
    assert made.run("shard_index").success
    stale = made.stale()
    assert "shard_index" not in stale
    assert set(stale) >= OF_RAW - {"shard_index"}
    assert all("DATA: sa1b/raw" in stale[name] for name in OF_RAW - {"shard_index"})
    assert stale["coco"] == ("DATA: sa1b/shard_index",)
    assert not {"masks", "control_images"} & set(stale), "the table that they are made from is still the old one"
    assert made.run().success
    assert made.stale() == {}
    changed = {name for name, version in made.versions().items() if version != before[name]}
    assert changed >= {"shard_index", "images", "mask_table", "masks", "control_images", "coco"}
    assert "captions" not in changed


def test_the_other_shard_stays_fresh(made: Platform):
    assert made.run(partition=OTHER).success
    assert made.stale() == {}
    shard(made.tar, first=1, masks=2)
    assert made.run("shard_index").success
    assert set(made.stale(OTHER)) == {"captions", "controlnet_train"}, "it has no captions, so these were never made"


def test_the_same_content_at_a_later_time_is_fresh_as_soon_as_it_was_looked_at(made: Platform):
    before = made.versions()
    touch(made.tar)
    assert made.run("shard_index", "images", "mask_table", "captions", "webdataset").success
    assert made.versions() == before
    assert made.stale() == {}, "what is made from them has equal inputs"


def test_forcing_equal_content_makes_nothing_stale(made: Platform):
    before = made.versions()
    assert made.run("mask_table", config={"mask_table": {"force": True}}).success
    assert made.versions() == before
    assert made.stale() == {}


def test_a_changed_caption_does_not_reach_pictures(made: Platform):
    captions(made.raw / f"sa1b/captions/{SHARD}-blip2-caption.json", 1, IMAGES, "a door")
    assert made.run("captions").success
    stale = made.stale()
    assert stale["controlnet_train"] == ("DATA: sa1b/captions",)
    assert not {"masks", "control_images", "coco"} & set(stale)


def test_a_new_code_version_makes_its_asset_stale_and_no_other(made: Platform):
    definitions = made.catalogue().definitions

    def bump(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(code_version="new") if spec.key.path == ["sa1b", "mask_table"] else spec

    graph = definitions.map_resolved_asset_specs(func=bump).resolve_asset_graph()
    assert made.stale(graph=graph) == {"mask_table": ("CODE: ",)}


@pytest.mark.parametrize("name", ["shard_index", "mask_table", "coco"])
def test_provenance_names_code_and_every_input(made_once: Platform, monkeypatch, name):
    made_once.use(monkeypatch)
    catalogue = made_once.catalogue()
    key = dg.AssetKey(["sa1b", name])
    records = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[SHARD])
    tags = catalogue.instance.fetch_materializations(records, limit=1).records[0].asset_materialization.tags
    footer = made_once.published(name).footer
    assert tags["dagster/data_version"] == footer.data_version
    assert tags["dagster/code_version"] == footer.code_version
    inputs = {parent.to_user_string() for parent in catalogue.graph.get(key).parent_keys}
    for parent in inputs:
        assert tags[f"dagster/input_event_pointer/{parent}"] not in ("NULL", "")
        assert tags[f"dagster/input_data_version/{parent}"]
    for parent, version in footer.inputs.items():
        assert parent in inputs and version == made_once.published(parent.split("/")[1]).data_version
