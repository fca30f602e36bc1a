"""Making single assets of a small shard in this process: no Dagster run, but everything else as in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from segassets.registry import registry
from segassets.settings import Settings
from segassets.store.handle import Handle
from segassets.work.job import Job
from segassets.work.make import Outcome, prepare

SHARD = "sa_000000"


@dataclass
class Bench:
    """A raw folder, a store, and `make`."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "raw/sa1b"

    @property
    def published(self) -> Path:
        return self.folder / "store/sam-1b"

    def put(self, path: str, data: bytes) -> None:
        target = self.raw / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def job(self, asset: str, partition: str | None = SHARD, max_rejected: float | None = None, **options) -> Job:
        settings = Settings(raw=str(self.folder / "raw"), store=str(self.folder / "store"), workers=1)
        artifact = registry()[f"sa1b/{asset}"]
        return Job(artifact, partition, settings, artifact.parse_options(options), max_rejected)

    def make(self, asset: str, partition: str | None = SHARD, max_rejected: float | None = None, **options) -> Outcome:
        job = self.job(asset, partition, max_rejected, **options)
        with job.store.locked(job.artifact.key, partition):
            outcome = prepare(job)
            outcome.publish()
        return outcome

    def handle(self, asset: str, partition: str | None = SHARD) -> Handle:
        return self.job(asset, partition).store.handle(f"sa1b/{asset}", partition)


@pytest.fixture(scope="session")
def declared() -> None:
    """All artifacts, declared once."""
    from segassets.definitions import defs

    defs()


@pytest.fixture
def bench(tmp_path, declared) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def shard(bench) -> Callable[..., Bench]:
    """A shard in the raw folder with the assets that others are made from."""
    from segassets_tests.sa1b.shards import sound, tar

    bench.put(f"{SHARD}.tar", tar(sound()))
    for asset in ("shard_index", "mask_table", "control_images"):
        bench.make(asset)
    return bench
