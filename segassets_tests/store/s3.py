"""An S3 server on loopback, and a proxy before it that counts requests and makes some of them fail."""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import boto3

from segassets.files.bucket import Bucket

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
#: Longer than the clients of the tests wait.
HANG_SECONDS = 4
ERROR = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>made up</Message></Error>"


@dataclass(frozen=True)
class Request:
    """What a client asked: `kind` is a word for it, such as GET, PUT, LIST, COPY, DELETE-MANY, PART."""

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def kind(self) -> str:
        query = urlsplit(self.path).query
        if self.method == "GET" and "list-type=2" in query:
            return "LIST"
        if self.method == "GET" and "uploads" in query:
            return "UPLOADS"
        if self.method == "POST" and "delete" in query:
            return "DELETE-MANY"
        if self.method == "PUT" and "partNumber" in query:
            return "PART"
        if self.method == "PUT" and "x-amz-copy-source" in {name.lower() for name in self.headers}:
            return "COPY"
        return self.method

    @property
    def key(self) -> str:
        return urlsplit(self.path).path


@dataclass
class Proxy:
    """`fault(request)` gives None, an HTTP status, `"cut"` (not passed on, no answer), `"lost"` (passed on, no
    answer), `"hang"` (not passed on, no answer for a while) or `"torn"` (half of the answer's body)."""

    upstream: str
    fault: Callable[[Request], int | str | None] = lambda request: None
    requests: list[Request] = field(default_factory=list)
    up: list[int] = field(default_factory=list)  # bytes of every request's body, and of every answer's
    down: list[int] = field(default_factory=list)

    def start(self) -> Proxy:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def moved(self) -> int:
        """Bytes that went through it, both ways."""
        return sum(self.up) + sum(self.down)

    def counts(self) -> Counter[str]:
        return Counter(request.kind for request in self.requests)


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    there = urlsplit(proxy.upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def handle_one(self):
            body = self._body()
            request = Request(self.command, self.path, dict(self.headers))
            proxy.requests.append(request)
            proxy.up.append(len(body))
            fault = proxy.fault(request)
            if fault in ("cut", "hang"):
                time.sleep(HANG_SECONDS if fault == "hang" else 0)
                self.close_connection = True
                self.connection.close()
                return
            if isinstance(fault, int):
                code = {503: b"SlowDown", 500: b"InternalError"}.get(fault, b"AccessDenied")
                self._answer(fault, [("Content-Type", "application/xml")], ERROR % code)
                return
            client = http.client.HTTPConnection(there.hostname, there.port, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
            client.request(self.command, self.path, body, headers)
            answer = client.getresponse()
            if fault == "lost":
                self.close_connection = True
                self.connection.close()
                return
            data = answer.read()
            proxy.down.append(len(data))
            self._answer(answer.status, answer.getheaders(), data, torn=fault == "torn")
            client.close()

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                if self.headers.get("Expect"):
                    self.send_response_only(100)
                    self.end_headers()
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return data

        def _answer(self, status: int, headers, body: bytes, torn: bool = False) -> None:
            self.send_response_only(status)
            known = {name.lower() for name, _ in headers}
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            if "content-length" not in known:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if torn else body)
            if torn:
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one

        def handle_expect_100(self):
            return True

    return Handler


@dataclass
class S3:
    """A bucket of its own for a test, behind a proxy of its own."""

    proxy: Proxy
    server: str
    bucket: str

    @classmethod
    def fresh(cls, server: str) -> S3:
        bucket = f"test-{uuid.uuid4().hex[:12]}"
        made = cls(Proxy(server).start(), server, bucket)
        made.client.create_bucket(Bucket=bucket)
        return made

    @property
    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.server,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.proxy.url}

    def url(self, prefix: str = "store") -> str:
        return f"s3://{self.bucket}/{prefix}"

    def at(self, prefix: str = "store") -> Bucket:
        return Bucket(self.url(prefix))

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))

    def uploads(self) -> list[str]:
        return [entry["Key"] for entry in self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ())]
