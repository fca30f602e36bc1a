"""An S3 server that is away, silent or misnamed: told in words, and within seconds."""

import http.server
import socket
import threading

import pytest
from botocore import exceptions as sdk

from segassets.errors import SegassetsError
from segassets.files import bucket, s3_faults
from segassets.files.bucket import Bucket


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def listening():
    """A socket that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_without_an_endpoint_nothing_is_asked():
    s3_faults.check_endpoint()


def test_a_silent_server_is_told_after_its_time(monkeypatch, listening):
    monkeypatch.setenv("AWS_ENDPOINT_URL", listening)
    monkeypatch.setattr(s3_faults, "ANSWER_SECONDS", 0.3)
    with pytest.raises(SegassetsError, match="does not answer within"):
        s3_faults.check_endpoint()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "notaurl", "ftp://127.0.0.1", "http://127.0.0.1:port"])
def test_a_server_that_is_away_or_none_is_named(monkeypatch, address):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(SegassetsError, match=r"cannot be reached .*check AWS_ENDPOINT_URL") as told:
        s3_faults.check_endpoint()
    assert address in str(told.value) and "object at" not in str(told.value)


def test_any_answer_will_do(monkeypatch):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        s3_faults.check_endpoint()
        server.shutdown()


@pytest.mark.parametrize(
    "problem, told",
    [
        (sdk.NoCredentialsError(), "no credentials"),
        (sdk.EndpointConnectionError(endpoint_url="http://x"), "does not answer"),
        (sdk.ReadTimeoutError(endpoint_url="http://x"), "does not answer"),
        (sdk.ParamValidationError(report='Invalid bucket name "a b"'), "correct the URL"),
        (ValueError("Invalid endpoint: notaurl"), "AWS_ENDPOINT_URL is no address"),
        (sdk.NoRegionError(), "the other AWS_ variables"),
    ],
)
def test_what_the_sdk_raises_names_the_place_and_what_to_do(problem, told):
    found = s3_faults.explained(problem, "s3://bucket/raw")
    assert "s3://bucket/raw" in str(found) and told in str(found)


def test_other_errors_are_left_as_they_are():
    assert s3_faults.explained(ValueError("another"), "s3://b") is None
    assert s3_faults.explained(FileNotFoundError("x"), "s3://b") is None


def test_a_request_without_credentials(monkeypatch, listening, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", listening)
    bucket._s3.cache_clear()
    try:
        with pytest.raises(SegassetsError, match="no credentials for S3"):
            Bucket("s3://bucket/x").stat("a")
    finally:
        bucket._s3.cache_clear()
