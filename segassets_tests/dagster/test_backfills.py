"""Backfills, carried out by the daemon's own function: every partition has its own success, failure and version."""

from __future__ import annotations

import logging
import time

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus
from dagster._daemon.backfill import execute_backfill_iteration

from segassets_tests.dagster.platform import OTHER, SHARD, Platform, shard
from segassets_tests.dagster.web import CHECK, asset, metadata, webserver

LAUNCH = """mutation($assets: [AssetKeyInput!]!, $partitions: [String!]!) {
    launchPartitionBackfill(backfillParams: {assetSelection: $assets, partitionNames: $partitions}) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


def carried_out(context, ask, keys: list[str], partitions: list[str], seconds: float = 120):
    """Launch a backfill and let the daemon's function work until it is done; its status and runs."""
    found = ask(LAUNCH, assets=[{"path": key.split("/")} for key in keys], partitions=partitions)[
        "launchPartitionBackfill"
    ]
    assert found["__typename"] == "LaunchBackfillSuccess", found
    instance, deadline = context.instance, time.monotonic() + seconds
    while True:
        list(execute_backfill_iteration(context, logging.getLogger("daemon")))
        backfill = instance.get_backfill(found["backfillId"])
        if backfill.status not in (BulkActionStatus.REQUESTED, BulkActionStatus.FAILING):
            return backfill.status, instance.get_runs(dg.RunsFilter.for_backfill(backfill.backfill_id))
        assert time.monotonic() < deadline, backfill.status
        time.sleep(0.5)


def check(ask, key: str, partition: str) -> str:
    (found,) = ask(CHECK, path=key.split("/"), name="findings", partition=partition)["assetCheckExecutions"]
    return found["status"]


def test_a_backfill_of_shards_is_one_run_each_and_fails_one_by_one(fresh: Platform):
    shard(fresh.raw / f"sa1b/{OTHER}.tar", first=11188, images=4, bad=1)
    fresh.catalogue().register()
    with webserver(fresh) as (context, ask):
        status, runs = carried_out(context, ask, ["sa1b/shard_index", "sa1b/mask_table"], [SHARD, OTHER])
        assert status is BulkActionStatus.COMPLETED_FAILED
        first = "dagster/asset_partition_range_start"
        assert {run.tags[first]: run.status.value for run in runs} == {SHARD: "SUCCESS", OTHER: "FAILURE"}
        for key in ("sa1b/shard_index", "sa1b/mask_table"):
            assert asset(ask, key)["partitionStats"]["numMaterialized"] == 1
        assert asset(ask, "sa1b/shard_index")["partitionStats"]["numFailed"] == 1
        assert check(ask, "sa1b/shard_index", SHARD) == check(ask, "sa1b/mask_table", SHARD) == "SUCCEEDED"
        assert check(ask, "sa1b/shard_index", OTHER) == "FAILED"
        assert "preview" in metadata(ask, "sa1b/mask_table", SHARD)
    assert fresh.stale(assets=("shard_index", "mask_table")) == {}


def test_a_backfill_of_evaluation_sets_is_one_run_and_reports_each(fresh: Platform):
    catalogue = fresh.catalogue()
    sets = catalogue.keys_of(catalogue.partitions_def("sa1b/eval_manifest"))
    chosen = sets[sets.index("hrsod_val") : sets.index("camo") + 1]
    with webserver(fresh) as (context, ask):
        status, runs = carried_out(context, ask, ["sa1b/eval_manifest"], chosen)
        assert status is BulkActionStatus.COMPLETED_FAILED, "Dagster's word for partitions that were skipped"
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS]
        assert asset(ask, "sa1b/eval_manifest")["partitionStats"]["numMaterialized"] == 2
        versions = set()
        for key in ("hrsod_val", "camo"):
            assert metadata(ask, "sa1b/eval_manifest", key)["items"]["intValue"] == 2
            assert check(ask, "sa1b/eval_manifest", key) == "SUCCEEDED"
            (made,) = asset(ask, "sa1b/eval_manifest", key)["assetMaterializations"]
            versions |= {tag["value"] for tag in made["tags"] if tag["key"] == "dagster/data_version"}
        assert len(versions) == 2, "each has its own"
