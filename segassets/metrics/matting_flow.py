"""MESSDdt: the temporal error along optical flow. Needs OpenCV (`pip install 'segassets[matting]'`), for its flow.

OpenCV's Farneback flow is what the metric is defined by, and its values differ a little between versions: compare to
one percent. Source: the MaGGIe specification 5; the definition of `maggie/utils/metric.py` (62344dd).
"""

from __future__ import annotations

import numpy as np

from segassets.errors import SegassetsError
from segassets.metrics.matting import check_shapes


def _opencv():
    try:
        import cv2
    except ImportError:
        raise SegassetsError(
            "MESSDdt needs OpenCV's optical flow; install it: pip install 'segassets[matting]'"
        ) from None
    return cv2


def messddt(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Of a clip, (frames, instances, height, width), values 0 to 1: the mean over instances.

    Per pixel and pair of frames: the squared error less the squared error at the place the flow of the truth leads to;
    absolute values, by the number of pixels, times 1e4. Upstream's look-up is reproduced, quirks and all: rows and
    columns are exchanged in it, and the first pair's later frame is looked at for all pairs. So the values are those of
    the papers' tables, but motion compensated in name only; and they depend on the frame's shape.
    """
    check_shapes(prediction, truth)
    instances = truth.shape[1]
    return sum(_one_instance(prediction[:, i], truth[:, i]) for i in range(instances)) * 1e4 / instances


def _one_instance(prediction: np.ndarray, truth: np.ndarray) -> float:
    pairs, (h, w) = len(truth) - 1, truth.shape[1:]
    flow = np.rint(np.stack([_flow(truth[t], truth[t + 1]) for t in range(pairs)])).astype(np.int64)
    row, column = np.mgrid[0:h, 0:w]
    first = np.clip(column + flow[..., 0], 0, h - 1)
    second = np.clip(row + flow[..., 1], 0, w - 1)
    place = first * w + second
    squared = (np.asarray(prediction, np.float64) - truth) ** 2
    later = squared[1].reshape(-1)[place]
    return float(np.abs(squared[:-1] - later).sum() / (pairs * (h * w + 1.0)))


def _flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    cv2 = _opencv()
    frames = [np.ascontiguousarray(frame * 255).astype(np.uint8) for frame in (before, after)]
    return cv2.calcOpticalFlowFarneback(
        *frames, None, pyr_scale=0.5, levels=5, winsize=10, iterations=2, poly_n=7, poly_sigma=1.5,
        flags=cv2.OPTFLOW_FARNEBACK_GAUSSIAN,
    )  # fmt: skip
