"""Runs of killed processes are reported; all others are left alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from segassets.processes import process_start
from segassets.runs import PROCESS_TAG, Process, free_dead_runs, is_alive, process_tag, tag_run

# What a killed process is: inside a step, in a pool, with the run tagged by the step itself.
RUN = """
import sys, time
import dagster as dg
from segassets.runs import tag_run

@dg.asset(pool="slots")
def slow(context):
    tag_run(context.instance, context.run.run_id)
    print(context.run.run_id, flush=True)
    sys.stdin.read()

with dg.DagsterInstance.get() as instance:
    dg.materialize([slow], instance=instance)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def start_run(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "DAGSTER_HOME": str(home)},
    )


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, process: Process | None, **arguments) -> str:
    tags = {PROCESS_TAG: str(process)} if process else {}
    run = dg.DagsterRun(job_name="job", run_id=str(uuid.uuid4()), status=status, tags=tags, **arguments)
    instance.add_run(run)
    return run.run_id


def dead_process() -> Process:
    """A process that has just ended."""
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    started = process_start(child.pid) or ""
    child.communicate()
    return Process(socket.gethostname(), child.pid, started)


def test_killed_run_is_failed_and_its_slot_free_while_a_living_one_goes_on(home: Path, instance):
    instance.event_log_storage.set_concurrency_slots("slots", 2)
    killed, living = start_run(home), start_run(home)
    try:
        killed_id, living_id = killed.stdout.readline().strip(), living.stdout.readline().strip()
        assert killed_id and living_id
        assert free_dead_runs(instance) == []
        killed.kill()
        # Not waited for: a zombie counts as dead.
        deadline = time.monotonic() + 10
        while not (freed := free_dead_runs(instance)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert freed == [killed_id]
        assert instance.get_run_by_id(killed_id).status is dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(living_id).status is dg.DagsterRunStatus.STARTED
        slots = instance.event_log_storage.get_concurrency_info("slots").claimed_slots
        assert [slot.run_id for slot in slots] == [living_id]
        living.communicate("", timeout=30)
        assert instance.get_run_by_id(living_id).status is dg.DagsterRunStatus.SUCCESS
        assert free_dead_runs(instance) == []
    finally:
        for process in (killed, living):
            process.kill()
            process.communicate()


def test_report_says_what_happened(instance):
    process = dead_process()
    run_id = add_run(instance, dg.DagsterRunStatus.STARTED, process)
    free_dead_runs(instance)
    messages = [entry.message for entry in instance.all_logs(run_id)]
    assert any(str(process) in message and "materialize again" in message for message in messages)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED),
    ],
)
def test_dead_process_by_status(instance, before, after):
    run_id = add_run(instance, before, dead_process())
    assert free_dead_runs(instance) == [run_id]
    assert instance.get_run_by_id(run_id).status is after
    assert free_dead_runs(instance) == []


def test_runs_of_which_nothing_is_known_are_left(instance):
    dead = dead_process()
    # Dagster takes no queued run without saying where its job comes from.
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("location"), "repository"), "job")
    left = {
        "untagged": add_run(instance, dg.DagsterRunStatus.STARTED, None),
        "other host": add_run(instance, dg.DagsterRunStatus.STARTED, dead._replace(host="elsewhere")),
        "queued": add_run(instance, dg.DagsterRunStatus.QUEUED, dead, remote_job_origin=origin),
        "finished": add_run(instance, dg.DagsterRunStatus.SUCCESS, dead),
    }
    for tag in ("", "nonsense", "host:x:1", f"{dead.host}:-1:5", f"{dead.host}:0:5"):
        left[tag] = add_run(instance, dg.DagsterRunStatus.STARTED, None)
        instance.add_run_tags(left[tag], {PROCESS_TAG: tag})
    statuses = {name: instance.get_run_by_id(run_id).status for name, run_id in left.items()}
    assert free_dead_runs(instance) == []
    assert statuses == {name: instance.get_run_by_id(run_id).status for name, run_id in left.items()}


def test_re_execution_does_not_die_of_its_parents_tag(instance):
    dead = dead_process()
    parent = add_run(instance, dg.DagsterRunStatus.FAILURE, dead)
    child = add_run(instance, dg.DagsterRunStatus.STARTING, dead, parent_run_id=parent, root_run_id=parent)
    assert free_dead_runs(instance) == []
    tag_run(instance, child)
    assert instance.get_run_by_id(child).tags[PROCESS_TAG] == process_tag()[PROCESS_TAG]
    assert free_dead_runs(instance) == []


def test_a_number_used_again_is_another_process():
    own = Process(socket.gethostname(), os.getpid(), process_start(os.getpid()) or "")
    assert process_tag() == {PROCESS_TAG: str(own)}
    assert is_alive(own)
    assert is_alive(own._replace(started="")), "without a start time the number alone decides"
    if own.started:
        assert not is_alive(own._replace(started=str(int(own.started) - 1)))
    assert not is_alive(dead_process())
