"""All automation over all datasets, at the door: jobs, the schedule, sensors, conditions, freshness."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

import dagster as dg

from segassets.automation import arrivals, changes, conditions, filling
from segassets.automation.groups import AUTOMATED, Group, groups, job
from segassets.registry import registry

#: A source that others change is looked at now and then; raw files of one's own and what is made of them do not age.
MIRRORED = dg.FreshnessPolicy.time_window(
    warn_window=datetime.timedelta(days=180), fail_window=datetime.timedelta(days=365)
)


def automated(datasets: dg.Definitions, cards: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
    """The datasets and their cards, with their automation. Cards are made at night: a card of a dataset that grows by a
    thousand partitions would be made a thousand times if it followed each of them."""
    described = dg.Definitions(assets=cards)
    every = groups_of(dg.Definitions.merge(datasets, described))
    raw_partitions = _raw_partitions(datasets)
    fill = filling.range_job(every, raw_partitions)
    mine = dg.Definitions(
        jobs=[*(job(group) for group in every if group.reads), fill],
        schedules=[filling.schedule(every, fill)],
        sensors=[
            changes.sensor(every, raw_partitions),
            arrivals.new_datasets(every, fill),
            conditions.sensor(AUTOMATED),
        ],
    )
    followed = datasets.permissive_map_resolved_asset_specs(func=_policies, selection=None)
    return dg.Definitions.merge(followed, described, mine)


def groups_of(datasets: dg.Definitions) -> list[Group]:
    """The artifacts among the assets, in groups."""
    assets = [asset for asset in datasets.assets or () if isinstance(asset, dg.AssetsDefinition)]
    there = {key.to_user_string(): asset.partitions_def for asset in assets for key in asset.keys}
    # A download is made from nothing: it is for a person to start, with what is to be downloaded.
    mine = {key: one for key, one in registry().items() if key in there and not key.endswith("/download")}
    return groups(mine, there)


def _raw_partitions(datasets: dg.Definitions) -> Mapping[str, dg.PartitionsDefinition | None]:
    """The partitions of the external assets, by key."""
    specs = [asset for asset in datasets.assets or () if isinstance(asset, dg.AssetSpec)]
    return {spec.key.to_user_string(): spec.partitions_def for spec in specs}


def _policies(spec: dg.AssetSpec) -> dg.AssetSpec:
    key = spec.key.to_user_string()
    if key not in registry():
        return spec
    if key.endswith("/download"):
        return spec.replace_attributes(freshness_policy=MIRRORED)
    return spec.replace_attributes(automation_condition=conditions.up_to_date())
