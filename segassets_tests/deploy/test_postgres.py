"""A run of the command line whose records go to a real PostgreSQL server and whose output goes to a bucket."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import dagster as dg
import pytest

from segassets_tests.deploy import postgres
from segassets_tests.deploy.templates import install, template
from segassets_tests.running import Place
from segassets_tests.sa1b.shards import sound, tar
from segassets_tests.store.fixtures import s3_server  # noqa: F401
from segassets_tests.store.s3 import CREDENTIALS, S3

SHARD = "sa_000000"


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Server]:
    for module in ("dagster_postgres", "dagster_aws"):
        pytest.importorskip(module, reason=f"no {module} (pip install 'segassets[team]')")
    if absent := postgres.missing():
        pytest.skip(absent)
    with postgres.serving() as server:
        yield server


@pytest.fixture
def place(database, s3_server, tmp_path) -> Iterator[Place]:  # noqa: F811
    """A tiny shard in a folder, the team's template as the instance."""
    raw = tmp_path / "raw/sa1b"
    raw.mkdir(parents=True)
    (raw / f"{SHARD}.tar").write_bytes(tar(sound()))
    bucket = S3.fresh(s3_server)
    environment = {**database.environment, **CREDENTIALS, "AWS_ENDPOINT_URL": s3_server}
    config = template("dagster.postgres.yaml")
    # The template names the usual port, and a folder that other users of a shared machine may have made.
    config["storage"]["postgres"]["postgres_db"]["port"] = database.port
    config["compute_logs"]["config"]["local_dir"] = str(tmp_path / "logs")
    place = Place.below(tmp_path, **environment, SEGASSETS_LOG_BUCKET=bucket.bucket)
    install(config, tmp_path / "home")
    yield place
    bucket.proxy.stop()


def test_runs_are_recorded_in_postgres(place, database, monkeypatch):
    said = place.run("materialize", "sa1b", "--partition", SHARD).stdout
    assert f"made     sa1b/masks {SHARD}" in said
    assert "nothing to do" in place.run("materialize", "sa1b", "--partition", SHARD).stdout

    for name, value in place.environ().items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(place.home) as instance:
        assert type(instance.event_log_storage).__module__.startswith("dagster_postgres")
        runs = instance.get_runs()
        assert runs and all(run.status is dg.DagsterRunStatus.SUCCESS for run in runs)
        assert instance.get_dynamic_partitions("sa1b_shards") == [SHARD]
        event = instance.get_latest_materialization_event(dg.AssetKey(["sa1b", "masks"]))
        assert event.asset_materialization.partition == SHARD
        assert event.asset_materialization.tags["dagster/data_version"]

    assert int(database.query("select count(*) from runs")) == len(runs)
    assert int(database.query("select count(*) from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'")) > 5
    # Nothing fell back to SQLite beside it.
    assert not [name for name in os.listdir(place.home) if name.endswith(".db")]
    assert database.query(f"select count(*) from event_logs where event like '%{postgres.PASSWORD}%'").strip() == "0"


def test_status_and_verify_read_it_back_in_other_processes(place):
    place.run("materialize", "sa1b/masks", "--partition", SHARD)
    rows = {row["asset"]: row for row in json.loads(place.run("status", "sa1b", "--json").stdout)}
    assert rows["sa1b/masks"]["made"] == 1
    assert "as published" in place.run("verify", "sa1b/masks").stdout


def test_a_database_that_is_away_is_one_line(place):
    place.environment["SEGASSETS_PG_PASSWORD"] = "not-the-password"
    said = place.run("status", "sa1b", status=None)
    assert said.returncode != 0
    assert "not-the-password" not in said.stdout + said.stderr
    assert "database did not answer" in said.stderr and "authentication failed" in said.stderr
