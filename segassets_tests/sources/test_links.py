"""The links file of SA-1B."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segassets.sources.links import expiry, parse_links

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "sa1b"
NOW = datetime(2024, 1, 1, tzinfo=UTC)
URL = "https://cdn.example.invalid/a.tar?oh=SECRET"


def test_rows_are_sorted_into_shards_and_others():
    text = f"file_name\tcdn_link\nsa_000002.tar\t{URL}2\nsa_images_ids.txt\t{URL}3\nsa_000001.tar\t{URL}1"
    links = parse_links(text.encode(), NOW)
    assert list(links.shards.items()) == [("sa_000001.tar", URL + "1"), ("sa_000002.tar", URL + "2")]
    assert links.other == {"sa_images_ids.txt": URL + "3"}
    assert (links.duplicates, links.bad_lines, links.expired, links.findings) == ([], [], [], [])


def test_marks_line_ends_and_blanks_are_tolerated():
    text = f"\ufefffile_name\tcdn_link\r\n\r\nsa_000001.tar   {URL}\r\n"
    assert parse_links(text.encode(), NOW).shards == {"sa_000001.tar": URL}


def test_last_duplicate_wins_and_bad_lines_are_numbered():
    good = f"sa_000001.tar\t{URL}\nsa_000001.tar\t{URL}x\n"
    text = good + f"junk\n../up.tar\t{URL}\nsa_000002.tar\tftp://x/y\na\tb\tc\nx\thttp://[\n"
    links = parse_links(text.encode(), NOW)
    assert links.shards == {"sa_000001.tar": URL + "x"} and links.duplicates == ["sa_000001.tar"]
    assert links.bad_lines == [3, 4, 5, 6, 7]
    assert [(f.code, f.index) for f in links.findings] == [
        ("link_duplicate", 2),
        *(("link_bad_line", i) for i in (3, 4, 5, 6, 7)),
    ]
    assert not any("SECRET" in str(f) for f in links.findings)


def test_expiry_is_read_from_the_url():
    assert expiry("https://x/y?a=1&oe=6592B880&b=2") == datetime.fromtimestamp(0x6592B880, UTC)
    assert expiry("https://x/y?oe=zz") is None and expiry("https://x/y") is None
    text = b"sa_000001.tar\thttps://x/y?oe=65000000\nsa_000002.tar\thttps://x/y?oe=70000000\n"
    links = parse_links(text, NOW)
    assert links.expired == ["sa_000001.tar"] and set(links.shards) == {"sa_000001.tar", "sa_000002.tar"}
    (finding,) = links.findings
    assert finding.code == "link_expired" and "2023-09" in finding.message and "segment-anything" in finding.message
    assert parse_links(text, NOW.replace(tzinfo=None)).expired == ["sa_000001.tar"]


def test_a_page_instead_of_links():
    links = parse_links(b"<!DOCTYPE html>\n" * 5000, NOW)
    assert links.shards == {} and len(links.bad_lines) == 5000 and len(links.findings) == 100


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_fuzz(data):
    parse_links(b"sa_000001.tar\thttps://x/" + data, NOW)
    parse_links(data, NOW)


@pytest.mark.golden
@pytest.mark.skipif(not GOLDEN.exists(), reason="no golden data")
def test_golden_links():
    links = parse_links((GOLDEN / "input" / "sa1b_links.txt").read_bytes(), NOW)
    expected = json.loads((GOLDEN / "expected" / "links.json").read_text())
    assert {key: getattr(links, key) for key in expected} == expected
