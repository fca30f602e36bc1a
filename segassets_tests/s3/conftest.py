"""The real S3 server of the session, and buckets on it behind the proxy that counts requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segassets.files import bucket
from segassets.files.ref import files_at
from segassets_tests.s3 import ceph
from segassets_tests.store.s3 import S3


@pytest.fixture(scope="session")
def server(tmp_path_factory, worker_id) -> Iterator[str]:
    """One server for all workers of pytest-xdist: their folders lie side by side."""
    absent = ceph.missing()
    if absent:
        pytest.skip(f"no Ceph to test against: {absent}")
    base: Path = tmp_path_factory.getbasetemp()
    with ceph.serving((base if worker_id == "master" else base.parent) / "ceph") as url:
        yield url


@pytest.fixture
def s3(server, monkeypatch) -> Iterator[S3]:
    """A fresh bucket; this process and its children talk to it through a proxy of their own."""
    made = S3.fresh(server)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    bucket._s3.cache_clear()
    files_at.cache_clear()
    yield made
    bucket._s3.cache_clear()
    files_at.cache_clear()
    made.proxy.stop()
