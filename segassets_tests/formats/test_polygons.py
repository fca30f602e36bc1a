"""Outlines: pixel for pixel as Pillow on a canvas of their own, whatever was drawn before."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from segassets.formats import rle
from segassets.formats.polygons import Canvas, coco_polygons, mask_of_crop, united
from segassets_tests.formats.mask_strategies import masks

SIZE = (40, 56)
NUMBER = st.floats(-30, 90, allow_nan=False, width=32)
OUTLINES = st.lists(st.lists(st.tuples(NUMBER, NUMBER), min_size=3, max_size=12), min_size=1, max_size=6)


def drawn(points):
    image = Image.new("L", SIZE[::-1])
    ImageDraw.Draw(image).polygon(points, outline=1, fill=1)
    return np.array(image)


def as_encoded(pixels):
    encoded = coco.encode(np.asfortranarray(pixels))
    return encoded["counts"], int(coco.area(encoded)), tuple(coco.toBbox(encoded).astype(int).tolist())


@settings(max_examples=200, deadline=None)
@given(OUTLINES)
def test_a_reused_canvas_draws_as_a_new_one(outlines):
    canvas = Canvas(SIZE)
    for points in outlines:
        canvas.polygon(points)
        assert tuple(canvas.take()) == as_encoded(drawn(points))


@settings(max_examples=100, deadline=None)
@given(OUTLINES)
def test_parts_are_united(outlines):
    canvas = Canvas(SIZE)
    for points in outlines:
        canvas.polygon(points)
    assert tuple(canvas.take()) == as_encoded(np.maximum.reduce([drawn(points) for points in outlines]))
    assert canvas.take().area == 0


@settings(max_examples=150, deadline=None)
@given(masks())
def test_run_lengths_of_a_crop_are_those_of_pycocotools(pixels):
    assert tuple(mask_of_crop(pixels, (0, 0), pixels.shape)) == as_encoded(pixels)


def test_a_crop_lies_where_it_is_said_to():
    pixels = np.zeros(SIZE, np.uint8)
    pixels[5:40, 7:11] = 1
    assert tuple(mask_of_crop(pixels[5:40, 7:11], (7, 5), SIZE)) == as_encoded(pixels)


def test_a_square_has_its_outline_and_a_coco_square_has_not():
    canvas = Canvas(SIZE)
    canvas.polygon([(10, 10), (20, 10), (20, 20), (10, 20)])
    assert canvas.take().area == 121
    assert coco_polygons([[10, 10, 20, 10, 20, 20, 10, 20]], SIZE).area == 100


def test_shapes_that_are_no_polygons():
    canvas = Canvas(SIZE)
    canvas.rectangle([(20, 9), (11, 5)])
    box = canvas.take()
    assert (box.area, box.bbox) == (50, (11, 5, 10, 5))
    canvas.circle([(20, 20), (24, 20)])
    assert canvas.take().bbox == (16, 16, 9, 9)
    canvas.patch(np.ones((4, 6), bool), (-2, 38))
    patch = canvas.take()
    assert (patch.area, patch.bbox) == (8, (0, 38, 4, 2))
    assert united([box, patch], SIZE).area == 58
    assert rle.area(canvas.take().counts, SIZE) == 0
