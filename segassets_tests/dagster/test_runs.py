"""Runs of SA-1B's assets as Dagster records them: events, versions, checks, previews; and what can go wrong."""

from __future__ import annotations

import base64
import io

import dagster as dg
import pytest
from dagster import AssetCheckKey
from PIL import Image

from segassets_tests.dagster.platform import IMAGES, OTHER, SHARD, SHARD_ASSETS, Platform, evaluation_set, shard


def materialization(platform: Platform, name: str, partition: str = SHARD) -> dg.AssetMaterialization:
    records = dg.AssetRecordsFilter(asset_key=dg.AssetKey(["sa1b", name]), asset_partitions=[partition])
    found = platform.catalogue().instance.fetch_materializations(records, limit=1).records
    return found[0].asset_materialization


def metadata(platform: Platform, name: str, partition: str = SHARD) -> dict:
    return {key: value.value for key, value in materialization(platform, name, partition).metadata.items()}


def checks(result) -> dict[tuple[str, str, str | None], bool]:
    return {
        (found.asset_key.path[-1], found.check_name, found.partition): found.passed
        for found in result.get_asset_check_evaluations()
    }


def recorded(platform: Platform, name: str, partition: str, check: str = "findings") -> str | None:
    """The status of a partition's check as the instance has it."""
    storage = platform.catalogue().instance.event_log_storage
    key = AssetCheckKey(dg.AssetKey(["sa1b", name]), check)
    found = storage.get_asset_check_execution_history(key, limit=20)
    return next((one.status.value for one in found if one.partition == partition), None)


def told(result) -> str:
    """What the failed steps of a run say to a person."""
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return "\n".join(failure.user_failure_data.description for failure in failures)


def test_every_asset_of_a_shard_has_one_materialization_and_passed_checks(made: Platform):
    for name in SHARD_ASSETS:
        assert materialization(made, name).partition == SHARD
        assert recorded(made, name, SHARD) == "SUCCEEDED"
    for name in ("mask_table", "masks"):
        assert recorded(made, name, SHARD, "output") == "SUCCEEDED"


def test_metadata_say_how_much_and_where(made_once: Platform, monkeypatch):
    made = made_once
    made.use(monkeypatch)
    about = metadata(made, "masks")
    assert about["files"] == about["items"] * 3 == IMAGES * 3
    assert about["rejected"] == about["errors"] == 0
    assert about["bytes"] > 0 and about["seconds"] >= 0
    assert about["dagster/uri"] == str(made.store / "sam-1b")
    assert metadata(made, "mask_table")["dagster/partition_row_count"] == IMAGES * 3
    assert metadata(made, "mask_table")["masks"] == IMAGES * 3


@pytest.mark.parametrize("name", ["mask_table", "masks", "control_images"])
def test_previews_are_small_pictures_inside_the_event(made_once: Platform, monkeypatch, name):
    made_once.use(monkeypatch)
    text = metadata(made_once, name)["preview"]
    start = "![preview](data:image/png;base64,"
    assert text.startswith(start) and len(text) < 70_000
    picture = Image.open(io.BytesIO(base64.b64decode(text[len(start) : -1])))
    assert picture.format == "PNG" and len(set(picture.convert("RGB").getdata())) > 1


def test_a_second_run_says_unchanged_and_publishes_nothing_anew(made: Platform):
    before = {path: path.stat().st_mtime_ns for path in made.store.rglob("*") if path.is_file()}
    assert made.run().success
    after = {path: path.stat().st_mtime_ns for path in made.store.rglob("*") if path.is_file()}
    assert {path for path in after if ".lock" not in path.name and after[path] != before.get(path)} == set()
    for name in SHARD_ASSETS:
        assert metadata(made, name)["unchanged"] is True
        assert materialization(made, name).tags["dagster/data_version"] == made.published(name).data_version


def test_partitions_are_registered_and_a_partition_with_nothing_to_be_made_from_is_skipped(fresh: Platform):
    result = fresh.run(partition=OTHER)
    assert result.success
    assert fresh.catalogue().instance.get_dynamic_partitions("sa1b_shards") == [SHARD, OTHER]
    made = {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}
    assert made == set(SHARD_ASSETS) - {"captions", "controlnet_train"}
    passed = [e for e in result.get_asset_check_evaluations() if e.asset_key.path[-1] == "captions"]
    assert [e.partition for e in passed] == [OTHER]
    (row,) = passed[0].metadata["findings"].records
    assert row.data["severity"] == "info" and "no captions/sa_000001-blip2-caption.json" in row.data["message"]


def test_a_rejected_shard_fails_with_its_findings_in_the_check_and_publishes_nothing(made: Platform):
    before = made.versions()
    shard(made.tar, first=1, bad=2)
    result = made.run()
    assert not result.success
    assert checks(result) == {("shard_index", "findings", SHARD): False}
    text = told(result)
    assert text.startswith("sa1b/shard_index sa_000000: 2 of 6 items rejected, allowed are 1.00% (--max-rejected)")
    assert "sa_000000.tar" in text and "sa_1.json" in text and "Traceback" not in text
    found = result.get_asset_check_evaluations()[0]
    assert found.severity is dg.AssetCheckSeverity.ERROR and found.metadata["errors"].value == 2
    rows = [row.data for row in found.metadata["findings"].records]
    assert [row["severity"] for row in rows] == ["error", "error"]
    assert [row["item"] for row in rows] == [f"sa_000000.tar, ./sa_{number}.json" for number in (1, 2)]
    assert made.versions() == before, "what was published before stays as it was"
    assert recorded(made, "shard_index", SHARD) == "FAILED"


def test_more_rejected_items_are_allowed_by_configuration(fresh: Platform):
    shard(fresh.tar, first=1, bad=2)
    assert fresh.run("shard_index", config={"shard_index": {"max_rejected": 0.5}}).success
    about = metadata(fresh, "shard_index")
    assert (about["items"], about["rejected"], about["errors"]) == (IMAGES, 2, 2)
    assert recorded(fresh, "shard_index", SHARD) == "SUCCEEDED"


def test_what_an_asset_is_made_from_has_to_be_there(fresh: Platform):
    result = fresh.run("mask_table")
    assert not result.success
    text = told(result)
    assert "sa1b/shard_index sa_000000 has not been made" in text
    assert "segassets materialize sa1b/shard_index --partition 'sa_000000'" in text


def test_a_file_of_somebody_else_is_left_alone(made: Platform):
    name = next((made.store / "sam-1b" / SHARD).glob("sa_*.png"))
    other = made.store / "sam-1b" / OTHER / "sa_11188.png"
    other.parent.mkdir()
    other.write_bytes(b"mine")
    result = made.run("shard_index", "mask_table", "control_images", partition=OTHER)
    assert not result.success and "foreign_file" in told(result)
    assert other.read_bytes() == b"mine" and name.exists()
    other.unlink()
    assert made.run("control_images", partition=OTHER).success, "the failed run has given its lock back"


def test_a_bad_option_value_names_the_option_and_its_choices(made: Platform):
    result = made.run("masks", config={"masks": {"packing": "tar"}})
    assert not result.success
    assert "packing" in told(result) and "files | zip" in told(result)


def test_an_unknown_option_is_refused_by_dagster(made: Platform):
    with pytest.raises(dg.DagsterInvalidConfigError, match="colour"):
        made.run("masks", config={"masks": {"colour": "red"}})


def test_an_unregistered_partition_is_refused_by_dagster(made: Platform):
    with pytest.raises(dg.DagsterUnknownPartitionError):
        made.run("shard_index", partition="sa_000007")


def test_no_launch_can_send_files_elsewhere(made: Platform, tmp_path):
    """Dagster takes any configuration for a resource that has none, and ignores it."""
    elsewhere = tmp_path / "elsewhere"
    catalogue = made.catalogue()
    result = catalogue.job.execute_in_process(
        asset_selection=[dg.AssetKey(["sa1b", "masks"])],
        partition_key=SHARD,
        instance=catalogue.instance,
        run_config={
            "resources": {"store": {"config": {"root": str(elsewhere), "store": str(elsewhere)}}},
            "ops": {"sa1b__masks": {"config": {"force": True}}},
        },
    )
    assert result.success and not elsewhere.exists()
    assert metadata(made, "masks")["dagster/uri"] == str(made.store / "sam-1b")
    assert metadata(made, "masks")["unchanged"] is False
    with pytest.raises(dg.DagsterInvalidConfigError):
        made.run("masks", config={"masks": {"root": str(elsewhere)}})


def ranged(platform: Platform, start: str, end: str):
    tags = {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end}
    return platform.run("eval_manifest", partition=None, tags=tags)


def test_a_range_in_one_run_is_recorded_partition_by_partition(fresh: Platform):
    result = ranged(fresh, "hrsod_val", "camo")
    assert result.success
    made = {e.partition: e.materialization for e in result.get_asset_materialization_events()}
    assert set(made) == {"hrsod_val", "camo"}
    assert checks(result) == {("eval_manifest", "findings", key): True for key in (*made, *skipped(fresh))}
    assert len({one.tags["dagster/data_version"] for one in made.values()}) == 2
    for key, one in made.items():
        assert one.tags["dagster/data_version"] == fresh.published("eval_manifest", key).data_version
        assert one.tags["dagster/code_version"] == "1"
        assert one.metadata["items"].value == 2


def skipped(platform: Platform) -> list[str]:
    """The evaluation sets of the range that are not in the raw folder."""
    keys = platform.catalogue().keys_of(platform.catalogue().partitions_def("sa1b/eval_manifest"))
    between = keys[keys.index("hrsod_val") : keys.index("camo") + 1]
    return [key for key in between if key not in ("hrsod_val", "camo")]


def test_one_bad_partition_of_a_range_fails_alone(fresh: Platform):
    evaluation_set(fresh.raw, "CAMO", pairs=3)
    (fresh.raw / "sa1b/evaldata/CAMO/gts/1.png").unlink()
    result = ranged(fresh, "hrsod_val", "camo")
    assert not result.success
    assert "1 of" in told(result) and "camo" in told(result) and "gt_missing" in told(result)
    assert [e.partition for e in result.get_asset_materialization_events()] == ["hrsod_val"]
    found = checks(result)
    assert found["eval_manifest", "findings", "hrsod_val"] is True
    assert found["eval_manifest", "findings", "camo"] is False
    assert recorded(fresh, "eval_manifest", "camo") == "FAILED"
    assert recorded(fresh, "eval_manifest", "hrsod_val") == "SUCCEEDED"
