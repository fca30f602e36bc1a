"""Reporting asset partitions from a step that is none of Dagster's assets: every event is written here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

from segassets import ledger, reporting
from segassets.automation import observe
from segassets.declaration import Artifact
from segassets.errors import Busy, PartitionRejected, Skip
from segassets.findings import Finding, info
from segassets.work.job import Job


def by_hand(context: dg.OpExecutionContext, job: Job, observed: bool) -> Iterator[Any]:
    """Make and report one partition from a step that is none of Dagster's assets: every event is written here.

    `observed`: say which version of the raw files it is made from, since the raw asset has the same partitions. Raises
    what making it raises, after what is to be told of it.
    """
    instance, key = context.instance, dg.AssetKey(job.artifact.key.split("/"))
    if observed and (observation := observe.observation(instance, context.run_id, job)) is not None:
        yield observation
    try:
        outcome, told = ledger.make(job)
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
    tags = _provenance(instance, _deps(job.artifact), outcome.footer.data_version, job)
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


def _provenance(
    instance: dg.DagsterInstance, deps: Iterable[dg.AssetKey], data_version: str, job: Job
) -> dict[str, str]:
    """The tags that Dagster itself writes for an output: version, code, and the version and event of each input."""
    tags = {
        "dagster/data_version": data_version,
        "dagster/data_version_is_user_provided": "true",
        "dagster/code_version": job.artifact.code_version,
    }
    for key in deps:
        event = _latest(instance, key, job.partition)
        if event is None:
            continue
        said = event.asset_materialization or event.asset_observation
        version = (said.tags or {}).get("dagster/data_version")
        if version is not None:
            tags[f"dagster/input_data_version/{key.to_user_string()}"] = version
            tags[f"dagster/input_event_pointer/{key.to_user_string()}"] = str(event.storage_id)
    return tags


def _latest(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> Any:
    for wanted in ([partition] if partition else None, None):
        records = dg.AssetRecordsFilter(asset_key=key, asset_partitions=wanted)
        for fetch in (instance.fetch_materializations, instance.fetch_observations):
            found = fetch(records, limit=1).records
            if found:
                return found[0]
    return None
