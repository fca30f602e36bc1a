"""Caption files: the forms that are read, and the one that is written."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segassets.formats.captions import MAX_BAD_LINES, controlnet, parse, write
from segassets.formats.sa1b import controlnet_row

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "sa1b"


def line(image, prompt):
    return json.dumps({"img": image, "prompt": prompt})


def seen(findings):
    return [(f.code, f.image, f.index) for f in findings]


def test_json_lines_are_stripped_and_ordered():
    data = "\n".join([line("sa_10.jpg", " b "), line(" sa_2.jpg ", "a\u2028c")]).encode()
    captions, findings = parse(data, {2, 10})
    assert list(captions.items()) == [(2, "a\u2028c"), (10, "b")] and findings == []


@pytest.mark.parametrize("encode", [str.encode, lambda t: t.encode("utf-8-sig"), lambda t: t.encode("utf-16")])
def test_marks_and_line_ends_and_blank_lines_are_tolerated(encode):
    text = f"\r\n{line('sa_1.jpg', 'é')}\r\n\r\n  \r\n{line('sa_2.jpg', 'b')}\r\n\r\n"
    assert parse(encode(text), {1, 2}) == ({1: "é", 2: "b"}, [])


def test_raw_line_separators_inside_a_caption_do_not_split_it():
    data = '{"img": "sa_1.jpg", "prompt": "a\u2028b"}\n'.encode()
    assert parse(data, {1}) == ({1: "a\u2028b"}, [])


def test_findings_name_line_and_image():
    data = "\n".join(
        [
            line("sa_1.jpg", "a"),
            line("sa_1.jpg", "b"),
            line("sa_9.jpg", "stranger"),
            line("sa_2.jpg", "  "),
            "{not json",
            "[1]",
            line("sa_3.jpg", 5),
            line("other.png", "x"),
            '{"img": "sa_3.jpg", "prompt": "\\ud800"}',
        ]
    ).encode()
    captions, findings = parse(data, {1, 2, 3, 4})
    assert captions == {1: "b", 2: ""}
    assert all(f.severity == "warning" for f in findings)
    assert seen(findings) == [
        ("caption_duplicate", "sa_1", 2),
        ("caption_orphan", "sa_9", 3),
        ("caption_empty", "sa_2", 4),
        ("caption_bad_line", None, 5),
        ("caption_bad_line", None, 6),
        ("caption_bad_line", None, 7),
        ("caption_orphan", "other.png", 8),
        ("caption_bad_line", None, 9),
        ("caption_missing", "sa_3", None),
        ("caption_missing", "sa_4", None),
    ]


def test_bytes_that_are_no_utf8_spoil_only_their_line():
    data = line("sa_1.jpg", "a").encode() + b'\n{"img": "sa_2.jpg", "prompt": "\xff"}\n'
    captions, findings = parse(data, {1, 2})
    assert captions == {1: "a"} and seen(findings) == [("caption_bad_line", None, 2), ("caption_missing", "sa_2", None)]


def test_one_json_object():
    text = '{"sa_2.jpg": "b", "sa_1": " a ",\n "sa_2.jpg": "c", "sa_3.jpg": 1}'
    captions, findings = parse(text.encode(), {1, 2, 3})
    assert captions == {1: "a", 2: "c"}
    assert seen(findings) == [
        ("caption_duplicate", "sa_2", 3),
        ("caption_bad_line", None, 4),
        ("caption_missing", "sa_3", None),
    ]


def test_one_json_list_and_one_single_line():
    assert parse(f"[{line('sa_1.jpg', 'a')}]".encode(), {1}) == ({1: "a"}, [])
    assert parse(line("sa_1.jpg", "a").encode(), {1}) == ({1: "a"}, [])


def test_csv_with_header():
    text = 'file_name,score,caption\r\nsa_1.jpg,1,"a, b"\r\n\r\nsa_2.jpg,1,"two\nlines"\r\nsa_3.jpg\r\nsa_1.jpg,1,c\r\n'
    captions, findings = parse(text.encode("utf-8-sig"), {1, 2, 3})
    assert captions == {1: "c", 2: "two\nlines"}
    assert seen(findings) == [
        ("caption_bad_line", None, 6),
        ("caption_duplicate", "sa_1", 7),
        ("caption_missing", "sa_3", None),
    ]
    assert parse(b"img\tprompt\nsa_1.jpg\ta\n", {1}) == ({1: "a"}, [])


def test_an_endless_quotation_mark_in_csv():
    captions, findings = parse(b'img,prompt\nsa_1.jpg,a\nsa_2.jpg,"' + b"x" * 200_000, {1, 2})
    assert captions == {1: "a"} and {f.code for f in findings} == {"caption_bad_line", "caption_missing"}


def test_a_page_instead_of_captions_is_counted_not_listed():
    captions, findings = parse(b"<p>\n" * 5000, {1})
    assert captions == {} and len(findings) == MAX_BAD_LINES + 2
    assert parse(b"[" * 100_000, {1})[0] == {}
    assert seen(parse(b"", {1})[1]) == [("caption_missing", "sa_1", None)]


def test_write_is_upstreams_form():
    assert b"".join(write([(10, "b"), (2, "é")])) == (
        b'{"img": "sa_2.jpg", "prompt": "\\u00e9"}\n{"img": "sa_10.jpg", "prompt": "b"}\n'
    )
    assert list(write([])) == []
    chunks = list(write((i, "x" * 50) for i in range(5000)))
    assert len(chunks) > 1 and parse(b"".join(chunks), set(range(5000)))[1] == []


def test_controlnet_has_no_newline_at_the_end():
    rows = [controlnet_row("a", 1), controlnet_row("b", 2)]
    data = b"".join(controlnet(rows))
    assert not data.endswith(b"\n") and [json.loads(text) for text in data.split(b"\n")] == rows
    assert list(controlnet([])) == []


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=300) | st.text(max_size=200).map(lambda text: ("img,prompt\n" + text).encode("utf-8", "replace"))
)
def test_fuzz(data):
    captions, findings = parse(data, {1, 2})
    assert set(captions) <= {1, 2}
    b"".join(write(captions.items()))
    for finding in findings:
        str(finding).encode()


@pytest.mark.golden
@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden data")
@pytest.mark.parametrize(
    ("shard", "ids"), [("sa_000000", {1, 2, 3, 4, 5, 6, 7, 8, 10}), ("sa_000001", {11188, 11189, 11191})]
)
def test_golden_captions(shard, ids):
    captions, findings = parse((GOLDEN / "input" / f"{shard}-captions.jsonl").read_bytes(), ids)
    checks = json.loads((GOLDEN / "expected" / f"{shard}-checks.json").read_text())
    # The golden data count lines from 0 and say sa_2.jpg; the contract (section 8) counts from 1 and says sa_2.
    expected = {
        (c["code"], c["image"].removesuffix(".jpg"), None if c["index"] is None else c["index"] + 1) for c in checks
    }
    assert set(seen(findings)) == expected
    written = b"".join(write(captions.items()))
    assert written == (GOLDEN / "expected" / f"{shard}-blip2-caption.json").read_bytes()
    rows = b"".join(controlnet(controlnet_row(text, number) for number, text in captions.items()))
    assert rows == (GOLDEN / "expected" / f"{shard}-controlnet-train.json").read_bytes()
