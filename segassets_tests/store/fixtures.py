"""Fixtures for the tests of the store and of the work: an S3 server a test process, a bucket and a proxy a test."""

from __future__ import annotations

import logging

import pytest
from moto.server import ThreadedMotoServer

from segassets.files import bucket
from segassets.files.ref import files_at
from segassets_tests.store.s3 import S3


@pytest.fixture(scope="session")
def s3_server():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """A fresh bucket; this process' S3 client talks to it through the test's proxy."""
    made = S3.fresh(s3_server)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    bucket._s3.cache_clear()
    files_at.cache_clear()
    yield made
    bucket._s3.cache_clear()
    made.proxy.stop()


@pytest.fixture(params=["folder", "bucket"])
def root(request, tmp_path):
    """The root of a store, once as a folder and once on S3."""
    if request.param == "folder":
        return str(tmp_path / "store")
    s3 = request.getfixturevalue("s3")
    request.getfixturevalue("monkeypatch").setenv("AWS_ENDPOINT_URL", s3.server)  # a third faster than by the proxy
    return s3.url("store")
