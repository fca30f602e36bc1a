"""Control images have upstream's colours in upstream's order, and a digest that speaks of the pixels alone."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from hypothesis import given, settings
from PIL import Image

from segassets.formats import _zlib, control_image, rle
from segassets_tests.formats.mask_strategies import coco_string, images


def upstream_colours(n: int) -> list[tuple[int, int, int]]:
    """As in ASAM's utils/sam_control_signal.py: floating-point steps through the 24-bit colours."""
    colours = []
    for j in range(n):
        place = int((256**3 - 1) * (j + 1) / n)
        colours.append((place % 256, place // 256 % 256, place // 256**2))
    return colours


def test_colours_equal_upstreams():
    for n in [*range(1, 300), 1000, 4096, 65535, 100_000]:
        colours = control_image.rank_colours(n)
        assert colours.dtype == np.uint8 and colours.shape == (n, 3)
        assert colours.tolist() == [list(colour) for colour in upstream_colours(n)]
        assert colours[-1].tolist() == [255, 255, 255]
    assert control_image.rank_colours(0).shape == (0, 3)


def test_red_is_the_lowest_byte():
    assert control_image.rank_colours(3).tolist() == [[85, 85, 85], [170, 170, 170], [255, 255, 255]]
    assert control_image.rank_colours(7)[0].tolist() == [0x49, 0x92, 0x24]  # 0x249249


@settings(max_examples=60)
@given(images())
def test_later_masks_are_painted_over_earlier_ones_on_black(image):
    h, w = image[0].shape
    expected = np.zeros((h, w, 3), np.uint8)
    for mask, colour in zip(image, upstream_colours(len(image)), strict=True):
        expected[mask == 1] = colour
    data, _ = control_image.control_png([coco_string(mask) for mask in image], (h, w))
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.array(picture), expected)


def test_no_masks_give_a_black_image():
    data, _ = control_image.control_png([], (3, 5))
    assert not np.array(Image.open(io.BytesIO(data))).any()


def test_the_digest_speaks_of_content_not_of_compression():
    strings = [rle.from_uncompressed(lengths, (4, 4)) for lengths in ([5, 3, 8], [0, 2, 14], [16])]
    data, digest = control_image.control_png(strings, (4, 4))
    previous = _zlib.use_ng(None)
    try:
        other_data, same_digest = control_image.control_png(strings, (4, 4))
    finally:
        _zlib.use_ng(previous)
    assert digest == same_digest and len(digest) == 64 and data != other_data
    others = [(strings[::-1], (4, 4)), (strings[:2], (4, 4)), ([rle.from_uncompressed([16], (2, 8))] * 3, (2, 8))]
    digests = {control_image.control_png(masks, size)[1] for masks, size in others}
    assert len(digests | {digest}) == 4
    assert control_image.content_digest(1, np.zeros((2, 8), np.uint16)) not in digests


def test_the_digest_is_the_same_on_every_machine():
    ranks = np.arange(6, dtype=np.uint16).reshape(2, 3)
    expected = hashlib.sha256(b'[5, [2, 3], "<u2"]' + bytes([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0])).hexdigest()
    assert control_image.content_digest(5, ranks) == control_image.content_digest(5, ranks.astype(">u2"))
    assert control_image.content_digest(5, ranks) == expected
