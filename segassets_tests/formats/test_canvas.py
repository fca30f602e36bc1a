"""Frames that cut-outs are scaled into and pasted on: Pillow's pixels, compiled or not, and no copy of a picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segassets.formats import canvas, pixels, resample
from segassets.formats.canvas import Canvas
from segassets.formats.pixels import held, picture_of, pixels_of
from segassets.formats.resample import BILINEAR


@pytest.fixture(params=["compiled", "not compiled"])
def kernel(request, monkeypatch):
    if request.param == "compiled":
        pytest.importorskip("numba")
        assert resample.load() and canvas._mixes_as_pillow(resample.KERNEL._module), "Pillow mixes by another rule now"
    monkeypatch.setattr(resample.KERNEL, "wanted", request.param == "compiled")


def noise(mode, size, seed):
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), np.uint8)).convert(mode)


lengths = st.integers(1, 90)
sizes = st.tuples(lengths, lengths)


@st.composite
def pasted(draw):
    """A picture's size, a box in it, the size that it becomes, the frame's size and a place on it."""
    old, frame = draw(sizes), draw(sizes)
    box = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in old]
    (left, right), (top, bottom) = ((a, b) if b > a else (0, n) for (a, b), n in zip(box, old, strict=True))
    place = tuple(draw(st.integers(0, n - 1)) for n in frame)
    return old, (left, top, right, bottom), draw(sizes), frame, place


@settings(deadline=None)
@given(st.lists(pasted(), min_size=1, max_size=3), st.integers(0, 99))
def test_what_is_pasted_is_pillows(given, seed):
    assert_pillows(given, seed)


@settings(max_examples=20, deadline=None)
@given(st.lists(pasted(), min_size=1, max_size=3), st.integers(0, 99))
def test_it_is_so_without_what_is_compiled(given, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resample.KERNEL, "wanted", False)
        assert_pillows(given, seed)


@settings(max_examples=30, deadline=None)
@given(st.lists(pasted(), min_size=1, max_size=3), st.integers(0, 99))
def test_it_is_so_with_a_pillow_that_shares_no_memory(given, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "_SHARES", False)
        assert_pillows(given, seed)


def assert_pillows(given, seed):
    resample.load()
    shown = Canvas()
    for frame in (given[0][3], (7, 5)):  # the second one shows that nothing of the first is left
        expected = noise("RGB", frame, seed)
        background = expected.copy()
        shown.begin(background)
        for k, (old, box, size, _, place) in enumerate(given):
            place = place[0] % frame[0], place[1] % frame[1]
            picture, alpha = noise("RGB", old, seed + k), noise("L", size, seed + k + 1)
            expected.paste(picture.crop(box).resize(size, BILINEAR), place, alpha)
            shown.paste(picture, box, place, alpha)
        assert (shown.picture.mode, shown.picture.size) == ("RGB", frame)
        assert shown.picture.tobytes() == expected.tobytes()
        assert background.tobytes() == noise("RGB", frame, seed).tobytes()


def test_every_opacity_is_pillows(kernel):
    below, above = noise("RGB", (256, 256), 1), noise("RGB", (256, 256), 2)
    alpha = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8), 256).reshape(256, 256))
    shown = Canvas()
    shown.begin(below)
    shown.paste(above, (0, 0, 256, 256), (0, 0), alpha)
    below.paste(above, (0, 0), alpha)
    assert shown.picture.tobytes() == below.tobytes()


def test_a_kernel_that_mixes_otherwise_is_not_used():
    pytest.importorskip("numba")
    resample.load()

    class Wrong:
        BITS = 22
        strips_seen = staticmethod(resample.KERNEL._module.strips_seen)
        all_strips = staticmethod(resample.KERNEL._module.all_strips)
        weighted_rows = staticmethod(resample.KERNEL._module.weighted_rows)
        weighted_columns = staticmethod(resample.KERNEL._module.weighted_columns)

        @staticmethod
        def paste_rows(*given):
            pass

    assert not canvas._mixes_as_pillow(Wrong)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (31, 17), (5000, 900)])
def test_pixels_are_seen_and_given_back_without_a_copy(mode, size):
    picture = noise(mode, size, 0)
    found = pixels_of(picture)
    assert found.shape == size[::-1] and not found.flags.writeable
    octets = found.view(np.uint8).reshape(*found.shape, -1)
    channels = 3 if mode == "RGB" else 1
    assert (octets[:, :, :channels] == np.asarray(picture).reshape(*found.shape, channels)).all()
    again = picture_of(found)
    assert (again.mode, again.size, again.tobytes()) == (mode, size, picture.tobytes())
    if pixels._SHARES:
        assert np.shares_memory(pixels_of(again), found)


def test_a_picture_in_several_pieces_is_seen_too():
    picture = Image.new("RGB", (5000, 3000), (1, 2, 3))
    found = pixels_of(picture)
    assert found.shape == (3000, 5000) and set(np.unique(found & 0xFFFFFF)) == {0x030201}


def test_other_modes_are_not_held():
    assert [mode for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16") if held(Image.new(mode, (2, 2)))] == [
        "L",
        "RGB",
    ]
