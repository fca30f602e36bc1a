"""Connected regions: what a flood fills, in the order of their first pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segassets.formats.regions import labels, regions

MASKS = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda size: arrays(np.bool_, size))


def flooded(mask):
    """One region after the other, pixel by pixel."""
    left, found = {tuple(p) for p in np.argwhere(mask).tolist()}, []
    while left:
        seen, pending = set(), [min(left)]
        while pending:
            y, x = pending.pop()
            if (y, x) in left:
                left.remove((y, x))
                seen.add((y, x))
                pending += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        found.append(seen)
    return found


@given(MASKS)
def test_regions_are_what_a_flood_fills(mask):
    labelled, count = labels(mask)
    expected = flooded(mask)
    assert count == len(expected) and ((labelled > 0) == mask).all()
    found = [{tuple(p) for p in np.argwhere(labelled == k + 1).tolist()} for k in range(count)]
    assert found == expected


@given(MASKS)
def test_cut_out_they_make_up_the_mask(mask):
    whole = np.zeros(mask.shape, int)
    for part, (y, x) in regions(mask):
        assert part.any(0)[[0, -1]].all() and part.any(1)[[0, -1]].all()  # cut to its box
        whole[y : y + part.shape[0], x : x + part.shape[1]] += part
    assert (whole == mask).all()


def test_a_spiral_is_one_region():
    mask = np.zeros((41, 41), bool)
    y, x, dy, dx, steps = 20, 20, 0, 1, 2
    mask[y, x] = True
    for leg in range(36):
        for _ in range(steps + 2 * (leg // 2)):
            y, x = y + dy, x + dx
            if 0 <= y < 41 and 0 <= x < 41:
                mask[y, x] = True
        dy, dx = dx, -dy
    assert labels(mask)[1] == 1
