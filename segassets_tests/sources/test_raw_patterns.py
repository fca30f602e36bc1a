"""Patterns of raw files as people read them."""

import pytest

from segassets.sources.raw import plain_pattern
from segassets.sources.split_archive import lookalikes


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [("./x.tar", "x.tar"), ("*gtFine/[!tv]*_gtFine_[!p]*", "*gtFine/*_gtFine_*"), (lookalikes("I-HIM50K")[0], "I-HIM50K.z*")],
)  # fmt: skip
def test_patterns_are_shown_without_their_tricks(pattern, shown):
    assert plain_pattern(pattern) == shown
