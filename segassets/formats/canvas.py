"""A frame on which cut-outs are scaled and pasted, one over the other: the very pixels of Pillow's `resize` and `paste`.

Where numba is installed, the rows of a cut-out are mixed into the frame as soon as they are scaled: it is never a
picture of its own, and nothing is copied but the background.

Source: Pillow's documentation (Image.paste), and its pixels on trials.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
from PIL import Image

from segassets.formats import resample
from segassets.formats.pixels import picture_of, pixels_of
from segassets.formats.resample import BILINEAR, resized

Box = tuple[int, int, int, int]


class Canvas:
    """One frame after the other. `picture` shows the frame; it is of no use once the next one begins."""

    def __init__(self) -> None:
        self._kernel: ModuleType | None = None
        self._image = Image.new("RGB", (1, 1))  # the frame where nothing is compiled, else the background
        self._pixels = np.empty((0, 0), np.uint32)

    @property
    def picture(self) -> Image.Image:
        if self._kernel is None:
            return self._image
        found = picture_of(self._pixels)
        found.info = self._image.info.copy()  # Pillow writes a comment that it has read
        return found

    def begin(self, background: Image.Image) -> None:
        """A new frame: what there was is gone. `background`: mode RGB; it is left as it is."""
        kernel = resample.KERNEL.after(background.width * background.height)
        self._lay(kernel if kernel is not None and _mixes_as_pillow(kernel) else None, background)

    def _lay(self, kernel: ModuleType | None, background: Image.Image) -> None:
        self._kernel = kernel
        self._image = background if kernel is not None else background.copy()
        if kernel is not None:
            behind = pixels_of(background)
            if self._pixels.shape != behind.shape:
                self._pixels = np.empty(behind.shape, np.uint32)
            self._pixels[:] = behind

    def paste(self, picture: Image.Image, box: Box, place: tuple[int, int], alpha: Image.Image) -> None:
        """What lies in `box` of the picture (mode RGB), bilinearly made as large as `alpha` (mode L), through it.

        `place`: (x, y) of the upper left corner, neither of them below 0; what goes beyond the frame is lost.
        """
        if self._kernel is None:
            self._image.paste(resized(picture, alpha.size, BILINEAR, box), place, alpha)
            return
        (x, y), (height, width) = place, self._pixels.shape
        opacity = pixels_of(alpha)
        seen = max(min(alpha.height, height - y), 0), max(min(alpha.width, width - x), 0)
        rows, weights = resample.with_columns(self._kernel, picture, box, BILINEAR, opacity, seen)
        self._kernel.paste_rows(rows.view(np.uint8), *weights, opacity, self._pixels.view(np.uint8), x, y)


@cache
def _mixes_as_pillow(kernel: ModuleType) -> bool:
    """Whether the kernel gives the pixels of the installed Pillow: every opacity on many colours."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 256, 64, 3), np.uint8)
    below, above = (Image.fromarray(part) for part in noise)
    alpha = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8), 64).reshape(256, 64))
    canvas = Canvas()
    canvas._lay(kernel, below)
    canvas.paste(above, (0, 0, 64, 256), (0, 0), alpha)
    below.paste(above, (0, 0), alpha)
    return canvas.picture.tobytes() == below.tobytes()
