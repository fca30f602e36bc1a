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
    inputs = _Inputs(context)
    for job in jobs:
        try:
            yield from observe.raw_observation(context, job)
            outcome, shown = make(job)
            yield dg.AssetMaterialization(
                context.asset_key, partition=job.partition, metadata=shown, tags=inputs.provenance(outcome)
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


def make(job: Job) -> tuple[Outcome, dict[str, Any]]:
    """The published partition, and what the UI shows of it: looked at while it is still a stage."""
    with job.store.locked(job.artifact.key, job.partition) as lock:
        job.workers_lock = lock.workers_path
        outcome = prepare(job)
        shown = previews.metadata(outcome)
        outcome.publish()
    return outcome, shown


class _Inputs:
    """What the partitions of a run are made from, as the instance has it. Inputs with other partitions are the same
    for all of them, and asked for once."""

    def __init__(self, context: dg.AssetExecutionContext):
        self._instance = context.instance
        self._keys = sorted(context.assets_def.asset_deps[context.asset_key])
        graph = context.op_execution_context.job_def.asset_layer.asset_graph
        mine = context.assets_def.partitions_def
        self._same = {key for key in self._keys if graph.has(key) and graph.get(key).partitions_def == mine}
        self._known: dict[dg.AssetKey, Any] = {}

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
