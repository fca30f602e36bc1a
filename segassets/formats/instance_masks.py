"""Instance masks: grey PNGs in which a pixel is the index of its flake, as MaskTerial's watershed notebook writes them.

Index 0 is the background. Classes come from a sidecar {"<stem>": {"<index>": class}}; class 0 rejects an index.
Source: MaskTerial specification, 2.4; the contract's `instance_masks/instance_classes.json`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats.labelme import Instance
from segassets.formats.maskterial_classes import Classes
from segassets.formats.polygons import mask_of_crop

MODES = ("L", "I;16", "P", "1")


def read_sidecar(data: bytes, **where: Any) -> dict[str, dict[int, int]]:
    """Class of every index of every mask, by stem. BadItem `bad_sidecar`."""
    try:
        document = json.loads(data)
        return {
            str(stem): {int(index): int(number) for index, number in indices.items()}
            for stem, indices in document.items()
        }
    except (ValueError, AttributeError, TypeError, RecursionError) as problem:
        told = 'expected {"<stem>": {"<index>": <class id>}}'
        raise BadItem(error("bad_sidecar", f"{told}, found {type(problem).__name__}: {problem}", **where)) from None


def read_mask(data: bytes) -> np.ndarray:
    """Indices, uint8 or uint16 (h, w). BadItem `bad_mask`: no PNG, or one of another mode than grey or palette."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.mode not in MODES:
                told = f"its mode is {picture.mode}, expected 8- or 16-bit grey: a pixel is the index of its flake"
                raise BadItem(error("bad_mask", told))
            return np.asarray(picture).astype(np.uint16 if picture.mode == "I;16" else np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise BadItem(error("bad_mask", f"it cannot be read as PNG ({type(problem).__name__}: {problem})")) from None


def instances(
    indices: np.ndarray, classes: Classes, sidecar: Mapping[int, int] | None = None
) -> tuple[list[Instance], list[Finding]]:
    """The flakes by index; `sidecar` gives their classes, without one all are class 1. BadItem with all errors.

    Errors: unclassified, unknown_category. Findings: rejected_index (info), index_overflow, binary_mask (warnings).
    """
    size = indices.shape
    present = np.flatnonzero(np.bincount(indices.reshape(-1)))
    present = present[present > 0].tolist()
    findings = _suspicious(indices, present)
    found = []
    for index in present:
        number = 1 if sidecar is None else sidecar.get(index)
        if number == 0:
            findings.append(info("rejected_index", f"index {index} has class 0 in the sidecar; left out", index=index))
            continue
        if number is None:
            told = f"index {index} has no class in the sidecar (0 rejects it)"
            findings.append(error("unclassified", told, index=index))
        elif number not in classes.ids:
            told = f"class {number} of index {index} is none of {classes.ids}"
            findings.append(error("unknown_category", told, index=index))
        else:
            found.append(Instance(number, mask_of_crop(indices == index, (0, 0), size), index))
    if any(finding.severity == "error" for finding in findings):
        raise BadItem(*findings)
    return found, findings


def _suspicious(indices: np.ndarray, present: list[int]) -> list[Finding]:
    if indices.dtype != np.uint8 or 255 not in present:
        return []
    if present == [255]:
        told = "its only value is 255: a mask of black and white holds one instance, not one a flake"
        return [warning("binary_mask", told)]
    if len(present) == 255:
        return [warning("index_overflow", "all 255 indices of 8 bits are used: flakes beyond that are lost")]
    return []
