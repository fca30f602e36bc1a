"""The bucket as a file system: what a request costs, what happens when the network fails, what is left behind."""

from __future__ import annotations

from collections import defaultdict

import pytest

from segassets.commands import verify
from segassets.errors import SegassetsError
from segassets.files.bucket import CLIENT, Bucket
from segassets.files.ref import Ref
from segassets.store.store import Store
from segassets_tests.store.making import ASSET, INTO, KEY, publish, seen


def every_key_once(fault):
    """A fault at the first request of each kind for each key; the repeated request goes through."""
    met = defaultdict(int)

    def at(request):
        met[request.kind, request.key] += 1
        return fault if met[request.kind, request.key] == 1 else None

    return at


def test_a_server_that_hangs_is_asked_again(s3, monkeypatch):
    monkeypatch.setitem(CLIENT, "read_timeout", 1)
    s3.at().write("a", b"data")
    s3.proxy.requests.clear()
    s3.proxy.fault = every_key_once("hang")
    s3.at().write("b", b"more")
    assert s3.at().read("a") == b"data"
    assert s3.at().stat("b").size == 4
    assert s3.proxy.counts() == {"PUT": 2, "GET": 2, "HEAD": 2}


@pytest.mark.parametrize("fault", [500, 503, "cut", "lost"])
def test_every_request_may_fail_once(s3, fault, monkeypatch):
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    store = Store(s3.url())
    publish(store, {"a.png": b"old", "b.png": b"old"})
    s3.proxy.fault = every_key_once(fault)
    publish(store, {"a.png": b"new", "c.png": b"new"})
    assert seen(store) == {"a.png": b"new", "c.png": b"new"}
    s3.proxy.fault = lambda request: None
    assert [key for key in s3.keys("store") if "/stages/" in key or "/publishing/" in key or "/locks/" in key] == []


def test_a_torn_answer_is_read_again(s3):
    data = bytes(range(256)) * 4000
    s3.at().write("a", data)
    s3.proxy.fault = every_key_once("torn")
    assert s3.at().read("a") == data
    assert Ref(s3.url(), "a", 1000, 2000).read() == data[1000:3000]


def test_a_server_that_refuses_is_told_and_leaves_the_old_version(s3):
    store = Store(s3.url())
    publish(store, {"a.png": b"old"})
    s3.proxy.fault = lambda request: 403 if request.kind == "PUT" and "/files/" in request.key else None
    with pytest.raises(PermissionError):
        publish(store, {"a.png": b"new"})
    s3.proxy.fault = lambda request: None
    assert seen(store) == {"a.png": b"old"}
    publish(store, {"a.png": b"new"})
    assert seen(store) == {"a.png": b"new"}


def test_an_upload_that_fails_is_aborted(s3):
    piece = b"x" * (6 * 2**20)
    with pytest.raises(ZeroDivisionError), s3.at().create("large") as out:
        for _ in range(4):
            out.write(piece)
        _ = 1 / 0
    s3.proxy.fault = lambda request: 403 if request.method == "POST" and "uploadId" in request.path else None
    with pytest.raises(PermissionError), s3.at().create("large") as out:
        for _ in range(4):
            out.write(piece)
    assert s3.uploads() == []
    assert s3.keys() == []


def test_an_upload_that_a_killed_process_has_begun_goes_with_its_stage(s3):
    for key in ("store/.segassets/stages/x/files/large", "store/.segassets/stages/xy/files/large"):
        s3.client.create_multipart_upload(Bucket=s3.bucket, Key=key)
    s3.at().delete_tree(".segassets/stages/x")
    assert s3.uploads() == ["store/.segassets/stages/xy/files/large"]


def test_a_large_object_is_copied_in_parts(s3, monkeypatch):
    monkeypatch.setattr("segassets.files.bucket.ONE_REQUEST", 5 * 2**20)
    bucket, data = s3.at(), bytes(range(256)) * 50_000
    bucket.write("large", data)
    (etag,) = bucket.copy_many([(bucket.uri("large"), "copy", len(data))])
    assert bucket.read("copy") == data
    assert bucket.stat("copy").version == etag
    s3.proxy.fault = lambda request: 403 if request.kind == "PART" else None
    with pytest.raises(PermissionError):
        bucket.copy_many([(bucket.uri("large"), "another", len(data))])
    assert s3.uploads() == []


def test_listings_are_paged_and_never_a_request_a_file(s3, monkeypatch):
    monkeypatch.setattr("segassets.files.bucket.LIST_PAGE", 40)
    bucket = s3.at()
    bucket.write_many({f"images/{n // 10}/{n}.jpg": b"1" for n in range(100)})
    s3.proxy.requests.clear()
    assert len(bucket.walk("images")) == 100
    assert bucket.names("images") == sorted(str(n) for n in range(10))
    assert dict(s3.proxy.counts()) == {"LIST": 4}


def test_publishing_costs_a_few_requests_beside_one_put_and_one_copy_a_file(s3):
    made = {f"{n // 4}/{n}.png": b"%d" % n for n in range(120)}  # thirty folders
    publish(Store(s3.url()), made)
    counts = s3.proxy.counts()
    assert counts["COPY"] <= 120 + 5
    assert counts["PUT"] <= 120 + 15
    assert counts["LIST"] <= 10
    assert counts["HEAD"] <= 20
    assert counts["GET"] <= 15
    assert counts["DELETE-MANY"] <= 10


def test_reading_costs_one_request(s3):
    s3.at().write("a", b"0123456789")
    s3.at().write("empty", b"")
    s3.proxy.requests.clear()
    assert s3.at().read("a") == b"0123456789"
    assert s3.at().read("a", 2, 5) == b"234"
    assert s3.at().read("a", 8, 50) == b"89"
    assert s3.at().read("a", 10, 12) == s3.at().read("a", 50) == s3.at().read("empty") == b""
    assert s3.proxy.counts()["GET"] == 6
    assert s3.proxy.counts()["HEAD"] == 0


def test_verifying_costs_one_request_a_file_and_few_beside(s3):
    store = Store(s3.url())
    publish(store, {f"{n // 4}/{n}.png": b"%d" % n for n in range(120)})
    s3.client.put_object(Bucket=s3.bucket, Key=f"store/{INTO}/0/stranger.png", Body=b"")
    s3.client.put_object(Bucket=s3.bucket, Key=f"store/{INTO}/0/1.png", Body=b"x")
    s3.client.put_object(Bucket=s3.bucket, Key=f"store/{INTO}/0/2.png", Body=b"xx")
    s3.client.delete_object(Bucket=s3.bucket, Key=f"store/{INTO}/0/3.png")
    s3.proxy.requests.clear()
    told = [line.text for line in verify._verify_one(store, ASSET, KEY, verify._all_ours(store)[0])]
    assert [text.split(": ")[1] for text in told] == ["changed", "changed", "missing", "extra"]
    counts = s3.proxy.counts()
    assert counts["GET"] <= 120 + 5 and counts["HEAD"] <= 5 and counts["LIST"] <= 5


def test_a_range_behind_the_end_is_a_short_file(s3):
    s3.at().write("a", b"0123456789")
    with pytest.raises(EOFError, match="expected 5 bytes at 20, found 0"):
        Ref(s3.url(), "a", 20, 5).read()
    with pytest.raises(FileNotFoundError):
        s3.at().read("missing")
    assert s3.at().stat("missing") is None


def test_a_bucket_that_is_not_there_is_named(s3):
    with pytest.raises(SegassetsError, match="there is no bucket nowhere-at-all"):
        publish(Store("s3://nowhere-at-all/store"), {"a.png": b"1"})


def test_a_store_may_be_a_whole_bucket(s3):
    store = Store(f"s3://{s3.bucket}")
    publish(store, {"a.png": b"1"})
    assert seen(store) == {"a.png": b"1"}
    assert "toys/red/a.png" in Bucket(f"s3://{s3.bucket}").walk("")


def test_what_was_deleted_is_checked(s3, monkeypatch):
    bucket = s3.at()
    monkeypatch.setattr(bucket, "call", lambda *_, **__: {"Errors": [{"Key": "a", "Code": "AccessDenied"}]})
    with pytest.raises(OSError, match="1 objects could not be deleted"):
        bucket.delete(["a"])
