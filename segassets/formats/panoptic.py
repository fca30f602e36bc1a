"""Panoptic PNGs: segment ids as colours, R + 256 G + 65536 B. Decoding with clear errors, and ids as RGB.

Belongs here: the PNG form that COCO, Cityscapes and Cityscapes-VPS share. Not here: categories and JSON.
Source of the rule: the COCO panoptic format (panopticapi, `rgb2id`).
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterable

import numpy as np
from PIL import Image

from segassets.findings import BadItem, error
from segassets.formats import png, png_runs, png_whole
from segassets.formats.label_map import Runs, row_runs

MAX_PIXELS = 1 << 26
COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}
IDS = "8-bit RGB (segment ids as colours)"
_COLOURS = {(8, 2), (8, 6)}


def png_size(data: bytes) -> tuple[int, int]:
    """(height, width) from the first 26 bytes of a PNG. Raises BadItem `bad_png`."""
    if not data.startswith(png_whole.SIGNATURE) or len(data) < 26 or data[12:16] != b"IHDR":
        raise BadItem(error("bad_png", f"no PNG file but {data[:12]!r}...: download it again"))
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def check_head(data: bytes, accepted: Iterable[tuple[int, int]], wanted: str) -> None:
    """Depth, colour type and size, before anything is decoded. Raises BadItem `bad_png` or `bad_mode`.

    `accepted`: pairs of bit depth and PNG colour type.
    """
    height, width = png_size(data)
    depth, colour = data[24], data[25]
    if (depth, colour) not in accepted:
        found = f"{depth}-bit {COLOUR_TYPES.get(colour, f'colour type {colour}')}"
        raise BadItem(
            error("bad_mode", f"a {found} PNG was found, {wanted} is expected: get the original, or save it so")
        )
    if not 0 < width * height <= MAX_PIXELS:
        raise BadItem(error("bad_png", f"its size {width} x {height} is out of the range up to {MAX_PIXELS} pixels"))


def open_png(data: bytes, accepted: Iterable[tuple[int, int]], wanted: str) -> Image.Image:
    """The decoded image, after `check_head` and `png_whole.check`. Raises BadItem `bad_png` or `bad_mode`."""
    check_head(data, accepted, wanted)
    try:
        png_whole.check(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=["PNG"])
            image.load()
    # Pillow answers damaged files with many kinds of exceptions; to the item they all mean the same.
    except Exception as problem:
        raise BadItem(error("bad_png", f"cannot be decoded ({problem}): download it again")) from None
    return image


def read_grey(data: bytes, depth: int, what: str) -> np.ndarray:
    """A one-channel PNG of exactly `depth` 8 or 16 bits, uint8 or uint16 (h, w). Raises BadItem."""
    image = open_png(data, {(depth, 0)}, f"{what} ({depth}-bit, one channel)")
    return np.ascontiguousarray(np.asarray(image), dtype=np.uint8 if depth == 8 else np.uint16)


def grey_runs(data: bytes, depths: Iterable[int], what: str) -> Runs:
    """The runs of a one-channel PNG of one of these bit depths (8, 16), values uint8 or uint16. Raises BadItem."""
    accepted = {(depth, 0) for depth in depths}
    wanted = f"{what} ({' or '.join(map(str, sorted(depths)))}-bit, one channel)"
    check_head(data, accepted, wanted)
    runs = png_runs.read(data)
    if runs is None:
        pixels = np.asarray(open_png(data, accepted, wanted))
        runs = row_runs(pixels.astype(np.uint8 if data[24] == 8 else np.uint16, copy=False))
    return runs


def id_runs(data: bytes, what: str = IDS) -> Runs:
    """The runs of an RGB(A) PNG, values uint32 as of `read_ids`. Raises BadItem as it does."""
    check_head(data, _COLOURS, what)
    runs = png_runs.read(data)
    return row_runs(read_ids(data, what)) if runs is None else runs


def read_ids(data: bytes, what: str = IDS) -> np.ndarray:
    """Segment ids of an RGB PNG, uint32 (h, w). Raises BadItem `bad_png`, or `bad_mode` unless it is 8-bit RGB(A)."""
    image = open_png(data, _COLOURS, what)
    width, height = image.size
    # Four bytes a pixel are a uint32 view; converting three channels by arithmetic takes twice as long.
    pixels = image.tobytes("raw", "RGBX" if image.mode == "RGB" else "RGBA")
    return np.frombuffer(pixels, "<u4").reshape(height, width) & np.uint32(0xFFFFFF)


def colours_of(ids: np.ndarray) -> np.ndarray:
    """uint8 (n, 3): the colours of segment ids below 2**24."""
    ids = np.asarray(ids, np.uint32)
    return np.stack((ids & 255, ids >> 8 & 255, ids >> 16 & 255), axis=1).astype(np.uint8)


def ids_png(runs: Runs, values: np.ndarray, ids: np.ndarray) -> bytes:
    """The RGB PNG of a map whose value `values[i]` (all of them, ascending) is the segment `ids[i]`."""
    dtype = np.uint8 if len(values) <= 256 else np.uint16 if len(values) <= 65536 else np.uint32
    index = runs.painted(np.searchsorted(values, runs.values).astype(dtype))
    return png.palette_rgb_png(index, colours_of(ids))


def content(runs: Runs, table: np.ndarray) -> bytes:
    """The digest of what a map decodes to: shape, type and pixels, `table[i]` being the value of the i-th run.

    Of runs, not of pixels: neighbours that became equal count as one, so that equal maps have equal digests.
    """
    kept = runs.changes(table)
    digest = hashlib.sha256(f"{table.dtype}{runs.shape}".encode())
    digest.update(runs.starts[kept].astype("<u4"))
    digest.update(table[kept].astype(table.dtype.newbyteorder("<")))
    return digest.digest()
