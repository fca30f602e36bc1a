"""Observations of raw folders: the data version of what an asset is made from, when it is not an asset of ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache

import dagster as dg

from segassets.registry import readers
from segassets.settings import load
from segassets.sources.raw import Raw
from segassets.work.job import Job

DATA_VERSION = "dagster/data_version"


def raw_observation(context: dg.AssetExecutionContext, job: Job) -> Iterator[dg.AssetObservation]:
    """Say which version of the raw files a run sees, once for every change.

    Nothing for an asset with other partitions than its raw asset: such an observation would be one of no partition.
    """
    if not job.artifact.reads:
        return
    key = dg.AssetKey(job.artifact.raw.split("/"))
    graph = context.op_execution_context.job_def.asset_layer.asset_graph
    if graph.get(key).partitions_def != context.assets_def.partitions_def:
        return
    observed = observation(context.instance, context.run_id, job)
    if observed is None:
        return
    yield observed
    # Dagster has noted, before the step began, which versions it is made from: without this new one.
    step = context.get_step_execution_context()
    step.wipe_input_asset_version_info(key)
    step.maybe_fetch_and_get_input_asset_version_info(key)


def observation(instance: dg.DagsterInstance, run_id: str, job: Job) -> dg.AssetObservation | None:
    """Which version of the raw files of its partition a run sees; None when that was said before."""
    key = dg.AssetKey(job.artifact.raw.split("/"))
    version, about = _look(run_id, job.artifact.dataset, readers(job.artifact.key, job.partition))
    if last_version(instance, key, job.partition) == version:
        return None
    return dg.AssetObservation(key, partition=job.partition, tags={DATA_VERSION: version}, metadata=about)


@lru_cache(maxsize=16)
def _look(run_id: str, dataset: str, patterns: tuple[str, ...]) -> tuple[str, dict]:
    """The data version of a partition's raw files: a digest of names, sizes and times or ETags; and what they are.

    It takes in the files that any asset of the partition reads, so that all of them speak of the same version; and is
    found out once a run, because on S3 it is a listing.
    """
    settings = load()
    return look_at(Raw(settings.raw, dataset, patterns, settings.store))


def look_at(raw: Raw) -> tuple[str, dict]:
    """The data version of some raw files, and what to tell of them."""
    listing = [[path, entry.size, entry.version] for path, entry in raw.files.items()]
    version = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:32]
    size = sum(entry.size for entry in raw.files.values())
    return version, {"files": len(raw.files), "bytes": size, "first files": ", ".join(raw.paths[:5]) or "(none)"}


def last_version(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> str | None:
    found = instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None), limit=1
    )
    if not found.records:
        return None
    observation = found.records[0].asset_observation
    return observation.tags.get(DATA_VERSION) if observation else None
