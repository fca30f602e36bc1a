"""Label maps in runs, against a mask a value and pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from segassets.formats import label_map, panoptic

MAPS = st.tuples(st.integers(1, 40), st.integers(1, 9)).flatmap(
    lambda shape: arrays.arrays(np.uint16, shape, elements=st.sampled_from([0, 1, 7, 255, 24000, 65535]))
)


@settings(max_examples=150, deadline=None)
@given(MAPS)
def test_segments_and_run_lengths_are_those_of_masks(values):
    runs = label_map.row_runs(values)
    found = label_map.segments(runs)
    lengths = label_map.run_lengths(values)
    assert (runs.painted(runs.values) == values).all()
    assert found.values.tolist() == list(lengths) == np.unique(values).tolist()
    for value, area, box in zip(found.values.tolist(), found.areas.tolist(), found.boxes.tolist(), strict=True):
        encoded = coco.encode(np.asfortranarray((values == value).astype(np.uint8)))
        assert area == coco.area(encoded)
        assert box == coco.toBbox(encoded).tolist()
        size = list(values.shape)
        assert coco.frPyObjects({"size": size, "counts": lengths[value]}, *size)["counts"] == encoded["counts"]
        assert all(lengths[value][1:])


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_only_what_is_wanted_is_encoded(values):
    wanted = np.array([7, 24000])
    everything = label_map.run_lengths(values)
    assert label_map.run_lengths(values, wanted) == {v: everything[v] for v in (7, 24000) if v in everything}
    assert label_map.run_lengths(values, wanted[:0]) == {}


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_pairs_are_all_pixels(h, w, data):
    first, second = (data.draw(arrays.arrays(np.uint32, (h, w), elements=st.integers(0, 3))) for _ in range(2))
    a, b, pixels = label_map.pairs(first, second)
    assert pixels.sum() == h * w
    for x, y, n in zip(a, b, pixels, strict=True):
        assert n == ((first == x) & (second == y)).sum()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9), st.integers(1, 300), st.integers(0, 2**32))
def test_maps_are_joined_alike_with_and_without_the_kernel(h, w, seed):
    pytest.importorskip("numba")
    assert label_map.KERNEL.load()
    rng = np.random.default_rng(seed)
    first, second = (np.repeat(rng.integers(0, 3, (h, w)), int(rng.integers(1, 40)), 1)[:, :w] for _ in range(2))
    found = []
    for wanted in (True, False):
        label_map.KERNEL.wanted = wanted
        try:
            found.append(label_map.joined(first, second))
        finally:
            label_map.KERNEL.wanted = True
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    _, lengths, a, b = found[0]
    assert (np.repeat(a, lengths) == first.ravel()).all() and (np.repeat(b, lengths) == second.ravel()).all()


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_an_id_map_survives_its_png(values):
    runs = label_map.row_runs(values)
    known = np.unique(values)
    ids = known.astype(np.int64) * 255
    data = panoptic.ids_png(runs, known, ids)
    assert (panoptic.read_ids(data) == values.astype(np.uint32) * 255).all()


def test_equal_maps_have_equal_digests_whatever_they_were_made_from():
    first, second = np.array([[1, 2, 3], [3, 3, 3]], np.uint8), np.array([[4, 4, 5], [5, 6, 5]], np.uint8)
    table = np.array([0, 9, 9, 8, 9, 9, 9], np.uint8)
    digests = [panoptic.content(runs, table[runs.values]) for runs in map(label_map.row_runs, (first, second))]
    assert (table[first] == table[second]).all() == (digests[0] == digests[1])
    other = label_map.row_runs(np.array([[4, 4, 4, 5, 6, 5]], np.uint8))
    assert panoptic.content(other, table[other.values]) != digests[1]
