"""Grey PNGs read straight into pixels: what Pillow decodes, or nothing at all."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from segassets.formats import png_grey, png_runs
from segassets_tests.formats.test_png_runs import FLAT, HEAD, SIZE, chunk, png


@pytest.fixture(autouse=True)
def compiled():
    pytest.importorskip("numba")
    assert png_runs.load()


def assert_pillows(data: bytes) -> None:
    np.testing.assert_array_equal(png_grey.read(data), np.asarray(Image.open(io.BytesIO(data))))


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 300), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.002, 0.02, 0.3, 1.0]),
    st.sampled_from([[0, 1, 2, 3, 4], [1], [3], [4], [2, 4]]),
)  # fmt: skip
def test_any_filters_and_residuals_are_what_pillow_decodes(height, width, seed, density, filters):
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (height, 1 + width), np.uint8)
    raw *= rng.random(raw.shape) < density
    raw[:, 0] = rng.choice(filters, height)
    assert_pillows(png((height, width), (8, 0), raw.tobytes(), parts=int(rng.integers(1, 4))))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 9))
def test_soft_mattes_that_pillow_wrote_are_read_in_blocks_of_rows(seed, level):
    rng = np.random.default_rng(seed)
    matte = np.zeros((700, 900), np.uint8)
    top, left = rng.integers(0, 600, 2)
    matte[top : top + rng.integers(1, 400), left : left + rng.integers(1, 500)] = 255
    target = io.BytesIO()
    soft = Image.fromarray(matte).filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 9))))
    soft.save(target, "PNG", compress_level=level)
    assert_pillows(target.getvalue())


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no PNG", png(SIZE, (8, 0), FLAT)[:-1], png(SIZE, (8, 0), FLAT)[:60],
        png(SIZE, (8, 0), FLAT[:-1]), png(SIZE, (8, 0), FLAT + b"\0"), png((0, 100), (8, 0), b""),
        png(SIZE, (8, 0), b"\x05" + FLAT[1:]), png(SIZE, (16, 0), (b"\x02" + bytes(200)) * 50), png(SIZE, (8, 3), FLAT),
        png(SIZE, (8, 0), FLAT)[:HEAD] + chunk(b"acTL", bytes(8)) + png(SIZE, (8, 0), FLAT)[HEAD:],
    ],
)  # fmt: skip
def test_what_is_not_plain_or_not_whole_is_left_to_pillow(data):
    assert png_grey.read(data) is None


def test_without_numba_pillow_decodes(monkeypatch):
    monkeypatch.setattr(png_runs.KERNEL, "wanted", False)
    assert png_grey.read(png(SIZE, (8, 0), FLAT)) is None
