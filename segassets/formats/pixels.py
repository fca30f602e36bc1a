"""The pixels of a Pillow picture as an array, and back, without a copy: by Arrow's interface, which Pillow speaks.

`tobytes` and `np.asarray` copy a picture at least once, and packing colours to three bytes and back costs as much as
resizing them. Here a colour pixel stays what it is in Pillow: four bytes, of which the last one says nothing.

Source: Pillow's documentation (Reference, Arrow support; release notes 11.2.1).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from PIL import Image

#: Of the modes that are held here: a pixel's type, and Pillow's name of its bytes.
_HELD = {"L": (np.uint8, "L"), "RGB": (np.uint32, "RGBX")}


def held(picture: Image.Image) -> bool:
    """Whether the picture's mode is one of these: L and RGB."""
    return picture.mode in _HELD


def pixels_of(picture: Image.Image) -> np.ndarray:
    """(height, width), read-only: uint8 for mode L; uint32 for RGB, whose bytes are red, green, blue, and anything.

    The array keeps the pixels alive; while it is used nobody may write to the picture.
    """
    dtype, raw = _HELD[picture.mode]
    try:
        found = pa.array(picture)
        octets = found.values if raw == "RGBX" else found
        flat = octets.to_numpy(zero_copy_only=True).view(dtype)
    except ValueError:  # a large picture lies in several pieces
        flat = np.frombuffer(picture.tobytes("raw", raw), dtype)
    return flat.reshape(picture.height, picture.width)


def picture_of(pixels: np.ndarray) -> Image.Image:
    """The picture of contiguous pixels, uint8 as mode L, uint32 as mode RGB: it shares their memory."""
    octets = pa.array(pixels.reshape(-1).view(np.uint8))
    mode = "L" if pixels.dtype == np.uint8 else "RGB"
    found = octets if mode == "L" else pa.FixedSizeListArray.from_arrays(octets, 4)
    return Image.fromarrow(found, mode, (pixels.shape[1], pixels.shape[0]))
