"""What the pixels of a matting sample give away: sizes, modes, empty or weak alphas, masks that are none.

Belongs here: one image with its alphas and masks, as bytes. Not here: names and folders (`matting_layouts`).
Source: the MaGGIe specification 2.1 to 2.4.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats import jpeg
from segassets.formats.matting_dataset import MAX_INSTANCES, Layout, Sample
from segassets.formats.pictures import reason

FOREGROUND = 127
SMALL_AREA = 0.001
LOW_IOU = 0.7
MAX_PIXELS = 1 << 28
MAX_SUM = 255 + 2  # alphas of one pixel, with a rounding of one level each
MAX_BYTES = 1 << 30

Read = Callable[[str], bytes]


@dataclass
class Looked:
    """What one sample came to: findings, its (width, height), and how many alphas could be read."""

    findings: list[Finding] = field(default_factory=list)
    size: tuple[int, int] | None = None
    alphas: int = 0


def read_grey(data: bytes) -> np.ndarray:
    """An 8-bit grey image, (height, width) uint8. ValueError says what it is instead, or why it cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"it states {picture.width} x {picture.height} pixels")
            picture.load()
            if picture.mode != "L":
                raise WrongMode(picture.mode)
            return np.asarray(picture)
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as problem:
        raise ValueError(f"it cannot be read ({reason(problem)})") from None


class WrongMode(ValueError):
    """A picture that is not 8-bit grey."""


_MODES = {
    "RGBA": "RGBA, whose luminance would be read, not its alpha channel; write that as grey",
    "RGB": "RGB; convert it to 8-bit grey",
    "I;16": "16-bit grey, which is not rescaled; divide by 257",
    "I": "16-bit grey, which is not rescaled; divide by 257",
    "LA": "grey with alpha; drop the alpha channel",
    "P": "a palette; convert it to 8-bit grey",
    "1": "1-bit; convert it to 8-bit grey",
}


def alpha_of(ref: Any, image: str) -> np.ndarray:
    """The alpha that a reference gives. Raises BadItem `alpha_format`, `unreadable`, with its whole path."""
    try:
        return read_grey(ref.read())
    except WrongMode as mode:
        raise BadItem(error("alpha_format", _expected_grey(mode), path=ref.label, image=image)) from None
    except ValueError as problem:
        raise BadItem(error("unreadable", str(problem), path=ref.label, image=image)) from None


def _expected_grey(mode: WrongMode) -> str:
    return f"expected 8-bit grey, found {_MODES.get(str(mode), f'mode {mode}; convert it to 8-bit grey')}"


def look(sample: Sample, layout: Layout, read: Read) -> Looked:
    """All findings of one image or frame. `read` gives the bytes of a path; OSError or BadItem where it cannot."""
    key = sample.video or sample.key
    looked = Looked()
    looked.size = _image_size(sample.image, key, read, looked.findings)
    alphas: dict[str, np.ndarray] = {}
    for path in (*sample.alphas, *sample.unmasked):
        array = _grey(path, key, read, looked, "alpha_format")
        if array is not None:
            alphas[path] = array
            looked.findings += _alpha_findings(path, key, array, layout)
    looked.alphas = len(alphas)
    if layout.kind != "video" and len(sample.alphas) > MAX_INSTANCES:
        message = f"{len(sample.alphas)} instances, {MAX_INSTANCES} of them are drawn at random each time"
        looked.findings.append(warning("too_many_instances", message, path=sample.image, image=key))
    _check_sum(sample, key, list(alphas.values()), looked)
    by_name = {path.rsplit("/", 1)[1]: array for path, array in alphas.items()}
    for path in sample.masks if layout.uses_masks else ():
        array = _grey(path, key, read, looked, "mask_format")
        if array is not None:
            looked.findings += _mask_findings(path, key, array, by_name.get(path.rsplit("/", 1)[1]))
    return looked


def _image_size(path: str, key: str, read: Read, findings: list[Finding]) -> tuple[int, int] | None:
    try:
        return jpeg.check(read(path), decode=False)
    except (jpeg.JpegUnreadable, jpeg.JpegTruncated) as problem:
        findings.append(error("unreadable", f"{problem}", path=path, image=key))
    except BadItem as bad:
        findings += [error(f.code, f.message, path=path, image=key, part=f.part) for f in bad.findings]
    except OSError as problem:
        findings.append(error("unreadable", f"it cannot be read ({problem})", path=path, image=key))
    return None


def _grey(path: str, key: str, read: Read, looked: Looked, code: str) -> np.ndarray | None:
    """The pixels of an alpha or a mask; None, and a finding, when it is none or has another size than the image."""
    try:
        array = read_grey(read(path))
    except WrongMode as mode:
        looked.findings.append(error(code, _expected_grey(mode), path=path, image=key))
        return None
    except FileNotFoundError:
        return None  # a finding of the listing
    except BadItem as bad:
        looked.findings += [error(f.code, f.message, path=path, image=key, part=f.part) for f in bad.findings]
        return None
    except (ValueError, OSError) as problem:
        looked.findings.append(error("unreadable", str(problem), path=path, image=key))
        return None
    if looked.size is not None and array.shape != looked.size[::-1]:
        found = f"{array.shape[1]} x {array.shape[0]}, the image {looked.size[0]} x {looked.size[1]}"
        message = f"{found}: it would be stretched in silence; give both one size"
        looked.findings.append(error("size_mismatch", message, path=path, image=key))
        return None
    return array


def _alpha_findings(path: str, key: str, alpha: np.ndarray, layout: Layout) -> list[Finding]:
    where = {"path": path, "image": key}
    highest = int(alpha.max(initial=0))
    if highest == 0:
        return [error("alpha_empty", "all of it is 0: there is no instance in it", **where)]
    if highest <= FOREGROUND:
        message = f"its highest value is {highest}, none is above {FOREGROUND}: its mask is empty"
        return [error("alpha_never_foreground", message, **where)]
    share = np.count_nonzero(alpha > FOREGROUND) / alpha.size
    if layout.kind == "image_train" and share <= SMALL_AREA:
        return [warning("instance_small", f"{share:.3%} of the image; up to 0.1 % is dropped in training", **where)]
    return []


def _check_sum(sample: Sample, key: str, alphas: Sequence[np.ndarray], looked: Looked) -> None:
    """Instances must not add up to more than one: a pixel belongs to them by shares."""
    if len(alphas) < 2:
        return
    total = np.zeros(alphas[0].shape, np.uint16)
    for alpha in alphas:
        if alpha.shape != total.shape:
            return
        total += alpha
    above = int(np.count_nonzero(total > MAX_SUM))
    if above:
        message = f"the alphas of {above:,} pixels add up to more than 255 (up to {int(total.max())})"
        looked.findings.append(info("alphas_sum", message, path=sample.image, image=key))


def _mask_findings(path: str, key: str, mask: np.ndarray, alpha: np.ndarray | None) -> list[Finding]:
    where = {"path": path, "image": key}
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    if values.tolist() == [0]:
        return [error("mask_empty", "all of it is 0: with all of an image's masks so, the image is skipped", **where)]
    findings = []
    if values.max() == 1:
        message = "values 0 and 1: masks are divided by 255, so this one is nearly empty; write 0 and 255"
        findings.append(error("mask_values", message, **where))
    elif set(values.tolist()) - {0, 255}:
        shown = ", ".join(map(str, values[:6]))
        findings.append(
            error("mask_values", f"values {shown}{', ...' if len(values) > 6 else ''}; write 0 and 255", **where)
        )
    if alpha is not None and alpha.shape == mask.shape and (score := iou(alpha, mask)) < LOW_IOU:
        findings.append(info("mask_low_iou", f"its IoU with its alpha is {score:.2f}, below {LOW_IOU}", **where))
    return findings


def iou(alpha: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of alpha > 0 and mask > 0, as M-HIM2K's matching has it (specification 4)."""
    a, m = alpha > 0, mask > 0
    return float(np.count_nonzero(a & m) / (np.count_nonzero(a | m) + 1e-6))


def frame_sizes(sizes: Mapping[str, tuple[int, int] | None], video: str) -> list[Finding]:
    """All frames of a video have one size: (frame's path → its size)."""
    known = {path: size for path, size in sizes.items() if size is not None}
    first = next(iter(known.values()), None)
    for path, size in known.items():
        if size != first:
            message = f"{size[0]} x {size[1]}, the first frame has {first[0]} x {first[1]}: the loader fails"
            return [error("frame_size_differs", message, path=path, image=video)]
    return []
