"""Panoptic quality: the rule on small maps, against a plain count of masks, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segassets.metrics import pq
from segassets.metrics.pq import Tally, Truth

MAPS = arrays.arrays(np.uint32, (6, 7), elements=st.integers(0, 5))


def naive(truth_ids, ids, truth, predicted):
    """The rule written with a mask a segment."""
    result = {}
    for t, segment in truth.items():
        for p, category in predicted.items():
            if segment.crowd or segment.category != category:
                continue
            a, b = truth_ids == t, ids == p
            union = (a | b).sum() - (b & (truth_ids == 0)).sum()
            if union and (a & b).sum() / union > 0.5:
                tally = result.setdefault(category, [0.0, 0, 0, 0, set(), set()])
                tally[0] += (a & b).sum() / union
                tally[1] += 1
                tally[4].add(t)
                tally[5].add(p)
    for t, segment in truth.items():
        if not segment.crowd:
            tally = result.setdefault(segment.category, [0.0, 0, 0, 0, set(), set()])
            tally[3] += t not in tally[4]
    for p, category in predicted.items():
        tally = result.setdefault(category, [0.0, 0, 0, 0, set(), set()])
        left_out = [0, *(t for t, segment in truth.items() if segment.crowd and segment.category == category)]
        mask = ids == p
        tally[2] += p not in tally[5] and not (mask & np.isin(truth_ids, left_out)).sum() / mask.sum() > 0.5
    return {c: (t[0], t[1], t[2], t[3]) for c, t in result.items() if any(t[:4])}


@settings(max_examples=150, deadline=None)
@given(MAPS, MAPS, st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=5, max_size=5), st.randoms())
def test_tallies_are_those_of_masks(truth_ids, ids, kinds, random):
    truth = {t: Truth(*kinds[t - 1]) for t in np.unique(truth_ids).tolist() if t}
    predicted = {p: random.randrange(3) for p in np.unique(ids).tolist() if p}
    found = pq.tallies(pq.overlaps(truth_ids, ids), truth, predicted)
    seen = {c: (t.iou, t.tp, t.fp, t.fn) for c, t in found.items() if t.seen}
    wanted = naive(truth_ids, ids, truth, predicted)
    assert seen.keys() == wanted.keys()
    assert all(seen[c] == pytest.approx(wanted[c], abs=1e-12) for c in wanted)


@settings(max_examples=50, deadline=None)
@given(MAPS)
def test_a_map_against_itself_is_perfect(ids):
    truth = {i: Truth(i % 2, False) for i in np.unique(ids).tolist() if i}
    found = pq.tallies(pq.overlaps(ids, ids), truth, {i: t.category for i, t in truth.items()})
    assert all(tally == Tally(tally.tp, tally.tp) for tally in found.values())
    assert all(group["pq"] in (1.0, None) for group in pq.averages(found, {0: False, 1: True}).values())


def test_half_is_no_match():
    truth_ids, ids = np.array([[1, 1, 1, 1]]), np.array([[2, 2, 3, 3]])
    found = pq.tallies(pq.overlaps(truth_ids, ids), {1: Truth(5, False)}, {2: 5, 3: 6})
    assert (found[5], found[6]) == (Tally(fp=1, fn=1), Tally(fp=1))


def test_two_crowds_of_a_category_both_count():
    truth_ids, ids = np.array([[1, 2, 3, 3, 3]]), np.array([[9, 9, 9, 8, 8]])
    truth = {1: Truth(5, True), 2: Truth(5, True), 3: Truth(5, False)}
    assert pq.tallies(pq.overlaps(truth_ids, ids), truth, {9: 5, 8: 5})[5] == Tally(2 / 3, 1, 0, 0)


def test_categories_that_nobody_saw_have_no_score():
    assert pq.averages({}, {1: True}) == {
        name: {"pq": None, "sq": None, "rq": None, "n": 0} for name in ("All", "Things", "Stuff")
    }


@pytest.mark.parametrize(
    ("ids", "segments", "code"),
    [
        ([0, 7], [], "id_not_in_json"),
        ([0], [{"id": 7, "category_id": 1}], "id_not_in_png"),
        ([7], [{"id": 7, "category_id": 3}], "unknown_category"),
        ([7], [{"id": 7, "category_id": 1}, {"id": 7, "category_id": 1}], "duplicate_id"),
    ],
)
def test_wrong_predictions_are_named(ids, segments, code):
    assert [finding.code for finding in pq.prediction_findings(ids, segments, [1, 2])] == [code]


def test_swapped_channels_are_recognised():
    findings = pq.prediction_findings([1 << 16], [{"id": 1, "category_id": 1}], [1])
    assert "red and blue look swapped" in findings[0].message
