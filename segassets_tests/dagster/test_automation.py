"""The sensor for new shards, by real ticks, and the job that it starts."""

from __future__ import annotations

import json

import dagster as dg

from segassets.automation.arrivals import RUNS_PER_TICK
from segassets_tests.dagster.platform import OTHER, SHARD, SHARD_ASSETS, Platform, shard


class Sensor:
    """`new_sa1b_shards`, ticking as the daemon lets it: with its cursor, its new partitions registered."""

    def __init__(self, platform: Platform):
        self.catalogue = platform.catalogue()
        self.repository = self.catalogue.definitions.get_repository_def()
        self.sensor = self.repository.get_sensor_def("new_sa1b_shards")
        self.cursor: str | None = None

    def tick(self) -> list[str]:
        """The partitions that a tick starts runs for."""
        instance = self.catalogue.instance
        known = {"instance_ref": instance.get_ref(), "repository_def": self.repository}
        with dg.build_sensor_context(instance, self.cursor, **known) as context:
            found = self.sensor.evaluate_tick(context)
        for request in found.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        self.cursor = found.cursor
        self.said = found.skip_message
        assert len({request.run_key for request in found.run_requests}) == len(found.run_requests)
        return [request.partition_key for request in found.run_requests]

    @property
    def registered(self) -> list[str]:
        return sorted(self.catalogue.instance.get_dynamic_partitions("sa1b_shards"))


def test_a_new_tar_becomes_a_partition_and_a_run(fresh: Platform):
    sensor = Sensor(fresh)
    assert sensor.tick() == [SHARD, OTHER]
    assert sensor.registered == [SHARD, OTHER]
    assert sensor.tick() == [] and "nothing new among 2" in sensor.said
    shard(fresh.raw / "sa1b/sa_000002.tar", first=5)
    assert sensor.tick() == ["sa_000002"]
    assert sensor.registered == [SHARD, OTHER, "sa_000002"]
    assert sensor.tick() == []


def test_it_is_off_by_default_and_says_what_it_does(fresh: Platform):
    sensor = Sensor(fresh).sensor
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert "A new tar there becomes a partition" in sensor.description


def test_a_shard_that_is_made_already_starts_nothing(made: Platform):
    sensor = Sensor(made)
    assert sensor.tick() == [OTHER], "registered before, but never made"


def test_many_new_shards_are_started_some_at_a_time(fresh: Platform):
    for number in range(2, RUNS_PER_TICK + 3):
        (fresh.raw / f"sa1b/sa_{number:06}.tar").write_bytes(b"")
    sensor = Sensor(fresh)
    first = sensor.tick()
    assert len(first) == RUNS_PER_TICK and len(sensor.registered) == RUNS_PER_TICK + 3
    second = sensor.tick()
    assert len(second) == 3 and not set(first) & set(second)
    assert sensor.tick() == []


def test_a_failed_shard_is_not_started_again_and_again(fresh: Platform):
    shard(fresh.tar, first=1, bad=2)
    sensor = Sensor(fresh)
    assert SHARD in sensor.tick()
    assert not fresh.run("shard_index").success
    assert sensor.tick() == []


def test_names_that_cannot_be_keys_are_left_alone(fresh: Platform):
    for name in ("-x.tar", "a b.tar", "a,b.tar", ".tar"):
        (fresh.raw / "sa1b" / name).write_bytes(b"")
    sensor = Sensor(fresh)
    assert sensor.tick() == [SHARD, OTHER]
    assert sensor.registered == [SHARD, OTHER]


def test_the_cursor_forgets_what_is_gone(fresh: Platform):
    sensor = Sensor(fresh)
    sensor.tick()
    (fresh.raw / f"sa1b/{OTHER}.tar").unlink()
    shard(fresh.raw / "sa1b/sa_000002.tar", first=5)
    sensor.tick()
    assert json.loads(sensor.cursor) == [SHARD, "sa_000002"]


def test_an_empty_or_missing_raw_folder_is_no_error(fresh: Platform, monkeypatch, tmp_path):
    monkeypatch.setenv("SEGASSETS_RAW", str(tmp_path / "none"))
    sensor = Sensor(fresh)
    assert sensor.tick() == [] and "nothing new among 0" in sensor.said


def test_the_job_makes_everything_of_a_shard(fresh: Platform):
    catalogue = fresh.catalogue()
    catalogue.register()
    job = catalogue.definitions.resolve_job_def("sa1b")
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    of_shards = catalogue.partitions_def("sa1b/shard_index")
    assert keys == {key for key in catalogue.artifacts if catalogue.partitions_def(key) == of_shards}
    assert keys == {f"sa1b/{name}" for name in SHARD_ASSETS}
    result = job.execute_in_process(partition_key=SHARD, instance=catalogue.instance)
    assert result.success and len(result.get_asset_materialization_events()) == len(SHARD_ASSETS)
