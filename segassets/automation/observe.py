"""Observations of raw folders: the data version of what an asset is made from, when it is not an asset of ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import dagster as dg

from segassets.work.make import Job

DATA_VERSION = "dagster/data_version"


def raw_version(job: Job) -> str:
    """The data version of a partition's raw files: a digest of their names, sizes and times or ETags."""
    marks = json.dumps(job.raw.fingerprint(), sort_keys=True)
    return hashlib.sha256(marks.encode()).hexdigest()[:32]


def raw_observation(context: dg.AssetExecutionContext, job: Job) -> Iterator[dg.AssetObservation]:
    """Say which version of the raw files a run sees, once for every change."""
    key = dg.AssetKey([job.artifact.dataset, "raw"])
    version = raw_version(job)
    if _last_version(context.instance, key, job.partition) != version:
        raw = job.raw
        size = sum(entry.size for entry in raw.files.values())
        yield dg.AssetObservation(
            key,
            partition=job.partition,
            tags={DATA_VERSION: version},
            metadata={"files": len(raw.files), "bytes": size, "first files": ", ".join(raw.paths[:5]) or "(none)"},
        )


def _last_version(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> str | None:
    found = instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None), limit=1
    )
    if not found.records:
        return None
    observation = found.records[0].asset_observation
    return observation.tags.get(DATA_VERSION) if observation else None
