"""The links file as a source, against a server on loopback that behaves like the real ones on a bad day."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from segassets.errors import PartitionRejected, Skip, UsageError
from segassets_tests.sa1b.shards import sound, tar


class Handler(BaseHTTPRequestHandler):
    """Serves `server.contents`; cuts the first answer of `server.cut` after half of it."""

    def do_GET(self):
        name = self.path.split("?")[0].lstrip("/")
        data = self.server.contents.get(name)
        self.server.asked.append((name, self.headers.get("Range")))
        if data is None:
            self.send_error(403)
            return
        start = 0
        if wanted := self.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", '"one"')
        self.end_headers()
        cut = name in self.server.cut
        self.server.cut.discard(name)
        self.wfile.write(data[start : len(data) // 2 if cut else None])
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.contents, served.cut, served.asked = {}, set(), []
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield served
    served.shutdown()
    served.server_close()


def links(server, *names):
    url = f"http://127.0.0.1:{server.server_port}"
    rows = [f"{name}\t{url}/{name}?oe=7FFFFFFF&sig=secret" for name in names]
    return "\n".join(["file_name\tcdn_link", *rows]).encode()


def listed(bench):
    return {row["name"]: row for row in bench.handle("download", None).records()}


def test_without_a_links_file_there_is_nothing_to_do(bench):
    bench.put("other.txt", b"")
    with pytest.raises(Skip, match=r"sa1b_links\.txt"):
        bench.make("download", None)


def test_links_are_listed_and_nothing_is_downloaded_unasked(bench, server):
    bench.put("sa1b_links.txt", links(server, "sa_000001.tar", "sa_000000.tar", "sa_images_ids.txt"))
    bench.make("download", None)
    assert list(listed(bench)) == ["sa_000000.tar", "sa_000001.tar"]
    assert not any(row["downloaded"] for row in listed(bench).values()) and server.asked == []


def test_a_shard_is_downloaded_over_a_cut_connection_and_verified(bench, server):
    data = tar(sound())
    server.contents["sa_000000.tar"] = data
    server.cut.add("sa_000000.tar")
    bench.put("sa1b_links.txt", links(server, "sa_000000.tar", "sa_000001.tar"))
    bench.put("md5.txt", f"{hashlib.md5(data).hexdigest()}  sa_000000.tar\n".encode())
    bench.make("download", None, shards="sa_000000", md5_list="md5.txt")
    assert (bench.raw / "sa_000000.tar").read_bytes() == data
    assert [name for name, _ in server.asked] == ["sa_000000.tar"] * 2
    assert server.asked[1][1] == f"bytes={len(data) // 2}-"
    row = listed(bench)["sa_000000.tar"]
    assert row["downloaded"] and row["bytes"] == len(data) and row["host"] == "127.0.0.1"
    bench.make("shard_index")  # and it is a shard


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (tar({"sa_9.jpg": b"another shard"}), "download_hash"),
        (b"other bytes" * 1000, "download_content"),
        (b"<html>link expired</html>", "download_expired"),
        (None, "download_expired"),
    ],
)
def test_what_is_not_the_shard_never_gets_its_name(bench, server, content, code):
    if content is not None:
        server.contents["sa_000000.tar"] = content
    bench.put("sa1b_links.txt", links(server, "sa_000000.tar"))
    bench.put("md5.txt", f"{hashlib.md5(b'right').hexdigest()}  sa_000000.tar\n".encode())
    with pytest.raises(PartitionRejected) as rejected:
        bench.make("download", None, shards="sa_000000", md5_list="md5.txt")
    assert code in {finding.code for finding in rejected.value.findings}
    assert "secret" not in str(rejected.value)
    assert not (bench.raw / "sa_000000.tar").exists()


def test_a_shard_that_no_link_names_is_a_wrong_call(bench, server):
    bench.put("sa1b_links.txt", links(server, "sa_000000.tar"))
    with pytest.raises(UsageError, match=r"sa_000777\.tar"):
        bench.make("download", None, shards="sa_000777")
