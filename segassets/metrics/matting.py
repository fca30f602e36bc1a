"""Errors of mattes as MaGGIe's evaluation defines them: MAD, MSE, SAD, Grad, Conn.

Arrays are float, (instances, height, width), values 0 to 1, at the image's original size; trimaps 0, 1, 2. Every
function gives the mean over the instances of an image, and raises ValueError for different shapes. Depends on resolution: MAD and MSE are divided by the number of
pixels twice (mean / pixels * 1e10, which is mean * 1e4 at one megapixel only), SAD, Grad and Conn grow with it. Never
compare across sizes. Source: the MaGGIe specification 5; the definitions of `maggie/utils/metric.py` (62344dd).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from segassets.metrics.matting_components import largest_component

SIGMA = 1.4
STEP = 0.1
SMALL = 1e-6
FOREGROUND, TRANSITION, BACKGROUND = 2, 1, 0


def clean(prediction: np.ndarray) -> np.ndarray:
    """A prediction as it is scored: up to 1/255 is 0, from 254/255 on is 1. A new array."""
    out = np.array(prediction, dtype=np.float32)
    out[out <= 1 / 255] = 0
    out[out >= 254 / 255] = 1
    return out


def sad(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Sum of absolute differences, in thousands of pixels."""
    return float(np.abs(_difference(prediction, truth)).sum() / 1000 / len(truth))


def mad(prediction: np.ndarray, truth: np.ndarray, region: np.ndarray | None = None) -> float:
    """Mean absolute difference over the frame, divided by the pixels (of `region`, when given) once more, times 1e10."""
    return _mean_by_area(np.abs(_difference(prediction, truth)), region)


def mse(prediction: np.ndarray, truth: np.ndarray, region: np.ndarray | None = None) -> float:
    """The same of squared differences."""
    return _mean_by_area(_difference(prediction, truth) ** 2, region)


def _difference(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """In double precision. ValueError for arrays of different shapes, which numpy would stretch."""
    check_shapes(prediction, truth)
    return np.asarray(prediction, np.float64) - truth


def check_shapes(prediction: np.ndarray, truth: np.ndarray) -> None:
    """ValueError unless both have one shape."""
    if np.shape(prediction) != np.shape(truth):
        raise ValueError(f"the prediction has the shape {np.shape(prediction)}, the truth {np.shape(truth)}")


def _mean_by_area(error: np.ndarray, region: np.ndarray | None) -> float:
    if region is None:
        pixels = np.full(len(error), error[0].size, np.float64)
    else:
        check_shapes(region, error)
        error = error * region
        pixels = region.sum(axis=(1, 2), dtype=np.float64)
    return float((error.mean(axis=(1, 2)) / (pixels + SMALL)).mean() * 1e10)


def grad(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Squared difference of gradient magnitudes (Gaussian derivative, sigma 1.4, zeros outside), in thousands.

    Both are stretched to 0 ... 1 over all instances together, not one by one.
    """
    check_shapes(prediction, truth)
    error = 0.0
    for one, other in zip(_stretched(prediction), _stretched(truth), strict=True):
        error += float(((_gradient(one) - _gradient(other)) ** 2).sum())
    return error / 1000 / len(truth)


def _stretched(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float32)
    low, high = values.min(), values.max()
    return (values - low) / (high - low + np.float32(SMALL))


def derivative_filters(sigma: float = SIGMA, epsilon: float = 1e-2) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian and its derivative, 1-d, scaled so that their outer product has norm one."""
    half = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * epsilon)))
    x = np.arange(-half, half + 1, dtype=np.float64)
    smooth = np.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    slope = -x * smooth / sigma**2
    return smooth / np.linalg.norm(smooth), slope / np.linalg.norm(slope)


def _gradient(values: np.ndarray) -> np.ndarray:
    smooth, slope = derivative_filters()
    across = _filtered(_filtered(values, slope, 1), smooth, 0)
    down = _filtered(_filtered(values, smooth, 1), slope, 0)
    return np.hypot(across, down)


def _filtered(values: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """Correlation along an axis, zeros outside."""
    half = len(weights) // 2
    width = [(half, half) if k == axis else (0, 0) for k in range(2)]
    padded = np.pad(values, width)
    n = values.shape[axis]
    out = np.zeros(values.shape, np.float64)
    for k, weight in enumerate(weights):
        out += weight * (padded[k : k + n] if axis == 0 else padded[:, k : k + n])
    return out


def conn(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Connectivity error, step 0.1, neighbours by edges, in thousands of pixels."""
    check_shapes(prediction, truth)
    pairs = zip(prediction, truth, strict=True)
    errors = [_connectivity(np.asarray(one, np.float32), np.asarray(other, np.float32)) for one, other in pairs]
    return sum(errors) / 1000 / len(truth)


def _connectivity(prediction: np.ndarray, truth: np.ndarray) -> float:
    """How far each pixel is cut off: the highest level at which it still hangs together with the largest part.

    In single precision, levels included, as upstream: 153/255 then is at the level 0.6, which in double it is not.
    """
    level = np.full(truth.shape, -1, np.float32)
    levels = np.arange(0, 1 + STEP, STEP).astype(np.float32)
    smaller = np.minimum(prediction, truth)
    for below, here in pairwise(levels):
        source = largest_component(smaller >= here)
        level[(level == -1) & ~source] = below
    level[level == -1] = 1
    lost = []
    for values in (prediction, truth):
        distance = values - level
        lost.append(1 - distance * (distance >= 0.15))
    return float(np.abs(lost[0] - lost[1]).sum(dtype=np.float64))


def dtssd(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Temporal error of a clip, (frames, instances, height, width): root of the squared differences of changes.

    The mean over instances of sqrt(sum) * 0.1. It grows with resolution and with the number of frames.
    """
    check_shapes(prediction, truth)
    change = np.diff(np.asarray(prediction, np.float64), axis=0) - np.diff(np.asarray(truth, np.float64), axis=0)
    return float(np.sqrt((change**2).sum(axis=(0, 2, 3))).sum() * 0.1 / truth.shape[1])


def image_scores(prediction: np.ndarray, truth: np.ndarray, trimap: np.ndarray) -> dict[str, float]:
    """All scores of an image, by upstream's names. `prediction` is cleaned here."""
    prediction = clean(prediction)
    regions = {"fg": trimap == FOREGROUND, "bg": trimap == BACKGROUND, "unk": trimap == TRANSITION}
    return {
        "MAD": mad(prediction, truth),
        "MSE": mse(prediction, truth),
        "SAD": sad(prediction, truth),
        "Grad": grad(prediction, truth),
        "Conn": conn(prediction, truth),
        **{f"MAD_{name}": mad(prediction, truth, region) for name, region in regions.items()},
    }


def average(scores: Sequence[Mapping[str, float]], instances: Sequence[int]) -> dict[str, float]:
    """The average of a dataset as upstream has it: over instances, not over images."""
    total = sum(instances) + SMALL
    return {
        name: sum(score[name] * count for score, count in zip(scores, instances, strict=True)) / total
        for name in scores[0]
    }


METRICS: dict[str, Callable] = {"MAD": mad, "MSE": mse, "SAD": sad, "Grad": grad, "Conn": conn, "dtSSD": dtssd}
