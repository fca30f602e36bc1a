"""Many partitions of one asset in one run: each is published, versioned, and failed, by itself.

Dagster gives a plain range run one data version and no partial success. So each partition is reported by its own
materialization event, with the provenance that makes staleness exact. Such a run has no outputs, which downstream
steps of the same run would silently be skipped for: hence only assets that nothing else in the run is made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from segassets import previews, reporting
from segassets.automation import observe
from segassets.errors import PartitionRejected, SegassetsError, Skip
from segassets.work.job import Job
from segassets.work.make import Outcome, prepare


def each_partition(context: dg.AssetExecutionContext, jobs: Sequence[Job]) -> Iterator[Any]:
    """Make, publish and report every partition; Failure at the end names those that could not be made."""
    _refuse_downstream(context)
    failed: dict[str, str] = {}
    for job in jobs:
        try:
            yield from observe.raw_observation(context, job)
            outcome = _make(job)
            yield _materialization(context, outcome)
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


def _make(job: Job) -> Outcome:
    with job.store.locked(job.artifact.key, job.partition) as lock:
        job.workers_lock = lock.workers_path
        outcome = prepare(job)
        outcome.publish()
    return outcome


def _materialization(context: dg.AssetExecutionContext, outcome: Outcome) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        context.asset_key,
        partition=outcome.job.partition,
        metadata=previews.metadata(outcome),
        tags=_provenance(context, outcome.footer.data_version, outcome.job),
    )


def _provenance(context: dg.AssetExecutionContext, data_version: str, job: Job) -> dict[str, str]:
    """The tags that Dagster itself writes for an output: version, code, and the version and event of each input."""
    tags = {
        "dagster/data_version": data_version,
        "dagster/data_version_is_user_provided": "true",
        "dagster/code_version": job.artifact.code_version,
    }
    for key in context.assets_def.asset_deps[context.asset_key]:
        event = _latest(context.instance, key, job.partition)
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


def _refuse_downstream(context: dg.AssetExecutionContext) -> None:
    layer = context.op_execution_context.job_def.asset_layer
    below = layer.asset_graph.get(context.asset_key).child_keys & set(layer.executable_asset_keys)
    if below:
        names = ", ".join(sorted(key.to_user_string() for key in below))
        raise dg.Failure(
            f"a run over a range of partitions cannot also make {names} from them; make those in a run of their own",
            allow_retries=False,
        )
