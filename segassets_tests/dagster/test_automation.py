"""The sensors, by real ticks: new shards, archives and datasets, changed raw files, what has to be brought up to date."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from segassets.automation import changes
from segassets.automation.arrivals import RUNS_PER_TICK
from segassets.sample import archives, cityscapes
from segassets.settings import load, prepare_dagster_home
from segassets_tests.dagster.platform import OTHER, SHARD, SHARD_ASSETS, Platform, evaluation_set, shard, touch
from segassets_tests.dagster.ticks import Automation, ranges

SENSORS = {
    "new_sa1b_shards": "A new tar there becomes a partition",
    "new_maggie_archives": "A new archive there",
    "new_datasets": "have arrived of which nothing was made",
    "raw_changed": "notes the new data version",
    "bring_up_to_date": "another data version",
}


class Shards(Automation):
    """With `new_sa1b_shards` alone."""

    def shards(self) -> list[str]:
        """The partitions that a tick starts runs for."""
        return [request.partition_key for request in self.tick("new_sa1b_shards")]


class NotRegistered(Shards):
    """On a platform whose keys nobody has registered."""

    def __init__(self, platform: Platform):
        super().__init__(platform)
        for key in self.registered:
            self.instance.delete_dynamic_partition("sa1b_shards", key)

    @property
    def registered(self) -> list[str]:
        return sorted(self.instance.get_dynamic_partitions("sa1b_shards"))


@pytest.mark.parametrize("name", SENSORS)
def test_every_sensor_is_off_by_default_and_says_what_it_does(fresh: Platform, name):
    repository = Automation(fresh).repository
    assert {sensor.name for sensor in repository.sensor_defs} == set(SENSORS)
    sensor = repository.get_sensor_def(name)
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert SENSORS[name] in sensor.description


def test_a_new_tar_becomes_a_partition_and_a_run(fresh: Platform):
    sensor = NotRegistered(fresh)
    assert sensor.registered == []
    assert sensor.shards() == [SHARD, OTHER]
    assert sensor.registered == [SHARD, OTHER]
    assert sensor.shards() == [] and "nothing new among 2" in sensor.said
    shard(fresh.raw / "sa1b/sa_000002.tar", first=5)
    assert sensor.shards() == ["sa_000002"]
    assert sensor.registered == [SHARD, OTHER, "sa_000002"]
    assert sensor.shards() == []


def test_a_shard_that_is_made_already_starts_nothing(made: Platform):
    assert Shards(made).shards() == [OTHER], "registered before, but never made"


def test_a_new_database_makes_nothing_again(made: Platform, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(made.folder / "another"))
    prepare_dagster_home(load())
    assert Shards(made).shards() == [OTHER], "what the store has is not made for the sake of the records"


def test_what_the_night_could_not_make_is_not_started_by_the_sensor(fresh: Platform):
    shard(fresh.tar, first=1, bad=2)
    sensor = Shards(fresh)
    night = [request for request in sensor.night() if request.tags["segassets/fill"] == "sa1b"]
    assert not sensor.carry_out(night)[0].success
    assert [sensor.shards() for _ in range(3)] == [[], [], []]


def test_many_new_shards_are_started_some_at_a_time(fresh: Platform):
    for number in range(2, RUNS_PER_TICK + 3):
        (fresh.raw / f"sa1b/sa_{number:06}.tar").write_bytes(b"")
    sensor = NotRegistered(fresh)
    first = sensor.shards()
    assert len(first) == RUNS_PER_TICK and len(sensor.registered) == RUNS_PER_TICK + 3
    second = sensor.shards()
    assert len(second) == 3 and not set(first) & set(second)
    assert sensor.shards() == []


def test_a_failed_shard_is_started_again_only_when_its_tar_has_changed_and_rests(fresh: Platform):
    shard(fresh.tar, first=1, bad=2)
    sensor = Shards(fresh)
    requests = sensor.tick("new_sa1b_shards")
    assert SHARD in [request.partition_key for request in requests]
    results = sensor.carry_out(requests, job="sa1b")
    assert not results[0].success and results[1].success
    for _ in range(10):
        assert sensor.shards() == []
    shard(fresh.tar, first=1)
    assert sensor.shards() == [], "it may still be growing"
    assert sensor.shards() == [SHARD]
    assert sensor.shards() == []


def test_names_that_cannot_be_keys_are_left_alone(fresh: Platform):
    for name in ("-x.tar", "a b.tar", "a,b.tar", ".tar"):
        (fresh.raw / "sa1b" / name).write_bytes(b"")
    sensor = NotRegistered(fresh)
    assert sensor.shards() == [SHARD, OTHER]
    assert sensor.registered == [SHARD, OTHER]


def test_the_cursor_forgets_what_is_gone(fresh: Platform):
    sensor = Shards(fresh)
    sensor.shards()
    (fresh.raw / f"sa1b/{OTHER}.tar").unlink()
    shard(fresh.raw / "sa1b/sa_000002.tar", first=5)
    sensor.shards()
    assert list(json.loads(sensor.cursors["new_sa1b_shards"])) == [SHARD, "sa_000002"]


def test_an_empty_or_missing_raw_folder_is_no_error(fresh: Platform, monkeypatch, tmp_path):
    automation = Automation(fresh)
    monkeypatch.setenv("SEGASSETS_RAW", str(tmp_path / "none"))
    for name in ("new_sa1b_shards", "new_maggie_archives", "new_datasets", "raw_changed"):
        assert automation.tick(name) == [] and automation.said.startswith(("nothing new", "no raw file"))


def test_a_job_makes_everything_of_a_shard(fresh: Platform):
    catalogue = Automation(fresh).catalogue
    job = catalogue.definitions.resolve_job_def("sa1b")
    keys = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert keys == {f"sa1b/{name}" for name in SHARD_ASSETS}
    result = job.execute_in_process(partition_key=SHARD, instance=catalogue.instance)
    assert result.success and len(result.get_asset_materialization_events()) == len(SHARD_ASSETS)


def test_every_artifact_but_downloads_is_in_one_job(fresh: Platform):
    catalogue = Automation(fresh).catalogue
    jobs = [job for job in catalogue.definitions.get_repository_def().get_all_jobs() if not job.name.startswith("__")]
    found = [key.to_user_string() for job in jobs for key in job.asset_layer.executable_asset_keys]
    assert len(found) == len(set(found))
    alone = ("/download", "/card")
    assert set(found) == {key for key in catalogue.artifacts if not key.endswith(alone)}
    assert all(job.description for job in jobs)


def test_a_new_archive_becomes_a_partition_and_a_run(fresh: Platform):
    automation = Automation(fresh)
    (fresh.raw / "maggie").mkdir()
    for path, data in archives.files():
        (fresh.raw / path).parent.mkdir(parents=True, exist_ok=True)
        (fresh.raw / path).write_bytes(data)
    requests = automation.tick("new_maggie_archives")
    keys = [request.partition_key for request in requests]
    assert keys and sorted(automation.instance.get_dynamic_partitions("maggie_archives")) == sorted(keys)
    (result,) = automation.carry_out(requests[:1], job="maggie")
    assert result.success
    assert automation.tick("new_maggie_archives") == []


def city(platform: Platform, last: int | None = None) -> None:
    files = [(path, data) for path, data in cityscapes.files() if path.startswith("cityscapes/gtFine/val/")]
    for path, data in files[:last]:
        (platform.raw / path).parent.mkdir(parents=True, exist_ok=True)
        (platform.raw / path).write_bytes(data)


def test_a_new_dataset_is_made_when_it_has_been_complete_for_a_tick(fresh: Platform):
    automation = Automation(fresh)
    assert automation.tick("new_datasets") == [] and "sa1b_eval_manifest" in automation.said
    assert {name for name, _, _ in ranges(automation.tick("new_datasets"))} == {"sa1b_eval_manifest"}
    city(fresh, last=5)
    assert automation.tick("new_datasets") == [] and "waiting until cityscapes" in automation.said
    city(fresh)
    assert automation.tick("new_datasets") == [], "more has arrived since"
    requests = automation.tick("new_datasets")
    found = {name: (request, piece) for request, (name, _, piece) in zip(requests, ranges(requests), strict=True)}
    request, piece = found["cityscapes"]
    assert piece == ["val"]
    assert automation.carry_out([request])[0].success
    assert automation.tick("new_datasets") == []
    assert automation.instance.get_materialized_partitions(dg.AssetKey(["cityscapes", "panoptic"]))


def test_a_new_dataset_that_cannot_be_made_is_no_storm(fresh: Platform):
    automation = Automation(fresh)
    evaluation_set(fresh.raw, "CAMO", pairs=3)
    (fresh.raw / "sa1b/evaldata/CAMO/gts/1.png").unlink()
    automation.tick("new_datasets")
    results = automation.carry_out(automation.tick("new_datasets"))
    assert not all(result.success for result in results)
    for _ in range(10):
        assert automation.tick("new_datasets") == []
    evaluation_set(fresh.raw, "CAMO", pairs=3)
    automation.tick("new_datasets")
    requests = automation.tick("new_datasets")
    assert [piece for _, _, piece in ranges(requests)] == [["camo"]]
    assert automation.carry_out(requests)[0].success


def test_what_a_run_is_still_making_is_not_started_again(fresh: Platform):
    """A run over many partitions publishes one after the other: what is left of them is no new dataset."""
    automation = Automation(fresh)
    automation.tick("new_datasets")
    requests = automation.tick("new_datasets")
    job = automation.catalogue.definitions.resolve_job_def("fill_range")
    runs = [automation.instance.create_run_for_job(job, tags=r.tags, run_config=r.run_config) for r in requests]
    for _ in range(3):
        assert automation.tick("new_datasets") == []
    for run in runs:
        automation.instance.report_run_failed(run)
    automation.keys.clear()
    automation.tick("new_datasets")
    assert ranges(automation.tick("new_datasets")) == ranges(requests), "their process died: nothing was tried"


def test_a_cursor_of_an_older_version_is_no_error(fresh: Platform):
    automation = Automation(fresh)
    automation.cursors = dict.fromkeys(("new_sa1b_shards", "new_datasets"), '["sa_000000"]')
    assert len(automation.tick("new_sa1b_shards")) == 2
    assert automation.tick("new_datasets") == []


def test_changed_raw_files_are_noted_once_and_make_stale_what_was_made_from_them(made: Platform):
    automation = Automation(made)
    automation.tick("raw_changed")
    assert ("sa1b/raw", SHARD) not in automation.observed, "the run has said which version it was made from"
    assert ("sa1b/raw", OTHER) in automation.observed
    assert ("sa1b/raw_evaluation", "camo") in automation.observed
    assert automation.tick("raw_changed") == [] and "no raw file has changed" in automation.said
    assert made.stale() == {}
    shard(made.tar, first=1, masks=2)
    automation.tick("raw_changed")
    assert automation.observed == [("sa1b/raw", SHARD)]
    assert made.stale()["shard_index"] == ("DATA: sa1b/raw",)
    assert automation.tick("raw_changed") == [] and automation.observed == []


def test_the_files_of_each_of_many_datasets_alike_are_followed(fresh: Platform):
    annotation = fresh.raw / "maskterial/GrapheneH/labelme/train/run/0.json"
    annotation.parent.mkdir(parents=True)
    annotation.write_text("{}")
    automation = Automation(fresh)
    both = {("maskterial/GrapheneH/raw", "train"), ("maskterial/GrapheneH/raw", "test")}
    automation.tick("raw_changed")
    assert both <= set(automation.observed)
    automation.tick("raw_changed")
    assert automation.observed == []
    annotation.write_text("{ }")
    automation.tick("raw_changed")
    assert set(automation.observed) == both, "and no other dataset of the family"


def test_no_tick_notes_more_than_its_share_and_the_next_goes_on(fresh: Platform, monkeypatch):
    for number in range(2, 7):
        shard(fresh.raw / f"sa1b/sa_{number:06}.tar", first=5, images=1)
    monkeypatch.setattr(changes, "PER_TICK", 2)
    automation = Automation(fresh)
    seen = []
    for _ in range(10):
        automation.tick("raw_changed")
        assert len(automation.observed) <= 2
        seen += automation.observed
    assert len(seen) == len(set(seen)) == 9, "seven shards and two evaluation sets"


# What has to be brought up to date


class Upkeep:
    """`bring_up_to_date`, tick by tick."""

    def __init__(self, platform: Platform):
        self.platform = platform
        self.automation = Automation(platform)
        self.cursor = None
        assert self.requested() == set(), "everything that was made is up to date"

    def requested(self) -> set[tuple[str, str]]:
        """What a tick asks for."""
        result = dg.evaluate_automation_conditions(
            defs=self.automation.catalogue.definitions,
            instance=self.automation.instance,
            asset_selection=dg.AssetSelection.assets(*(f"sa1b/{name}" for name in SHARD_ASSETS)),
            cursor=self.cursor,
        )
        self.cursor = result.cursor
        return {
            (found.key.path[-1], key)
            for found in result.results
            if not found.true_subset.is_empty
            for key in found.true_subset.expensively_compute_partition_keys()
        }

    def carried_out(self) -> list[set[tuple[str, str]]]:
        """What tick after tick asks for, with the runs in between, until one asks for nothing."""
        told = []
        while wanted := self.requested():
            told.append(wanted)
            assert len(told) < 12, told
            for partition in {key for _, key in wanted}:
                assert self.platform.run(
                    *(name for name, key in wanted if key == partition), partition=partition
                ).success
        return told


@pytest.fixture
def upkeep(made: Platform) -> Upkeep:
    return Upkeep(made)


def test_nothing_changed_nothing_asked_for(upkeep, made):
    assert upkeep.requested() == set()
    assert made.run().success  # over unchanged input
    assert upkeep.requested() == set()


def test_a_changed_tar_brings_everything_up_to_date_step_by_step(upkeep, made):
    before = made.versions()
    shard(made.tar, first=1, masks=2)
    assert upkeep.requested() == set(), "nobody has looked at the raw folder yet"
    upkeep.automation.tick("raw_changed")
    told = upkeep.carried_out()
    assert ("shard_index", SHARD) in told[0] and ("masks", SHARD) not in told[0]
    assert ("masks", SHARD) in set().union(*told[1:])
    assert made.versions()["masks"] != before["masks"]
    assert made.stale() == {}
    assert {key for tick in told for _, key in tick} == {SHARD}, "what was never made is not asked for"


def test_the_same_content_goes_no_further(upkeep, made):
    touch(made.tar)
    upkeep.automation.tick("raw_changed")
    told = upkeep.carried_out()
    assert len(told) == 1, "what is made from the tar itself; their versions come out as they were"
    assert not {"masks", "control_images", "coco"} & {name for name, _ in told[0]}


def test_the_sensor_itself_asks_for_all_that_is_stale_once(made):
    """The real tick, over all assets; what is asked for is a backfill of the daemon's, or a run."""
    automation = Automation(made)
    shard(made.tar, first=1, masks=2)
    automation.tick("raw_changed")
    (request,) = automation.tick("bring_up_to_date")
    subset = request.asset_graph_subset
    asked = {key.path[-1] for key in subset.asset_keys} if subset else {key.path[-1] for key in request.asset_selection}
    assert asked == {"shard_index", "images", "mask_table", "captions", "webdataset"}
    assert request.tags["segassets/automated"] == "true"
    assert automation.tick("bring_up_to_date") == []


def test_a_run_that_has_made_everything_itself_is_enough(upkeep, made):
    shard(made.tar, first=1, masks=2)
    assert made.run().success
    assert upkeep.requested() == set()


def test_a_nightly_run_that_has_made_everything_itself_is_enough(upkeep, made):
    shard(made.tar, first=1, masks=2)
    (request, *_) = [r for r in upkeep.automation.night() if r.tags["segassets/fill"] == "sa1b"]
    assert upkeep.automation.carry_out([request])[0].success
    assert upkeep.requested() == set()


def test_a_failed_run_is_not_asked_for_again_until_the_input_changes(upkeep, made):
    shard(made.tar, first=1, bad=2)
    upkeep.automation.tick("raw_changed")
    assert ("shard_index", SHARD) in upkeep.requested()
    assert not made.run("shard_index").success
    for _ in range(5):
        upkeep.automation.tick("raw_changed")
        assert "shard_index" not in {name for name, _ in upkeep.requested()}
    shard(made.tar, first=1)
    upkeep.automation.tick("raw_changed")
    assert ("shard_index", SHARD) in upkeep.requested()


def test_freshness_is_asked_of_mirrored_sources_only(fresh: Platform):
    graph = Automation(fresh).catalogue.graph
    aging = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).freshness_policy is not None}
    assert aging and all(key.endswith("/download") for key in aging)
