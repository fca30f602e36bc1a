"""A real run is killed again and again: workers end, readers see one version, the end is as if undisturbed."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from pathlib import Path

import pytest

from segassets.errors import BeingPublished, NotPublished
from segassets.processes import process_start
from segassets.store.store import Store
from segassets_tests.store.trees import leftovers, manifests, published
from segassets_tests.work.platform import Platform, write_raw

IMAGES = 70  # three batches an asset
SEED = 20230405
STAGES = ".segassets/stages/sa1b"
PUBLISHING = ".segassets/publishing/sa1b"


def _children(pid: int) -> list[tuple[int, str]]:
    with contextlib.suppress(OSError):
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [(int(child), process_start(int(child))) for child in found]
    return []


def _wait(process: subprocess.Popen, reached) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and not reached() and time.monotonic() < deadline:
        time.sleep(0.0005)


def _kill(process: subprocess.Popen) -> None:
    """Only the parent; its workers have to notice by themselves."""
    workers = _children(process.pid)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while alive := [pid for pid, started in workers if started and process_start(pid) == started]:
        assert time.monotonic() < deadline, f"workers {alive} outlive their run"
        time.sleep(0.01)


def _versions(store: Store) -> dict:
    return {
        (asset, key): store.handle(asset, key).data_version
        for asset in store.assets()
        for key in store.published(asset)
    }


def _comparable(store: Store) -> dict:
    return {key: (rows, footer["data_version"], footer["counts"]) for key, (rows, footer) in manifests(store).items()}


def _look(store: Store, known: list[dict]) -> None:
    """Every partition is one of the known versions, whole, or not there, or being published."""
    for asset in store.assets():
        for key in store.published(asset):
            handle = store.handle(asset, key)
            try:
                assert handle.data_version in [versions[asset, key] for versions in known]
                for path in handle.all_files["path"].to_pylist():
                    handle.read(path)
            except (NotPublished, BeingPublished):
                assert (Path(store.root) / PUBLISHING).exists()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a run makes that nobody kills."""
    folder = tmp_path_factory.mktemp("undisturbed")
    platform = Platform(str(folder / "raw"), str(folder / "store"), folder / "home")
    write_raw(folder / "raw", IMAGES, 3)
    platform.must("materialize", "sa1b")
    return Store(platform.store)


@pytest.mark.parametrize("replaced", [False, True], ids=["first", "replacement"])
def test_killed_until_it_completes(tmp_path, undisturbed, replaced):
    chance = random.Random(SEED + replaced)
    platform = Platform(str(tmp_path / "raw"), str(tmp_path / "store"), tmp_path / "home")
    store, folder = Store(platform.store), tmp_path / "store"
    known = [_versions(undisturbed)]
    if replaced:
        write_raw(tmp_path / "raw", IMAGES + 10, 2)
        platform.must("materialize", "sa1b")
        known.append(_versions(store))
    write_raw(tmp_path / "raw", IMAGES, 3)
    points = [
        lambda: any((folder / STAGES).glob("shard_index/*/batches/*.json")),
        lambda: any((folder / PUBLISHING).glob("*/*.json")),
        lambda: any((folder / PUBLISHING / "masks").glob("*.json")),
        lambda: any((folder / STAGES).glob("masks/*/batches/*.json")),
    ]
    chance.shuffle(points)
    for point in points:
        process = platform.start("materialize", "sa1b")
        _wait(process, point)
        time.sleep(chance.choice([0, 0.005, 0.05, 0.3]))
        _kill(process)
        _look(store, known)
    platform.must("materialize", "sa1b")
    assert published(store) == published(undisturbed)
    assert _comparable(store) == _comparable(undisturbed)
    assert leftovers(store) == []
    assert "changed" not in platform.must("verify", "sa1b")
