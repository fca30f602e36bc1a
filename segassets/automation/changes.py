"""The sensor `raw_changed`: notes which raw files have changed, so that Dagster knows what is stale.

An observation says which version of its raw files a partition has now: a digest of names, sizes and times or ETags.
What is made from an older version is then shown as stale, and made again where `bring_up_to_date` is switched on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.events import DagsterEventType

from segassets import settings
from segassets.automation import observe
from segassets.automation.groups import Group
from segassets.registry import readers
from segassets.sources.raw import Listing, Raw

NAME = "raw_changed"
PER_TICK = 200
INTERVAL_SECONDS = 300
#: The daemon gives a tick 60 s.
SECONDS = 40

ABOUT = (
    "Looks at all raw folders every five minutes, by one listing each, and notes the new data version of every "
    "partition whose raw files have changed, so that the UI shows what is stale. At most "
    f"{PER_TICK} a tick; the next goes on from there. It starts no runs: fill_missing and bring_up_to_date do."
)


def sensor(
    groups: Sequence[Group], raw_partitions: Mapping[str, dg.PartitionsDefinition | None]
) -> dg.SensorDefinition:
    """The sensor over all external assets that stand for raw files. Off until switched on.

    `raw_partitions`: their partitions, by key. One whose readers have other partitions has no version of its own.
    """
    looked: dict[str, tuple[Group, str]] = {}
    for group in groups:
        for artifact in group.artifacts:
            if artifact.reads and artifact.raw in raw_partitions and raw_partitions[artifact.raw] == group.partitions:
                looked.setdefault(artifact.raw, (group, artifact.key))

    @dg.sensor(name=NAME, minimum_interval_seconds=INTERVAL_SECONDS, description=ABOUT)
    def raw_changed(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        known = settings.load()
        listing = Listing(known.raw)
        until = time.monotonic() + SECONDS
        found: list[dg.AssetObservation] = []
        raws = sorted(looked)
        start = next((n for n, raw in enumerate(raws) if raw == context.cursor), 0)
        for raw in raws[start:] + raws[:start]:
            if len(found) >= PER_TICK or time.monotonic() > until:
                return dg.SensorResult(asset_events=found, cursor=raw)
            group, reader = looked[raw]
            found += _changed(context.instance, known, listing, raw, group, reader)[: PER_TICK - len(found)]
            last = raw
        if not found:
            return dg.SkipReason(f"no raw file has changed in {len(raws)} datasets")
        # With the tick's share used up, the last one may have more.
        return dg.SensorResult(asset_events=found, cursor=last if len(found) >= PER_TICK else None)

    return raw_changed


def _changed(
    instance: dg.DagsterInstance, known: settings.Settings, listing: Listing, raw: str, group: Group, reader: str
) -> list[dg.AssetObservation]:
    """The observations of one raw asset that are due."""
    key = dg.AssetKey(raw.split("/"))
    before = versions(instance, key, partitioned=group.partitions is not None)
    found = []
    for partition in group.partition_keys(instance):
        try:
            files = Raw(known.raw, group.dataset.split("/")[0], readers(reader, partition), known.store, listing)
            there = bool(files.files)
        except ValueError:  # a key by hand that no file can be called
            continue
        if not there:
            continue
        version, about = observe.look_at(files)
        if before.get(partition) != version:
            tags = {observe.DATA_VERSION: version}
            found.append(dg.AssetObservation(key, partition=partition, tags=tags, metadata=about))
    return found


def versions(instance: dg.DagsterInstance, key: dg.AssetKey, partitioned: bool) -> dict[str | None, str]:
    """The last version that was noted, by partition: one query, however many there are."""
    if not partitioned:
        noted = observe.last_version(instance, key, None)
        return {} if noted is None else {None: noted}
    found = instance.event_log_storage.get_latest_tags_by_partition(
        key, DagsterEventType.ASSET_OBSERVATION, [observe.DATA_VERSION]
    )
    return {partition: tags[observe.DATA_VERSION] for partition, tags in found.items() if observe.DATA_VERSION in tags}
