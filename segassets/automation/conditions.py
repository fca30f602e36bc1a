"""Automation conditions: what has been made is made again when, and only when, what it is made from has another version.

The edge is Dagster's own (`data_version_changed` of an input since the last tick), so that a failed run is not started
again by every tick. But a version also changes in the run that then makes the rest from it: `MadeFromAnother` compares
with the versions that the last materialization was made from. What has never been made is left to people, to the
sensors for new files and to `fill_missing`.
"""

import dagster as dg
from dagster._core.events import DagsterEventType

NAME = "bring_up_to_date"
_INPUT = "dagster/input_data_version/"
_VERSION = "dagster/data_version"

ABOUT = (
    "Makes again what was made from an older version of its inputs, as soon as one of them has another data version: one "
    "step of a chain after the other, and no further where the new version comes out as the old one. Runs that change "
    "nothing start nothing, failed runs are not repeated, and what was never made is left alone. Raw files are noticed "
    "by the sensor raw_changed, or by any run."
)


class MadeFromAnother(dg.AutomationCondition):
    """Whether a partition was last made from another version of an input than the one that is there now.

    Inputs with other partitions are not compared: of these, any change counts.
    """

    @property
    def name(self) -> str:
        return "made_from_another_version"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        wanted = context.candidate_subset
        if wanted.is_empty:
            return dg.AutomationResult(context, wanted)
        view = context.asset_graph_view
        node = view.asset_graph.get(context.key)
        above = [view.asset_graph.get(key) for key in node.parent_keys]
        if any(one.partitions_def != node.partitions_def for one in above):
            return dg.AutomationResult(context, wanted)
        names = [_INPUT + one.key.to_user_string() for one in above]
        keys = wanted.expensively_compute_partition_keys() if node.partitions_def is not None else [None]
        made = _tags(view.instance, context.key, DagsterEventType.ASSET_MATERIALIZATION, names, keys)
        now = {name: _now(view.instance, one, keys) for name, one in zip(names, above, strict=True)}
        other = {
            key
            for key in keys
            if key in made and any(key in now[name] and made[key].get(name) != now[name][key] for name in names)
        }
        if node.partitions_def is None:
            return dg.AutomationResult(context, wanted if other else context.get_empty_subset())
        subset = view.get_asset_subset_from_asset_partitions(
            context.key, {dg.AssetKeyPartitionKey(context.key, key) for key in other}
        )
        return dg.AutomationResult(context, subset)


def _now(instance: dg.DagsterInstance, node, keys) -> dict:
    """The version of an input that is there now, by partition."""
    kind = DagsterEventType.ASSET_OBSERVATION if node.is_external else DagsterEventType.ASSET_MATERIALIZATION
    found = _tags(instance, node.key, kind, [_VERSION], keys)
    return {key: tags[_VERSION] for key, tags in found.items() if _VERSION in tags}


def _tags(instance: dg.DagsterInstance, key: dg.AssetKey, kind: DagsterEventType, names: list[str], keys) -> dict:
    """Tags of the latest event of each partition: one query, however many there are."""
    if list(keys) == [None]:
        fetch = (
            instance.fetch_observations
            if kind is DagsterEventType.ASSET_OBSERVATION
            else instance.fetch_materializations
        )
        records = fetch(dg.AssetRecordsFilter(key), limit=1).records
        event = records and (records[0].asset_materialization or records[0].asset_observation)
        return {None: dict(event.tags or {})} if event else {}
    return dict(instance.event_log_storage.get_latest_tags_by_partition(key, kind, names, asset_partitions=list(keys)))


def up_to_date() -> dg.AutomationCondition:
    """The condition of every asset that is made from others."""
    changed = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()).with_label(
        "an input has another data version"
    )
    handled = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    return (
        changed.since(handled)
        & ~dg.AutomationCondition.any_deps_missing()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
        & MadeFromAnother()
    ).with_label("bring_up_to_date")


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
