"""Run lengths agree with pycocotools on every mask, and whatever is not a mask is refused quickly and in words."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from segassets.formats import rle
from segassets_tests.formats.mask_strategies import coco_string, images, masks

BACKENDS = ["numpy", "rlemasklib"]


@pytest.fixture(autouse=True, params=BACKENDS, scope="module")
def backend(request):
    if request.param == "rlemasklib":
        pytest.importorskip("rlemasklib")
    previous = rle._use_backend(request.param)
    yield request.param
    rle._use_backend(previous)


@given(masks())
def test_one_mask_agrees_with_pycocotools(mask):
    expected = {"size": list(mask.shape), "counts": coco_string(mask)}
    counts, size = rle.encode(mask), mask.shape
    assert counts == expected["counts"]
    decoded = rle.decode(counts, size)
    assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, mask)
    assert rle.area(counts, size) == coco.area(expected) == mask.sum()
    assert list(rle.bbox(counts, size)) == coco.toBbox(expected).tolist()
    assert rle.canonical(counts, size) == counts
    rle.validate(counts.decode(), size)


@given(masks())
def test_run_lengths_are_those_of_the_column_major_scan(mask):
    scan = mask.T.reshape(-1)
    ends = np.append(np.flatnonzero(np.diff(scan, prepend=0)), scan.size)
    expected = np.diff(ends, prepend=0).tolist()
    counts = coco_string(mask)
    assert rle.runs(counts, mask.shape).tolist() == rle.to_uncompressed(counts, mask.shape) == expected
    assert rle.from_uncompressed(expected, mask.shape) == counts


@given(images())
def test_masks_of_an_image_agree_one_by_one(image):
    size, strings = image[0].shape, [coco_string(mask) for mask in image]
    areas, boxes = rle.stats(strings, size)
    assert areas.dtype == boxes.dtype == np.int64
    assert areas.tolist() == [int(mask.sum()) for mask in image]
    assert boxes.tolist() == [coco.toBbox({"size": list(size), "counts": s}).tolist() for s in strings]
    assert rle.validate_all(strings, size) == [None] * len(image)
    for mask, lengths in zip(image, rle.row_runs(strings, size), strict=True):
        values = np.arange(len(lengths)) % 2
        np.testing.assert_array_equal(np.repeat(values, lengths.astype(np.int64)).reshape(size), mask)
        assert (lengths[1:] > 0).all()


@given(images())
def test_the_last_mask_lies_on_top(image):
    expected = np.zeros(image[0].shape, int)
    for i, mask in enumerate(image):
        expected[mask == 1] = i + 1
    ranks = rle.paint_ranks([coco_string(mask) for mask in image], expected.shape)
    assert ranks.dtype == np.uint8 and ranks.flags.c_contiguous
    np.testing.assert_array_equal(ranks, expected)


@given(images(), st.data())
def test_values_are_painted_as_ranks_are(image, data):
    values = data.draw(st.lists(st.integers(0, 255), min_size=len(image), max_size=len(image)))
    strings = [coco_string(mask) for mask in image]
    painted = rle.paint(strings, values, image[0].shape)
    assert painted.dtype == np.uint8 and painted.flags.c_contiguous
    np.testing.assert_array_equal(painted, np.array([0, *values])[rle.paint_ranks(strings, image[0].shape)])


@pytest.mark.parametrize(("n", "dtype"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16), (65536, np.uint32)])
def test_ranks_have_as_many_bytes_as_they_need(n, dtype):
    pixels = [rle.from_uncompressed([i % 5, 1, 4 - i % 5], (1, 5)) for i in range(5)]
    ranks = rle.paint_ranks([pixels[i % 5] for i in range(n)], (1, 5))
    assert ranks.dtype == dtype
    assert sorted(ranks[0].tolist()) == list(range(n - 4, n + 1))


@given(masks(), st.randoms(use_true_random=False))
def test_runs_of_length_zero_change_nothing(mask, random):
    lengths = rle.to_uncompressed(coco_string(mask), mask.shape)
    for _ in range(3):
        at = random.randrange(len(lengths) + 1)
        lengths[at:at] = [0, 0]
        if random.random() < 0.5 and len(lengths) > 2 and lengths[at] == 0 and lengths[-1] > 1:
            lengths[-1:] = [lengths[-1] - 1, 0, 1]
    written = rle.from_uncompressed(lengths, mask.shape)
    assert rle.runs(written, mask.shape).tolist() == lengths
    np.testing.assert_array_equal(rle.decode(written, mask.shape), mask)
    assert rle.canonical(written, mask.shape) == coco_string(mask)
    assert rle.area(written, mask.shape) == mask.sum()
    assert rle.bbox(written, mask.shape) == rle.bbox(coco_string(mask), mask.shape)


@pytest.mark.parametrize(
    "array", [np.eye(5, dtype=bool), np.eye(5) * 7, np.eye(5, dtype=np.uint8) * 255, np.eye(5, 9).T]
)
def test_everything_but_zero_is_set(array):
    assert rle.encode(array) == coco_string((array != 0).astype(np.uint8))
    array.flags.writeable = False
    assert rle.encode(array) == coco_string((array != 0).astype(np.uint8))


# A 4 x 4 mask: runs 5, 3, 8 are "538".
BAD_STRINGS = [
    ("", "empty"),
    ("53", "sum to 8, expected h*w = 4*4 = 16"),
    ("539", "sum to 17"),
    ("53 8", "position 2"),
    ("53/", "position 2"),
    ("53p", "position 2"),
    ("53\x00", "position 2"),
    ("53é", "position 2"),
    (b"53\xff", "position 2"),
    ("53X", "cut off"),
    ("538X", "cut off"),
    ("5O8", "run 1 is negative: -1"),
    ("53" + "P" * 7 + "08", "more than 7"),
    ("5300o", "cut off"),
    ("53800L", "run 5 is negative: -1"),
    ("P" * 6 + "1", "run 0 is 1073741824, more than h*w"),
    ("5" * 200, "characters are more than"),
    (None, "NoneType"),
    ([5, 3, 8], "from_uncompressed"),
]
CALLS = [rle.runs, rle.validate, rle.decode, rle.area, rle.bbox, rle.canonical, rle.to_uncompressed]
BATCH_CALLS = [rle.stats, rle.paint_ranks, rle.row_runs, rle.runs_of_all]


@pytest.mark.parametrize(("counts", "said"), BAD_STRINGS)
def test_what_is_no_mask_is_refused_everywhere_and_says_why(counts, said):
    for call in CALLS:
        with pytest.raises(rle.RleError) as error:
            call(counts, (4, 4))
        assert said in str(error.value)
    for call in BATCH_CALLS:
        with pytest.raises(rle.RleError) as error:
            call(["538", counts, "538"], (4, 4))
        assert said in str(error.value)
    problems = rle.validate_all(["538", counts, "538"], (4, 4))
    assert problems[0] is problems[2] is None and said in problems[1]


def test_numbers_that_the_codecs_would_cut_to_32_bits_are_refused():
    for k in range(32, 35):
        for call in CALLS:
            with pytest.raises(rle.RleError):
                call(_number(5) + _number(3 + (1 << k)) + _number(8), (4, 4))
    with pytest.raises(rle.RleError, match="negative"):  # 3 less than nothing, and the sum is right again
        rle.decode(_number(5) + _number(-3) + _number(14), (4, 4))


def test_a_negative_run_that_is_right_modulo_32_bits_is_refused():
    size = (65535, 65535)  # 2**32 - 131071 pixels
    for call in (rle.validate, rle.area, rle.runs, rle.canonical, rle.bbox):
        with pytest.raises(rle.RleError, match="run 0 is negative: -131071"):
            call(_number(-131071), size)


def test_numbers_written_longer_than_needed_are_still_numbers():
    padded = b"U0" + b"38"  # 5 as two characters
    np.testing.assert_array_equal(rle.decode(padded, (4, 4)), rle.decode("538", (4, 4)))
    assert rle.canonical(padded, (4, 4)) == b"538"
    longest = b"U" + b"P" * 5 + b"0" + b"38"
    assert rle.runs(longest, (4, 4)).tolist() == [5, 3, 8]
    assert rle.area(longest, (4, 4)) == 3


def _number(x: int) -> bytes:
    characters = []
    while True:
        low, x = x & 31, x >> 5
        if x == (-1 if low & 16 else 0):
            return bytes([*characters, low + 48])
        characters.append((low | 32) + 48)


@pytest.mark.parametrize(
    "size",
    [
        (0, 4),
        (4, -4),
        (4.0, 4),
        ("4", 4),
        (True, 16),
        (4,),
        (4, 4, 4),
        None,
        16,
        (65537, 1),
        (65536, 65536),
        (2**70, 1),
    ],
)
def test_sizes_that_no_mask_has_are_refused(size):
    for call in CALLS:
        with pytest.raises(rle.RleError, match="size is"):
            call("538", size)
    with pytest.raises(rle.RleError, match="size is"):
        rle.validate_all(["538"], size)


@pytest.mark.parametrize(
    "lengths", [[5, 3], [5, -3, 14], [5, 3.0, 8], [5, "3", 8], [5, 2**70], [2**64 - 5, 21], [], [True] * 16]
)
def test_lists_that_no_mask_has_are_refused(lengths):
    with pytest.raises(rle.RleError):
        rle.from_uncompressed(lengths, (4, 4))


@given(st.binary(max_size=40), st.integers(1, 6), st.integers(1, 6))
def test_any_bytes_are_refused_or_are_a_mask(counts, h, w):
    _is_refused_or_a_mask(counts, (h, w))


@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12), st.integers(1, 4), st.integers(1, 4))
def test_any_string_of_the_alphabet_is_refused_or_is_a_mask(counts, h, w):
    _is_refused_or_a_mask(counts, (h, w))


def _is_refused_or_a_mask(counts, size) -> None:
    problem = rle.validate_all([counts], size)[0]
    if problem:
        for call in CALLS:
            with pytest.raises(rle.RleError):
                call(counts, size)
        return
    lengths = rle.runs(counts, size)
    assert lengths.sum() == size[0] * size[1] and (lengths >= 0).all()
    mask = np.repeat(np.arange(len(lengths)) % 2, lengths).reshape(size[::-1]).T
    np.testing.assert_array_equal(rle.decode(counts, size), mask)
    assert rle.canonical(counts, size) == coco_string(mask.astype(np.uint8))


@pytest.mark.parametrize(
    "hostile",
    [b"0" * 1_000_000, b"o" * 1_000_000, b"OO" * 500_000, b"1O" * 500_000, b"P" * 999_999 + b"0", b"ooooooO" * 150_000],
)
def test_a_megabyte_of_garbage_ends_quickly(hostile):
    begin = time.process_time()
    for call in (rle.decode, rle.validate, rle.area):
        with pytest.raises(rle.RleError):
            call(hostile, (1500, 2250))
    assert rle.validate_all([hostile] * 3, (1500, 2250)).count(None) == 0
    assert time.process_time() - begin < 3


def test_a_frame_of_four_billion_pixels_is_only_as_large_as_its_runs():
    size = (65535, 65535)
    counts = rle.from_uncompressed([65535 * 65534, 5, 65530], size)
    assert rle.runs(counts, size).tolist() == [65535 * 65534, 5, 65530]
    assert rle.area(counts, size) == 5
    assert rle.bbox(counts, size) == (65534, 0, 1, 5)
    rle.validate(counts, size)


def test_only_the_bad_masks_of_an_image_are_named():
    with pytest.raises(rle.RleError, match="mask 2 of 3"):
        rle.stats(["538", "538", "53"], (4, 4))
    strings = ["538"] * 2000
    strings[1234] = "537"
    assert [i for i, problem in enumerate(rle.validate_all(strings, (4, 4))) if problem] == [1234]


def test_no_masks_are_no_masks():
    assert rle.validate_all([], (4, 4)) == rle.row_runs([], (4, 4)) == []
    areas, boxes = rle.stats([], (4, 4))
    assert areas.shape == (0,) and boxes.shape == (0, 4)
    assert not rle.paint_ranks([], (4, 4)).any()


def test_a_frame_shows_each_mask_and_nothing_of_the_one_before(backend):
    random = np.random.default_rng(5)
    frame = rle.Frame((40, 30))
    for share in (0.5, 0.0, 1.0, 0.1, 0.9):
        mask = (random.random((40, 30)) < share).astype(np.uint8)
        np.testing.assert_array_equal(frame.decode(rle.encode(mask)), mask)
    with pytest.raises(rle.RleError):
        frame.decode(b"0")
