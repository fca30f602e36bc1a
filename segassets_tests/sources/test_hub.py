"""Downloads from a hub on loopback that cuts connections, lies about sizes and answers with pages."""

import hashlib
import http.server
import json
import random
import threading

import pytest
import tenacity

from segassets.errors import SegassetsError
from segassets.findings import BadItem
from segassets.sources import http as http_source
from segassets.sources import hub
from segassets_tests.running import Place

BODY = b"PK\3\4" + random.Random(1).randbytes(300_000)
NAME = "V-HIM60.zip"
LARGE = {"oid": hashlib.sha256(BODY).hexdigest(), "size": len(BODY), "pointerSize": 134}


class Hub(http.server.BaseHTTPRequestHandler):
    """`server.tree`: pages of the listing; `server.trouble(handler)` may answer otherwise and then returns True."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        if self.server.trouble and self.server.trouble(self):
            return
        if self.path.startswith("/api/datasets/"):
            self.send_tree()
        else:
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.send(BODY[start:], 206 if start else 200, start)

    def send_tree(self):
        page = 1 if "page=2" in self.path else 0
        more = f'<{self.server.url}{self.path}&page=2>; rel="next"' if page + 1 < len(self.server.tree) else ""
        self.send(json.dumps(self.server.tree[page]).encode(), headers={"Link": more} if more else {})

    def send(self, body, status=200, start=0, cut=None, kind="application/octet-stream", headers=None):
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        every = {"Content-Length": str(len(body)), "Content-Type": kind, "ETag": '"one"', **(headers or {})}
        for name, value in every.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(http_source.tenacity, "wait_exponential_jitter", lambda **_: tenacity.wait_none())
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    made.daemon_threads, made.asked, made.trouble = True, [], None
    made.handle_error = lambda *_: None
    made.url = f"http://127.0.0.1:{made.server_port}"
    made.tree = [
        [
            {"type": "file", "path": NAME, "size": len(BODY), "lfs": LARGE},
            {"type": "directory", "path": "x", "size": 0},
        ],
        [{"type": "file", "path": "README.md", "size": 5, "oid": "abc"}],
    ]
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def fetch(server, folder, **other):
    about = {"name": NAME, "size": len(BODY), "sha256": LARGE["oid"], **other}
    return hub.fetch(**about, repository="a/b", revision="main", hub=server.url, root=str(folder), folder="maggie")


def test_the_listing_over_several_pages(server):
    found = hub.list_files("a/b", hub=server.url)
    assert found == [hub.HubFile("README.md", 5, None), hub.HubFile(NAME, len(BODY), LARGE["oid"])]


@pytest.mark.parametrize("tree", [{}, [{"type": "file", "path": "../x", "size": 1}], ["x"]])
def test_a_listing_that_is_none(server, tree):
    server.tree = [tree]
    with pytest.raises(SegassetsError, match="list"):
        hub.list_files("a/b", hub=server.url)


def test_a_page_instead_of_a_listing(server):
    server.trouble = lambda handler: handler.send(b"<html>no</html>", kind="text/html") or True
    with pytest.raises(SegassetsError, match="no listing"):
        hub.list_files("a/b", hub=server.url)


def test_a_listing_is_not_followed_to_another_host(server):
    link = {"Link": '<http://localhost:1/next>; rel="next"'}
    server.trouble = lambda handler: handler.send(b"[]", headers=link) or True
    with pytest.raises(SegassetsError, match="another host"):
        hub.list_files("a/b", hub=server.url)


def test_cut_connections_are_resumed(server, tmp_path):
    server.trouble = lambda handler: (
        (len(server.asked) < 3)
        and not handler.send(
            BODY[start_of(handler) :], 206 if start_of(handler) else 200, start_of(handler), cut=100_000
        )
    )
    made = fetch(server, tmp_path)
    assert (tmp_path / "maggie" / NAME).read_bytes() == BODY
    assert made.rows["sha256"] == [LARGE["oid"]]
    assert [asked[1] for asked in server.asked][1:] == ["bytes=100000-", "bytes=200000-"]


def start_of(handler):
    return int((handler.headers.get("Range") or "bytes=0-")[6:-1])


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (lambda h: h.send(b"<!DOCTYPE html><title>Sign in</title>", kind="text/html") or True, "expired"),
        (lambda h: h.send(BODY[:-1]) or True, "size"),
        (lambda h: h.send(b"X" + BODY[1:]) or True, "hash"),
        (lambda h: h.send(b"gone", 404) or True, "not_found"),
        (lambda h: h.send(b"no", 403) or True, "expired"),
    ],
)
def test_nothing_wrong_gets_the_final_name(server, tmp_path, trouble, reason):
    server.trouble = trouble
    with pytest.raises(BadItem) as problem:
        fetch(server, tmp_path)
    assert problem.value.findings[0].code == f"download_{reason}"
    assert not (tmp_path / "maggie" / NAME).exists()


def test_what_is_there_is_left_alone_when_it_is_right(server, tmp_path):
    fetch(server, tmp_path)
    asked = len(server.asked)
    fetch(server, tmp_path)
    assert len(server.asked) == asked
    (tmp_path / "maggie" / NAME).write_bytes(BODY[:-1] + b"?")
    fetch(server, tmp_path)
    assert (tmp_path / "maggie" / NAME).read_bytes() == BODY


def test_the_asset_downloads_what_was_asked_for(server, tmp_path):
    place = Place.below(tmp_path)
    settings = ("--set", f"hub={server.url}", "--set", "repository=a/b")
    told = place.run("materialize", "maggie/download", *settings).stdout
    assert "nothing was asked for" in told
    assert (
        "it has V-HIM60" in place.run("materialize", "maggie/download", *settings, "--set", "sets=X", status=1).stderr
    )
    place.run("materialize", "maggie/download", *settings, "--set", "sets=V-HIM60")
    assert (tmp_path / "raw/maggie" / NAME).read_bytes() == BODY
    (row,) = place.published.handle("maggie/download", None).records()
    assert (row["name"], row["sha256"], row["downloaded"]) == (NAME, LARGE["oid"], True)
