"""The nightly schedule, by real ticks, and the runs that it starts: what is missing or stale, and never a storm."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import filter_runs_to_should_retry

from segassets.automation import due, filling
from segassets.automation.build import groups_of
from segassets.settings import load
from segassets.store.store import Store
from segassets_tests.dagster.platform import OTHER, SHARD, SHARD_ASSETS, Platform, captions, photograph, shard, touch
from segassets_tests.dagster.ticks import Automation, ranges

WITHOUT_CAPTIONS = {name for name in SHARD_ASSETS if name not in ("captions", "controlnet_train")}


def of_shards(requests: list[dg.RunRequest]) -> list[dg.RunRequest]:
    return [request for request in requests if request.tags["segassets/fill"] == "sa1b"]


def materialized(automation: Automation, name: str) -> set[str]:
    return set(automation.instance.get_materialized_partitions(dg.AssetKey(["sa1b", name])))


def test_it_is_off_by_default_nightly_and_says_what_it_does(fresh: Platform):
    schedule = Automation(fresh).repository.get_schedule_def("fill_missing")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.cron_schedule == "0 2 * * *" and "missing or stale" in schedule.description


def test_one_run_makes_all_that_lies_side_by_side(fresh: Platform):
    shard(fresh.raw / "sa1b/sa_000002.tar", first=5)
    automation = Automation(fresh)
    requests = automation.night()
    found = {group: (set(assets), partitions) for group, assets, partitions in ranges(requests)}
    assert set(found) == {"sa1b", "sa1b_eval_manifest"}, "datasets without raw input are left alone"
    assert found["sa1b"] == (set(SHARD_ASSETS), [SHARD, OTHER, "sa_000002"])
    (request,) = of_shards(requests)
    assert request.tags["dagster/asset_partition_range_start"] == SHARD
    assert request.tags["dagster/asset_partition_range_end"] == "sa_000002"
    assert request.tags["dagster/priority"] == "-1", "a person's run goes first"

    assert all(result.success for result in automation.carry_out(requests))
    for name in WITHOUT_CAPTIONS:
        assert materialized(automation, name) == {SHARD, OTHER, "sa_000002"}
        assert fresh.published(name, OTHER).data_version
    assert materialized(automation, "captions") == {SHARD}, "the others have no captions in the raw folder"
    assert materialized(automation, "eval_manifest") == {"hrsod_te", "camo"} or materialized(
        automation, "eval_manifest"
    )
    assert fresh.stale() == {} and set(fresh.stale(OTHER)) == {"captions", "controlnet_train"}
    night = automation.night()
    assert ranges(night) == [("sa1b_card", ["card"], [])], "the card of what was made, a night later"
    assert automation.carry_out(night)[0].success
    assert "sa1b/masks" in (fresh.store / ".segassets/cards/sa1b/README.md").read_text()
    assert automation.night() == [] and "nothing is missing or stale" in automation.said


def test_a_run_reports_checks_versions_and_provenance_of_every_partition(fresh: Platform):
    automation = Automation(fresh)
    (result,) = automation.carry_out(of_shards(automation.night()))
    checks = {(e.asset_key.path[-1], e.check_name, e.partition): e for e in result.get_asset_check_evaluations()}
    assert checks["mask_table", "findings", OTHER].passed
    assert checks["mask_table", "findings", OTHER].target_materialization_data.run_id == result.run_id
    for event in result.get_asset_materialization_events():
        made = event.materialization
        handle = fresh.published(made.asset_key.path[-1], made.partition)
        assert made.tags["dagster/data_version"] == handle.data_version
        assert "none: " not in str(made.metadata.get("preview", "")), "it is drawn before the stage is published"
        assert made.tags["dagster/code_version"] == handle.footer.code_version
        for parent, version in handle.footer.inputs.items():
            assert made.tags[f"dagster/input_data_version/{parent}"] == version


def test_what_is_made_and_has_not_changed_is_left_alone(made: Platform):
    shard(made.raw / "sa1b/sa_000002.tar", first=5)
    automation = Automation(made)
    (request,) = of_shards(automation.night())
    assert ranges([request])[0][2] == [OTHER, "sa_000002"]


def test_a_gap_makes_two_ranges_and_a_long_one_is_cut(made: Platform, monkeypatch):
    for number in range(2, 7):
        shard(made.raw / f"sa1b/sa_{number:06}.tar", first=5, images=1)
    automation = Automation(made)
    assert made.run(partition="sa_000003").success
    monkeypatch.setattr(filling, "PARTITIONS_PER_RUN", 2)
    pieces = [piece for _, _, piece in ranges(of_shards(automation.night()))]
    assert pieces == [[OTHER, "sa_000002"], ["sa_000004", "sa_000005"], ["sa_000006"]]


def test_a_changed_tar_and_a_changed_caption(made: Platform):
    (made.raw / f"sa1b/{OTHER}.tar").unlink()
    automation = Automation(made)
    assert of_shards(automation.night()) == []
    captions(made.raw / f"sa1b/captions/{SHARD}-blip2-caption.json", 1, text="a door")
    requests = of_shards(automation.night())
    assert ranges(requests) == [("sa1b", ["captions", "controlnet_train", "webdataset"], [SHARD])]
    assert automation.carry_out(requests)[0].success
    before = made.versions()
    touch(made.tar)
    (result,) = automation.carry_out(of_shards(automation.night()))
    assert result.success and made.versions() == before, "the same content"
    assert of_shards(automation.night()) == []
    shard(made.tar, first=1, masks=2)
    automation.carry_out(of_shards(automation.night()))
    assert made.versions()["masks"] != before["masks"]
    assert made.stale() == {}


def test_chosen_options_are_kept(made: Platform):
    assert made.run("masks", config={"masks": {"packing": "zip"}}).success
    (made.raw / f"sa1b/{OTHER}.tar").unlink()
    automation = Automation(made)
    assert of_shards(automation.night()) == [], "another option is no reason to make it again"
    shard(made.tar, first=1, masks=2)
    assert automation.carry_out(of_shards(automation.night()))[0].success
    assert made.published("masks").footer.config["packing"] == "zip"


def test_a_failure_is_told_once_and_not_tried_again_until_the_input_changes(fresh: Platform):
    """The other partitions of the range are made; ten more nights start nothing."""
    shard(fresh.tar, first=1, bad=2)
    automation = Automation(fresh)
    (result,) = automation.carry_out(of_shards(automation.night()))
    assert not result.success
    failure = result.all_events[[e.is_step_failure for e in result.all_events].index(True)].step_failure_data
    told = failure.user_failure_data.description
    assert f"sa1b/shard_index {SHARD}" in told and told.startswith("1 could not be made")
    assert not result.retry_attempts_for_node("fill")
    assert materialized(automation, "shard_index") == {OTHER}
    assert materialized(automation, "masks") == {OTHER}
    assert automation.catalogue.failed("sa1b/shard_index") == {SHARD}
    assert automation.catalogue.failed("sa1b/captions") == set(), "skipped, for want of a file, in a run that failed"
    for _ in range(10):
        assert of_shards(automation.night()) == []
    shard(fresh.tar, first=1)
    (request,) = of_shards(automation.night())
    assert ranges([request])[0][2] == [SHARD]
    assert automation.carry_out([request])[0].success
    assert automation.catalogue.failed("sa1b/shard_index") == set()


def test_a_failure_of_a_persons_run_is_not_tried_again_either(fresh: Platform):
    shard(fresh.tar, first=1, bad=2)
    automation = Automation(fresh)
    assert not fresh.run("shard_index").success
    assert [piece for _, _, piece in ranges(of_shards(automation.night()))] == [[OTHER]]


def test_a_damaged_manifest_is_told_once(made: Platform):
    (made.store / f".segassets/manifests/sa1b/masks/{SHARD}.parquet").write_bytes(b"damaged")
    automation = Automation(made)
    requests = [request for request in of_shards(automation.night()) if SHARD in str(request.run_config)]
    (result,) = automation.carry_out(requests)
    assert not result.success
    assert not [request for request in of_shards(automation.night()) if f"'{SHARD}'" in str(request.run_config)]


def test_new_code_is_a_reason_to_try_again(fresh: Platform, monkeypatch):
    shard(fresh.tar, first=1, bad=2)
    automation = Automation(fresh)
    automation.carry_out(of_shards(automation.night()))
    assert of_shards(automation.night()) == []
    monkeypatch.setattr("segassets.work.make.STORE_FORMAT", 2)  # part of every fingerprint, as the code version is
    assert ranges(of_shards(automation.night()))[0][2] == [SHARD, OTHER]


def test_what_is_not_the_inputs_fault_is_tried_the_next_night(fresh: Platform, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    automation = Automation(fresh)
    requests = of_shards(automation.night())
    with monkeypatch.context() as patch:
        patch.setattr("segassets.store.store.Store.stage", full)
        (result,) = automation.carry_out(requests)
    assert not result.success
    again = of_shards(automation.night())
    assert ranges(again) == ranges(requests)
    assert automation.carry_out(again)[0].success


def test_a_range_that_is_still_under_way_is_not_started_again(fresh: Platform):
    automation = Automation(fresh)
    (request,) = of_shards(automation.night())
    job = automation.catalogue.definitions.resolve_job_def("fill_range")
    run = automation.instance.create_run_for_job(job, run_config=request.run_config, tags=request.tags)
    assert of_shards(automation.night()) == []
    automation.instance.report_run_failed(run)
    assert ranges(of_shards(automation.night())) == ranges([request])


def test_a_partition_that_another_run_is_making_is_left_to_it(fresh: Platform):
    automation = Automation(fresh)
    (request,) = of_shards(automation.night())
    with Store(str(fresh.store)).locked("sa1b/shard_index", SHARD):
        (result,) = automation.carry_out([request])
    assert result.success
    assert materialized(automation, "shard_index") == {OTHER}
    assert ranges(of_shards(automation.night()))[0][2] == [SHARD]


def test_an_empty_raw_folder_and_hostile_names(fresh: Platform, monkeypatch, tmp_path):
    for name in ("-x.tar", "a b.tar", "a,b.tar", "a|b.tar", ".tar"):
        (fresh.raw / "sa1b" / name).write_bytes(b"")
    automation = Automation(fresh)
    assert ranges(of_shards(automation.night()))[0][2] == [SHARD, OTHER]
    monkeypatch.setenv("SEGASSETS_RAW", str(tmp_path / "none"))
    assert automation.night() == [] and "nothing is missing" in automation.said


def test_manifests_are_read_once_as_long_as_they_stay_the_same(made: Platform, monkeypatch):
    automation = Automation(made)
    automation.carry_out(of_shards(automation.night()))
    automation.night()
    read: list[str] = []
    footer = Store.footer
    monkeypatch.setattr(Store, "footer", lambda self, *which: read.append(which) or footer(self, *which))
    automation.night()
    assert read == []


def test_a_tick_that_has_no_time_left_says_so(made: Platform, monkeypatch):
    automation = Automation(made)
    monkeypatch.setattr(filling, "SECONDS", -1)
    assert automation.night() == []
    assert "no time left for" in automation.said and ", sa1b," in automation.said


def test_the_daemon_repeats_a_run_whose_process_died_and_none_that_failed(fresh: Platform):
    """With the instance that segassets writes; the templates of deploy/ say the same."""
    shard(fresh.tar, first=1, bad=2)
    automation = Automation(fresh)
    requests = of_shards(automation.night())
    (result,) = automation.carry_out(requests)
    instance = automation.instance
    failed = instance.get_run_by_id(result.run_id)
    assert failed.status is dg.DagsterRunStatus.FAILURE
    job = automation.catalogue.definitions.resolve_job_def("fill_range")
    died = instance.create_run_for_job(job, run_config=requests[0].run_config, tags=requests[0].tags)
    instance.report_run_failed(died, "its process is gone")
    died = instance.get_run_by_id(died.run_id)
    assert list(filter_runs_to_should_retry([failed, died], instance)) == [died]


def test_every_asset_is_in_the_pool_whose_limit_counts_runs(fresh: Platform):
    automation = Automation(fresh)
    definitions = automation.catalogue.definitions
    for key in automation.catalogue.artifacts:
        assert definitions.get_assets_def(dg.AssetKey(key.split("/"))).op.pool == "cores", key
    assert definitions.resolve_job_def("fill_range").all_node_defs[0].pool == "cores"
    pools = automation.instance.get_concurrency_config().pool_config
    assert pools.pool_granularity.value == "run" and pools.default_pool_limit == 2


@pytest.mark.parametrize("longest", [1, 2, 100])
def test_ranges_are_what_lies_side_by_side(longest):
    keys = list("abcdefgh")
    found = list(due.ranges(keys, set("abdfgh"), longest))
    assert [key for piece in found for key in piece] == list("abdfgh")
    assert all(len(piece) <= longest and "".join(piece) in "abcdefgh" for piece in found)
    assert len(found) == {1: 6, 2: 4, 100: 3}[longest]


def test_what_one_listing_says_is_what_single_questions_say(made: Platform):
    """The fingerprints of raw files, or everything would be made anew each night."""
    automation = Automation(made)
    look = due.Look(load())
    for group in groups_of(automation.catalogue.definitions):
        for artifact in group.artifacts:
            for key in group.partition_keys(automation.instance)[:12]:
                if artifact.reads:
                    job = look.job(artifact, key)
                    alone = type(job)(artifact, key, load())
                    assert job.raw.fingerprint() == alone.raw.fingerprint(), (artifact.key, key)


def test_what_has_to_be_asked_for_by_name_is_not_made_by_night(fresh: Platform):
    """Of a few pictures the night makes the first hundred numbers, as the command line does, and not 50,000."""
    for folder, name in (("HHM/train/images", "a.jpg"), ("HHM/train/alphas", "a.png"), ("BG-20K/train", "b.jpg")):
        path = fresh.raw / "maggie/sources/image" / folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(photograph(1))
    found = {group: partitions for group, _, partitions in ranges(Automation(fresh).night())}
    assert found["maggie_synthetic_images"] == ["00000-00099"]
