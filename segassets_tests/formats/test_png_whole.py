"""A PNG that is not all there is refused, whoever decodes it: a flipped bit, a missing end, a stream that is short."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from segassets.findings import BadItem
from segassets.formats import panoptic, png_runs, png_whole

PIXELS = np.repeat(np.random.default_rng(3).integers(0, 34, (12, 5), np.uint8), 4, axis=1)
NOISE = np.random.default_rng(4).integers(0, 255, (12, 20, 3), np.uint8)


def saved(array: np.ndarray, **options) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, "PNG", **options)
    return sink.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def stream(data: bytes) -> bytes:
    return zlib.decompress(png_whole.compressed(data)[0])


def rebuilt(data: bytes, packed: bytes) -> bytes:
    return data[:33] + chunk(b"IDAT", packed) + png_whole.IEND


def decoded(data: bytes) -> np.ndarray:
    if data[25] == 0:
        runs = panoptic.grey_runs(data, (8,), "a map")
        return runs.painted(runs.values)
    return panoptic.read_ids(data)


@pytest.fixture(params=["with numba", "without"], autouse=True)
def way(request, monkeypatch):
    if request.param == "without":
        monkeypatch.setattr(png_runs.KERNEL, "wanted", False)
    else:
        pytest.importorskip("numba")
        assert png_runs.load()


@pytest.mark.parametrize("array", [PIXELS, NOISE], ids=["a map", "noise"])
def test_no_flipped_bit_changes_a_pixel_in_silence(array):
    data = saved(array)
    right = decoded(data)
    random = np.random.default_rng(5)
    for bit in random.choice(8 * len(data), 600, replace=False).tolist():
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert (decoded(bytes(flipped)) == right).all()
        except BadItem as bad:
            assert bad.findings[0].code in ("bad_png", "bad_mode")


@pytest.mark.parametrize("array", [PIXELS, NOISE], ids=["a map", "noise"])
def test_what_is_cut_or_does_not_fill_the_picture_is_refused(array):
    data = saved(array)
    raw = stream(data)
    packed = zlib.compress(raw)
    for wrong in (
        *(data[:length] for length in (33, len(data) // 2, len(data) - 13, len(data) - 12, len(data) - 1)),
        rebuilt(data, zlib.compress(raw[:-1])), rebuilt(data, zlib.compress(raw + b"\0")),
        rebuilt(data, packed[:-4]), rebuilt(data, packed[:-1] + bytes([packed[-1] ^ 1])), rebuilt(data, b""),
    ):  # fmt: skip
        with pytest.raises(BadItem, match="bad_png"):
            decoded(wrong)
    assert (decoded(rebuilt(data, packed)) == decoded(data)).all()
    assert (decoded(data + b"\n") == decoded(data)).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (8, 8), (17, 5), (64, 9)])
@pytest.mark.parametrize("kind", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_that_pillow_writes_is_whole_to_the_byte(size, kind):
    data = saved(np.asarray(Image.new(kind, size))) if kind in ("L", "LA", "RGB", "RGBA") else None
    if data is None:
        sink = io.BytesIO()
        Image.new(kind, size).save(sink, "PNG")
        data = sink.getvalue()
    png_whole.check(data)


def test_an_interlaced_picture_has_seven_passes():
    # Columns and rows of the passes of 5 x 3 pixels; the third begins below the last row.
    head = struct.pack(">IIBBBBB", 5, 3, 8, 0, 0, 0, 1)
    sizes = [(1, 1), (1, 1), (0, 0), (1, 1), (3, 1), (2, 2), (5, 1)]
    raw = b"".join(bytes(1 + columns) * rows for columns, rows in sizes if columns)
    whole = png_whole.SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + png_whole.IEND
    Image.open(io.BytesIO(whole)).load()
    png_whole.check(whole)
