"""Runs whose process died without saying so.

Dagster records a run as started and hears no more of it when its process is killed: the run stays *started* for ever
and keeps its concurrency slots. So every run is tagged with the process that carries it out, and whoever starts next on
the same host reports the runs of dead processes as failed. Belongs here: the tag and that report. Not here: what a dead
run left in the store (`store` cleans up when the partition is made again).
"""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from segassets.processes import IN_USE, process_start

PROCESS_TAG = "segassets/process"

# A queued run has no process yet: the daemon starts it.
UNFINISHED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


class Process(NamedTuple):
    """A process of some host. Process numbers are used again, so the start time belongs to the name."""

    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started}"


def process_tag() -> dict[str, str]:
    """The run tag that names the current process."""
    pid = os.getpid()
    return {PROCESS_TAG: str(Process(socket.gethostname(), pid, process_start(pid) or ""))}


def tag_run(instance: DagsterInstance, run_id: str) -> None:
    """Record that the current process carries out this run."""
    instance.add_run_tags(run_id, process_tag())


def free_dead_runs(instance: DagsterInstance) -> list[str]:
    """Report the unfinished runs of this host's dead processes as failed and free their slots; returns their ids.

    A run that was being cancelled is reported as cancelled. Runs of other hosts and runs without the tag are left
    alone: nothing is known about their processes.
    """
    runs = instance.get_runs(RunsFilter(statuses=UNFINISHED))
    return [run.run_id for run in runs if _is_dead(instance, run) and _report_ended(instance, run.run_id)]


def is_alive(process: Process) -> bool:
    """Does this process of the current host still run? In doubt yes, since a living run must not be reported."""
    started = process_start(process.pid)
    return started is not None and started in (process.started or started, IN_USE)


def _is_dead(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Is it known that the process of this run has ended?"""
    process = _parse(run.tags.get(PROCESS_TAG, ""))
    if process is None or process.host != socket.gethostname() or is_alive(process):
        return False
    return not _is_inherited(instance, run)


def _is_inherited(instance: DagsterInstance, run: DagsterRun) -> bool:
    """A re-execution starts with its parent's tags, thus with the parent's dead process, until it sets its own."""
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return parent is not None and parent.tags.get(PROCESS_TAG) == run.tags[PROCESS_TAG]


def _parse(tag: str) -> Process | None:
    """The process that a tag names; None for no tag, or one that is not ours."""
    host, _, rest = tag.partition(":")
    pid, _, started = rest.partition(":")
    return Process(host, int(pid), started) if host and pid.isdecimal() and int(pid) > 0 else None


def _report_ended(instance: DagsterInstance, run_id: str) -> bool:
    """Write the end of a run into Dagster's records; False when the run had ended meanwhile."""
    # Read again: between the listing and the look at its process a run may have ended as it should.
    run = instance.get_run_by_id(run_id)
    if run is None or run.status not in UNFINISHED:
        return False
    process = run.tags[PROCESS_TAG]
    if run.status is DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message=f"The process {process} of this run ended while it was cancelled.")
    else:
        message = (
            f"The process {process} of this run is gone: it was killed, or the machine went down. What it had not "
            "published is not there; materialize again to complete the work."
        )
        instance.report_run_failed(run, message=message)
    _free_slots(instance, run_id)
    return True


def _free_slots(instance: DagsterInstance, run_id: str) -> None:
    """Give back the run's concurrency slots, where the storage has such."""
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits:
        storage.free_concurrency_slots_for_run(run_id)
