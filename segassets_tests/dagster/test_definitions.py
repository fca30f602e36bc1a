"""What holds for every asset of the project, whatever its dataset."""

from __future__ import annotations

import dagster as dg
import pytest

from segassets.definitions import defs
from segassets.registry import registry

GRAPH = defs().resolve_asset_graph()
# The raw asset has the shards' partitions; these need raw assets of their own: artifact(..., raw="raw_evaluation").


def key(name: str) -> dg.AssetKey:
    return dg.AssetKey(name.split("/"))


def test_definitions_load():
    dg.Definitions.validate_loadable(defs())
    assert set(registry()) <= {one.to_user_string() for one in GRAPH.get_all_asset_keys()}


@pytest.mark.parametrize("name", sorted(registry()))
def test_an_asset_speaks_for_itself(name):
    node = GRAPH.get(key(name))
    assert node.description and node.code_version
    assert node.group_name == name.split("/")[0]
    assert node.partitions_def is None or node.backfill_policy is not None
    checks = [spec for spec in node.assets_def.check_specs if spec.name == "findings"]
    assert [check.partitions_def for check in checks] == [node.partitions_def], "one result for each partition"


@pytest.mark.parametrize("name", sorted(registry()))
def test_raw_files_are_an_external_asset_whose_partitions_fit(name):
    """Otherwise the backfill daemon refuses partitions, because they depend on some that do not exist."""
    declared, node = registry()[name], GRAPH.get(key(name))
    if not declared.reads or node.partitions_def is None:
        return
    raw = GRAPH.get(key(declared.raw))
    assert raw.is_external
    assert raw.partitions_def in (node.partitions_def, None)


def test_a_single_run_over_many_partitions_is_for_leaves_only():
    for name in registry():
        node = GRAPH.get(key(name))
        policy = node.backfill_policy
        if policy is not None and policy.policy_type.value == "SINGLE_RUN":
            below = {child.to_user_string() for child in node.child_keys}
            # A card is unpartitioned, thus in a run of its own; a range run that takes it along is refused in words.
            assert below <= {f"{name.rpartition('/')[0]}/card"}, name


@pytest.mark.parametrize("name", sorted(registry()))
def test_no_asset_has_an_option_that_is_a_place_in_the_store(name):
    options = {option.name for option in registry()[name].options}
    assert not options & {"root", "store", "home", "raw", "folder", "target", "into", "path"}


EXTERNAL = sorted(one.to_user_string() for one in GRAPH.get_all_asset_keys() if not GRAPH.get(one).is_materializable)


@pytest.mark.parametrize("name", EXTERNAL)
def test_a_source_says_its_licence_link_and_citation(name):
    said = GRAPH.get(key(name)).metadata
    for about in ("licence", "link", "citation"):
        text = getattr(said.get(about), "value", said.get(about))
        assert text and "not stated" not in text, f"{name} lacks {about}"
    assert isinstance(said["link"], dg.UrlMetadataValue)
    assert GRAPH.get(key(name)).description


def test_every_dataset_has_a_card_of_all_that_is_made_of_it():
    by_dataset: dict[str, set[str]] = {}
    for name in registry():
        by_dataset.setdefault(name.rpartition("/")[0], set()).add(name)
    for dataset, names in by_dataset.items():
        listed = {one.to_user_string() for one in GRAPH.get(key(f"{dataset}/card")).parent_keys}
        assert listed == names - {f"{dataset}/card", f"{dataset}/download"}
