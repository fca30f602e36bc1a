"""The real daemon over the shipped instance: the queue keeps to the pool's limit, dead runs end, old ticks go."""

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus

from segassets_tests.dagster.platform import OTHER, SHARD, Platform
from segassets_tests.dagster.web import answered, finished, launch, real_ui

TEMPLATE = Path(__file__).parents[2] / "deploy/dagster.sqlite.yaml"
SENSOR = """query { sensorOrError(sensorSelector: {repositoryLocationName: "segassets",
    repositoryName: "__repository__", sensorName: "raw_changed"}) { ... on Sensor { sensorState { id selectorId } } } }"""
START = """mutation { startSensor(sensorSelector: {repositoryLocationName: "segassets",
    repositoryName: "__repository__", sensorName: "raw_changed"}) { __typename } }"""
DAY = 24 * 3600


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the UI ends its processes through /proc")
def test_the_daemon_keeps_to_the_limits_ends_what_is_stuck_and_forgets_old_ticks(fresh: Platform):
    config = yaml.safe_load(TEMPLATE.read_text())
    assert config["concurrency"]["runs"]["max_concurrent_runs"] == 2
    config["concurrency"]["pools"]["default_limit"] = 1
    config["run_monitoring"] |= {"start_timeout_seconds": 25, "poll_interval_seconds": 1}
    (fresh.home / "dagster.yaml").write_text(yaml.safe_dump(config))

    with dg.DagsterInstance.get() as instance, real_ui() as client:

        def ask(query: str, **variables):
            return answered(client.post, query, variables)

        stuck = never_started(instance)
        state = ask(SENSOR)["sensorOrError"]["sensorState"]
        old = noted(instance, state, time.time() - 8 * DAY)
        kept = noted(instance, state, time.time() - 6 * DAY)

        runs = [launch(ask, "sa1b/shard_index", "sa1b/images", partition=key) for key in (SHARD, OTHER)]
        assert ask(START)["startSensor"]["__typename"] == "Sensor"
        assert [finished(ask, run) for run in runs] == ["SUCCESS", "SUCCESS"]
        first, second = sorted(
            (instance.get_run_record_by_id(run) for run in runs), key=lambda record: record.start_time
        )
        assert second.start_time >= first.end_time, "two places for runs, but one in the pool"

        until(lambda: instance.get_run_by_id(stuck.run_id).is_failure)
        ticks = until(lambda: newer(instance, state, kept))
        assert old not in ticks and kept in ticks, "those that found nothing are kept for a week"


def never_started(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run whose process has been asked for and never came."""
    run = instance.create_run_for_job(dg.job(name="stuck")(lambda: None))
    instance.report_dagster_event(DagsterEvent(DagsterEventType.PIPELINE_STARTING.value, "stuck"), run.run_id)
    return run


def noted(instance: dg.DagsterInstance, state: dict, at: float) -> float:
    """A tick of the sensor that found nothing, then; its time."""
    instance.create_tick(
        TickData(
            state["id"], "raw_changed", InstigatorType.SENSOR, TickStatus.SKIPPED, at, selector_id=state["selectorId"]
        )
    )
    return at


def newer(instance: dg.DagsterInstance, state: dict, than: float) -> list[float] | None:
    """The times of the sensor's ticks, as soon as there is one of today that has ended."""
    ticks = instance.get_ticks(state["id"], state["selectorId"])
    ended = [tick for tick in ticks if tick.timestamp > than + DAY and tick.status is not TickStatus.STARTED]
    return [tick.timestamp for tick in ticks] if ended else None


def until(condition, seconds: float = 120):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)
    return result
