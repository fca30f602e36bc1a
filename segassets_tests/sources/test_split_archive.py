"""Members read straight from the parts: contents, damage by name, hostile archives, fsspec's view."""

import lzma
import random
import struct
import tracemalloc
import zipfile
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segassets.findings import BadItem
from segassets.formats.split_zip_members import index_columns, members_of, read_index
from segassets.formats.split_zip_methods import LZMA, plain_pieces
from segassets.sources import split_archive as source
from segassets.sources.split_archive import MemberBlocks, damaged, extracted, parts_at, read_archive
from segassets.sources.split_archive_fs import archive_folder, open_archive
from segassets_tests.formats.test_split_zip import split_zip

MEMBERS = [
    ("X/images/0.jpg", random.Random(1).randbytes(5000)),
    ("X/alphas/0/00.png", b"grey " * 1000),
    ("X/big.bin", random.Random(2).randbytes(9000)),
    ("X/empty.txt", b""),
]


def write(folder, parts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in parts.items():
        (folder / name).write_bytes(data)


def unpack(folder, archive="X"):
    """({path: contents}, [findings]) of all members, by the blocks that the asset uses."""
    raw = archive_folder(str(folder), archive)
    directory, _ = read_archive(raw, archive)
    names, members = read_index(rows_of(directory))
    made, findings = {}, []
    for block in MemberBlocks(tuple(parts_at(raw, names)), members).batches():
        for _, item in block.load():
            try:
                result = extracted(**item, prefix="", archive=archive)
                made.update({file.path: contents_of(file) for file in result.files})
            except BadItem as bad:
                findings += bad.findings
    return made, findings


def contents_of(file):
    return file.data if isinstance(file.data, bytes) else file.data.read()


def rows_of(directory):
    columns = index_columns(members_of(directory), [part.name for part in directory.parts])
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("size", [400, 3000, 10**6])
@pytest.mark.parametrize("descriptors", [False, True])
def test_members_over_any_number_of_parts(tmp_path, size, descriptors):
    write(tmp_path / "raw", split_zip(MEMBERS, size, descriptors=descriptors))
    assert unpack(tmp_path / "raw") == (dict(MEMBERS), [])


def test_large_members_are_unpacked_through_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "LARGE", 4000)
    monkeypatch.setattr(source, "BLOCK", 6000)
    write(tmp_path / "raw", split_zip(MEMBERS, 2500))
    assert unpack(tmp_path / "raw") == (dict(MEMBERS), [])


def test_every_method_of_the_standard_library(tmp_path):
    (tmp_path / "raw").mkdir()
    with zipfile.ZipFile(tmp_path / "raw/X.zip", "w") as archive:
        for method in (0, 8, 12, 14):
            archive.writestr(zipfile.ZipInfo(f"m{method}"), MEMBERS[1][1], compress_type=method)
    assert unpack(tmp_path / "raw")[0] == {f"m{method}": MEMBERS[1][1] for method in (0, 8, 12, 14)}


def test_a_bad_crc_names_the_member_and_its_parts(tmp_path):
    parts = split_zip(MEMBERS, 3000)
    name = sorted(parts)[2]
    parts[name] = bytes([*parts[name][:1000], parts[name][1000] ^ 1, *parts[name][1001:]])
    write(tmp_path / "raw", parts)
    made, findings = unpack(tmp_path / "raw")
    (finding,) = findings
    assert finding.code == "crc"
    assert finding.member not in made
    assert "X.z0" in finding.message
    directory, where = read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")
    assert [f.member for f in damaged(where, members_of(directory), 2)] == [finding.member]


def test_a_bomb_is_stopped_at_the_stated_size(tmp_path):
    packed = zlib.compress(bytes(10**7))[2:-4]
    parts = split_zip([("bomb", b"x")], 10**6)
    (tmp_path / "raw").mkdir()
    with zipfile.ZipFile(tmp_path / "raw/X.zip", "w") as archive:
        archive.writestr("bomb", bytes(10**7), zipfile.ZIP_DEFLATED)
    data = bytearray((tmp_path / "raw/X.zip").read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")  # the directory says ten bytes
    (tmp_path / "raw/X.zip").write_bytes(data)
    made, (finding,) = unpack(tmp_path / "raw")
    assert made == {} and finding.code == "crc" and "more than the 10 bytes" in finding.message
    assert packed and parts


def lzma_member(data, marker=True):
    """Zip's LZMA: version, length of the properties, properties, stream; with or without an end marker."""
    options = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20}
    body = lzma.compress(data, lzma.FORMAT_ALONE, filters=[options])
    if not marker:  # nothing tells the end but the size
        body = body[:-6]
    return struct.pack("<BBH", 9, 4, 5) + body[:5] + body[13:]


@pytest.mark.parametrize(("stored", "size", "fits"), [
    (lzma_member(bytes(10**6)), 10**6, True), (lzma_member(bytes(10**6), marker=False), 10**6, True),
    (lzma_member(bytes(10**8)), 10, False), (lzma_member(b"abc")[:8], 3, False), (b"\t\4\5\0\xff" + bytes(20), 9, False),
])  # fmt: skip
def test_lzma_costs_no_more_memory_than_the_stated_size(stored, size, fits):
    tracemalloc.start()
    try:
        pieces = [stored[at : at + 1000] for at in range(0, len(stored), 1000)]
        made = b"".join(plain_pieces(LZMA, size, pieces))
        assert (made == bytes(size)) == fits and len(made) <= size + 1
    except (ValueError, EOFError):
        assert not fits
    finally:
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        tracemalloc.stop()


@pytest.mark.parametrize("names", [["x", "./x/y"], ["a/b", "./a"], ["a//b", "a"]])
def test_names_that_are_a_file_and_a_folder_once_cleaned(tmp_path, names):
    write(tmp_path / "raw", split_zip([(name, b"1") for name in [*names, "good"]], 10**6))
    made, (finding,) = unpack(tmp_path / "raw")
    assert "good" in made and len(made) == 2 and finding.code == "duplicate_name"


@pytest.mark.parametrize(
    "name", ["../out", "/etc/passwd", "a/../../b", "C:\\x", "a\\b", "C:x", "a/\x01", "..", "a/" + "n" * 300]
)
def test_unsafe_names_are_refused_and_the_others_made(tmp_path, name):
    write(tmp_path / "raw", split_zip([(name, b"bad"), ("good", b"good")], 10**6))
    made, findings = unpack(tmp_path / "raw")
    assert made == {"good": b"good"}
    assert [finding.code for finding in findings] == ["unsafe_path"]


def test_a_file_that_is_also_a_folder(tmp_path):
    write(tmp_path / "raw", split_zip([("a", b"1"), ("a/b", b"2"), ("a/b", b"3")], 10**6))
    made, findings = unpack(tmp_path / "raw")
    assert made == {"a/b": b"2"}
    assert sorted(finding.code for finding in findings) == ["duplicate_name", "duplicate_name"]


def test_what_does_not_lie_in_a_missing_part_can_be_read(tmp_path):
    parts = split_zip([(f"f{k}", random.Random(k).randbytes(300)) for k in range(8)], 900)
    del parts["X.z02"]
    write(tmp_path / "raw", parts)
    directory, _ = read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")
    assert [(f.code, f.part) for f in directory.findings] == [("missing_part", "X.z02")]
    made, findings = unpack(tmp_path / "raw")
    assert made.keys() | {finding.member for finding in findings} == {f"f{k}" for k in range(8)}
    assert made and {finding.code for finding in findings} == {"missing_part"}
    assert all(data == random.Random(int(name[1:])).randbytes(300) for name, data in made.items())


@pytest.mark.parametrize("beside", ["X (old).zip", "X.zebra.zip", "X.z01.zip", "X.zip.zip", "X (1).zip", "xX.zip"])
def test_a_neighbour_whose_name_only_begins_the_same_is_an_archive_of_its_own(tmp_path, beside):
    write(tmp_path / "raw", {**split_zip(MEMBERS, 3000), beside: b"another archive"})
    assert unpack(tmp_path / "raw") == (dict(MEMBERS), [])
    stem = beside.removesuffix(".zip")
    write(tmp_path / "raw", {beside: split_zip([("other", b"1")], 10**6)["X.zip"]})
    assert unpack(tmp_path / "raw", stem) == ({"other": b"1"}, [])


def test_neighbours_of_other_archives_are_not_among_what_is_read(tmp_path):
    names = ["X.z01", "X.Z02", "x.zip", "X (1).z02", "X.z03.crdownload"]
    write(tmp_path / "raw", dict.fromkeys([*names, "X (old).zip", "X.zebra.zip", "Xz.zip"], b""))
    assert sorted(archive_folder(str(tmp_path / "raw"), "X").paths) == sorted(names)
    write(tmp_path / "raw", {"X [1].zip": b""})
    assert archive_folder(str(tmp_path / "raw"), "X [1]").paths == ["X [1].zip"]


@pytest.mark.parametrize("there", [["X (1).z01", "X (1).zip"], ["X.zip.crdownload"], ["X.zebra.zip", "X (1).zip"]])
def test_an_archive_of_which_only_look_alikes_are_there_is_missing(tmp_path, there):
    write(tmp_path / "raw", dict.fromkeys(there, b"x"))
    with pytest.raises(BadItem, match=r"X\.zip is not there.* looks like it"):
        read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")


def test_a_part_of_another_size_than_was_downloaded_is_named(tmp_path):
    write(tmp_path / "raw", split_zip(MEMBERS, 3000))
    _, parts = read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")
    rows = [{"name": part.path.rpartition("/")[2], "bytes": part.size, "sha256": "ab"} for part in parts]
    assert source.other_sizes(parts, rows) == []
    rows[1]["bytes"] += 1
    (finding,) = source.other_sizes(parts, rows)
    assert (finding.code, finding.part) == ("size_or_sha_mismatch", "X.z02") and "sha256 ab" in finding.message


def test_the_view_of_a_file_system(tmp_path):
    write(tmp_path / "raw", split_zip(MEMBERS, 3000))
    view = open_archive(str(tmp_path / "raw"), "X")
    assert view.cat("X/images/0.jpg") == MEMBERS[0][1]
    assert view.cat_file("X/big.bin", 10, 20) == MEMBERS[2][1][10:20]
    assert sorted(view.find("X")) == sorted(name for name, _ in MEMBERS)
    assert view.glob("X/alphas/*/*.png") == ["X/alphas/0/00.png"]
    assert view.ls("X", detail=False) == ["X/alphas", "X/big.bin", "X/empty.txt", "X/images"]
    assert view.info("X/big.bin")["size"] == 9000 and view.isdir("X/alphas")
    with view.open("X/alphas/0/00.png") as file:
        assert file.read(5) == b"grey "
    with pytest.raises(FileNotFoundError):
        view.cat_file("X/none")
    with pytest.raises(OSError):
        view.open("X/none", "wb")


WHOLE = split_zip(MEMBERS, 3000)


@settings(max_examples=150, deadline=4000)
@given(st.data())
def test_damage_never_crashes_or_gives_wrong_contents(tmp_path_factory, data):
    """Flipped bits, cuts, random bytes: every member is right or refused, or the archive is."""
    parts = dict(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(parts)))
        blob = bytearray(parts[name])
        kind = data.draw(st.sampled_from(["flip", "cut", "noise", "drop", "swap"]))
        at = data.draw(st.integers(0, max(0, len(blob) - 1)))
        if kind == "flip" and blob:
            blob[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del blob[at:]
        elif kind == "noise":
            blob[at : at + 30] = data.draw(st.binary(min_size=1, max_size=30))
        elif kind == "swap":
            other = data.draw(st.sampled_from(sorted(parts)))
            blob, parts[other] = bytearray(parts[other]), bytes(blob)
        parts[name] = bytes(blob)
        if kind == "drop":
            del parts[name]
        if not parts:
            return
    folder = tmp_path_factory.mktemp("raw")
    write(folder, parts)
    try:
        made, _ = unpack(folder)
    except BadItem:
        return
    truth = {data for _, data in MEMBERS}
    assert all(contents in truth for contents in made.values())
    assert all(not name.startswith(("/", "..")) for name in made)


@settings(max_examples=60, deadline=6000)
@given(st.data())
def test_sizes_that_lie_cost_no_memory(tmp_path_factory, data):
    """Whatever sizes and offsets directory and headers state: what is read stays in the order of what is there."""
    parts = {name: bytearray(blob) for name, blob in WHOLE.items()}
    for _ in range(data.draw(st.integers(1, 4))):
        blob = parts[data.draw(st.sampled_from(sorted(parts)))]
        at = data.draw(st.integers(0, len(blob) - 1))
        wide = data.draw(st.sampled_from([2, 4, 8]))
        blob[at : at + wide] = data.draw(st.sampled_from([b"\xff", b"\xfe", b"\x7f"])) * len(blob[at : at + wide])
    if data.draw(st.booleans()):  # nothing but noise, with an end record
        parts["X.zip"][:-22] = random.Random(data.draw(st.integers())).randbytes(len(parts["X.zip"]) - 22)
    folder = tmp_path_factory.mktemp("raw")
    write(folder, parts)
    tracemalloc.start()
    try:
        with suppress(BadItem):
            unpack(folder)
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()


SPREAD = [(f"f{k}", random.Random(k).randbytes(300)) for k in range(8)]


def test_what_is_there_can_be_read_when_the_last_numbered_part_is_missing(tmp_path):
    parts = split_zip(SPREAD, 900)
    assert "X.z04" not in parts and parts.pop("X.z03")
    write(tmp_path / "raw", parts)
    directory, where = read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")
    assert [(f.code, f.part) for f in directory.findings] == [("missing_part", "X.z03")]
    assert "speaks of 4 parts" in directory.findings[0].message and len(where) == 4
    made, findings = unpack(tmp_path / "raw")
    assert made and all(data == dict(SPREAD)[name] for name, data in made.items())
    assert made.keys() | {finding.member for finding in findings} == dict(SPREAD).keys()
    assert {(finding.code, finding.part) for finding in findings} == {("missing_part", "X.z03")}


def test_a_directory_that_lies_in_a_missing_part_is_told_and_nothing_else(tmp_path):
    parts = split_zip(SPREAD, 400)  # the directory has two parts of its own
    names = sorted(parts)
    del parts[names[-2]]
    write(tmp_path / "raw", parts)
    with pytest.raises(BadItem, match="directory lies in what is missing") as problem:
        read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")
    assert {(f.code, f.part) for f in problem.value.findings} == {("missing_part", names[-2])}


@pytest.mark.parametrize("surplus", [["X.z09"], ["X.z04", "X.z09"], ["X.z600"]])
def test_parts_too_many_are_named_and_no_others_are_asked_for(tmp_path, surplus):
    write(tmp_path / "raw", {**split_zip(SPREAD, 900), **dict.fromkeys(surplus, b"of another set")})
    directory, where = read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")
    assert [(f.code, f.severity, f.part) for f in directory.findings] == [("extra_part", "warning", n) for n in surplus]
    assert len(where) == 4 and unpack(tmp_path / "raw") == (dict(SPREAD), [])


def test_members_behind_leading_bytes(tmp_path):
    write(tmp_path / "raw", {"X.zip": bytes(70_000) + split_zip(MEMBERS, 10**6)["X.zip"]})
    assert unpack(tmp_path / "raw") == (dict(MEMBERS), [])


def test_one_too_many_and_one_missing(tmp_path):
    parts = {**split_zip(SPREAD, 900), "X.z09": b"of another set", "X (1).z02": b""}
    write(tmp_path / "raw", {name: data for name, data in parts.items() if name != "X.z02"})
    directory, _ = read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")
    assert [(f.code, f.part) for f in directory.findings] == [("missing_part", "X.z02"), ("extra_part", "X.z09")]
    assert "X (1).z02 looks like it" in directory.findings[0].message


def test_a_whole_zip_beside_a_part_of_another_set(tmp_path):
    write(tmp_path / "raw", {"X.zip": split_zip(SPREAD, 10**6)["X.zip"], "X.z05": b"of another set"})
    directory, _ = read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")
    assert [(f.code, f.part) for f in directory.findings] == [("extra_part", "X.z05")]
    assert unpack(tmp_path / "raw") == (dict(SPREAD), [])


def test_a_piece_that_is_missing_of_a_plain_zip_that_was_cut(tmp_path):
    whole = split_zip(SPREAD, 10**6)["X.zip"]
    pieces = {f"X.z{k:02d}": whole[at : at + 900] for k, at in enumerate(range(0, len(whole) - 900, 900), 1)}
    pieces["X.zip"] = whole[900 * len(pieces) :]
    del pieces["X.z02"]
    write(tmp_path / "raw", pieces)
    with pytest.raises(BadItem) as problem:
        read_archive(archive_folder(str(tmp_path / "raw"), "X"), "X")
    assert [(f.code, f.part) for f in problem.value.findings] == [("missing_part", "X.z02")]
