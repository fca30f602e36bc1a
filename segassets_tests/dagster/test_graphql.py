"""What the UI asks for and gets: the same GraphQL, on the webserver's own application."""

from __future__ import annotations

import json

from segassets_tests.dagster.platform import IMAGES, OTHER, SHARD, SHARD_ASSETS, Platform, shard
from segassets_tests.dagster.web import ASSETS, CHECK, asset, finished, launch, metadata, webserver


def test_assets_are_launched_and_looked_at_in_the_ui(fresh: Platform):
    shard(fresh.raw / f"sa1b/{OTHER}.tar", first=11188, images=4, bad=1)
    fresh.catalogue().register()
    with webserver(fresh) as (_, ask):
        nodes = {"/".join(node["assetKey"]["path"]): node for node in ask(ASSETS)["assetNodes"]}
        assert {f"sa1b/{name}" for name in SHARD_ASSETS} <= set(nodes)
        assert all(node["groupName"] == key.split("/")[0] for key, node in nodes.items())
        assert "png_depth" in nodes["sa1b/masks"]["description"]

        good = launch(ask, "sa1b/shard_index", "sa1b/mask_table", partition=SHARD)
        bad = launch(ask, "sa1b/shard_index", partition=OTHER)
        assert finished(ask, good) == "SUCCESS"
        assert finished(ask, bad) == "FAILURE"

        found = asset(ask, "sa1b/mask_table", SHARD)
        assert found["partitionKeys"] == [SHARD, OTHER]
        assert found["partitionStats"] == {"numMaterialized": 1, "numFailed": 0, "numPartitions": 2}
        assert asset(ask, "sa1b/shard_index")["partitionStats"]["numFailed"] == 1
        about = metadata(ask, "sa1b/mask_table", SHARD)
        assert about["preview"]["mdStr"].startswith("![preview](data:image/png;base64,iVBOR")
        assert about["masks"]["intValue"] == IMAGES * 3
        assert about["unchanged"]["boolValue"] is False

        (passed,) = ask(CHECK, path=["sa1b", "shard_index"], name="findings", partition=SHARD)["assetCheckExecutions"]
        assert passed["status"] == "SUCCEEDED"
        (failed,) = ask(CHECK, path=["sa1b", "shard_index"], name="findings", partition=OTHER)["assetCheckExecutions"]
        assert failed["status"] == "FAILED" and failed["evaluation"]["severity"] == "ERROR"
        (table,) = [entry["table"] for entry in failed["evaluation"]["metadataEntries"] if "table" in entry]
        (row,) = [json.loads(record) for record in table["records"]]
        assert row["severity"] == "error" and row["item"] == "sa_000001.tar, ./sa_11188.json"


SCHEDULE = """mutation { scheduleDryRun(timestamp: 1900000000, selectorData: {
    repositoryName: "__repository__", repositoryLocationName: "segassets", scheduleName: "fill_missing"}) {
    __typename ... on PythonError { message } ... on DryRunInstigationTick {
        evaluationResult { skipReason error { message } runRequests { runKey jobName tags { key value } } } } } }"""
SENSOR = """mutation($name: String!) { sensorDryRun(cursor: null, selectorData: {
    repositoryName: "__repository__", repositoryLocationName: "segassets", sensorName: $name}) {
    __typename ... on PythonError { message } ... on DryRunInstigationTick {
        evaluationResult { skipReason error { message } runRequests { jobName } } } } }"""


def test_schedules_and_sensors_tick_in_the_code_server_as_for_the_daemon(fresh: Platform):
    with webserver(fresh) as (context, ask):
        tick = ask(SCHEDULE)["scheduleDryRun"]
        assert tick["__typename"] == "DryRunInstigationTick", tick
        assert tick["evaluationResult"]["error"] is None, tick
        assert len(tick["evaluationResult"]["runRequests"]) == 3, "the shards, and two evaluation sets lie apart"
        for name in ("new_sa1b_shards", "new_maggie_archives", "new_datasets", "raw_changed"):
            tick = ask(SENSOR, name=name)["sensorDryRun"]
            assert tick["__typename"] == "DryRunInstigationTick", tick
            assert tick["evaluationResult"]["error"] is None, tick
        # What Dagster does not offer a dry run of: the conditions, evaluated in the code server.
        sensor = context.create_request_context().get_code_location("segassets").get_repository("__repository__")
        assert sensor.get_sensor("bring_up_to_date").sensor_type.value == "AUTOMATION"
