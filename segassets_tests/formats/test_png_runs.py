"""PNGs read into runs without their pixels: what Pillow decodes, run for run, or nothing at all."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segassets.findings import BadItem
from segassets.formats import _zlib, label_map, panoptic, png_runs

KINDS = {(8, 0): 1, (16, 0): 2, (8, 2): 3, (8, 6): 4}
HEAD = 33  # signature and IHDR


@pytest.fixture(autouse=True)
def compiled():
    pytest.importorskip("numba")
    assert png_runs.load()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(size: tuple[int, int], kind: tuple[int, int], raw: bytes, stream: bytes | None = None, parts: int = 1) -> bytes:
    height, width = size
    stream = zlib.compress(raw) if stream is None else stream
    cut = len(stream) // parts
    idat = [stream[k * cut : (k + 1) * cut if k < parts - 1 else None] for k in range(parts)]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(b"IDAT", part) for part in idat) + chunk(b"IEND", b"")


def pillows(data: bytes) -> label_map.Runs:
    """By way of Pillow's pixels."""
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    if pixels.ndim == 3:
        wide = pixels.astype(np.uint32)
        pixels = wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16
    return label_map.row_runs(pixels)


def assert_same(found: label_map.Runs, expected: label_map.Runs) -> None:
    assert found.shape == expected.shape
    for mine, theirs in zip(found[:3], expected[:3], strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)), st.integers(1, 70), st.integers(40, 150), st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.002, 0.02]),
)  # fmt: skip
def test_any_filters_and_residuals_are_what_pillow_decodes(kind, height, width, seed, density):
    rng = np.random.default_rng(seed)
    octets = KINDS[kind]
    raw = rng.integers(0, 256, (height, 1 + width * octets), np.uint8)
    raw *= rng.random(raw.shape) < density
    filters = np.array([1, 2, 3, 4]) if density else np.array([0, 1, 2, 4])
    raw[:, 0] = rng.choice(filters, height)
    data = png((height, width), kind, raw.tobytes(), parts=int(rng.integers(1, 4)))
    found, expected = png_runs.read(data), pillows(data)
    # Few runs are read as runs; where they are many, and it gives up, nothing is lost.
    if len(expected.starts) < height * width // 8:
        assert found is not None
    if found is not None:
        assert_same(found, expected)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 2**32 - 1), st.booleans())
def test_maps_that_pillow_wrote_are_read_in_blocks_of_rows(kind, seed, ng):
    rng = np.random.default_rng(seed)
    channels = 1 if kind[1] == 0 else KINDS[kind]
    dtype = np.uint16 if kind[0] == 16 else np.uint8
    blocks = rng.integers(0, np.iinfo(dtype).max, (30, 20, channels), dtype)
    pixels = np.repeat(np.repeat(blocks, 20, axis=0), int(rng.integers(8, 80)), axis=1)
    target = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(target, "PNG")
    before = _zlib.use_ng(_zlib._ng if ng else None)
    try:
        found = png_runs.read(target.getvalue())
    finally:
        _zlib.use_ng(before)
    assert_same(found, pillows(target.getvalue()))


FLAT = (b"\x02" + bytes(100)) * 50
SIZE = (50, 100)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no PNG", png(SIZE, (8, 0), FLAT)[:-1], png(SIZE, (8, 0), FLAT)[:60],
        png(SIZE, (8, 0), FLAT[:-1]), png(SIZE, (8, 0), FLAT + b"\0"), png((0, 100), (8, 0), b""),
        png(SIZE, (8, 0), b"", zlib.compress(FLAT)[:-4] + b"\0\0\0\0"), png(SIZE, (8, 0), b"", b"\x78\x01zz"),
        png(SIZE, (8, 0), b"\x05" + FLAT[1:]), png(SIZE, (8, 3), FLAT), png(SIZE, (4, 0), FLAT),
        png(SIZE, (8, 0), FLAT).replace(b"IDAT", b"IDAX"), png((1 << 17, 1 << 17), (8, 0), FLAT),
        png(SIZE, (8, 0), FLAT)[:HEAD] + chunk(b"acTL", bytes(8)) + png(SIZE, (8, 0), FLAT)[HEAD:],
        png(SIZE, (8, 0), np.random.default_rng(0).integers(0, 5, 50 * 101, np.uint8).tobytes()),
    ],
)  # fmt: skip
def test_what_is_not_plain_or_not_whole_is_left_to_pillow(data):
    assert png_runs.read(data) is None


def test_interlaced_and_palette_pictures_are_left_to_pillow():
    target = io.BytesIO()
    Image.new("P", (64, 64), 3).save(target, "PNG")
    plain = bytearray(png(SIZE, (8, 0), FLAT))
    plain[28] = 1
    assert png_runs.read(target.getvalue()) is None
    assert png_runs.read(bytes(plain)) is None


def test_ragged_pictures_are_decoded_by_pillow_and_damaged_ones_refused():
    noise = np.random.default_rng(1).integers(0, 255, (40, 60), np.uint8)
    target = io.BytesIO()
    Image.fromarray(noise).save(target, "PNG")
    runs = panoptic.grey_runs(target.getvalue(), (8,), "a map")
    assert (runs.painted(runs.values) == noise).all()
    with pytest.raises(BadItem, match="cannot be decoded"):
        panoptic.grey_runs(png(SIZE, (8, 0), FLAT)[:60], (8,), "a map")


def test_nothing_is_loaded_for_a_few_small_pictures():
    code = (
        "import sys; from segassets.formats import png_runs, png; import numpy as np\n"
        "data = png.gray_png(np.zeros((50, 60), np.uint8))\n"
        "print(png_runs.read(data), 'numba' in sys.modules, png_runs.load(), png_runs.read(data).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None False True (50, 60)\n"


def test_without_numba_everything_is_decoded_by_pillow(monkeypatch):
    monkeypatch.setattr(png_runs.KERNEL, "wanted", False)
    data = png(SIZE, (16, 0), (b"\x02" + bytes(200)) * 50)
    assert png_runs.read(data) is None
    assert_same(panoptic.grey_runs(data, (16,), "a map"), pillows(data))
