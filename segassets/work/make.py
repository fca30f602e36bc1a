"""Making one partition of one artifact: decide, stage, carry out its plan, judge. No Dagster here.

The result is a finished stage that only has to be published, or PartitionRejected with every finding saved.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import metadata
from typing import Any

from segassets.declaration import Artifact
from segassets.errors import (
    BeingPublished,
    Busy,
    ForeignFile,
    NoRoom,
    NotPublished,
    PartitionRejected,
    SegassetsError,
    Skip,
)
from segassets.findings import BadItem, Finding
from segassets.items import File, Made
from segassets.settings import Settings
from segassets.sources.raw import Raw
from segassets.store import manifest
from segassets.store.stage import BatchWriter, Stage, Summary
from segassets.store.store import Store
from segassets.store.view import StageView
from segassets.work import engine, packing, plans
from segassets.work.progress import Progress
from segassets.work.worker import Task

log = logging.getLogger("segassets")

STORE_FORMAT = 1
LOOK_AT = 64


@dataclass
class Job:
    """One partition of one artifact to be made, and everything that decides what comes out."""

    artifact: Artifact
    partition: str | None
    settings: Settings
    options: Mapping[str, Any] = field(default_factory=dict)
    max_rejected: float | None = None
    force: bool = False
    run_id: str = ""
    workers_lock: str | None = None
    handles: Mapping[str, Any] = field(default_factory=dict)
    say: Callable[[str], None] = log.info

    @property
    def label(self) -> str:
        return f"{self.artifact.key} {self.partition}" if self.partition else self.artifact.key

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    @cached_property
    def raw(self) -> Raw:
        """One listing for the fingerprint and for what is read, so that the one is of the other."""
        patterns = self.artifact.patterns(self.partition)
        return Raw(self.settings.raw, self.artifact.dataset, patterns, scratch=self.settings.store)

    @property
    def tolerance(self) -> float:
        return self.artifact.max_rejected if self.max_rejected is None else self.max_rejected

    def inputs(self) -> dict[str, Any]:
        """A handle for each upstream asset; for one of other partitions, a function that gives its handles by key.

        They stay the same: what is read is of the versions that the fingerprint names.
        """
        return self._inputs

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        handles: dict[str, Any] = dict(self.handles)
        for name, key in self.artifact.inputs.items():
            if name in self.artifact.whole_inputs:
                handles[name] = Whole(self.store, key)
            elif name not in handles:
                handles[name] = self.store.handle(key, self.partition)
        return handles

    def arguments(self) -> dict[str, Any]:
        """What the artifact's functions get: its inputs, and `raw` when it reads raw files."""
        return {**self.inputs(), **({"raw": self.raw} if self.artifact.reads else {})}


@dataclass
class Whole:
    """All partitions of an upstream asset; those that are asked for are remembered as inputs."""

    store: Store
    asset: str
    used: dict[str | None, Any] = field(default_factory=dict)

    def __getitem__(self, partition: str | None):
        return self.used.setdefault(partition, self.store.handle(self.asset, partition))

    @property
    def partitions(self) -> list[str | None]:
        return self.store.published(self.asset)


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
            for partition in wanted(job.partition) if wanted else handle.partitions:
                versions[f"{handle.asset} {partition}"] = handle[partition].data_version
        else:
            versions[job.artifact.inputs[name]] = handle.data_version
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


def library_versions() -> dict[str, str]:
    """Versions of everything that can change a pixel or a byte."""
    from segassets.formats.png import codec_versions

    found = {name: metadata.version(name) for name in ("segassets", "numpy", "pillow", "pyarrow")}
    return {**found, **codec_versions()}


def is_current(job: Job) -> bool:
    """Whether the published partition is what the job would make: nothing is read but listings and manifests.

    What a killed run has left is work to do: to finish what it had announced, or to clear it away.
    """
    return not job.store.unfinished(job.artifact.key, job.partition) and _is_current(job)


def _is_current(job: Job) -> bool:
    footer = job.store.footer(job.artifact.key, job.partition)
    if footer is None or job.force:
        return False
    try:
        mark = fingerprint(job, input_versions(job), job.raw.fingerprint() if job.artifact.reads else {})
        return footer.fingerprint == mark and _still_there(job) and _tolerated(job, footer)
    except (NotPublished, BeingPublished):
        return False


def _tolerated(job: Job, footer: manifest.Footer) -> bool:
    rejected, items = footer.counts.get("rejected", 0), footer.counts.get("items", 0)
    return rejected <= job.tolerance * items


def _still_there(job: Job) -> bool:
    """Whether a spread of the published files still exists: a folder that a user removed is made again."""
    paths = job.store.handle(job.artifact.key, job.partition).files["path"]
    step = max(1, len(paths) // LOOK_AT)
    return all(job.store.files.stat(path.as_py()) is not None for path in paths[::step])


def prepare(job: Job) -> Outcome:
    """Make a partition up to, but not including, its publication. Call it under the partition's lock.

    PartitionRejected when too much of it cannot be made (its findings are saved), SegassetsError for what is wrong
    with the call or the machine.
    """
    store, artifact = job.store, job.artifact
    footer = store.footer(artifact.key, job.partition)
    if footer is not None and _is_current(job):
        store.clear(artifact.key, job.partition)
        view = store.handle(artifact.key, job.partition)
        return Outcome(job, footer, store.findings(artifact.key, job.partition), view)
    inputs = input_versions(job)
    raw = job.raw.fingerprint() if artifact.reads else {}
    mark = fingerprint(job, inputs, raw)
    try:
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
        listed = _carry_out(job, stage, progress)
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
    """Which item an error of the listing costs; a stray member of an archive is no item."""
    return finding.image or finding.part or (None if finding.member else finding.path)


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


def _carry_out(job: Job, stage: Stage, progress: Progress) -> list[Finding]:
    """Run the plan into the stage; the findings of the listing itself."""
    plan = job.artifact.make(partition=job.partition, arguments=job.arguments(), options=job.options)
    match plan:
        case plans.Each():
            _each(job, stage, plan, progress)
        case plans.Copy():
            _each(job, stage, _copy(plan), progress)
        case plans.Fold():
            progress.begin(1)
            _once(stage, 0, progress, lambda writer: _stream(writer, plan.name, plan.work(*plan.arguments)))
        case plans.Files():
            progress.begin(1)
            _once(stage, 0, progress, lambda writer: writer.add_all(Made(list(plan.files), plan.rows)))
        case plans.ByHand():
            progress.begin(1)
            _once(stage, 0, progress, lambda writer: _by_hand(plan, writer))
        case _:
            raise SegassetsError(f"{job.label}: its function returned {type(plan).__name__}, which is no plan")
    return list(plan.findings)


def _each(job: Job, stage: Stage, plan: plans.Each, progress: Progress) -> None:
    batches = plan.source.batches()
    pending = [n for n in range(len(batches)) if n not in stage.summaries]
    tasks = [
        Task(stage.place, n, batches[n], plan.work, plan.constants, job.workers_lock, packed=plan.packed is not None)
        for n in pending
    ]
    progress.begin(len(batches) + len(plan.folds) + (plan.packed is not None))
    for summary in stage.batches():
        progress.add(summary.items, summary.files, summary.bytes)
    told = False
    for summary in engine.run(tasks, 1 if plan.serial else job.settings.workers):
        stage.add(summary)
        progress.add(summary.items, summary.files, summary.bytes)
        told = told or _tell_size(job, stage, len(batches))
    number = len(batches)
    for name, work in plan.folds.items():
        _once(stage, number, progress, partial(_fold_rows, stage, name, work))
        number += 1
    if plan.packed is not None:
        _once(stage, number, progress, partial(_pack, stage, plan.packed))


def _fold_rows(stage: Stage, name: str, work: Callable, writer: BatchWriter) -> None:
    _stream(writer, name, work(StageView(stage).records()))


def _pack(stage: Stage, name: str, writer: BatchWriter) -> None:
    """Join the batches' pieces of a zip, and list its members in the manifest's stead."""
    writer.add_stream(name, packing.joined(stage))


def _tell_size(job: Job, stage: Stage, batches: int) -> bool:
    """Once, after the first batches: how much this will come to, and whether there is room."""
    done = stage.batches()
    share = batches / len(done)
    files = int(sum(summary.files for summary in done) * share)
    size = int(sum(summary.bytes for summary in done) * share)
    line = job.store.check_room(files, size)
    if files > 100_000:
        job.say(f"{job.label}: {line}")
    return True


def _by_hand(plan: plans.ByHand, writer: BatchWriter) -> None:
    writer.add_all(Made())
    plan.work(writer)


def _copied(item: str, file: File) -> Made:
    return Made([file])


def _copy(plan: plans.Copy) -> plans.Each:
    listed = [{"item": item, "file": File(path, ref)} for item, path, ref in plan.items]
    return plans.each(plans.Items(listed, "item", batch_items=256), _copied, findings=plan.findings)


def _once(stage: Stage, number: int, progress: Progress, fill: Callable[[BatchWriter], None]) -> None:
    """A piece of work that is in the stage whole or is done again."""
    if number not in stage.summaries:
        writer = BatchWriter(stage.place, number)
        fill(writer)
        stage.add(writer.commit())
    summary: Summary = stage.summaries[number]
    progress.add(summary.items, summary.files, summary.bytes)


def _stream(writer: BatchWriter, name: str, pieces: Iterable[bytes | Finding]) -> None:
    """Write a stream into one file; findings in it are collected."""
    findings: list[Finding] = []

    def contents():
        for piece in pieces:
            if isinstance(piece, Finding):
                findings.append(piece)
            else:
                yield piece

    writer.add_stream(name, contents())
    writer.note(findings)
