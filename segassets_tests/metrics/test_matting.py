"""Matting metrics: perfect predictions, known values, the largest component beside scikit-image."""

import numpy as np
import pytest

from segassets.metrics.matting import average, clean, conn, dtssd, grad, image_scores, mad, mse, sad
from segassets.metrics.matting_components import largest_component


@pytest.fixture
def truth():
    values = np.zeros((2, 30, 40))
    values[0, 5:20, 5:20] = 1
    values[1, 10:28, 22:38] = 0.5
    return values


def test_a_perfect_prediction_has_no_error(truth):
    trimap = np.where(truth == 1, 2, np.where(truth > 0, 1, 0))
    assert all(value == 0 for value in image_scores(truth, truth, trimap).values() if not np.isnan(value))


def test_known_values(truth):
    worse = truth.copy()
    worse[0, 0, 0] = 0.5
    assert sad(worse, truth) == pytest.approx(0.5 / 1000 / 2)
    assert mad(worse, truth) == pytest.approx(0.5 / 1200 / 1200 * 1e10 / 2)
    assert mse(worse, truth) == pytest.approx(0.25 / 1200 / 1200 * 1e10 / 2)
    assert grad(worse, truth) > 0


def test_scores_depend_on_resolution(truth):
    worse = truth * 0.9
    twice = [values.repeat(2, 1).repeat(2, 2) for values in (worse, truth)]
    assert mad(*twice) == pytest.approx(mad(worse, truth) / 4)
    assert sad(*twice) == pytest.approx(sad(worse, truth) * 4)


def test_a_part_that_is_cut_off_counts_for_connectivity(truth):
    truth[0, 25:29, 2:6] = 1
    broken = truth.copy()
    broken[0, 25:29, 2:6] = 0
    assert conn(broken, truth) == pytest.approx(16 / 1000 / 2)


def test_predictions_are_cleaned():
    assert clean(np.array([0, 1 / 255, 2 / 255, 253 / 255, 254 / 255])).tolist() == pytest.approx(
        [0, 0, 2 / 255, 253 / 255, 1]
    )


def test_changes_over_time(truth):
    clip = np.stack([truth, truth])
    assert dtssd(clip, clip) == 0
    flicker = clip.copy()
    flicker[1, 0, 0, 0] = 1
    assert dtssd(flicker, clip) == pytest.approx(0.1 / 2)


def test_averages_are_over_instances():
    assert average([{"SAD": 1.0}, {"SAD": 4.0}], [1, 3])["SAD"] == pytest.approx(13 / 4, rel=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_the_largest_component(seed):
    label = pytest.importorskip("skimage.measure").label
    random = np.random.RandomState(seed)
    mask = random.rand(40, 50) < random.uniform(0, 0.8)
    parts = label(mask, connectivity=1)
    expected = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1 if mask.any() else mask
    assert np.array_equal(largest_component(mask), expected)


@pytest.mark.parametrize("metric", [mad, mse, sad, grad, conn, dtssd])
def test_arrays_of_different_shapes_are_refused(metric):
    with pytest.raises(ValueError, match="shape"):
        metric(np.zeros((2, 1, 6)), np.zeros((2, 5, 6)))
