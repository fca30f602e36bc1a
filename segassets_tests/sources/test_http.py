"""Downloads from a server on loopback that misbehaves in every way real ones do."""

import contextlib
import hashlib
import http.server
import io
import random
import tarfile
import threading
import time

import pytest
import tenacity

from segassets.sources import http as source
from segassets.sources.http import DownloadError, download, md5_list, redacted


def make_tar(size):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("sa_1.jpg")
        member.size = size
        tar.addfile(member, io.BytesIO(random.Random(1).randbytes(size)))
    return out.getvalue()


BODY = make_tar(300_000)
MD5, SHA256 = hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers with `body`; `script(handler, number)` may answer request `number` otherwise and then returns True."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag, self.ranges, self.script, self.requests = BODY, '"v1"', True, None, []

    def handle_error(self, request, client_address):
        pass

    def url(self, path="/sa_000000.tar"):
        return f"http://127.0.0.1:{self.server_port}{path}?oh=SECRET"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        number = len(self.server.requests)
        self.server.requests.append(dict(self.headers))
        if not (self.server.script and self.server.script(self, number)):
            self.send_all()

    def start(self):
        """First byte to send, by the Range header."""
        wanted = self.headers.get("Range")
        valid = self.headers.get("If-Range") in (None, self.server.etag)
        return int(wanted[6:-1]) if wanted and self.server.ranges and valid else 0

    def send_all(self, cut=None, length=None, kind="application/x-tar"):
        start, body = self.start(), self.server.body
        if start >= len(body):
            return self.answer(416, {"Content-Range": f"bytes */{len(body)}", "ETag": self.server.etag})
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length if length is not None else len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:] if cut is None else body[start : start + cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
        return True

    def answer(self, status, headers=None, body=b"", kind="text/plain"):
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
        return True


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "sa_000000.tar"


def get(server, target, **options):
    options = {"wait": tenacity.wait_none(), "timeout": (5, 5), "chunk": 16384, **options}
    return download(server.url(), target, **options)


def leave_part(target, data, etag='"v1"'):
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_name(target.name + ".part").write_bytes(data)
    if etag is not None:
        target.with_name(target.name + ".part.json").write_text('{"etag": %s}' % ('"' + etag.replace('"', '\\"') + '"'))


def leftovers(target):
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else []


def test_plain_download(server, target):
    seen = []
    result = get(
        server, target, expected_size=len(BODY), md5=MD5.upper(), sha256=SHA256, progress=lambda *a: seen.append(a)
    )
    assert target.read_bytes() == BODY and leftovers(target) == [target.name]
    assert (result.size, result.md5, result.sha256, result.resumed_from, result.notes) == (
        len(BODY),
        MD5,
        SHA256,
        0,
        (),
    )
    assert seen[-1] == (len(BODY), len(BODY)) and sorted(seen) == seen
    assert server.requests[0]["Accept-Encoding"] == "identity"


def test_cut_connections_are_resumed(server, target):
    server.script = lambda handler, number: handler.send_all(cut=70_000) if number < 3 else False
    result = get(server, target, sha256=SHA256)
    assert target.read_bytes() == BODY and result.resumed_from == 0
    assert [r.get("Range") for r in server.requests] == [None, "bytes=70000-", "bytes=140000-", "bytes=210000-"]
    assert {r.get("If-Range") for r in server.requests[1:]} == {'"v1"'}


def test_a_long_download_may_be_cut_any_number_of_times(server, target, monkeypatch):
    monkeypatch.setattr(source, "CHUNK", 10_000)
    server.script = lambda handler, number: handler.send_all(cut=20_000)
    server.body = make_tar(250_000)
    get(server, target)
    assert target.read_bytes() == server.body and len(server.requests) > source.ATTEMPTS


def test_an_earlier_runs_part_is_resumed(server, target):
    leave_part(target, BODY[:100_000])
    result = get(server, target, md5=MD5)
    assert result.resumed_from == 100_000 and target.read_bytes() == BODY
    assert server.requests[0]["Range"] == "bytes=100000-" and leftovers(target) == [target.name]


def test_a_complete_part_needs_no_byte(server, target):
    leave_part(target, BODY)
    assert get(server, target).size == len(BODY)  # the server says 416
    target.unlink()
    leave_part(target, BODY, etag=None)
    assert get(server, target, expected_size=len(BODY), md5=MD5).resumed_from == len(BODY)
    assert len(server.requests) == 1


def test_another_version_starts_over(server, target):
    leave_part(target, bytes(100_000), etag='"old"')
    result = get(server, target)
    assert target.read_bytes() == BODY and result.resumed_from == 0 and "another version" in result.notes[0]


def test_etag_that_changes_midway_starts_over(server, target):
    new = make_tar(299_000)

    def script(handler, number):
        if number == 0:
            handler.send_all(cut=50_000)
            server.body, server.etag = new, '"v2"'
            return True
        return False

    server.script = script
    get(server, target)
    assert target.read_bytes() == new


def test_server_without_ranges_starts_over(server, target):
    server.ranges = False
    server.script = lambda handler, number: handler.send_all(cut=50_000) if number < 2 else False
    assert get(server, target).size == len(BODY) and target.read_bytes() == BODY


def test_wrong_content_range_starts_over(server, target):
    leave_part(target, BODY[:1000])

    def script(handler, number):
        if number:
            return False
        headers = {"Content-Range": f"bytes 500-{len(BODY) - 1}/{len(BODY)}", "ETag": '"v1"'}
        return handler.answer(206, headers, BODY[500:])

    server.script = script
    result = get(server, target)
    assert target.read_bytes() == BODY and "removed" in result.notes[0]


def test_part_of_an_unknown_version_is_not_trusted(server, target):
    leave_part(target, b"x" * 1000, etag=None)
    assert "unknown version" in get(server, target).notes[0] and target.read_bytes() == BODY


def test_part_that_is_too_large_is_discarded_and_reported(server, target):
    leave_part(target, bytes(len(BODY) + 5))
    result = get(server, target, expected_size=len(BODY))
    assert target.read_bytes() == BODY and "was removed" in result.notes[0]


def test_part_with_wrong_bytes_is_discarded_and_fetched_again(server, target):
    leave_part(target, BODY[:512] + bytes(50_000))
    result = get(server, target, sha256=SHA256)
    assert target.read_bytes() == BODY and "sha256 is" in result.notes[0] and result.resumed_from == 0


def test_wrong_hash_is_never_published(server, target):
    with pytest.raises(DownloadError, match="md5 is") as caught:
        get(server, target, md5="0" * 32)
    assert caught.value.reason == "hash" and leftovers(target) == [] and len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_servers_are_asked_again(server, target, status):
    server.script = lambda handler, number: handler.answer(status) if number < 3 else False
    assert get(server, target).size == len(BODY) and len(server.requests) == 4


def test_giving_up_keeps_what_is_there(server, target):
    server.script = lambda handler, number: handler.send_all(cut=60_000) if number == 0 else handler.answer(503)
    with pytest.raises(DownloadError, match=r"answered 503; gave up after 6 attempts") as caught:
        get(server, target)
    assert caught.value.reason == "network"
    assert leftovers(target) == ["sa_000000.tar.part", "sa_000000.tar.part.json"]


@pytest.mark.parametrize("status", [403, 410])
def test_expired_links_are_called_so(server, target, status):
    server.script = lambda handler, number: handler.answer(status)
    with pytest.raises(DownloadError, match="expired") as caught:
        get(server, target)
    assert caught.value.reason == "expired" and "segment-anything-downloads" in str(caught.value)
    assert len(server.requests) == 1 and "SECRET" not in str(caught.value)


def test_not_found_is_final(server, target):
    server.script = lambda handler, number: handler.answer(404)
    with pytest.raises(DownloadError, match="404") as caught:
        get(server, target)
    assert caught.value.reason == "not_found" and len(server.requests) == 1


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_page_instead_of_the_file(server, target, kind):
    page = b"<!DOCTYPE html><html><head><title>URL signature expired</title></head></html>"
    server.script = lambda handler, number: handler.answer(200, {}, page, kind)
    with pytest.raises(DownloadError, match="HTML page") as caught:
        get(server, target)
    assert caught.value.reason == "expired" and leftovers(target) == []


@pytest.mark.parametrize("body", [b"PK\x03\x04" + bytes(1000), b'{"error": "denied"}', b"", bytes(5000)])
def test_wrong_content_instead_of_a_tar(server, target, body):
    server.body = body
    server.script = lambda handler, number: handler.answer(200, {}, body, "application/x-tar")
    with pytest.raises(DownloadError, match="no tar but") as caught:
        get(server, target)
    assert caught.value.reason == "content" and leftovers(target) == []


def test_a_text_file_may_be_text(server, tmp_path):
    server.body = b"1\n2\n"
    assert get(server, tmp_path / "sa_images_ids.txt").size == 4


def test_the_servers_size_must_be_the_expected(server, target):
    with pytest.raises(DownloadError, match=f"the server has {len(BODY):,} bytes, expected 5") as caught:
        get(server, target, expected_size=5)
    assert caught.value.reason == "size" and leftovers(target) == []


def test_a_server_that_promises_more_than_it_sends(server, target):
    server.ranges = False
    server.script = lambda handler, number: handler.send_all(cut=len(BODY), length=len(BODY) + 100)
    with pytest.raises(DownloadError, match=r"connection .*; gave up"):
        get(server, target)
    assert not target.exists()


def test_a_server_that_owns_up_to_a_wrong_length_later(server, target):
    server.script = lambda handler, number: (
        handler.send_all(cut=len(BODY), length=len(BODY) + 100) if not number else False
    )
    assert get(server, target).sha256 == SHA256  # 416 with the true size


def chunked(handler, body, end=True):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(body), 8000):
        piece = body[start : start + 8000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    if end:
        handler.wfile.write(b"0\r\n\r\n")
    else:
        handler.close_connection = True
    return True


def test_body_of_unknown_length(server, target):
    server.script = lambda handler, number: chunked(handler, BODY)
    assert get(server, target).sha256 == SHA256


def test_cut_body_of_unknown_length_is_noticed(server, target):
    server.script = lambda handler, number: chunked(handler, BODY[:100_000], end=False) if number == 0 else False
    assert get(server, target).sha256 == SHA256 and len(server.requests) == 2


def test_a_body_that_never_ends_is_stopped(server, target):
    server.script = lambda handler, number: chunked(handler, BODY + bytes(100_000))
    with pytest.raises(DownloadError, match="sends more than") as caught:
        get(server, target, expected_size=len(BODY))
    assert caught.value.reason == "size" and leftovers(target) == []


def test_silence_times_out(server, target):
    def script(handler, number):
        if number == 0:
            time.sleep(1)
            handler.close_connection = True
            return True
        return False

    server.script = script
    assert get(server, target, timeout=(5, 0.2)).size == len(BODY)


def test_a_connection_that_drips_is_given_up(server, target, monkeypatch):
    monkeypatch.setattr(source, "WINDOW", 0.1)

    def script(handler, number):
        if number:
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.send_header("ETag", '"v1"')
        handler.end_headers()
        with contextlib.suppress(OSError):
            for byte in BODY[:200]:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.01)
        handler.close_connection = True
        return True

    server.script = script
    assert get(server, target).size == len(BODY) and "Range" in server.requests[1]


def test_nobody_listens(target):
    with Server() as closed:
        url = closed.url()
    with pytest.raises(DownloadError, match="cannot be reached") as caught:
        download(url, target, wait=tenacity.wait_none(), timeout=(1, 1))
    assert "SECRET" not in str(caught.value) and caught.value.reason == "network"


def test_full_disk_is_said_before(server, target, monkeypatch):
    monkeypatch.setattr(source.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(DownloadError, match="only 10 free") as caught:
        get(server, target)
    assert caught.value.reason == "disk"


def test_retry_after_is_heard(server, target):
    waits = []
    server.script = lambda handler, number: handler.answer(429, {"Retry-After": "1"}) if number == 0 else False
    begun = time.monotonic()
    get(server, target, wait=lambda state: waits.append(1) or 0)
    assert waits == [1] and time.monotonic() - begun >= 1


def test_other_schemes_and_bad_urls_are_refused(target):
    for url in ("file:///etc/passwd", "ftp://x/y", "nonsense", "http://"):
        with pytest.raises(DownloadError) as caught:
            download(url, target, wait=tenacity.wait_none())
        assert caught.value.reason == "refused"


def test_redacted():
    assert redacted("https://user:pw@host:81/a/b.tar?oh=SECRET#x") == "https://host:81/a/b.tar"
    assert redacted("http://[") == "(not a URL)"


def test_md5_list():
    text = (
        f"\ufeff{MD5}  sa_000000.tar\r\n{MD5.upper()} *./sa_000001.tar\n# a comment\n\nzz  x\n{MD5[:-1]}  short.tar\n"
    )
    assert md5_list(text) == {"sa_000000.tar": MD5, "sa_000001.tar": MD5}
    assert md5_list(text.encode()) == md5_list(text)
