"""Many partitions of one asset in one run: each is published, versioned, and failed, by itself.

Dagster gives a plain range run one data version and no partial success. So each partition is reported by its own
materialization event, with the provenance that makes staleness exact. Such a run has no outputs, which downstream
steps of the same run would silently be skipped for: hence `each_partition` only for assets that nothing else in the run
is made from, and `by_hand` for a step that makes several assets itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

from segassets import previews, reporting
from segassets.automation import observe
from segassets.declaration import Artifact
from segassets.errors import Busy, PartitionRejected, SegassetsError, Skip
from segassets.findings import Finding, info
from segassets.work.job import Job
from segassets.work.make import Outcome, prepare


def each_partition(context: dg.AssetExecutionContext, jobs: Sequence[Job]) -> Iterator[Any]:
    """Make, publish and report every partition; Failure at the end names those that could not be made."""
    _refuse_downstream(context)
    failed: dict[str, str] = {}
    inputs = _Inputs.of(context)
    for job in jobs:
        try:
            yield from observe.raw_observation(context, job)
            outcome, told = _make(job)
            yield dg.AssetMaterialization(
                context.asset_key, partition=job.partition, metadata=told, tags=inputs.provenance(outcome)
            )
            yield from reporting.passed(context, outcome)
        except Skip as nothing:
            yield from reporting.skip(context, job, nothing)
        except PartitionRejected as rejected:
            failed[str(job.partition)] = str(rejected)
            yield reporting.check_result(context, job, reporting.FINDINGS, False, rejected.findings)
        except SegassetsError as problem:
            failed[str(job.partition)] = str(problem)
    if failed:
        first = next(iter(failed.values()))
        raise dg.Failure(
            f"{len(failed)} of {len(jobs)} partitions failed ({', '.join(list(failed)[:10])}); the first: {first}",
            metadata={"failed": dg.MetadataValue.json(failed)},
            allow_retries=False,
        )
    yield from reporting.checks_done(context)


def by_hand(context: dg.OpExecutionContext, job: Job, observed: bool) -> Iterator[Any]:
    """Make and report one partition from a step that is none of Dagster's assets: every event is written here.

    `observed`: say which version of the raw files it is made from, since the raw asset has the same partitions. Raises
    what making it raises, after what is to be told of it.
    """
    instance, key = context.instance, dg.AssetKey(job.artifact.key.split("/"))
    if observed and (observation := observe.observation(instance, context.run_id, job)) is not None:
        yield observation
    try:
        outcome, told = _make(job)
    except Skip as nothing:
        reporting.note_skip(job.artifact.key, job.partition, str(nothing))
        yield _check(instance, key, job, reporting.FINDINGS, True, [info("skipped", str(nothing))])
        raise
    except Exception as problem:
        if not isinstance(problem, Busy):
            _attempted(context, key, job.partition)
        if isinstance(problem, PartitionRejected):
            yield _check(instance, key, job, reporting.FINDINGS, False, problem.findings)
        raise
    above = _deps(job.artifact)
    tags = _Inputs(instance, above, set(above)).provenance(outcome)
    yield dg.AssetMaterialization(key, partition=job.partition, metadata=told, tags=tags)
    yield _check(instance, key, job, reporting.FINDINGS, True, outcome.findings)
    if job.artifact.check is not None:
        yield _check(instance, key, job, reporting.OUTPUT, True, outcome.checked)


def _attempted(context: dg.OpExecutionContext, key: dg.AssetKey, partition: str | None) -> None:
    """Have Dagster call the partition failed, when the run ends as it now will. Not said beforehand of all: what is
    skipped would be called failed as well, because of others."""
    planned = DagsterEvent.build_asset_materialization_planned_event(
        context.job_name, context.op.name, AssetMaterializationPlannedData(key, partition)
    )
    context.instance.report_dagster_event(planned, context.run_id)


def _deps(artifact: Artifact) -> list[dg.AssetKey]:
    above = [*artifact.inputs.values(), *([artifact.raw] if artifact.reads else [])]
    return [dg.AssetKey(key.split("/")) for key in above]


def _check(
    instance: dg.DagsterInstance, key: dg.AssetKey, job: Job, name: str, passed: bool, findings: Sequence[Finding]
) -> dg.AssetCheckEvaluation:
    """A check's result, of the materialization that was written before it."""
    severity, metadata = reporting.about_check(findings)
    target = None
    if passed:
        where = dg.AssetRecordsFilter(key, asset_partitions=[job.partition] if job.partition else None)
        for record in instance.fetch_materializations(where, limit=1).records:
            target = AssetCheckEvaluationTargetMaterializationData(
                storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
            )
    return dg.AssetCheckEvaluation(
        key, name, passed, metadata, target, severity, partition=job.partition, blocking=True
    )


def _make(job: Job) -> tuple[Outcome, dict[str, Any]]:
    """Make and publish it; and what to tell of it, which is looked at while it lies in its stage."""
    with job.store.locked(job.artifact.key, job.partition) as lock:
        job.workers_lock = lock.workers_path
        outcome = prepare(job)
        told = previews.metadata(outcome)
        outcome.publish()
    return outcome, told


class _Inputs:
    """What the partitions of a run are made from, as the instance has it.

    `same`: the inputs that have the same partitions. Others are the same for all of them, and asked for once.
    """

    def __init__(self, instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey], same: Set[dg.AssetKey]):
        self._instance, self._keys, self._same = instance, sorted(keys), same
        self._known: dict[dg.AssetKey, Any] = {}

    @classmethod
    def of(cls, context: dg.AssetExecutionContext) -> _Inputs:
        """Those of the asset that a step makes."""
        keys = context.assets_def.asset_deps[context.asset_key]
        graph = context.op_execution_context.job_def.asset_layer.asset_graph
        mine = context.assets_def.partitions_def
        same = {key for key in keys if graph.has(key) and graph.get(key).partitions_def == mine}
        return cls(context.instance, keys, same)

    def provenance(self, outcome: Outcome) -> dict[str, str]:
        """The tags that Dagster itself writes for an output: version, code, and the version and event of each input."""
        tags = {
            "dagster/data_version": outcome.footer.data_version,
            "dagster/data_version_is_user_provided": "true",
            "dagster/code_version": outcome.job.artifact.code_version,
        }
        for key in self._keys:
            event = self._event(key, outcome.job.partition)
            if event is None:
                continue
            said = event.asset_materialization or event.asset_observation
            version = (said.tags or {}).get("dagster/data_version")
            if version is not None:
                tags[f"dagster/input_data_version/{key.to_user_string()}"] = version
                tags[f"dagster/input_event_pointer/{key.to_user_string()}"] = str(event.storage_id)
        return tags

    def _event(self, key: dg.AssetKey, partition: str | None) -> Any:
        if key in self._same and partition is not None and (found := self._latest(key, partition)) is not None:
            return found
        if key not in self._known:
            self._known[key] = self._latest(key, None)
        return self._known[key]

    def _latest(self, key: dg.AssetKey, partition: str | None) -> Any:
        records = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
        for fetch in (self._instance.fetch_materializations, self._instance.fetch_observations):
            found = fetch(records, limit=1).records
            if found:
                return found[0]
        return None


def _refuse_downstream(context: dg.AssetExecutionContext) -> None:
    layer = context.op_execution_context.job_def.asset_layer
    below = layer.asset_graph.get(context.asset_key).child_keys & set(layer.executable_asset_keys)
    if below:
        names = ", ".join(sorted(key.to_user_string() for key in below))
        raise dg.Failure(
            f"a run over a range of partitions cannot also make {names} from them; make those in a run of their own",
            allow_retries=False,
        )
