"""M-HIM2K masks: a detector's people, filtered, and for every alpha the mask that fits it best.

Source: the MaGGIe specification 4 (`parse_predictions` of tools/gen_mask, `process` of tools/match_mask2alpha.py at
f0235fd); golden data `match/`. An alpha that no mask fits has none in upstream's folder, and its loader then drops it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats import rle
from segassets.formats.matting_samples import read_grey
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


def read_predictions(data: bytes, images: bytes | None, path: str) -> tuple[dict[str, list[dict]], list[Finding]]:
    """Predictions by image name (up to the first dot, as upstream names its folders), by falling score.

    `data`: a COCO object with `images` and `annotations`, or a results list with the images in `images`. Raises
    BadItem `bad_json`, `predictions_images_missing`.
    """
    content = _json(data, path)
    if isinstance(content, dict):
        listed, results = content.get("images", []), content.get("annotations", [])
    elif images is None:
        message = "a list of results says nothing about images: put <subset>_images.json or images.json beside it"
        raise BadItem(error("predictions_images_missing", message, path=path))
    else:
        about = _json(images, path)
        listed, results = about.get("images", []) if isinstance(about, dict) else about, content
    try:
        names = {entry["id"]: re.sub(r".*/", "", str(entry["file_name"])).split(".")[0] for entry in listed}
        found: dict[str, list[dict]] = {name: [] for name in names.values()}
        findings = []
        for index, result in enumerate(results):
            if result["image_id"] not in names:
                message = f"image_id {result['image_id']} is not among the images; left aside"
                findings.append(warning("unknown_image", message, path=path, index=index))
                continue
            segmentation = result["segmentation"]
            found[names[result["image_id"]]].append(
                {
                    "score": float(result.get("score", 1.0)),
                    "category": int(result["category_id"]),
                    "size": [int(n) for n in segmentation["size"]],
                    "counts": segmentation["counts"],
                    "index": index,
                }
            )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise BadItem(error("bad_json", f"not COCO results ({type(problem).__name__}: {problem})", path=path)) from None
    return {name: sorted(kept, key=lambda one: -one["score"]) for name, kept in found.items()}, findings


def _json(data: bytes, path: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_json", f"it cannot be read as JSON: {problem}", path=path)) from None


def people(predictions: Sequence[Mapping[str, Any]], image: str) -> tuple[list[np.ndarray], list[float]]:
    """Masks (bool, (height, width)) of the predictions that count, and their scores, in the order given.

    Kept: persons, score at least 0.7 (as float32), at least 2 % of the image. Raises BadItem `bad_rle`.
    """
    masks, scores = [], []
    for one in predictions:
        if one["category"] != PERSON or not np.float32(one["score"]) >= np.float32(MIN_SCORE):
            continue
        size, counts = tuple(one["size"]), one["counts"]
        try:
            counts = rle.from_uncompressed(counts, size) if isinstance(counts, list) else counts
            mask = rle.decode(counts, size)
        except ValueError as problem:
            raise BadItem(error("bad_rle", str(problem), image=image, index=one["index"])) from None
        if np.count_nonzero(mask) < MIN_SHARE * mask.size:
            continue
        masks.append(np.asarray(mask, bool))
        scores.append(one["score"])
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
    masks, scores = people(predictions, image)
    raw, matched = f"masks_{model}/{subset}/{image}", f"masks_matched_{model}/{subset}/{image}"
    files = [File(f"{raw}/{k:02d}.png", gray_png(_grey(mask)), _content(mask)) for k, mask in enumerate(masks)]
    rows: dict[str, list] = {name: [] for name in MASK_ROWS}
    findings = []
    for name, ref in sorted(alphas.items()):
        alpha = _alpha(ref, name, image, masks)
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


def _alpha(ref: Any, name: str, image: str, masks: Sequence[np.ndarray]) -> np.ndarray:
    try:
        alpha = read_grey(ref.read())
    except ValueError as problem:
        raise BadItem(error("unreadable", str(problem), path=name, image=image)) from None
    if masks and masks[0].shape != alpha.shape:
        shape, other = alpha.shape[::-1], masks[0].shape[::-1]
        message = f"the alpha has {shape[0]} x {shape[1]} pixels, the predictions {other[0]} x {other[1]}"
        raise BadItem(error("size_mismatch", message, path=name, image=image))
    return alpha


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
