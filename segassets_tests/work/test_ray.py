"""The same work on a real Ray cluster of two nodes: same bytes, lost nodes, killed runs, nodes that do not fit."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from segassets.errors import PartitionRejected, SegassetsError, UsageError
from segassets.store.batch import Place
from segassets.store.store import Store
from segassets.work import node, ray_cluster
from segassets_tests.store.trees import leftovers, manifests, published
from segassets_tests.work.platform import SHARD, Platform, shard, write_raw
from segassets_tests.work.ray_nodes import Nodes
from segassets_tests.work.toys import Toys

IMAGES = 70
#: A cluster as a resource of dagster-ray. LocalRay joins the one that RAY_ADDRESS names; KubeRayCluster would start one.
RESOURCE = """
import dagster as dg
from dagster_ray import LocalRay


@dg.definitions
def defs():
    quiet = {"configure_logging": False, "log_to_driver": False}
    return dg.Definitions(resources={"cluster": LocalRay(ray_init_options=quiet)})
"""
STAGES = ".segassets/stages"

needs_ray = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("ray") is None,
    reason="Ray is not installed: pip install segassets[ray]",
)


@pytest.fixture(scope="module")
def nodes():
    """The cluster; a node that a test has killed is replaced for the next one."""
    started = Nodes()
    yield started
    started.close()


@pytest.fixture
def driver(nodes, monkeypatch):
    """This process as a driver of the cluster, for as long as a test takes."""
    for name, value in nodes.environment.items():
        monkeypatch.setenv(name, value)
    import ray

    nodes.add()
    yield ray
    ray.shutdown()


@pytest.fixture
def toys(driver, nodes, tmp_path):
    made = Toys(tmp_path, str(tmp_path / "store"))
    made.settings = made.settings.model_copy(update={"ray_address": nodes.address})
    return made


def expected(toys: Toys, folder: Path) -> Toys:
    """The same by local processes."""
    local = Toys(folder, str(folder / "local"))
    local.order()
    local.make()
    return local


def same(one: Store, other: Store) -> bool:
    return published(one) == published(other) and manifests(one) == manifests(other)


def at_work(nodes: Nodes) -> list[int]:
    """The processes of this cluster that carry out a batch: other tests may have another cluster on this machine."""
    return [pid for pid, title in nodes.processes() if title.startswith(b"ray::") and b"run_batch_here" in title]


def until(true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@needs_ray
def test_a_batch_whose_node_is_lost_is_done_again_elsewhere(toys, nodes, tmp_path):
    """Both nodes are at work when one of them goes; what was finished there stays."""
    toys.order(t0="wait", t2="wait")

    def lose_a_node():
        log = tmp_path / "orders.log"
        until(lambda: log.exists() and {"t0", "t2"} <= set(log.read_text().split()))
        toys.orders.write_text("")
        nodes.kill()
        for pid in at_work(nodes):  # the other one would wait on: its process is lost as well
            os.kill(pid, signal.SIGKILL)

    losing = threading.Thread(target=lose_a_node, daemon=True)
    losing.start()
    toys.make(engine="ray")
    losing.join()
    made = toys.made()
    assert made.count("t0") == made.count("t2") == 2
    assert leftovers(toys.store) == []
    assert same(toys.store, expected(toys, tmp_path).store)


@needs_ray
def test_a_batch_that_ends_its_workers_fails_in_the_end_and_keeps_the_rest(toys, tmp_path):
    toys.order(t7="die")
    with pytest.raises(SegassetsError, match=r"batch 3 \(t6 to t7\) has lost its worker process or node 3 times"):
        toys.make(engine="ray")
    made = toys.made()
    assert made.count("t7") == ray_cluster.TRIES
    toys.order()
    toys.make(engine="ray")
    assert {"t6", "t7"} <= set(toys.made()) and len(made) < 20
    assert same(toys.store, expected(toys, tmp_path).store)


@needs_ray
def test_errors_and_rejections_are_those_of_local_processes(toys):
    toys.order(t5="fail")
    with pytest.raises(OSError, match="No space left") as failed:
        toys.make(engine="ray")
    assert failed.value.errno == 28 and type(failed.value) is OSError
    toys.order(t3="bad", t8="bad")
    with pytest.raises(PartitionRejected, match=r"2 of 10 items rejected"):
        toys.make("blue", engine="ray")
    assert leftovers(toys.store) == []


@needs_ray
def test_leaving_early_ends_what_is_at_work(toys, nodes, tmp_path):
    toys.order(t0="wait", t2="wait")
    job = toys.job(engine="ray")

    def stop_it():
        log = tmp_path / "orders.log"
        until(lambda: log.exists() and {"t0", "t2"} <= set(log.read_text().split()))
        assert len(at_work(nodes)) == 2
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    stopping = threading.Thread(target=stop_it, daemon=True)
    stopping.start()
    with pytest.raises(KeyboardInterrupt), toys.store.locked("toys/blocks", "red"):
        from segassets.work.make import prepare

        prepare(job)
    stopping.join()
    until(lambda: not at_work(nodes), 15)


@needs_ray
def test_nodes_that_do_not_fit_are_refused_by_name(toys, driver, tmp_path):
    place = Place(str(tmp_path / "store"), ".segassets/stages/toys", "toys")
    ray_cluster._join(driver, toys.settings.ray_address, None)
    with node.expectation(place, []) as fits:
        ray_cluster._probe(driver, fits)
        odd = tuple((name, "0.0.1" if name == "numpy" else value) for name, value in fits.versions)
        with pytest.raises(SegassetsError) as refused:
            ray_cluster._probe(driver, replace(fits, versions=odd, root=str(tmp_path / "elsewhere")))
    lines = str(refused.value).splitlines()[1:]
    assert len(lines) == 4, "two problems of two nodes"
    assert all(line.strip().startswith("node 127.0.0.1 (") for line in lines)
    assert sum("numpy" in line and "instead of 0.0.1" in line for line in lines) == 2
    assert sum(f"does not see the store {tmp_path}/elsewhere" in line for line in lines) == 2


@needs_ray
def test_a_killed_run_resumes_and_comes_to_the_same(nodes, tmp_path):
    """Real runs: one is killed at work, the next one, through dagster-ray, loses a node; the tree is the local one's."""
    nodes.add()
    write_raw(tmp_path / "raw", IMAGES)
    local = Platform(str(tmp_path / "raw"), str(tmp_path / "local"), tmp_path / "home1", workers=2)
    local.must("materialize", "sa1b/masks")
    extra = {**nodes.environment, "SEGASSETS_ENGINE": "ray"}
    cluster = Platform(str(tmp_path / "raw"), str(tmp_path / "store"), tmp_path / "home2", extra=extra)
    process = cluster.start("materialize", "sa1b/masks")
    until(lambda: process.poll() is not None or list((tmp_path / "store" / STAGES).rglob("batches/*.json")))
    process.kill()
    process.communicate()
    until(lambda: not at_work(nodes), 15)
    (tmp_path / "defs").mkdir()
    (tmp_path / "defs/cluster.py").write_text(RESOURCE)
    cluster.extra = {**extra, "SEGASSETS_DEFS": str(tmp_path / "defs")}
    process = cluster.start("materialize", "sa1b/masks")
    until(lambda: process.poll() is not None or at_work(nodes))
    nodes.kill()
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "Traceback" not in said and "raylet" not in said
    assert same(Store(cluster.store), Store(local.store))
    assert leftovers(Store(cluster.store)) == []


@needs_ray
@pytest.mark.timeout(900)  # two nodes, a server and three runs on the same two cores
def test_with_raw_and_store_on_s3_a_killed_run_resumes_and_comes_to_the_same(s3, tmp_path):
    """Workers on both nodes read the bucket and write to it themselves; their credentials are their own environment's."""
    s3.at("raw").write(f"sa1b/{SHARD}.tar", shard(IMAGES))
    local = Platform(s3.url("raw"), s3.url("local"), tmp_path / "home1", workers=2)
    local.must("materialize", "sa1b/masks")
    with contextlib.closing(Nodes()) as nodes:  # started with the bucket's address and keys
        nodes.add()
        extra = {**nodes.environment, "SEGASSETS_ENGINE": "ray"}
        cluster = Platform(s3.url("raw"), s3.url("store"), tmp_path / "home2", extra=extra)
        process = cluster.start("materialize", "sa1b/masks")
        until(lambda: process.poll() is not None or any("/batches/" in key for key in s3.keys("store")))
        process.kill()
        process.communicate()
        until(lambda: not at_work(nodes), 15)
        process = cluster.start("materialize", "sa1b/masks")
        until(lambda: process.poll() is not None or at_work(nodes))
        nodes.kill()
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
    assert same(Store(cluster.store), Store(local.store))
    assert s3.uploads() == [] and not [key for key in s3.keys("store/.segassets/") if "/stages/" in key]
    assert "as published" in local.must("verify", "sa1b/masks")


@needs_ray
def test_no_cluster_and_no_ray_are_said_plainly(tmp_path, monkeypatch):
    toys = Toys(tmp_path, str(tmp_path / "store"))
    monkeypatch.setattr(ray_cluster, "_join", lambda *_: (_ for _ in ()).throw(SegassetsError("none")))
    with pytest.raises(SegassetsError, match="none"):
        toys.make(engine="ray")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install \"segassets\[ray\]\""):
        toys.make(engine="ray")
