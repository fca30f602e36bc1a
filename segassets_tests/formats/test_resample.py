"""Resizing by the compiled kernel: the pixels of the installed Pillow, or Pillow itself."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segassets.formats import pictures, png_runs, resample
from segassets.formats.resample import BICUBIC, BILINEAR, resized


@pytest.fixture(autouse=True)
def compiled():
    pytest.importorskip("numba")
    assert resample.load(), "the kernel gives other pixels than the installed Pillow: find its new rule"
    assert png_runs.load()


def noise(mode, size, seed=0):
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), np.uint8)).convert(mode)


lengths = st.integers(1, 300)


@settings(deadline=None)
@given(
    st.sampled_from(["L", "RGB"]),
    st.tuples(lengths, lengths),
    st.tuples(lengths, lengths),
    st.sampled_from([BILINEAR, BICUBIC]),
    st.integers(0, 99),
)
def test_every_pixel_is_pillows(mode, old, new, how, seed):
    picture = noise(mode, old, seed)
    found, expected = resized(picture, new, how), picture.resize(new, how)
    assert (found.mode, found.size) == (expected.mode, expected.size)
    assert found.tobytes() == expected.tobytes()


@settings(deadline=None)
@given(st.sampled_from(["L", "RGB"]), st.tuples(lengths, lengths), st.tuples(lengths, lengths), st.data())
def test_a_box_is_cut_out_first(mode, old, new, data):
    (left, right), (top, bottom) = (
        sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in old
    )
    picture = noise(mode, old)
    expected = picture.crop((left, top, right, bottom)).resize(new, BILINEAR)
    assert resized(picture, new, BILINEAR, (left, top, right, bottom)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "CMYK", "1"])
def test_other_modes_are_left_to_pillow(mode):
    picture = noise("L", (40, 30)).convert(mode)
    assert resized(picture, (20, 50), BILINEAR).tobytes() == picture.resize((20, 50), BILINEAR).tobytes()


def test_a_kernel_that_gives_other_pixels_is_not_used(monkeypatch):
    class Wrong:
        BITS = 22

        @staticmethod
        def weighted_rows(rows, first, count, weights, out):
            out[:] = 7

        @staticmethod
        def weighted_columns(pixels, left, top, width, first, count, weights, strips, out):
            out[:] = 7

        @staticmethod
        def all_strips(rows, columns):
            return None

    assert resample._order_of_pillow(Wrong) is None
    assert not resample.KERNEL.agrees(Wrong)


def encoded(picture, kind, **how):
    sink = io.BytesIO()
    picture.save(sink, kind, **how)
    return sink.getvalue()


def flat(mode):
    picture = Image.new("L", (300, 200))
    picture.paste(200, (50, 40, 180, 150))
    picture.paste(255, (60, 50, 170, 140))
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "1", "I;16"])
def test_grey_pictures_are_read_as_pillow_converts_them(mode):
    data = encoded(flat(mode), "PNG")
    found, expected = pictures.grey(data), Image.open(io.BytesIO(data)).convert("L")
    assert (found.mode, found.size, found.tobytes()) == ("L", expected.size, expected.tobytes())
    assert found.getbbox() == expected.getbbox()


def test_grey_jpegs_and_interlaced_or_ragged_pngs_are_read_by_pillow():
    for data in (encoded(flat("L"), "JPEG"), encoded(noise("L", (90, 80)), "PNG")):
        assert pictures.grey(data).tobytes() == Image.open(io.BytesIO(data)).convert("L").tobytes()


def test_a_damaged_picture_is_unreadable():
    data = encoded(flat("L"), "PNG")
    for damaged in (data[:60], data[:-30], b"", b"<html>"):
        with pytest.raises(pictures.PictureError):
            pictures.grey(damaged)
