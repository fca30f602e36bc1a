"""M-HIM2K masks: a detector's people, filtered, and for every alpha the mask that fits it best.

Source: the MaGGIe specification 4 (`parse_predictions` of tools/gen_mask, `process` of tools/match_mask2alpha.py at
f0235fd); golden data `match/`. An alpha that no mask fits has none in upstream's folder, and its loader then drops it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segassets.findings import BadItem, error, warning
from segassets.formats.matching_predictions import mask_of
from segassets.formats.matting_samples import alpha_of
from segassets.formats.png import gray_png
from segassets.formats.trimap import perturbed
from segassets.items import File, Made

PERSON = 1  # category id of COCO
MIN_SCORE, MIN_SHARE, MIN_IOU = 0.7, 0.02, 0.7
MAX_ATTEMPTS = 20

MASK_ROWS = {
    "image": "string",
    "alpha": "string",
    "best_iou": "double",
    "best_mask": "string",
    "matched": "bool",
    "source": "string",
    "score": "double",
}


def people(
    predictions: Sequence[Mapping[str, Any]], image: str, size: tuple[int, int] | None
) -> tuple[list[np.ndarray], list[float]]:
    """Masks (bool, (height, width)) of the predictions that count, and their scores, in the order given.

    Kept: persons, score at least 0.7 (as float32), at least 2 % of the image. `size`: (height, width) of the image's
    alphas, None where it has none. Raises BadItem with a finding a prediction: `bad_rle`, `size_mismatch`.
    """
    masks, scores, findings = [], [], []
    for one in predictions:
        if one["category"] != PERSON or not np.float32(one["score"]) >= np.float32(MIN_SCORE):
            continue
        where = {"image": image, "index": one["index"]}
        size = size or tuple(one["size"])
        if tuple(one["size"]) != size:
            found = f"the prediction has {one['size'][1]} x {one['size'][0]} pixels, the alphas {size[1]} x {size[0]}"
            findings.append(error("size_mismatch", f"{found}: predict on the image in its own size", **where))
            continue
        try:
            mask = mask_of(one, size)
        except ValueError as problem:
            findings.append(error("bad_rle", str(problem), **where))
            continue
        if np.count_nonzero(mask) < MIN_SHARE * mask.size:
            continue
        masks.append(mask)
        scores.append(one["score"])
    if findings:
        raise BadItem(*findings)
    return masks, scores


def best_mask(alpha: np.ndarray, masks: Sequence[np.ndarray]) -> tuple[int | None, float]:
    """(number of the first mask with the highest IoU with alpha > 0, that IoU); (None, 0) without masks."""
    if not masks:
        return None, 0.0
    there = alpha > 0
    scores = [np.count_nonzero(there & m) / (np.count_nonzero(there | m) + 1e-6) for m in masks]
    best = int(np.argmax(scores))
    return best, float(scores[best])


def seed_of(*names: str) -> int:
    """A seed that depends on names only, not on order or workers."""
    return int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest()[:4], "big")


def filled(alpha: np.ndarray, seed: int) -> np.ndarray:
    """A perturbed alpha that is not empty; the binary alpha itself when twenty draws give none. uint8, 0 and 255."""
    random = np.random.RandomState(seed)
    for _ in range(MAX_ATTEMPTS):
        mask = perturbed(alpha, random)
        if mask.any():
            return mask
    return np.where(alpha > 127, np.uint8(255), np.uint8(0))


def masks_of_image(
    image: str,
    alphas: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    model: str,
    subset: str,
    fill_unmatched: bool,
) -> Made:
    """All kept masks of an image, `masks_<model>/<subset>/<image>/NN.png`, and for each of its alphas the matched one.

    `alphas`: file name → reference. Raises BadItem for an alpha or a mask that cannot be used.
    """
    opened = {name: alpha_of(ref, image) for name, ref in sorted(alphas.items())}
    masks, scores = people(predictions, image, _size(opened, alphas, image))
    raw, matched = f"masks_{model}/{subset}/{image}", f"masks_matched_{model}/{subset}/{image}"
    files = [File(f"{raw}/{k:02d}.png", gray_png(_grey(mask)), _content(mask)) for k, mask in enumerate(masks)]
    rows: dict[str, list] = {name: [] for name in MASK_ROWS}
    findings = []
    for name, alpha in opened.items():
        best, score = best_mask(alpha, masks)
        fits = score > MIN_IOU
        source = "predicted" if fits else ("synthetic" if fill_unmatched else "none")
        if fits:
            files.append(File(f"{matched}/{name}", gray_png(_grey(masks[best])), _content(masks[best])))
        elif fill_unmatched:
            mask = filled(alpha, seed_of(model, subset, image, name))
            files.append(File(f"{matched}/{name}", gray_png(mask), _content(mask > 0)))
        else:
            message = f"best IoU {score:.3f}, needed is more than {MIN_IOU}: no mask, and the loader leaves it out"
            findings.append(warning("alpha_without_mask", message, path=name, image=image))
        values = (image, name, round(score, 6), None if best is None else f"{best:02d}.png", fits, source)
        for column, value in zip(rows, (*values, scores[best] if best is not None else None), strict=True):
            rows[column].append(value)
    return Made(files, rows, findings)


def _size(opened: Mapping[str, np.ndarray], alphas: Mapping[str, Any], image: str) -> tuple[int, int] | None:
    """(height, width) that all alphas of an image have. Raises BadItem `size_mismatch`."""
    size = next((alpha.shape for alpha in opened.values()), None)
    findings = [
        error("size_mismatch", f"{alpha.shape[1]} x {alpha.shape[0]} pixels, the image's first alpha has "
              f"{size[1]} x {size[0]}: give all of them one size", path=alphas[name].label, image=image)
        for name, alpha in opened.items()
        if alpha.shape != size
    ]  # fmt: skip
    if findings:
        raise BadItem(*findings)
    return size


def _grey(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8) * np.uint8(255)


def _content(mask: np.ndarray) -> bytes:
    """Digest of what a mask decodes to."""
    return hashlib.sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes()).digest()


def matching_findings(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the UI shows of a model: matched share, mean IoU, images without any mask."""
    if not rows:
        return {"matched share": 0.0, "mean IoU": 0.0, "images without any mask": 0}
    images = {row["image"] for row in rows}
    with_mask = {row["image"] for row in rows if row["best_mask"] is not None}
    return {
        "alphas": len(rows),
        "matched share": round(sum(row["matched"] for row in rows) / len(rows), 4),
        "mean IoU": round(sum(row["best_iou"] for row in rows) / len(rows), 4),
        "images without any mask": len(images - with_mask),
    }
