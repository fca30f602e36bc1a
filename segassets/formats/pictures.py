"""Photographs and mattes as Pillow pictures, from bytes and back: what synthesis reads and writes.

Belongs here: decoding and encoding as upstream's scripts do it, to the pixel. Not here: label maps (`panoptic`, `png`),
checks of a dataset's pictures (`matting_samples`).
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from segassets.formats import png_runs
from segassets.formats.png import gray_png, rgb_png

#: What Pillow raises for pictures that are damaged, or larger than it opens.
UNREADABLE = (OSError, ValueError, IndexError, SyntaxError, Image.DecompressionBombError)


def opened(data: bytes) -> Image.Image:
    """The picture, decoded. Raises one of UNREADABLE."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def grey(data: bytes) -> Image.Image:
    """The picture in mode L, as `convert("L")` gives it. Raises one of UNREADABLE.

    A matte is mostly runs of nothing and of everything: read as runs it takes a third of the time.
    """
    runs = png_runs.read(data)
    if runs is None or runs.values.dtype != np.uint8:
        return opened(data).convert("L")
    height, width = runs.shape
    return Image.frombuffer("L", (width, height), runs.painted(runs.values), "raw", "L", 0, 1)


def rgb(data: bytes) -> Image.Image:
    """The picture in mode RGB. Raises one of UNREADABLE."""
    picture = opened(data)
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it all the same


def size_of(data: bytes) -> tuple[int, int]:
    """(width, height), from the head alone. Raises one of UNREADABLE."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.size


def jpeg(picture: Image.Image) -> bytes:
    """Pillow's defaults: quality 75, colour at half the resolution."""
    sink = io.BytesIO()
    picture.save(sink, "JPEG")
    return sink.getvalue()


def png(picture: Image.Image) -> bytes:
    """The picture without loss."""
    array = np.asarray(picture)
    return rgb_png(array) if array.ndim == 3 else gray_png(array)
