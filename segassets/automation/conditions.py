"""Automation conditions: what has been made is made again when, and only when, what it is made from has another version.

Compared are the versions that the inputs had at the last materialization with those that they have now, as Dagster's
records say. So a run that has made a whole chain leaves nothing to do, however many versions it has changed; and
each combination of versions is asked for once, so that a failed run is not repeated by every tick. What has never been
made is left to people, to the sensors for new files and to `fill_missing`.
"""

import hashlib
import json
from collections.abc import Iterable

import dagster as dg
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.events import DagsterEventType

NAME = "bring_up_to_date"
_POINTER = "dagster/input_event_pointer/"
_VERSION = "dagster/data_version"

ABOUT = (
    "Makes again what was made from an older version of its inputs, as soon as one of them has another data version: one "
    "step of a chain after the other, and no further where the new version comes out as the old one. Runs that change "
    "nothing start nothing, failed runs are not repeated, and what was never made is left alone. Raw files are noticed "
    "by the sensor raw_changed, or by any run."
)


class MadeFromAnother(dg.AutomationCondition):
    """Whether a partition was last made from another version of an input than the one that is there now, and has not
    been asked for since. It has to come last in a conjunction: what is true here is taken for requested.

    Of inputs with other partitions Dagster does not know which version was used: any change since the last look counts.
    The cursor holds, by partition, a digest of the versions that were looked at.
    """

    @property
    def name(self) -> str:
        return "made_from_another_version"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        before = json.loads(context.cursor or "{}")
        view = context.asset_graph_view
        node = view.asset_graph.get(context.key)
        partitioned = node.partitions_def is not None
        wanted = context.candidate_subset
        keys = [] if wanted.is_empty else list(wanted.expensively_compute_partition_keys()) if partitioned else [None]
        above = [view.asset_graph.get(key) for key in node.parent_keys]
        alike = {one.key.to_user_string(): one for one in above if one.partitions_def == node.partitions_def}
        elsewhere = _digest(_all_versions(view.instance, one) for one in above if one not in alike.values())
        made = _tags(view.instance, context.key, DagsterEventType.ASSET_MATERIALIZATION, keys)
        now = {name: _now(view.instance, one, keys) for name, one in alike.items()}
        after, due = dict(before), set()
        for key in keys:
            versions = {name: found[key] for name, found in now.items() if key in found}
            known, mark = before.get(str(key)), _digest([versions]) + elsewhere
            if key not in made or known == mark:
                continue
            after[str(key)] = mark
            changed_elsewhere = known is not None and not known.endswith(elsewhere)
            if changed_elsewhere or _made_from_others(
                view.instance, context.key, key, {name: (alike[name], version) for name, version in versions.items()}
            ):
                due.add(key)
        found = context.get_empty_subset()
        if due and partitioned:
            found = view.get_asset_subset_from_asset_partitions(
                context.key, {AssetKeyPartitionKey(context.key, key) for key in due}
            )
        return dg.AutomationResult(context, wanted if due and not partitioned else found, cursor=json.dumps(after))


def _digest(values: Iterable) -> str:
    return hashlib.sha256(json.dumps(list(values), sort_keys=True).encode()).hexdigest()[:16]


def _all_versions(instance: dg.DagsterInstance, node) -> list:
    """Every partition of an input with its version."""
    keys = [None] if node.partitions_def is None else None
    found = _tags(instance, node.key, _kind(node), keys)
    return sorted([str(key), tags.get(_VERSION)] for key, tags in found.items())


def _now(instance: dg.DagsterInstance, node, keys) -> dict:
    """The version of an input that is there now, by partition."""
    found = _tags(instance, node.key, _kind(node), keys)
    return {key: tags[_VERSION] for key, tags in found.items() if _VERSION in tags}


def _made_from_others(instance: dg.DagsterInstance, asset: dg.AssetKey, key: str | None, inputs: dict) -> bool:
    """Whether a partition's inputs have other versions than when it was last made.

    Dagster notes with a materialization how far the events of each input had come: the version is that of the input's
    last event up to there. What it calls the version of the input is a digest, and none for raw files.
    """
    tags = _last(instance, asset, key, DagsterEventType.ASSET_MATERIALIZATION)
    for name, (node, version) in inputs.items():
        pointer = tags.get(_POINTER + name, "")
        if pointer.isdecimal() and _last(instance, node.key, key, _kind(node), int(pointer)).get(_VERSION) != version:
            return True
    return False


def _kind(node) -> DagsterEventType:
    return DagsterEventType.ASSET_OBSERVATION if node.is_external else DagsterEventType.ASSET_MATERIALIZATION


def _last(
    instance: dg.DagsterInstance, asset: dg.AssetKey, key: str | None, kind: DagsterEventType, upto: int | None = None
) -> dict[str, str]:
    """The tags of a partition's last event, or of the last up to a certain one."""
    before = None if upto is None else upto + 1
    wanted = dg.AssetRecordsFilter(asset, asset_partitions=[key] if key else None, before_storage_id=before)
    observed = kind is DagsterEventType.ASSET_OBSERVATION
    records = (instance.fetch_observations if observed else instance.fetch_materializations)(wanted, limit=1).records
    event = records and (records[0].asset_materialization or records[0].asset_observation)
    return dict(event.tags or {}) if event else {}


def _tags(instance: dg.DagsterInstance, key: dg.AssetKey, kind: DagsterEventType, keys) -> dict:
    """The version of the last event of each partition: one query, however many there are."""
    if keys == [None]:
        tags = _last(instance, key, None, kind)
        return {None: tags} if tags else {}
    storage = instance.event_log_storage
    return dict(storage.get_latest_tags_by_partition(key, kind, [_VERSION], None if keys is None else list(keys)))


def up_to_date() -> dg.AutomationCondition:
    """The condition of every asset that is made from others."""
    return (
        ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.any_deps_in_progress() & MadeFromAnother()
    ).with_label(NAME)


def sensor(run_tags: dict[str, str]) -> dg.AutomationConditionSensorDefinition:
    """What evaluates the conditions. Off until switched on."""
    return dg.AutomationConditionSensorDefinition(
        NAME,
        target=dg.AssetSelection.all(),
        run_tags=run_tags,
        use_user_code_server=True,
        description=ABOUT,
        minimum_interval_seconds=30,
    )
