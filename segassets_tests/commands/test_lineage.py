"""Which raw files a partition reads: patterns of its own dataset, of another one's, of the top alone."""

from __future__ import annotations

import pytest

from segassets.commands.lineage import from_root, reads
from segassets.store.manifest import Footer

MARK = [1, 10, "digest"]


def footer(*patterns: str) -> Footer:
    return Footer("vps/img", "val", "1", "mark", raw=dict.fromkeys(patterns, MARK))


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*val/cls/*", "vps/release/val/cls/a.png", True),
        ("*val/cls/*", "other/release/val/cls/a.png", False),
        ("/cityscapes/*leftImg8bit/val/*", "cityscapes/leftImg8bit/val/ulm/a.png", True),
        ("/cityscapes/*leftImg8bit/val/*", "vps/cityscapes/leftImg8bit/val/ulm/a.png", False),
        ("./*.txt", "vps/links.txt", True),
        ("./*.txt", "vps/deep/links.txt", False),
        ("list.json", "vps/list.json", True),
        ("list.json", "list.json", False),
    ],
)
def test_a_pattern_reads_what_it_matches_below_its_own_root(pattern, path, expected):
    assert reads(footer(pattern), path) is expected


def test_a_pattern_that_found_nothing_has_read_nothing():
    assert not reads(Footer("vps/img", "val", "1", "mark", raw={"*.json": [0, 0, "none"]}), "vps/a.json")


def test_patterns_are_told_from_the_raw_root():
    made = footer()
    assert [from_root(made, one) for one in ("a/*", "/b/c", "./*.txt")] == ["vps/a/*", "b/c", "vps/*.txt"]
