"""The pixels of common JPEGs by simplejpeg (extra `fast`), a sixth faster than by Pillow: both are libjpeg-turbo, which
writes four bytes a pixel here, so that nothing is unpacked.

Pillow has opened the file before, and has the last word: on what it is, and on every file that simplejpeg refuses or
warns of. Where the two give different pixels on trials, simplejpeg is not used.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from segassets.formats.pixels import picture_of

try:
    import simplejpeg as _turbo
except ImportError:
    _turbo = None  # the extra is not installed

_SAMPLINGS = (0, 1, 2)  # 4:4:4, 4:2:2, 4:2:0
_YCBCR = [1, 2, 3]  # JFIF's names of the components; others may mean RGB


def decoded(picture: Image.Image, data: bytes) -> Image.Image | None:
    """The decoded picture in mode RGB, or None where Pillow is to do it.

    `picture`: what `Image.open` gave for `data`, not loaded yet.
    """
    if _turbo is None or not _common(picture) or not _agrees():
        return None
    return _decoded(picture, data)


def use_turbo(module) -> object:
    """For tests: decode with this module of simplejpeg, or with Pillow only when it is None."""
    global _turbo
    previous, _turbo = _turbo, module
    _agrees.cache_clear()
    return previous


def _common(picture: Image.Image) -> bool:
    return (
        picture.format == "JPEG"
        and picture.mode == "RGB"
        and [component[0] for component in picture.layer] == _YCBCR  # of damaged files they may be fewer
        and get_sampling(picture) in _SAMPLINGS
        and picture.info.get("adobe_transform", 1) == 1
    )


def _decoded(picture: Image.Image, data: bytes) -> Image.Image | None:
    try:
        pixels = _turbo.decode_jpeg(data, "RGBX")
    except Exception:  # whatever it is, Pillow says it in its own words
        return None
    if pixels.shape != (picture.height, picture.width, 4):
        return None
    found = picture_of(pixels.view(np.uint32)[:, :, 0])
    found.info = picture.info
    return found


@cache
def _agrees() -> bool:
    """Whether both decoders give the same pixels, of blocks cut at the border, too."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    trial = Image.fromarray(noise).resize((77, 51), Image.Resampling.BICUBIC)
    for sampling in _SAMPLINGS:
        for progressive in (False, True):
            sink = io.BytesIO()
            trial.save(sink, "JPEG", quality=90, subsampling=sampling, progressive=progressive)
            picture = Image.open(sink)
            found = _decoded(picture, sink.getvalue())
            if found is None or found.tobytes() != picture.tobytes():
                return False
    return True
