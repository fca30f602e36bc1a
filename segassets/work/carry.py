"""Carrying out a plan into a stage: batches to the engine, streams and single files here. No Dagster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from segassets.errors import SegassetsError
from segassets.findings import Finding
from segassets.items import File, Made
from segassets.store.batch import BatchWriter, Summary
from segassets.store.stage import Stage
from segassets.store.view import StageView
from segassets.work import engine, packing, plans
from segassets.work.job import Job
from segassets.work.progress import Progress
from segassets.work.worker import Task


def carry_out(job: Job, stage: Stage, progress: Progress) -> list[Finding]:
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
    chosen = engine.choose(job.settings, tasks, plan.serial, job.connect)
    for summary in chosen.run(tasks, job.sights):
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
