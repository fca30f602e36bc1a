"""Merging without moving data: on S3 by server-side copies, on disk by the kernel."""

import errno
import fcntl
import io
import os
import random
import zipfile
import zlib

import pytest

from segassets.errors import SegassetsError
from segassets.files.ref import Ref
from segassets.formats.split_zip import merge_plan
from segassets.sources.split_archive import read_archive
from segassets.sources.split_archive_fs import archive_folder
from segassets.store import joining_disk
from segassets.store.joining import MIN_PART, Copy, merge_on_s3, plan_parts
from segassets.store.joining_disk import merge_on_disk
from segassets_tests.formats.test_split_zip import split_zip
from segassets_tests.store.fixtures import s3, s3_server  # noqa: F401

MIB = 2**20
MEMBERS = [(f"m/{k}", random.Random(k).randbytes(3 * MIB)) for k in range(8)]


@pytest.fixture(scope="module")
def parts():
    return split_zip(MEMBERS, 7 * MIB)


def pieces_of(root, folder="raw"):
    """The merge's pieces as references."""
    directory, places = read_archive(archive_folder(f"{root}/{folder}", "X"), "X")
    return [
        piece
        if isinstance(piece, bytes)
        else Ref(places[piece.part].root, places[piece.part].path, piece.start, piece.end - piece.start)
        for piece in merge_plan(directory)
    ]


def check(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == dict(MEMBERS)


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_large_enough_and_in_order(seed):
    rng = random.Random(seed)
    pieces = [
        rng.randbytes(rng.choice([0, 30])) if rng.random() < 0.3 else Ref("r", "p", rng.randrange(9), rng.randrange(1, 40 * MIB))
        for _ in range(rng.randrange(1, 12))
    ]  # fmt: skip
    parts = plan_parts(pieces, 8 * MIB)
    sizes = [one.end - one.start if isinstance(one, Copy) else one.size for one in parts]
    assert all(size >= MIN_PART for size in sizes[:-1])
    assert sum(sizes) == sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in pieces)
    order = [piece for one in parts for piece in ([one] if isinstance(one, Copy) else one.pieces)]
    flat = [(p.start, p.end) for p in order if isinstance(p, Copy)]
    for piece in (piece for piece in pieces if isinstance(piece, Ref)):
        at = piece.offset
        while at < piece.offset + piece.length:
            start, end = flat.pop(0)
            assert start == at
            at = end
    assert flat == []


def test_huge_archives_stay_within_the_number_of_parts():
    assert len(plan_parts([Ref("r", "p", 0, 6 * 2**40)])) <= 10_000


def upload(s3, parts):  # noqa: F811
    for name, data in parts.items():
        s3.client.put_object(Bucket=s3.bucket, Key=f"raw/{name}", Body=data)


def test_on_s3_the_data_stay_there(s3, parts):  # noqa: F811
    upload(s3, parts)
    pieces = pieces_of(f"s3://{s3.bucket}")
    target = s3.at("store")
    s3.proxy.requests.clear()
    size, etag = merge_on_s3(pieces, target, "merged/X.zip", part=8 * MIB)
    data = s3.client.get_object(Bucket=s3.bucket, Key="store/merged/X.zip")
    body = data["Body"].read()
    assert (len(body), data["ETag"].strip('"')) == (size, etag)
    check(body)
    total = sum(map(len, parts.values()))
    sent = sum(
        int(request.headers.get("Content-Length", 0)) for request in s3.proxy.requests if request.method == "PUT"
    )
    fetched = sum(one.size for one in plan_parts(pieces, 8 * MIB) if not isinstance(one, Copy))
    assert sent + fetched <= 0.005 * total + 11 * MIB
    assert s3.uploads() == []


def test_a_failing_copy_aborts_the_upload(s3, parts):  # noqa: F811
    upload(s3, parts)
    pieces = pieces_of(f"s3://{s3.bucket}")
    s3.proxy.fault = lambda request: 403 if "partNumber=2" in request.path else None
    with pytest.raises(SegassetsError, match="run it again"):
        merge_on_s3(pieces, s3.at("store"), "merged/X.zip", part=8 * MIB)
    assert s3.uploads() == [] and s3.keys("store") == []


def test_a_part_that_is_replaced_meanwhile_is_noticed(s3, parts):  # noqa: F811
    upload(s3, parts)
    pieces = pieces_of(f"s3://{s3.bucket}")

    def replaced(request):
        if "uploads" in request.path and request.method == "POST":
            s3.client.put_object(Bucket=s3.bucket, Key="raw/X.z02", Body=b"?" * len(parts["X.z02"]))

    s3.proxy.fault = replaced
    with pytest.raises(SegassetsError):
        merge_on_s3(pieces, s3.at("store"), "merged/X.zip", part=8 * MIB)
    assert s3.keys("store") == []


@pytest.fixture(params=["past the cache", "refused when written", "by the kernel", "by reading and writing"])
def way(request, monkeypatch):
    """The ways in which bytes get into a file on disk; what a file system or system may lack."""
    if request.param == "refused when written":
        write = os.write

        def refusing(file, data):
            if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT:
                raise OSError(errno.EINVAL, "larger blocks")
            return write(file, data)

        monkeypatch.setattr(joining_disk.os, "write", refusing)
    elif request.param != "past the cache":
        monkeypatch.delattr(os, "O_DIRECT", raising=False)
        if request.param == "by reading and writing":
            monkeypatch.delattr(os, "copy_file_range", raising=False)
    return request.param


def test_on_disk(tmp_path, parts, way):
    (tmp_path / "raw").mkdir()
    for name, data in parts.items():
        (tmp_path / "raw" / name).write_bytes(data)
    pieces = pieces_of(str(tmp_path))
    size, crc = merge_on_disk(pieces, str(tmp_path / "out.zip"))
    data = (tmp_path / "out.zip").read_bytes()
    assert (len(data), zlib.crc32(data)) == (size, crc)
    check(data)
    assert data == b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in pieces)
    with pytest.raises(EOFError, match=r"out\.zip has become shorter: 5 bytes"):
        merge_on_disk([Ref(str(tmp_path), "out.zip", size - 5, 10)], str(tmp_path / "short"))
    with pytest.raises(FileExistsError):  # it may be a hard link to a raw file
        merge_on_disk(pieces, str(tmp_path / "out.zip"))


@pytest.mark.parametrize("seed", range(12))
def test_pieces_of_any_length_on_disk(tmp_path, seed):
    rng = random.Random(seed)
    (tmp_path / "p").write_bytes(rng.randbytes(5 * MIB))
    lengths = [0, 1, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, rng.randrange(3 * MIB)]
    pieces = []
    for _ in range(rng.randrange(1, 8)):
        length = rng.choice(lengths)
        ref = Ref(str(tmp_path), "p", rng.randrange(MIB), length)
        pieces.append(rng.randbytes(length) if rng.random() < 0.4 else ref)
    size, crc = merge_on_disk(pieces, str(tmp_path / "out"))
    wanted = b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in pieces)
    assert (tmp_path / "out").read_bytes() == wanted
    assert (size, crc) == (len(wanted), zlib.crc32(wanted))
