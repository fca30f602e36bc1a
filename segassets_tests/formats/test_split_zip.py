"""Split zips: order of parts, directory, complaints, merging, hostile input."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segassets.findings import BadItem
from segassets.formats.split_zip import (
    Part,
    data_range,
    member_findings,
    merge_plan,
    order_parts,
    read_directory,
    safe_name,
)
from segassets.formats.split_zip_members import common_top, members_of
from segassets.formats.split_zip_records import decode_name

GOLDEN = Path(__file__).parents[3] / "shared/golden/maggie"
golden = pytest.mark.golden


def parts_of(blobs: dict[str, bytes]) -> list[Part]:
    return [Part(name, len(blob), lambda start, end, blob=blob: blob[start:end]) for name, blob in blobs.items()]


def split_zip(members: list[tuple[str, bytes]], size: int, comment: bytes = b"", descriptors: bool = False) -> dict:
    """A split zip as Info-ZIP makes it: no header is cut, so parts may be short; members run over boundaries."""
    parts = [b"PK\7\x08"]

    def header(blob: bytes) -> tuple[int, int]:
        if len(parts[-1]) + len(blob) > size:
            parts.append(b"")
        at = len(parts) - 1, len(parts[-1])
        parts[-1] += blob
        return at

    def data(blob: bytes) -> None:
        while blob:
            room = size - len(parts[-1])
            parts[-1] += blob[:room]
            blob = blob[room:]
            if blob:
                parts.append(b"")

    records = []
    for name, content in members:
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed, raw, crc = deflate.compress(content) + deflate.flush(), name.encode(), zlib.crc32(content)
        flags = 0x800 | (8 if descriptors else 0)
        sizes = (0, 0, 0) if descriptors else (crc, len(packed), len(content))
        extra = b"UT\5\0\1abcd"
        local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, flags, 8, 0, 33, *sizes, len(raw), len(extra))
        disk, offset = header(local + raw + extra)
        data(packed)
        if descriptors:
            data(struct.pack("<4s3I", b"PK\7\x08", crc, len(packed), len(content)))
        where = (0, len(raw), 0, 0, disk, 0, 0o644 << 16, offset)
        sizes = (crc, len(packed), len(content))
        records.append(struct.pack("<4s6H3I5H2I", b"PK\1\2", 0x31E, 20, flags, 8, 0, 33, *sizes, *where[1:]) + raw)
    start = [header(record) for record in records][:1] or [(len(parts) - 1, len(parts[-1]))]
    total = sum(map(len, records))
    disk = len(parts) - 1 + (len(parts[-1]) + 22 + len(comment) > size)
    numbers = (disk, start[0][0], len(records), len(records), total, start[0][1], len(comment))
    header(struct.pack("<4s4H2IH", b"PK\5\6", *numbers) + comment)
    names = [f"X.z{k:02d}" for k in range(1, len(parts))] + ["X.zip"]
    return dict(zip(names, parts, strict=True))


MEMBERS = [(f"d/f{i}.bin", random.Random(i).randbytes(200 * i)) for i in range(8)]


def merged(parts: list[Part]) -> bytes:
    directory = read_directory(parts)
    return b"".join(
        piece if isinstance(piece, bytes) else directory.parts[piece.part].read(piece.start, piece.end)
        for piece in merge_plan(directory)
    )


def contents(blob: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        assert archive.testzip() is None
        return [(member.filename, archive.read(member)) for member in archive.infolist()]


def code_of(parts: list[Part]) -> set[tuple[str, str | None]]:
    """(code, part) of all errors, whether they stop the reading or come with the directory."""
    try:
        found = read_directory(parts).findings
    except BadItem as problem:
        found = problem.findings
    return {(finding.code, finding.part) for finding in found if finding.severity == "error"}


def test_parts_are_ordered_by_number_not_by_text():
    names = [f"X.z{k:02d}" for k in range(1, 120)] + ["X.zip"]
    assert order_parts(sorted(names)) == names
    assert order_parts(["X.zip.010", *(f"X.zip.{k:03d}" for k in range(1, 10))])[-1] == "X.zip.010"
    assert order_parts(["readme.txt", "X.zip"]) == ["X.zip"]
    assert order_parts(["X.ZIP", "X.Z02", "X.Z01", "x.z01"]) == ["X.Z01", "X.Z02", "X.ZIP"]
    assert order_parts(["X.ZIP.001", "X.zip.002"]) == ["X.ZIP.001", "X.zip.002"]


def test_missing_parts_are_named_with_what_looks_like_them():
    with pytest.raises(BadItem) as problem:
        order_parts(["X.z01", "X (1).z02", "X.z04", "X.z03.crdownload"])
    assert [finding.part for finding in problem.value.findings] == ["X.z02", "X.z03", "X.zip"]
    assert "X (1).z02" in problem.value.findings[0].message
    assert "X.z03.crdownload" in problem.value.findings[1].message


def test_parts_of_two_archives_are_refused():
    with pytest.raises(BadItem, match="several_archives"):
        order_parts(["X.zip", "Y.zip"])


@pytest.mark.parametrize("size", [100, 333, 900, 4096, 1 << 20])
@pytest.mark.parametrize("descriptors", [False, True])
def test_merging_gives_one_plain_zip_with_the_same_members(size, descriptors):
    blobs = split_zip(MEMBERS, size, b"a comment", descriptors)
    result = merged(parts_of(blobs))
    assert contents(result) == MEMBERS
    assert zipfile.ZipFile(io.BytesIO(result)).comment == b"a comment"
    assert not result.startswith(b"PK\7\x08")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(110, 700), st.booleans())
def test_any_split_merges_to_its_members(data, size, descriptors):
    members = [(f"{i}", blob) for i, blob in enumerate(data)]
    assert contents(merged(parts_of(split_zip(members, size, b"", descriptors)))) == members


def test_members_are_read_from_the_parts_without_merging():
    directory = read_directory(parts_of(split_zip(MEMBERS, 500)))
    for entry, (name, content) in zip(directory.entries, MEMBERS, strict=True):
        packed = directory.joined.read(*data_range(directory, entry))
        assert (entry.name, zlib.decompress(packed, -15)) == (name, content)
        assert entry.crc == zlib.crc32(content)


def plain_zip(members=MEMBERS) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize("ending", ["zip.", "z"])
def test_a_plain_zip_and_one_cut_into_pieces_are_handed_on_as_they_are(ending):
    whole = plain_zip()
    assert merged(parts_of({"X.zip": whole})) == whole
    cuts = [whole[at : at + 700] for at in range(0, len(whole) - 10, 700)]
    cuts[-1] = whole[700 * (len(cuts) - 1) : -10]
    cuts.append(whole[-10:])  # even the end record may be cut
    pieces = parts_of({f"X.{ending}{k:03d}": piece for k, piece in enumerate(cuts, 1)})
    assert merged(pieces) == whole
    assert [finding.code for finding in read_directory(pieces).findings] == ["raw_split"]


def test_a_false_end_record_in_the_comment_is_not_believed():
    empty = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)
    other = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 7, 7, 99, 4, 0)
    for comment in (b"x" + empty, b"x" + empty + b"yz", b"x" + other, b"x" + other + b"yz"):
        directory = read_directory(parts_of(split_zip(MEMBERS, 900, comment)))
        assert [entry.name for entry in directory.entries] == [name for name, _ in MEMBERS]
        assert directory.end.comment == comment
        assert merged(parts_of(split_zip(MEMBERS, 900, comment))).endswith(comment)


def test_an_empty_archive_is_one():
    assert contents(merged(parts_of({"X.zip": plain_zip([])}))) == []
    assert contents(merged(parts_of({"X.zip": b"PK00" + plain_zip([])[:16] + b"\4\0\0\0\0\0"}))) == []


def test_trailing_bytes_are_ignored_with_a_warning():
    blobs = split_zip(MEMBERS, 900)
    blobs["X.zip"] += b"\n\n"
    directory = read_directory(parts_of(blobs))
    assert [finding.code for finding in directory.findings] == ["trailing_bytes"]
    assert contents(merged(parts_of(blobs))) == MEMBERS


@pytest.mark.parametrize("wide", [False, True])
def test_bytes_before_a_zip_are_told_and_left_out(wide):
    whole = plain_zip([(f"{i}", b"") for i in range(66_000)]) if wide else plain_zip()
    parts = parts_of({"X.zip": b"#!/bin/sh\nexit\n" + whole})
    directory = read_directory(parts)
    assert [(f.code, f.severity) for f in directory.findings] == [("leading_bytes", "warning")]
    assert directory.findings[0].message.startswith("15 bytes")
    assert merged(parts) == whole
    for entry in directory.entries[:8]:
        packed = directory.joined.read(*data_range(directory, entry))
        assert wide or zlib.decompress(packed, -15) == dict(MEMBERS)[entry.name]


def test_a_directory_that_is_not_there_at_all_is_no_matter_of_leading_bytes():
    whole = plain_zip()
    start = read_directory(parts_of({"X.zip": whole})).start
    assert code_of(parts_of({"X.zip": whole[:start] + b"?" + whole[start + 1 :]})) == {("bad_directory", "X.zip")}
    assert code_of(parts_of({"X.zip": b"?" * 9 + whole[:start] + b"?" + whole[start + 1 :]})) == {
        ("bad_directory", "X.zip")
    }


def test_extra_parts_are_named_and_never_used():
    blobs = split_zip(MEMBERS, 3000)
    last = blobs.pop("X.zip")
    number = len(blobs) + 1
    parts = parts_of({**blobs, f"X.z{number:02d}": b"other", "X.zip": last})
    directory = read_directory(parts)
    assert [(finding.code, finding.part) for finding in directory.findings] == [("extra_part", f"X.z{number:02d}")]
    assert contents(merged(parts)) == MEMBERS
    beside = parts_of({"X.z01": b"left from elsewhere", "X.zip": plain_zip()})
    assert [finding.code for finding in read_directory(beside).findings] == ["extra_part"]
    assert contents(merged(beside)) == MEMBERS


def test_what_is_wrong_with_a_part_is_said_with_its_name():
    good = split_zip(MEMBERS, 900)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3221225472\n"
    page = b"\xef\xbb\xbf\n<!DOCTYPE HTML><html><title>Sign in</title>"
    names = list(good)
    assert code_of(parts_of({**good, "X.z02": b""})) == {("empty_part", "X.z02")}
    assert code_of(parts_of({**good, "X.z02": pointer})) == {("lfs_pointer", "X.z02")}
    assert code_of(parts_of({**good, "X.z02": page})) == {("html_page", "X.z02")}
    assert code_of(parts_of({**good, "X.zip": good["X.zip"][:-5]})) == {("no_end_record", "X.zip")}
    assert code_of(parts_of({name: good[name] for name in names if name != "X.z02"})) == {("missing_part", "X.z02")}
    assert ("wrong_order", "X.z01") in code_of(parts_of({**good, "X.z01": good["X.z02"], "X.z02": good["X.z01"]}))
    noise = b"\1" * len(good["X.z03"])
    assert ("bad_local_header", "X.z03") in code_of(parts_of({**good, "X.z03": noise}))
    with pytest.raises(BadItem, match=r"3221225472"):
        read_directory(parts_of({**good, "X.z02": pointer}))
    with pytest.raises(BadItem, match=r"Sign in"):
        read_directory(parts_of({**good, "X.z02": page}))


@pytest.mark.parametrize("lost", [1, 37, 100, 500])
@pytest.mark.parametrize("part", ["X.z01", "X.z02", "X.z03", "X.z04"])
def test_a_cut_part_is_found_and_stops_the_merge(lost, part):
    blobs = split_zip(MEMBERS, 900)
    parts = parts_of({**blobs, part: blobs[part][:-lost]})
    assert code_of(parts) == {("truncated_part", part)}
    with pytest.raises(BadItem, match="truncated_part"):
        merge_plan(read_directory(parts))


@pytest.mark.parametrize(("descriptors", "told"), [(False, "100 bytes are missing"), (True, "at least 84 bytes")])
def test_the_number_of_bytes_that_a_cut_part_lacks_is_right(descriptors, told):
    blobs = split_zip(MEMBERS, 900, descriptors=descriptors)
    (finding,) = read_directory(parts_of({**blobs, "X.z04": blobs["X.z04"][:-100]})).findings
    assert (finding.code, finding.part) == ("truncated_part", "X.z04")
    assert finding.message.startswith(told)


@pytest.mark.parametrize(
    ("names", "top"),
    [(["./X/a", "./X/b/"], "X/"), (["X//a", "./X/b"], "X/"), (["./a", "./b"], ""), (["X/a", "../b"], ""), (["X/a"], "X/")],
)  # fmt: skip
def test_the_folder_that_all_members_share(names, top):
    assert common_top(names) == top


def test_bytes_lost_inside_a_part_are_found():
    blobs = split_zip([(f"{i}", random.Random(i).randbytes(100)) for i in range(30)], 2000)
    part = blobs["X.z02"]
    assert ("truncated_part", "X.z02") in code_of(parts_of({**blobs, "X.z02": part[:700] + part[900:]}))


def other_set(count: int) -> dict:
    return split_zip([(f"other{k}", random.Random(k).randbytes(300)) for k in range(count)], 900)


def test_a_last_part_of_another_set_is_named_with_both_numbers():
    good = split_zip(MEMBERS, 900)
    fewer = other_set(6)["X.zip"]
    with pytest.raises(BadItem, match=r"set of 3 parts, 8 are there") as problem:
        read_directory(parts_of({**good, "X.zip": fewer}))
    assert [(f.code, f.part) for f in problem.value.findings] == [("wrong_last_part", "X.zip")]
    wide = split_zip([(f"o{k}", random.Random(k).randbytes(700)) for k in range(11)], 900)["X.zip"]
    with pytest.raises(BadItem, match="wrong_last_part"):
        read_directory(parts_of({**good, "X.zip": wide}))


def test_a_published_set_with_all_its_parts_is_not_told_to_miss_some():
    good, more = split_zip(MEMBERS, 900), other_set(40)
    parts = parts_of({**good, "X.zip": more["X.zip"]})
    assert {code for code, _ in code_of(parts)} == {"missing_part"}
    with pytest.raises(BadItem, match=r"wrong_last_part.*set has 8, and that many are there"):
        read_directory(parts, published=8)
    assert read_directory(parts_of(good), published=7).entries  # split otherwise by its owner


def test_missing_parts_at_the_end_are_missing_not_a_wrong_last_part():
    good = split_zip(MEMBERS, 900)
    parts = parts_of({name: good[name] for name in good if name not in ("X.z06", "X.z07")})
    assert code_of(parts) == {("missing_part", "X.z06"), ("missing_part", "X.z07")}


def test_an_offset_that_lies_is_a_finding():
    whole = bytearray(plain_zip())
    struct.pack_into("<I", whole, whole.rfind(b"PK\1\2") + 42, 1 << 31)
    parts = parts_of({"X.zip": bytes(whole)})
    assert code_of(parts) == {("bad_directory", "X.zip")}
    directory = read_directory(parts)
    assert [m.problem for m in members_of(directory)] == [None] * 7 + ["bad_directory"]
    assert all(extent[1] + extent[2] <= len(whole) for m in members_of(directory) for extent in m.extents)


def test_of_a_raw_cut_the_piece_of_another_size_is_named():
    whole = plain_zip()
    pieces = {f"X.zip.{k:03d}": whole[at : at + 700] for k, at in enumerate(range(0, len(whole), 700), 1)}
    pieces["X.zip.003"] = pieces["X.zip.003"][:-5]
    assert code_of(parts_of(pieces)) == {("truncated_part", "X.zip.003")}


@pytest.mark.parametrize(
    ("raw", "flags", "system", "extra", "name"),
    [
        ("é".encode("cp437"), 0, 0, b"", "é"),
        ("é".encode(), 0, 0, b"", "├⌐"),
        ("é".encode(), 0, 3, b"", "é"),
        ("é".encode(), 0, 19, b"", "é"),
        (b"\x82", 0, 3, b"", "é"),  # no UTF-8
        (b"\x82", 0x800, 0, b"", "é"),
        (b"a", 0, 0, b"\x75\x70\x09\0\1" + zlib.crc32(b"a").to_bytes(4, "little") + "日€".encode()[:4], "a"),
        (b"a", 0, 0, b"\x75\x70\x08\0\1" + zlib.crc32(b"a").to_bytes(4, "little") + "日".encode(), "日"),
        (b"b", 0, 0, b"\x75\x70\x08\0\1" + zlib.crc32(b"a").to_bytes(4, "little") + "日".encode(), "b"),
    ],
)
def test_names_of_members(raw, flags, system, extra, name):
    assert decode_name(raw, flags, system, extra) == name


@pytest.mark.parametrize("system", [0, 3, 19])
def test_symbolic_links_of_every_system_are_refused(system):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr, link.create_system = 0o120777 << 16, system
        archive.writestr(link, "/etc/passwd")
    (finding,) = member_findings(read_directory(parts_of({"X.zip": target.getvalue()})))
    assert finding.code == "unsafe_path"


def test_overlapping_members_are_an_error():
    whole = bytearray(plain_zip())
    at = whole.rfind(b"PK\1\2")
    struct.pack_into("<I", whole, at + 42, 0)
    assert ("overlapping_members", "X.zip") in code_of(parts_of({"X.zip": bytes(whole)}))


def test_zip64_end_records_for_many_members():
    members = [(f"{i}", b"") for i in range(66_000)]
    target = plain_zip(members)
    marked = b"PK00" + target
    assert merged(parts_of({"X.zip": target})) == target
    # Make the offsets those of a file with a marker, so that the directory must be written anew.
    directory = read_directory(parts_of({"X.zip": target}))
    blob = bytearray(marked)
    for entry in directory.entries:
        struct.pack_into("<I", blob, 4 + directory.start + entry.record[0] + 42, entry.offset + 4)
    end64 = blob.rfind(b"PK\6\6")
    struct.pack_into("<Q", blob, end64 + 48, directory.start + 4)
    struct.pack_into("<Q", blob, blob.rfind(b"PK\6\7") + 8, end64)
    end = blob.rfind(b"PK\5\6")
    struct.pack_into("<I", blob, end + 16, 0xFFFFFFFF)
    result = merged(parts_of({"X.zip": bytes(blob)}))
    assert result[: directory.start] == target[: directory.start]
    with zipfile.ZipFile(io.BytesIO(result)) as archive:
        assert (len(archive.namelist()), archive.read("65999")) == (66_000, b"")


class Pieces(io.RawIOBase):
    """The merged file without writing it: gigabytes that are zeros cost nothing."""

    def __init__(self, directory, plan):
        self.directory, self.plan, self.at = directory, plan, 0
        self.sizes = [len(p) if isinstance(p, bytes) else p.end - p.start for p in plan]

    def seekable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, sum(self.sizes))[whence]
        return self.at

    def read(self, count=-1):
        end = sum(self.sizes) if count < 0 else min(self.at + count, sum(self.sizes))
        out, base = b"", 0
        for piece, size in zip(self.plan, self.sizes, strict=True):
            first, last = max(self.at, base) - base, min(end, base + size) - base
            if first < last and isinstance(piece, bytes):
                out += piece[first:last]
            elif first < last:
                out += self.directory.parts[piece.part].read(piece.start + first, piece.start + last)
            base += size
        self.at = max(self.at, end)
        return out


def test_members_beyond_four_gigabytes_get_zip64_offsets():
    size = 3 << 30
    big = (2 * size) - 4 - 33
    full = 0xFFFFFFFF
    # The zip64 extra of the local header is left out: sizes are read from the directory.
    first = b"PK\7\x08" + struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 33, 0, full, full, 3, 0) + b"big"
    small = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, zlib.crc32(b"hello"), 5, 5, 5, 0) + b"small" + b"hello"
    wide = struct.pack("<2H2Q", 1, 16, big, big)
    records = struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 33, 0, full, full, 3, 20, 0, 0, 0, 0, 4)
    records += b"big" + wide
    crc = zlib.crc32(b"hello")
    records += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, crc, 5, 5, 5, 0, 0, 2, 0, 0, 0) + b"small"
    end = struct.pack("<4s4H2IH", b"PK\5\6", 2, 2, 2, 2, len(records), len(small), 0)
    last = small + records + end

    def zeros(start: int, stop: int, head: bytes = b"") -> bytes:
        return (head[start:stop] + bytes(stop - start))[: stop - start]

    parts = [
        Part("X.z01", size, lambda start, stop: zeros(start, stop, first)),
        Part("X.z02", size, zeros),
        Part("X.zip", len(last), lambda start, stop: last[start:stop]),
    ]
    directory = read_directory(parts)
    assert not directory.findings
    archive = zipfile.ZipFile(Pieces(directory, merge_plan(directory)))
    assert archive.read("small") == b"hello"
    assert archive.getinfo("small").header_offset == 2 * size - 4
    assert archive.getinfo("big").file_size == big


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b.png", "a/b.png"), ("a//./b.png", "a/b.png"), ("a/", "a/"), ("é/ü.png", "é/ü.png"), ("a..b", "a..b"),
        ("/etc/passwd", None), ("../x", None), ("a/../../x", None), ("C:/x", None), ("c:x", None), ("a\\..\\x", None),
        ("", None), (".", None), ("a\0b", None), ("a\nb", None), ("x" * 256, None), ("//host/x", None),
    ],
)  # fmt: skip
def test_unsafe_names_are_refused(name, safe):
    assert safe_name(name) == safe


@given(st.text(alphabet="./\\:aC\0 é", max_size=12))
def test_a_safe_name_stays_below_its_folder(name):
    safe = safe_name(name)
    assert safe is None or ((Path("/r") / safe).resolve().is_relative_to("/r") and safe_name(safe) == safe)


def test_members_that_cannot_be_unpacked_are_named_but_merged():
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for name in ("../up", "twice", "twice"):
            archive.writestr(name, b"")
        link = zipfile.ZipInfo("link")
        link.external_attr, link.create_system = 0o120777 << 16, 3
        archive.writestr(link, "/etc/passwd")
    directory = read_directory(parts_of({"X.zip": target.getvalue()}))
    found = [(finding.code, finding.member) for finding in member_findings(directory)]
    assert found == [("unsafe_path", "../up"), ("duplicate_name", "twice"), ("unsafe_path", "link")]
    assert merge_plan(directory)


def use_all(parts: list[Part]) -> None:
    """Everything that a caller may do; only BadItem may come out of it."""
    try:
        directory = read_directory(parts)
        member_findings(directory)
        for entry in directory.entries:
            with suppress(BadItem):
                data_range(directory, entry)
        assert sum(len(p) if isinstance(p, bytes) else p.end - p.start for p in merge_plan(directory)) < 1 << 20
    except BadItem as problem:
        assert problem.findings


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_damaged_archives_never_crash(data):
    blobs = dict(data.draw(st.sampled_from(FUZZED)))
    name = data.draw(st.sampled_from(sorted(blobs)))
    blob = bytearray(blobs[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(blob) - 1))
        value = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
        width = data.draw(st.sampled_from([1, 2, 4, 8]))
        blob[at : at + width] = bytes([value]) * width
    if data.draw(st.booleans()):
        blob = blob[: data.draw(st.integers(0, len(blob)))]
    use_all(parts_of({**blobs, name: bytes(blob)}))


_SMALL = [(f"f{i}", bytes([i]) * 40 * i) for i in range(4)]
FUZZED = [
    split_zip(_SMALL, 120), split_zip(_SMALL, 150, b"comment", True), {"X.zip": plain_zip(_SMALL)},
    {"X.zip.001": plain_zip(_SMALL)[:200], "X.zip.002": plain_zip(_SMALL)[200:]},
]  # fmt: skip


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_random_bytes_never_crash(blobs):
    use_all(parts_of({f"X.z{k:02d}": blob + b"PK\5\6" * (k % 2) + bytes(18) for k, blob in enumerate(blobs)}))


def test_a_part_that_is_shorter_than_listed_is_named():
    blobs = split_zip(MEMBERS, 900)
    parts = [part._replace(size=part.size + 50) if part.name == "X.zip" else part for part in parts_of(blobs)]
    assert ("truncated_part", "X.zip") in code_of(parts)


@golden
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden data is not there")
@pytest.mark.parametrize("case", [path.stem for path in sorted((GOLDEN / "expected/splitzip").glob("*.json"))])
def test_golden(case):
    record = json.loads((GOLDEN / f"expected/splitzip/{case}.json").read_text())
    folder = GOLDEN / "input/splitzip" / case
    truth = record["truth"]
    if record["outcome"] == "error":
        with pytest.raises(BadItem) as problem:
            names = order_parts(path.name for path in folder.iterdir())
            merge_plan(read_directory(parts_of({name: (folder / name).read_bytes() for name in names})))
        assert {finding.code for finding in problem.value.findings} <= set(record["kind"].split("|"))
        assert all(name in str(problem.value) for name in record["must_name"])
        return
    names = order_parts(path.name for path in folder.iterdir())
    parts = parts_of({name: (folder / name).read_bytes() for name in names})
    result = merged(parts)
    assert hashlib.sha256(result).hexdigest() == record["tools"]["reference"]["merged_sha256"]
    want = sorted((m["crc32"], m["size"], m["csize"], m["method"], m["sha256"]) for m in truth["members"])
    with zipfile.ZipFile(io.BytesIO(result)) as archive:
        assert want == sorted(
            (f"{m.CRC:08x}", m.file_size, m.compress_size, m.compress_type, hashlib.sha256(archive.read(m)).hexdigest())
            for m in archive.infolist()
        )
    directory = read_directory(parts)
    region = result[: directory.start - directory.marker]
    assert hashlib.sha256(region).hexdigest() == truth["data_region"]["sha256"]
    if directory.kind == "raw_cut":
        return  # the truth speaks of the file before it was cut
    by_position = {entry.position - directory.marker: entry for entry in directory.entries}
    for member in truth["members"]:
        entry = by_position[member["merged_offset"]]
        assert (entry.raw_name.hex(), entry.offset) == (member["name_raw_hex"], member["start_offset"])
        ranges = directory.joined.ranges(*data_range(directory, entry))
        extents = [[directory.parts[r.part].name, r.start, r.end - r.start] for r in ranges]
        assert extents == [extent for extent in member["data_extents"] if extent[2]]
