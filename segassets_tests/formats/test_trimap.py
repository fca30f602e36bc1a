"""Trimaps and perturbed masks: equal to OpenCV's morphology, pixel by pixel."""

import numpy as np
import pytest

from segassets.formats.trimap import dilate, ellipse, erode, not_constant, perturbed, trimap

cv2 = pytest.importorskip("cv2")


def blobs(seed, shape=(70, 90)):
    random = np.random.RandomState(seed)
    values = cv2.GaussianBlur((random.rand(*shape) > 0.5).astype(np.float32), (0, 0), 6)
    return np.clip((values - 0.45) * 2550, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kernel", [3, 5, 9, 25, 31])
def test_the_ellipse_is_opencvs(kernel):
    theirs = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (kernel, kernel))
    assert [2 * half + 1 for half in ellipse(kernel)] == theirs.sum(axis=1).tolist()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kernel", [5, 25])
def test_transition_is_where_dilation_and_erosion_differ(seed, kernel):
    values = blobs(seed)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (kernel, kernel))
    theirs = cv2.dilate(values, element) - cv2.erode(values, element) > 0
    assert np.array_equal(not_constant(values, kernel), theirs)


@pytest.mark.parametrize("value", [0, 255])
def test_constant_alphas_have_no_transition(value):
    assert np.unique(trimap(np.full((9, 4), value, np.uint8))).tolist() == [2 if value else 0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (13, 13)])
def test_small_images(shape):
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25))
    theirs = cv2.dilate(values, element) - cv2.erode(values, element) > 0
    assert np.array_equal(not_constant(values, 25), theirs)


@pytest.mark.parametrize("kernel", [1, 2, 3, 8, 29])
def test_squares_of_even_and_odd_size(kernel):
    mask = blobs(3) > 127
    element = np.ones((kernel, kernel), np.uint8)
    assert np.array_equal(dilate(mask, kernel), cv2.dilate(mask.astype(np.uint8), element) > 0)
    assert np.array_equal(erode(mask, kernel), cv2.erode(mask.astype(np.uint8), element) > 0)


def test_perturbed_masks_depend_on_the_seed_only():
    alpha = blobs(1)
    first = [perturbed(alpha, np.random.RandomState(seed)) for seed in range(6)]
    assert all(np.array_equal(a, perturbed(alpha, np.random.RandomState(s))) for s, a in enumerate(first))
    assert {int(value) for mask in first for value in np.unique(mask)} <= {0, 255}


def test_pictures_smaller_than_the_kernel():
    for shape in ((1, 1), (1, 40), (5, 7), (11, 30), (12, 3)):
        alpha = np.random.RandomState(1).randint(0, 256, shape).astype(np.uint8)
        assert np.array_equal(trimap(alpha) == 1, not_constant(np.pad(alpha, 30, mode="edge"), 25)[30:-30, 30:-30])
