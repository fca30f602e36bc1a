"""Making one partition of one artifact: decide, stage, carry out its plan, judge. No Dagster here.

The result is a finished stage that only has to be published, or PartitionRejected with every finding saved.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segassets.errors import (
    BeingPublished,
    Busy,
    ForeignFile,
    NoRoom,
    NotPublished,
    PartitionRejected,
    Skip,
    Unreadable,
)
from segassets.findings import BadItem, Finding
from segassets.store import manifest
from segassets.store.stage import Stage
from segassets.store.view import StageView
from segassets.work.carry import carry_out
from segassets.work.job import Job, Whole
from segassets.work.progress import Progress
from segassets.work.versions import library_versions

STORE_FORMAT = 1
LOOK_AT = 64


@dataclass
class Outcome:
    """What `prepare` came to: a stage to publish, or the unchanged partition."""

    job: Job
    footer: manifest.Footer
    findings: list[Finding]
    view: Any
    stage: Stage | None = None
    checked: list[Finding] = field(default_factory=list)

    @property
    def unchanged(self) -> bool:
        return self.stage is None

    def publish(self) -> None:
        """Put the stage into place; nothing to do for an unchanged partition. Call it under the lock."""
        if self.stage is None:
            return
        try:
            self.job.store.publish(self.stage, self.footer, self.findings)
        except ForeignFile as problem:
            _note_tried(self.job, self.footer.fingerprint, problem)
            raise


def input_versions(job: Job) -> dict[str, str]:
    """The data version of every upstream partition. NotPublished when one is missing."""
    versions = {}
    for name, handle in job.inputs().items():
        if isinstance(handle, Whole):
            wanted = job.artifact.whole_inputs[name]
            partitions = wanted(job.partition) if wanted else handle.partitions
            for partition, version in handle.read_versions(list(partitions)).items():
                versions[f"{handle.asset} {partition}"] = version
        else:
            versions[job.artifact.inputs[name]] = handle.data_version
    for found in job.published.values():
        for (asset, partition), handle in found.items():
            versions[f"{asset} {partition or ''}".strip()] = handle.data_version if handle else "not published"
    return versions


def fingerprint(job: Job, inputs: Mapping[str, str], raw: Mapping[str, list]) -> str:
    """Everything that decides the result, except library versions: equal fingerprints need no work."""
    declared = {
        "format": STORE_FORMAT,
        "asset": job.artifact.key,
        "partition": job.partition,
        "into": job.artifact.target(job.partition),
        "code": job.artifact.code_version,
        "rows": job.artifact.rows,
        "config": dict(job.options),
        "inputs": dict(inputs),
        "raw": dict(raw),
    }
    return hashlib.sha256(json.dumps(declared, sort_keys=True, default=str).encode()).hexdigest()[:32]


def is_current(job: Job) -> bool:
    """Whether the published partition is what the job would make: nothing is read but listings and manifests.

    What a killed run has left is work to do: to finish what it had announced, or to clear it away.
    """
    return not job.store.unfinished(job.artifact.key, job.partition) and _is_current(job)


def _is_current(job: Job) -> bool:
    try:
        footer = job.store.footer(job.artifact.key, job.partition)
        if footer is None or job.force:
            return False
        mark = fingerprint(job, input_versions(job), job.raw.fingerprint() if job.artifact.reads else {})
        return footer.fingerprint == mark and _still_there(job) and _tolerated(job, footer)
    except (NotPublished, BeingPublished, Unreadable):
        return False


def _tolerated(job: Job, footer: manifest.Footer) -> bool:
    rejected, items = footer.counts.get("rejected", 0), footer.counts.get("items", 0)
    return rejected <= job.tolerance * items


def _still_there(job: Job) -> bool:
    """Whether a spread of the published files, and the rows, are still there in their size: else it is made again."""
    handle = job.store.handle(job.artifact.key, job.partition)
    paths, sizes = handle.all_files["path"], handle.all_files["bytes"]
    places = {*range(0, len(paths), max(1, len(paths) // LOOK_AT)), *range(len(paths))[-1:]}  # the last: the rows
    found = {place: job.store.files.stat(paths[place].as_py()) for place in places}
    return all(entry is not None and entry.size == sizes[place].as_py() for place, entry in found.items())


def prepare(job: Job) -> Outcome:
    """Make a partition up to, but not including, its publication. Call it under the partition's lock.

    PartitionRejected when too much of it cannot be made (its findings are saved), SegassetsError for what is wrong
    with the call or the machine.
    """
    store, artifact = job.store, job.artifact
    if _is_current(job):
        store.clear(artifact.key, job.partition)
        view = store.handle(artifact.key, job.partition)
        return Outcome(job, view.footer, store.findings(artifact.key, job.partition), view)
    inputs = input_versions(job)
    raw = job.raw.fingerprint() if artifact.reads else {}
    mark = fingerprint(job, inputs, raw)
    try:
        store.footer(artifact.key, job.partition)  # a damaged manifest is told before the work, not after it
        return _stage(job, inputs, raw, mark)
    except Exception as problem:
        _note_tried(job, mark, problem)
        raise


def _note_tried(job: Job, mark: str, problem: Exception) -> None:
    """Remember what will not come out otherwise another time: nothing that other runs, the disk, the network, or a
    stricter limit than the usual one are to blame for."""
    passing = isinstance(problem, OSError | MemoryError | NotPublished | BeingPublished | Busy | NoRoom)
    if not passing and job.tolerance >= job.artifact.max_rejected:
        with contextlib.suppress(OSError):
            job.store.note_tried(job.artifact.key, job.partition, mark, f"{type(problem).__name__}: {problem}")


def _stage(job: Job, inputs: dict[str, str], raw: dict[str, list], mark: str) -> Outcome:
    """Carry out the plan into a stage, and judge what came out."""
    artifact = job.artifact
    versions = library_versions()
    staged_mark = hashlib.sha256(json.dumps([mark, versions, job.force and job.run_id]).encode()).hexdigest()[:32]
    into, copy_mode = artifact.target(job.partition), job.settings.copy_mode
    stage = job.store.stage(artifact.key, job.partition, into, staged_mark, artifact.rows, copy_mode)
    progress = Progress(job.label, say=job.say)
    try:
        listed = carry_out(job, stage, progress)
    except Skip:
        stage.discard()
        raise
    except BadItem as bad:
        raise _rejected(job, stage, bad.findings, "it cannot be made") from None
    return _judge(job, stage, listed, _footer(job, inputs, raw, mark, versions), progress)


def _footer(job: Job, inputs: dict, raw: dict, mark: str, versions: dict) -> manifest.Footer:
    return manifest.Footer(
        asset=job.artifact.key,
        partition=job.partition,
        code_version=job.artifact.code_version,
        fingerprint=mark,
        inputs=inputs,
        raw=raw,
        config=dict(job.options),
        versions=versions,
        run_id=job.run_id,
    )


def _judge(job: Job, stage: Stage, listed: list[Finding], footer: manifest.Footer, progress: Progress) -> Outcome:
    summaries = stage.batches()
    findings = listed + [finding for summary in summaries for finding in summary.findings]
    lost = len({_lost_item(finding) for finding in listed if finding.severity == "error"} - {None})
    items = sum(summary.items for summary in summaries) + lost
    rejected = sum(summary.rejected for summary in summaries) + lost
    if rejected > job.tolerance * items:
        told = f"{rejected} of {items} items rejected, allowed are {job.tolerance:.2%} (--max-rejected)"
        raise _rejected(job, stage, findings, told)
    footer.data_version = stage.data_version()
    footer.counts = {
        "items": items,
        "rejected": rejected,
        "files": sum(summary.files for summary in summaries),
        "bytes": sum(summary.bytes for summary in summaries),
        "rows": sum(summary.rows for summary in summaries),
    }
    footer.numbers = {"seconds": round(progress.seconds, 3)}
    view = StageView(stage)
    checked = _run_check(job, view)
    if any(finding.severity == "error" for finding in checked):
        raise _rejected(job, stage, findings + checked, "what was made does not pass its own check")
    return Outcome(job, footer, findings + checked, view, stage, checked)


def _lost_item(finding: Finding) -> str | None:
    """Which item an error of the listing costs; a stray member of an archive is no item.

    A record that names nothing is known by its index, and an error that names no item at all stands for one: what is
    an error never passes as nothing.
    """
    if finding.image or finding.part:
        return finding.image or finding.part
    if finding.member:
        return None
    return finding.path or (f"index {finding.index}" if finding.index is not None else str(finding))


def _run_check(job: Job, view: StageView) -> list[Finding]:
    """The artifact's structural check, on a sample that depends on nothing but the partition."""
    if job.artifact.check is None:
        return []
    return list(job.artifact.check(view, random.Random(job.label)))


def _rejected(job: Job, stage: Stage, findings: list[Finding], told: str) -> PartitionRejected:
    job.store.save_findings(job.artifact.key, job.partition, findings)
    stage.discard()
    errors = [finding for finding in findings if finding.severity == "error"]
    lines = "".join(f"\n  {finding}" for finding in errors[:5])
    more = f"\n  ... and {len(errors) - 5} more: segassets findings {job.artifact.key}" if len(errors) > 5 else ""
    return PartitionRejected(f"{job.label}: {told}{lines}{more}", findings)
