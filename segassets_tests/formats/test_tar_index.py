"""Tar headers: what is found in sound archives, and what is said about all others."""

import gzip
import io
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segassets.findings import MAX_LISTED
from segassets.formats import tar_index
from segassets.formats.file_kinds import is_gzip, looks_like
from segassets.formats.sa1b_members import classify
from segassets.formats.tar_index import TarMember, scan

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "sa1b"


def make_tar(names=("sa_1.jpg", "sa_1.json"), form=tarfile.USTAR_FORMAT, size=700):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for place, name in enumerate(names):
            add(tar, name, bytes([65 + place % 20]) * size)
    return out.getvalue()


def add(tar, name, data=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in attributes.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(data))


def found(data):
    return scan(io.BytesIO(data))


def codes(result):
    return [problem.code for problem in result.problems]


class Pipe(io.RawIOBase):
    """A stream that only reads, in small pieces."""

    def __init__(self, data):
        self.inner = io.BytesIO(data)

    def read(self, count=-1):
        return self.inner.read(min(count, 300))

    def seekable(self):
        return False


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_of_tarfile(form):
    names = ["sa_1.jpg", "./sa_2.json", "d/" + "n" * 90 + ".txt", "f" * 60 + "/" + "g" * 80, "é.jpg"]
    if form != tarfile.USTAR_FORMAT:
        names.append("very/" * 60 + "long.jpg")
    data = make_tar(names, form)
    result = found(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [TarMember(m.name, m.offset_data, m.size) for m in tar]
    assert result.members == expected
    assert result.complete and result.problems == []


def test_a_stream_that_cannot_seek_gives_the_same():
    data = make_tar()
    assert scan(Pipe(data)).members == found(data).members
    packed = gzip.compress(data)
    assert is_gzip(packed) and not is_gzip(data)
    result = scan(gzip.GzipFile(fileobj=io.BytesIO(packed)))
    assert result.complete and result.members == found(data).members


def test_cut_gzip_is_truncated_and_damaged_gzip_too():
    packed = gzip.compress(make_tar([f"sa_{i}.jpg" for i in range(50)]))
    assert codes(scan(gzip.GzipFile(fileobj=io.BytesIO(packed[: len(packed) // 2])))) == ["tar_truncated"]
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 0xFF
    assert scan(gzip.GzipFile(fileobj=io.BytesIO(broken))).problems != []


def test_pax_size_and_base_256_size():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "sa_1.jpg", b"x" * 600, pax_headers={"size": "600"})
    assert found(out.getvalue()).members == [TarMember("sa_1.jpg", 1536, 600)]
    data = bytearray(make_tar(["sa_1.jpg"]))
    data[124:136] = b"\x80" + (700).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    assert found(bytes(data)).members == [TarMember("sa_1.jpg", 512, 700)]


def test_links_devices_and_sparse_files_are_ignored_with_a_warning():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        add(tar, "d", type=tarfile.DIRTYPE)
        add(tar, "link", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "hard", type=tarfile.LNKTYPE, linkname="sa_1.jpg")
        add(tar, "pipe", type=tarfile.FIFOTYPE)
        add(tar, "sparse", b"x" * 100, pax_headers={"GNU.sparse.major": "1"})
        add(tar, "sa_1.jpg", b"x")
    result = found(out.getvalue())
    assert [m.name for m in result.members] == ["sa_1.jpg"]
    assert [(p.code, p.severity, p.member) for p in result.problems] == [
        ("unexpected_member", "warning", name) for name in ("link", "hard", "pipe", "sparse")
    ]


def test_every_cut_is_noticed_and_keeps_the_complete_members():
    data = make_tar([f"sa_{i}.jpg" for i in range(4)], size=1000)
    end = 4 * (512 + 1024)
    for cut in range(1, end + 1024, 37):
        result = found(data[:cut])
        expected = sum(1 for i in range(4) if i * 1536 + 512 + 1000 <= cut)
        assert len(result.members) == expected, cut
        assert not result.complete
        assert codes(result) in (["tar_truncated"], ["tar_unreadable"] if cut < 512 else ["tar_truncated"])


def test_a_cut_on_a_block_boundary_says_how_much_is_missing_and_where():
    data = make_tar(["sa_1.jpg", "sa_2.jpg"], size=1024)
    (problem,) = found(data[: 2 * 1536]).problems
    assert problem.code == "tar_truncated" and problem.severity == "error"
    assert "at least 1,024 bytes missing" in problem.message and "after member 'sa_2.jpg'" in problem.message
    (problem,) = found(data[: 1536 + 512 + 24]).problems
    assert "at least 1,000 bytes missing" in problem.message and "inside member 'sa_2.jpg'" in problem.message


def test_zero_padding_is_fine_but_not_other_data_or_an_allocated_hole():
    data = make_tar()
    assert found(data + bytes(1 << 20)).problems == []
    assert codes(found(data + make_tar())) == ["tar_trailing_data"]
    assert found(data + make_tar()).complete
    hole = found(data + bytes(tar_index.MAX_PADDING + 20_000))
    assert codes(hole) == ["tar_truncated"] and not hole.complete and len(hole.members) == 2


def test_a_single_zero_block_is_no_end():
    data = make_tar(["sa_1.jpg"], size=512)
    assert codes(found(data[:1024] + bytes(512))) == ["tar_truncated"]
    assert codes(found(data[:1024] + bytes(512) + data[:1024])) == ["tar_unreadable"]


def test_empty_tars():
    assert codes(found(b"")) == ["tar_empty"]
    assert codes(found(bytes(10240))) == ["tar_empty"]
    assert codes(found(make_tar([]))) == ["tar_empty"]


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (
            b"\n<!DOCTYPE html><html><head><title>URL signature &amp; expired</title>",
            "titled 'URL signature & expired'",
        ),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "XML"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), "PNG"),
        (b"\x8f\x01\x02\x03" * 300, "8f 01 02 03"),
        (b'{"error": "no"}', "text that begins"),
        (b"PK\x03\x04" + bytes(700), "zip"),
    ],
)
def test_what_is_no_tar_is_called_by_its_name(head, text):
    result = found(head)
    assert codes(result) == ["tar_unreadable"] and text in result.problems[0].message
    assert text in looks_like(head)


def test_damaged_header_in_the_middle():
    data = bytearray(make_tar([f"sa_{i}.jpg" for i in range(3)], size=512))
    data[1024 + 5] ^= 0x20
    result = found(bytes(data))
    assert codes(result) == ["tar_unreadable"] and "byte 1,024 after member 'sa_0.jpg'" in result.problems[0].message
    assert len(result.members) == 1


def test_names_that_are_not_utf8_are_refused():
    data = bytearray(make_tar(["sa_1.jpg", "sa_2.jpg"], size=512))
    data[0:4] = b"sa_\xff"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    result = found(bytes(data))
    assert [m.name for m in result.members] == ["sa_2.jpg"] and codes(result) == ["unsafe_member"]
    result.problems[0].message.encode()


def test_extension_headers_are_bounded():
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 5 << 20
    result = found(header.tobuf(tarfile.GNU_FORMAT) + bytes(6 << 20))
    assert codes(result) == ["tar_unreadable"]


def test_number_of_headers_is_bounded(monkeypatch):
    monkeypatch.setattr(tar_index, "MAX_HEADERS", 5)
    assert "tar_unreadable" in codes(found(make_tar([f"sa_{i}.jpg" for i in range(9)])))


SEED = make_tar(["sa_1.jpg", "sa_1.json", "x/" + "y" * 120], tarfile.PAX_FORMAT) + b""
fuzz = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@fuzz
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(SEED)))
def test_fuzz_changed_bytes_and_cuts(changes, cut):
    data = bytearray(SEED)
    for place, value in changes:
        data[place] = value
    check_scan(bytes(data[:cut]))


@fuzz
@given(st.binary(max_size=3000))
def test_fuzz_random_bytes(data):
    check_scan(data)


@fuzz
@given(st.sampled_from(b"LKxgXS15"), st.binary(max_size=1200), st.integers(0, 2000))
def test_fuzz_headers_with_random_payload(kind, payload, size):
    header = tarfile.TarInfo("h")
    header.type, header.size = bytes([kind]), size
    check_scan(header.tobuf(tarfile.GNU_FORMAT) + payload + SEED)


def check_scan(data):
    begun = time.monotonic()
    for stream in (io.BytesIO(data), Pipe(data)):
        result = scan(stream)
        assert result.complete or any(p.severity == "error" for p in result.problems)
        assert all(m.offset + m.size <= len(data) for m in result.members)
        images, findings = classify(result.members)
        for finding in result.problems + findings:
            str(finding).encode()
        assert all(set(pair) == {"jpg", "json"} for pair in images.values())
    assert time.monotonic() - begun < 5


def members(*names):
    return [TarMember(name, 512 * (place + 1), 10) for place, name in enumerate(names)]


def test_classify_pairs_in_any_order():
    images, findings = classify(members("./sa_10.json", "sa_2.jpg", "sa_2.json", "./sa_10.jpg"))
    assert list(images) == [2, 10] and findings == []
    assert images[10]["jpg"].name == "./sa_10.jpg"


def test_classify_strangers():
    names = [
        "._sa_1.jpg",
        "a/sa_1.jpg",
        "sa_01.jpg",
        "SA_1.jpg",
        "sa_1.jpeg",
        "././sa_1.jpg",
        "sa_1.jpg\u0661",
        ".DS_Store",
    ]
    images, findings = classify(members(*names))
    assert images == {} and [(f.code, f.severity, f.member) for f in findings] == [
        ("unexpected_member", "warning", name) for name in names
    ]


@pytest.mark.parametrize(
    "name", ["/sa_1.jpg", "../sa_1.jpg", "a/../b", "a\\b", "C:x", "sa_1\n.jpg", "", "x\0y", "a/.."]
)
def test_classify_unsafe_names(name):
    _, (finding,) = classify(members(name))
    assert (finding.code, finding.severity) == ("unsafe_member", "error")
    assert finding.member.isprintable()


def test_classify_last_duplicate_wins():
    images, (finding,) = classify(members("sa_1.jpg", "sa_1.json", "./sa_1.jpg"))
    assert images[1]["jpg"].offset == 3 * 512
    assert (finding.code, finding.severity, finding.image) == ("duplicate_member", "warning", "sa_1")


def test_classify_missing_partners():
    images, findings = classify(members("sa_2.json", "sa_1.jpg"))
    assert images == {}
    assert [(f.code, f.severity, f.image) for f in findings] == [
        ("missing_json", "error", "sa_1"),
        ("missing_jpg", "error", "sa_2"),
    ]


def test_many_strangers_are_counted_not_listed():
    _, findings = classify(members(*(f"x{i}" for i in range(5000)), *(f"sa_{i}.jpg" for i in range(3000))))
    assert sum(f.code == "unexpected_member" for f in findings) == MAX_LISTED + 1
    assert sum(f.code == "missing_json" for f in findings) == 3000


@pytest.mark.golden
@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden data")
def test_golden_shards():
    for shard, ids in (("sa_000000", [1, 2, 3, 4, 5, 6, 7, 8, 10]), ("sa_000001", [11188, 11189, 11191])):
        with (GOLDEN / "input" / f"{shard}.tar").open("rb") as stream:
            result = scan(stream)
        images, findings = classify(result.members)
        assert result.complete and result.problems == findings == [] and list(images) == ids
