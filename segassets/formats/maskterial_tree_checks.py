"""What is wrong with the images, semantic masks and sets of a MaskTerial tree that somebody else made.

Rules: MaskTerial specification, sections 1.2 to 1.4 and 6. Annotation files are in `maskterial_checks`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats import maskterial
from segassets.formats.maskterial_checks import AnnotationFile


def image_findings(
    found: AnnotationFile, present: Iterable[str], sizes: Mapping[str, tuple[int, int]], folder: str
) -> list[Finding]:
    """Listed images that are not there or have another size, images that no file lists. `sizes`: name → (h, w)."""
    there, listed = set(present), {image["file_name"]: image for image in found.images.values()}
    findings = [
        error("image_missing", f"{folder}/{name} is listed, but is not there", path=found.path, image=name)
        for name in sorted(set(listed) - there)
    ]
    for name in sorted(set(listed) & set(sizes)):
        stated = (listed[name]["height"], listed[name]["width"])
        if stated != sizes[name]:
            told = f"{stated} (h, w) is stated, the image as displayed has {sizes[name]}"
            findings.append(error("image_size", told, path=found.path, image=name))
    told = "no annotation file lists it; left aside"
    findings += [
        warning("image_unlisted", told, path=f"{folder}/{name}", image=name) for name in sorted(there - set(listed))
    ]
    return findings


def mask_findings(data: bytes, expected: np.ndarray, categories: Iterable[int], path: str) -> list[Finding]:
    """Whether a semantic mask is an 8-bit grey PNG that equals what is painted from the full file (uint8 h x w)."""
    where = {"path": path, "image": path.rsplit("/", 1)[-1].rpartition(".")[0]}
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.mode != "L":
                told = (
                    f"mode {picture.mode}, expected L (8-bit grey): cv2.imread(path, 0) gives grey levels, no classes"
                )
                return [error("mask_mode", told, **where)]
            pixels = np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as problem:
        return [error("mask_unreadable", f"no PNG that can be read ({type(problem).__name__})", **where)]
    if pixels.shape != expected.shape:
        return [error("mask_size", f"it has {pixels.shape} pixels (h, w), the image {expected.shape}", **where)]
    findings = []
    strange = sorted(set(np.unique(pixels).tolist()) - {0, *categories})
    if strange:
        told = f"values {strange[:5]} are no classes ({sorted(categories)}); a pixel is a class id"
        findings.append(error("mask_values", told, **where))
    differing = np.argwhere(pixels != expected)
    if len(differing):
        y, x = differing[0].tolist()
        told = f"{len(differing):,} pixels differ from the painted annotations, the first at x {x}, y {y}: "
        told += f"{pixels[y, x]}, expected {expected[y, x]} (instances of more than {maskterial.MASK_THRESHOLD} pixels)"
        findings.append(error("mask_differs", told, **where))
    return findings


def read_sets(data: bytes, path: str) -> tuple[dict[str, list[str]], list[Finding]]:
    """Stems of images by set, from any shape that is known: lists of names with or without a suffix, one name, or
    the bare manifest of set names (`set_manifest`: which images they have is then unknown). BadItem `bad_meta_data`."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_meta_data", f"it cannot be read as JSON: {problem}", path=path)) from None
    if not isinstance(document, dict):
        raise BadItem(error("bad_meta_data", "expected {set name: [images]}", path=path))
    sets: dict[str, list[str]] = {}
    for name, value in document.items():
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
            raise BadItem(error("bad_meta_data", f"{name!r} is no list of images", path=path))
        sets[name] = [text.rpartition(".")[0] or text for text in values]
    if len(sets) == 1 and next(iter(sets)) in ("test sets", "train sets"):
        told = "only names of sets: which image belongs to which is unknown"
        return {}, [warning("set_manifest", told, path=path)]
    return sets, []


def set_findings(sets: Mapping[str, Sequence[str]], stems: Iterable[str], path: str) -> list[Finding]:
    """Images of sets that are none, that are in two sets, and images without a set."""
    known, seen, findings = set(stems), {}, []
    for name, members in sets.items():
        for stem in members:
            if stem not in known:
                told = f"set {name} names {stem}, which is no image of this split"
                findings.append(error("unknown_uuid", told, path=path, image=stem))
            elif seen.setdefault(stem, name) != name:
                told = f"it is in the sets {seen[stem]} and {name}"
                findings.append(error("several_sets", told, path=path, image=stem))
    if sets and (lacking := sorted(known - set(seen))):
        told = f"{len(lacking)} images are in no set ({', '.join(lacking[:3])})"
        findings.append(info("no_set", told, path=path))
    return findings
