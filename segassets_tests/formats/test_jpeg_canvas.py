"""A picture on a black canvas: the same pixels as Pillow's JPEG of the whole canvas, wherever the picture lies."""

import io

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from segassets.formats.jpeg_canvas import on_black


def whole(picture, x, y, size):
    canvas = Image.new("RGB", size)
    canvas.paste(picture, (x, y))
    sink = io.BytesIO()
    canvas.save(sink, "JPEG")
    return np.asarray(Image.open(sink))


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 150), st.integers(1, 150), st.integers(1, 120), st.integers(1, 120),
    st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32 - 1),
)  # fmt: skip
@example(150, 150, 150, 150, 0, 0, 1)
@example(48, 48, 1, 1, 0.5, 0.5, 2)
@example(1, 1, 1, 1, 0, 0, 3)
@example(120, 72, 16, 16, 0.3, 1, 4)
def test_the_pixels_of_the_whole_canvas(width, height, w, h, right, down, seed):
    w, h = min(w, width), min(h, height)
    rng = np.random.default_rng(seed)
    high = rng.choice([2, 40, 256])
    picture = Image.fromarray(rng.integers(0, high, (h, w, 3), np.uint8))
    x, y = int((width - w) * right), int((height - h) * down)
    data = on_black(picture, x, y, (width, height))
    found = Image.open(io.BytesIO(data))
    found.load()
    assert np.array_equal(np.asarray(found), whole(picture, x, y, (width, height)))


def test_a_grey_picture_in_a_large_frame():
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (300, 200), np.uint8))
    for x, y in ((0, 0), (333, 217), (1720, 780)):
        data = on_black(picture, x, y, (1920, 1080))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), whole(picture, x, y, (1920, 1080)))
