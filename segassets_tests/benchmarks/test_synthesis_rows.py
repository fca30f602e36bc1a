"""The benchmarks of synthesis run, and compare equal results. Nothing here is timed."""

import pytest

from segassets_tests.benchmarks import bench_synthesis, bench_video_synthesis


@pytest.mark.parametrize("bench", [bench_synthesis, bench_video_synthesis], ids=["images", "videos"])
def test_both_ways_give_equal_results(bench, monkeypatch):
    monkeypatch.setattr(bench, "compare", equal_only)
    assert all(bench.rows(quick=True))


def equal_only(name, ours, baseline, equal, **_):
    return equal(ours(), baseline())
