"""The schedule `fill_missing`: nightly, what is missing or stale, in one run a contiguous range of partitions.

Dagster gives a run over a range of partitions one success or failure, and none to what is made from them in the same
run. So these runs have one step, which goes from partition to partition, makes what is due of each, inputs first, and
reports every asset partition by its own events: materialized with its own data version, checked, or failed. One that
cannot be made fails alone; the run goes on, and fails at its end with the names of all of them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from segassets import cluster, ledger, partitions, runs, settings
from segassets.automation.due import Look, due, ranges
from segassets.automation.groups import AUTOMATED, POOL, Group
from segassets.errors import Busy, SegassetsError, Skip, plainly

NAME = "fill_missing"
CRON = "0 2 * * *"
JOB, STEP = "fill_range", "fill"
#: A range longer than this becomes several runs, so that several machines can share it.
PARTITIONS_PER_RUN = 100
#: The daemon gives a tick 60 s (DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS); what was not looked at is looked at next time.
SECONDS = 45
AT_ONCE = 100
GROUP_TAG = "segassets/fill"
FIRST_TAG, LAST_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

ABOUT = (
    "Every night at two (UTC), makes what is missing or stale wherever its raw input is there: new partitions, changed raw "
    "files, changed code; and the cards of datasets of which something else was published. One run a contiguous range of partitions of a dataset (at most "
    f"{PARTITIONS_PER_RUN}), with all assets that are due. What could not be made is named once, by the run that "
    "tried, and tried again only when its input or the code has changed. Options that were chosen when something was "
    "made are kept."
)


def schedule(groups: Sequence[Group], job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """The schedule over all groups. Off until switched on."""

    @dg.schedule(name=NAME, cron_schedule=CRON, job=job, description=ABOUT)
    def fill_missing(context: dg.ScheduleEvaluationContext) -> Any:
        until = time.monotonic() + SECONDS
        look = Look(settings.load())
        partitions.register(context.instance, look.settings, look.listing)
        requests, late = [], []
        at = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        for group in groups:
            keys = group.partition_keys(context.instance)
            missing, complete = _missing(group, keys, look, until)
            for key in under_way(context.instance, group, keys):
                missing.pop(key, None)
            for piece in ranges(keys, set(missing), PARTITIONS_PER_RUN):
                requests.append(request(group, piece, missing, f"{piece[0]} {at}"))
            if not complete:
                late.append(group.name)
        if late:
            context.log.warning(f"no time left for {', '.join(late)}; what was read is remembered: evaluate again")
        told = f"; no time left for {', '.join(late)}" if late else ""
        return requests or dg.SkipReason(
            f"nothing is missing or stale in {len(groups) - len(late)} groups of assets{told}"
        )

    return fill_missing


def _missing(
    group: Group, keys: Sequence[str | None], look: Look, until: float
) -> tuple[dict[str | None, list[str]], bool]:
    """What is due of each partition, and whether there was time to look at all of them."""
    found: dict[str | None, list[str]] = {}
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        if time.monotonic() > until:
            return found, False
        look.read_ahead([(asset, key) for asset in group.keys for key in some])
        found |= {key: assets for key in some if (assets := due(group, key, look))}
    return found, True


def request(
    group: Group, piece: Sequence[str | None], due_assets: Mapping[str | None, Sequence[str]], run_key: str
) -> dg.RunRequest:
    """A run over some partitions that lie side by side; `due_assets`: what is due of each."""
    wanted = {asset for key in piece for asset in due_assets[key]}
    config: dict[str, Any] = {"group": group.name, "assets": [key for key in group.keys if key in wanted]}
    tags = {**AUTOMATED, GROUP_TAG: group.name}
    if group.partitions is not None:
        config["partitions"] = list(piece)
        tags |= {FIRST_TAG: str(piece[0]), LAST_TAG: str(piece[-1])}
    return dg.RunRequest(run_key=f"{group.name} {run_key}", run_config={"ops": {STEP: {"config": config}}}, tags=tags)


def under_way(instance: dg.DagsterInstance, group: Group, keys: Sequence[str | None]) -> Iterator[str | None]:
    """The partitions of earlier nights' runs that have not ended."""
    for run in instance.get_runs(dg.RunsFilter(tags={GROUP_TAG: group.name}, statuses=UNDER_WAY)):
        first, last = run.tags.get(FIRST_TAG), run.tags.get(LAST_TAG)
        if first in keys and last in keys:
            yield from keys[keys.index(first) : keys.index(last) + 1]


def range_job(
    groups: Sequence[Group], raw_partitions: Mapping[str, dg.PartitionsDefinition | None]
) -> dg.JobDefinition:
    """The job of these runs. `raw_partitions`: of the external assets that stand for raw files, by key."""
    by_name = {group.name: group for group in groups}

    @dg.op(
        name=STEP,
        pool=POOL,
        required_resource_keys={"cluster"},
        out={},
        config_schema={
            "group": dg.Field(str, description="the job of a dataset whose assets are meant"),
            "assets": dg.Field([str], description="the assets; of these, what is due is made"),
            "partitions": dg.Field([str], is_required=False, description="the partitions, one after the other"),
        },
        description="Makes what is due of some assets, partition by partition; reports each as if it had a run of its own.",
    )
    def step(context: dg.OpExecutionContext):
        runs.tag_run(context.instance, context.run_id)
        config = context.op_config
        if config["group"] not in by_name:
            raise dg.Failure(f"there is no group {config['group']}: {', '.join(by_name)}", allow_retries=False)
        group = by_name[config["group"]]
        failed: dict[str, str] = {}
        look = Look(settings.load())
        for key in config.get("partitions", [None]):
            yield from _fill(context, group, key, set(config["assets"]), raw_partitions, look, failed)
        if failed:
            first = next(iter(failed.values()))
            raise dg.Failure(
                f"{len(failed)} could not be made ({', '.join(list(failed)[:10])}); the first: {first}",
                metadata={"failed": dg.MetadataValue.json(failed)},
                allow_retries=False,
            )

    @dg.job(
        name=JOB,
        description="What the schedule fill_missing starts: a range of partitions of a dataset, in one run. Not to be "
        "launched by hand: materialize the assets.",
    )
    def job():
        step()

    return job


def _fill(
    context: dg.OpExecutionContext,
    group: Group,
    partition: str | None,
    assets: set[str],
    raw_partitions: Mapping[str, dg.PartitionsDefinition | None],
    look: Look,
    failed: dict[str, str],
) -> Iterator[Any]:
    """Make what is due of one partition, as far as what it is made from could be made."""
    wanted = due(group, partition, look)
    lost: set[str] = set()
    for artifact in group.artifacts:
        if artifact.key not in assets.intersection(wanted):
            continue
        label = f"{artifact.key} {partition}" if partition else artifact.key
        if lost.intersection(artifact.inputs.values()):
            lost.add(artifact.key)
            context.log.info(f"{label}: not tried, because what it is made from was not made")
            continue
        told = {"run_id": context.run_id, "say": context.log.info, "connect": cluster.joining(context)}
        job = replace(look.job(artifact, partition), handles={}, **told)
        alike = bool(artifact.reads) and raw_partitions.get(artifact.raw) == group.partitions
        try:
            yield from ledger.by_hand(context, job, observed=alike)
        except Busy as problem:
            context.log.info(f"{label}: left to the run that is making it: {problem}")
            return
        except Skip as nothing:
            context.log.info(f"{label}: skipped: {nothing}")
            lost.add(artifact.key)
        except (SegassetsError, OSError) as problem:
            failed[label] = plainly(problem) if isinstance(problem, OSError) else str(problem)
            lost.add(artifact.key)
        except Exception as problem:  # a fault of ours, in one partition: the others are made all the same
            context.log.exception(label)
            failed[label] = f"{type(problem).__name__}: {problem}"
            lost.add(artifact.key)
