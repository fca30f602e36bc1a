"""Photographs and mattes as Pillow pictures, from bytes and back: what synthesis reads and writes.

Belongs here: decoding and encoding as upstream's scripts do it, to the pixel, and what is said of pictures that cannot
be decoded. Not here: label maps (`panoptic`, `png`), checks of a dataset's pictures (`matting_samples`).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from segassets.formats import jpeg_pixels, png_grey
from segassets.formats.pixels import picture_of
from segassets.formats.png import gray_png, rgb_png

_FAILURES = (OSError, EOFError, ValueError, IndexError, SyntaxError, Image.DecompressionBombError)
_OBJECT = re.compile(r"\s*<[^<>]* at 0x[0-9a-fA-F]+>")
#: Modes that PNG holds as they are here, or without loss as 8-bit grey.
_LOSSLESS = {"L": "L", "RGB": "RGB", "1": "L"}


class PictureError(ValueError):
    """A picture that Pillow cannot decode, or not write: `name`, and Pillow's reason."""


def reason(problem: BaseException) -> str:
    """What a library says, without the addresses of its objects, which differ from run to run."""
    return _OBJECT.sub("", str(problem)) or type(problem).__name__


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Pillow's exceptions as PictureError."""
    try:
        yield
    except PictureError:
        raise
    except _FAILURES as problem:
        raise PictureError(f"{name}: {reason(problem)}" if name else reason(problem)) from None


def opened(data: bytes, name: str = "") -> Image.Image:
    """The picture, decoded. Raises PictureError, in which `name` says whose."""
    with _told(name):
        picture = Image.open(io.BytesIO(data))
        found = jpeg_pixels.decoded(picture, data)
        if found is not None:
            return found
        picture.load()
        return picture


def grey(data: bytes, name: str = "") -> Image.Image:
    """The picture in mode L, as `convert("L")` gives it. Raises PictureError."""
    pixels = png_grey.read(data)
    if pixels is not None:
        return picture_of(pixels)
    picture = opened(data, name)
    with _told(name):
        return picture.convert("L")


def rgb(data: bytes, name: str = "") -> Image.Image:
    """The picture in mode RGB. Raises PictureError."""
    picture = opened(data, name)
    with _told(name):
        return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it all the same


def size_of(data: bytes, name: str = "") -> tuple[int, int]:
    """(width, height), from the head alone. Raises PictureError."""
    with _told(name), Image.open(io.BytesIO(data)) as picture:
        return picture.size


def jpeg(picture: Image.Image, name: str = "") -> bytes:
    """Pillow's defaults: quality 75, colour at half the resolution. PictureError for a mode that JPEG has not."""
    sink = io.BytesIO()
    with _told(name):
        picture.save(sink, "JPEG")
    return sink.getvalue()


def png(picture: Image.Image) -> bytes | None:
    """The picture without loss; None for a mode that PNG cannot hold without loss, such as CMYK."""
    if picture.mode not in _LOSSLESS:
        return None
    array = np.asarray(picture.convert(_LOSSLESS[picture.mode]))
    return rgb_png(array) if array.ndim == 3 else gray_png(array)
