"""The pixels of a Pillow picture as an array, and back, without a copy: by Arrow's interface, which Pillow speaks
soundly since version 13.

`tobytes` and `np.asarray` copy a picture at least once, and packing colours to three bytes and back costs as much as
resizing them. Here a colour pixel stays what it is in Pillow: four bytes, of which the last one says nothing.

Source: Pillow's documentation (Reference, Arrow support; release notes 11.2.1).
"""

from __future__ import annotations

import numpy as np
import PIL
import pyarrow as pa
from PIL import Image

#: Of the modes that are held here: a pixel's type, and Pillow's name of its bytes.
_HELD = {"L": (np.uint8, "L"), "RGB": (np.uint32, "RGBX")}
#: Pillow 12.0 and older ones crash on pictures whose memory is not their own; there everything is copied.
_SHARES = int(PIL.__version__.split(".")[0]) >= 13


def held(picture: Image.Image) -> bool:
    """Whether the picture's mode is one of these: L and RGB."""
    return picture.mode in _HELD


def pixels_of(picture: Image.Image) -> np.ndarray:
    """(height, width), read-only: uint8 for mode L; uint32 for RGB, whose bytes are red, green, blue, and anything.

    The array keeps the pixels alive; while it is used nobody may write to the picture.
    """
    dtype, raw = _HELD[picture.mode]
    flat = _shared(picture) if _SHARES else None
    if flat is None:
        flat = np.frombuffer(picture.tobytes("raw", raw), np.uint8)
    return flat.view(dtype).reshape(picture.height, picture.width)


def _shared(picture: Image.Image) -> np.ndarray | None:
    try:
        found = pa.array(picture)
    except ValueError:  # a large picture lies in several pieces
        return None
    octets = found if picture.mode == "L" else found.values
    return octets.to_numpy(zero_copy_only=True)


def picture_of(pixels: np.ndarray) -> Image.Image:
    """The picture of contiguous pixels, uint8 as mode L, uint32 as mode RGB: it shares their memory."""
    mode, size = "L" if pixels.dtype == np.uint8 else "RGB", pixels.shape[::-1]
    if not _SHARES:
        return Image.frombytes(mode, size, pixels, "raw", _HELD[mode][1])
    octets = pa.array(pixels.reshape(-1).view(np.uint8))
    found = octets if mode == "L" else pa.FixedSizeListArray.from_arrays(octets, 4)
    return Image.fromarrow(found, mode, size)
