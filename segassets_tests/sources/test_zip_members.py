"""Downloads in folders and zips: one view, wherever the files lie; what cannot be trusted is refused."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from pathlib import Path

import pytest

from segassets.files.folder import Folder
from segassets.findings import BadItem
from segassets.sources.raw import Raw
from segassets.sources.zip_members import Member, find

DATA = random.Random(0).randbytes(3000) + bytes(5000)


def zip_bytes(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def look(folder: Path, *patterns: str):
    return find(Raw(str(folder / "raw"), "city", ("*",), str(folder / "store")), *patterns)


def put(folder: Path, path: str, data: bytes = DATA) -> Path:
    target = folder / "raw/city" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("top", ["", "download/", "a/b/"])
def test_a_member_is_read_by_the_directory(tmp_path, method, top):
    put(tmp_path, "all.zip", zip_bytes({f"{top}gtFine/val/x.png": DATA, f"{top}other/y.png": b""}, method))
    found = look(tmp_path, "gtFine/val/*")
    (path, ref), *rest = found.refs.items()
    assert (path, rest, found.copyable) == ("gtFine/val/x.png", [], False)
    assert pickle.loads(pickle.dumps(ref)).read() == DATA
    assert ref.read(10) == DATA[:10]
    assert [finding.code for finding in found.findings] == ["taken_from_zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_within_a_zip(tmp_path, method):
    inner = zip_bytes({"val/cls/x.png": DATA})
    put(tmp_path, "release.zip", zip_bytes({"top/val_gt.zip": inner, "top/list.json": b"{}"}, method))
    found = look(tmp_path, "val/cls/*", "list.json")
    assert {path: ref.read() for path, ref in found.refs.items()} == {"val/cls/x.png": DATA, "list.json": b"{}"}


def test_a_folder_goes_before_a_zip_and_the_shortest_path_first(tmp_path):
    put(tmp_path, "all.zip", zip_bytes({"gtFine/val/x.png": b"zip", "gtFine/val/y.png": b"only here"}))
    put(tmp_path, "gtFine/val/x.png", b"folder")
    put(tmp_path, "copy/of/gtFine/val/x.png", b"copy")
    found = look(tmp_path, "gtFine/val/*")
    assert {path: ref.read() for path, ref in found.refs.items()} == {
        "gtFine/val/x.png": b"folder",
        "gtFine/val/y.png": b"only here",
    }
    assert {finding.code for finding in found.findings} == {"taken_from_zip", "several_copies"}


def test_files_of_other_folders_are_not_found(tmp_path):
    put(tmp_path, "leftImg8bit_sequence/val/x.png")
    put(tmp_path, "leftImg8bit/val/x.png")
    assert list(look(tmp_path, "leftImg8bit/val/*").refs) == ["leftImg8bit/val/x.png"]
    assert look(tmp_path, "leftImg8bit/val/*").copyable


@pytest.mark.parametrize("data", [b"<html>not found</html>", b"", zip_bytes({"gtFine/val/x.png": DATA})[:-30]])
def test_what_is_no_zip_is_refused(tmp_path, data):
    put(tmp_path, "all.zip", data)
    with pytest.raises(BadItem, match="bad_zip"):
        look(tmp_path, "gtFine/val/*")


@pytest.mark.parametrize("name", ["../gtFine/val/x.png", "/gtFine/val/x.png"])
def test_a_path_out_of_the_archive_is_refused(tmp_path, name):
    put(tmp_path, "all.zip", zip_bytes({name: DATA}))
    with pytest.raises(BadItem, match="out of the archive"):
        look(tmp_path, "gtFine/val/*")


def test_damaged_data_are_found_by_their_crc(tmp_path):
    data = bytearray(zip_bytes({"gtFine/val/x.png": DATA}, zipfile.ZIP_STORED))
    data[200] ^= 1
    put(tmp_path, "all.zip", bytes(data))
    with pytest.raises(EOFError, match="CRC"):
        look(tmp_path, "gtFine/val/*").refs["gtFine/val/x.png"].read()


def test_a_member_that_is_not_where_the_directory_says(tmp_path):
    archive = put(tmp_path, "all.zip", zip_bytes({"gtFine/val/x.png": DATA}))
    ref = look(tmp_path, "gtFine/val/*").refs["gtFine/val/x.png"]
    assert isinstance(ref, Member)
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(EOFError, match="ends before"):
        ref.read()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_zip_within_a_zip_is_named(tmp_path, method):
    inner = zip_bytes({"val/cls/x.png": random.Random(1).randbytes(5000)}, zipfile.ZIP_STORED)
    data = bytearray(zip_bytes({"top/val_gt.zip": inner}, method))
    data[2000] ^= 0x55
    put(tmp_path, "release.zip", bytes(data))
    with pytest.raises(BadItem) as bad:
        look(tmp_path, "val/cls/*")
    (finding,) = bad.value.findings
    assert (finding.code, finding.path, finding.member) == ("bad_zip", "city/release.zip", "top/val_gt.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_head_of_a_member_takes_a_few_bytes_of_the_archive(tmp_path, method, monkeypatch):
    data = random.Random(2).randbytes(200_000)
    put(tmp_path, "all.zip", zip_bytes({"gtFine/val/x.png": data, "gtFine/val/y.png": bytes(200_000)}, method))
    found = look(tmp_path, "gtFine/val/*")
    read, asked = Folder.read, []
    monkeypatch.setattr(Folder, "read", lambda *a, **k: asked.append(read(*a, **k)) or asked[-1])
    heads = {path: ref.read(64) for path, ref in found.refs.items()}
    assert heads == {"gtFine/val/x.png": data[:64], "gtFine/val/y.png": bytes(64)}
    assert sum(map(len, asked)) < 5000
    assert found.sizes == dict.fromkeys(heads, 200_000)
