"""Resizing pictures to the very pixels that Pillow gives, two to four times as fast, where numba is installed.

Upstream's scripts resize with Pillow, so its arithmetic is what counts: weights of every output row as fixed-point
numbers, one pass a direction, each rounded to 8 bits. Which direction comes first differs between versions of Pillow,
and the rounding shows it: so the installed one is asked, and where it gives other pixels than the kernel on a few trials
it does the work itself. Rows are summed as vectors, and columns as the rows of transposed strips.

Source: Pillow's documentation (Concepts, Filters; release notes 13.0.0), and its pixels on trials.
"""

from __future__ import annotations

from functools import cache, lru_cache
from types import ModuleType

import numpy as np
from PIL import Image

from segassets.formats.compiled import Kernel
from segassets.formats.pixels import held, picture_of, pixels_of

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
_REACH = {BILINEAR: 1.0, BICUBIC: 2.0}  # of a filter, in pixels of the smaller picture
_TRIALS = [((50, 70), (30, 90)), ((50, 70), (90, 30)), ((70, 50), (20, 30)), ((20, 30), (10, 29)), ((50, 50), (49, 48))]


def resized(
    picture: Image.Image, size: tuple[int, int], how: Image.Resampling, box: tuple[int, int, int, int] | None = None
) -> Image.Image:
    """`picture.crop(box).resize(size, how)`, or without the crop.

    `how` is BILINEAR or BICUBIC; size is (width, height), neither of them 0; `box` lies within the picture.
    """
    box = box or (0, 0, *picture.size)
    old = box[2] - box[0], box[3] - box[1]
    kernel = KERNEL.after(old[0] * old[1]) if held(picture) and old != size else None
    if kernel is None:
        return (picture if old == picture.size else picture.crop(box)).resize(size, how)
    return _resized(kernel, picture, box, size, how, _order_of_pillow(kernel))


def load() -> bool:
    """Load what is compiled at once; whether it is there, and gives the pixels of the installed Pillow."""
    return KERNEL.load()


def with_columns(
    kernel: ModuleType,
    picture: Image.Image,
    box: tuple[int, int, int, int],
    how: Image.Resampling,
    opacity: np.ndarray,
    seen: tuple[int, int],
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What `resized` has when only rows are left to be summed: those rows, and (first, count, weights) of the sums.

    `kernel`: the module of KERNEL. `opacity`: uint8 (height, width), the size that is asked for; of the first `seen` rows
    and columns of it. Pixels that only go into sums of which nothing is seen may be anything.
    """
    size = opacity.shape[::-1]
    old = box[2] - box[0], box[3] - box[1]
    if _order_of_pillow(kernel)(old, size):
        pixels = _columns(kernel, *_cut_rows(kernel, picture, box, size[1], how), size[0], how)
        return pixels, _weights(kernel.BITS, size[1], size[1], how)
    weights = _weights(kernel.BITS, old[1], size[1], how)
    strips = kernel.strips_seen(opacity, *seen, *weights[:2], old[1])
    return _columns(kernel, pixels_of(picture), box, size[0], how, strips), weights


def _resized(kernel: ModuleType, picture: Image.Image, box, size: tuple[int, int], how: Image.Resampling, order):
    if order((box[2] - box[0], box[3] - box[1]), size):
        return picture_of(_columns(kernel, *_cut_rows(kernel, picture, box, size[1], how), size[0], how))
    return picture_of(_rows(kernel, _columns(kernel, pixels_of(picture), box, size[0], how), size[1], how))


def _cut_rows(kernel: ModuleType, picture: Image.Image, box, height: int, how: Image.Resampling):
    """The rows of the box, and the box of what that gives."""
    left, top, right, bottom = box
    pixels = np.ascontiguousarray(pixels_of(picture)[top:bottom, left:right])
    return _rows(kernel, pixels, height, how), (0, 0, right - left, height)


def _rows(kernel: ModuleType, pixels: np.ndarray, height: int, how: Image.Resampling) -> np.ndarray:
    if len(pixels) == height:
        return pixels
    out = np.empty((height, pixels.shape[1]), pixels.dtype)
    kernel.weighted_rows(pixels.view(np.uint8), *_weights(kernel.BITS, len(pixels), height, how), out.view(np.uint8))
    return out


def _columns(kernel: ModuleType, pixels: np.ndarray, box, width: int, how: Image.Resampling, strips=None) -> np.ndarray:
    """What lies in the box, made `width` pixels wide; of the columns those that `strips` name, or all."""
    left, top, right, bottom = box
    if right - left == width:
        return np.ascontiguousarray(pixels[top:bottom, left:right])
    out = np.empty((bottom - top, width), pixels.dtype)
    weights = _weights(kernel.BITS, right - left, width, how)
    strips = kernel.all_strips(*out.shape) if strips is None else strips
    kernel.weighted_columns(pixels, left, top, right - left, *weights, strips, out)
    return out


@lru_cache(64)  # a clip's frames all go from one size to one other
def _weights(bits: int, old: int, new: int, how: Image.Resampling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every one of `new` rows: the first of the `old` that it is made of, their number, their weights."""
    scale = old / new
    stretch = max(scale, 1.0)
    reach = _REACH[how] * stretch
    middle = (np.arange(new) + 0.5) * scale
    first = np.maximum((middle - reach + 0.5).astype(np.int64), 0)
    count = np.minimum((middle + reach + 0.5).astype(np.int64), old) - first
    places = np.arange(int(np.ceil(reach)) * 2 + 1)
    shares = _filter((places + first[:, None] - middle[:, None] + 0.5) * (1.0 / stretch), how)
    shares[places >= count[:, None]] = 0
    total = np.zeros(new)
    for column in shares.T:  # in this order: a sum of doubles depends on it
        total += column
    fixed = shares / total[:, None] * (1 << bits)
    found = first, count, np.where(fixed < 0, fixed - 0.5, fixed + 0.5).astype(np.int32)
    for array in found:
        array.flags.writeable = False
    return found


def _filter(x: np.ndarray, how: Image.Resampling) -> np.ndarray:
    x = np.abs(x)
    if how == BILINEAR:
        return np.maximum(1.0 - x, 0.0)
    a = -0.5
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _never(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Whether the rows are made first, before the columns: not until Pillow 13. Sizes are (width, height)."""
    return False


def _much_lower(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Since Pillow 13: where the height shrinks by more than twice what the width does."""
    return new[1] < old[1] and old[1] - new[1] > 2 * (old[0] - new[0])


@cache
def _order_of_pillow(kernel: ModuleType):
    """The rule that gives the pixels of the installed Pillow on all trials, or None."""
    noise = np.random.default_rng(0).integers(0, 256, (70, 70, 3), np.uint8)
    for order in (_much_lower, _never):
        if all(_agrees(kernel, noise[:h, :w], (new_w, new_h), order) for (h, w), (new_h, new_w) in _TRIALS):
            return order
    return None


def _agrees(kernel: ModuleType, pixels: np.ndarray, size: tuple[int, int], order) -> bool:
    for picture in (Image.fromarray(pixels), Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]))):
        for how in (BILINEAR, BICUBIC):
            found = _resized(kernel, picture, (0, 0, *picture.size), size, how, order)
            if picture.resize(size, how).tobytes() != found.tobytes():
                return False
    return True


KERNEL = Kernel("segassets.formats._resample_kernel", 1 << 23, lambda kernel: _order_of_pillow(kernel) is not None)
