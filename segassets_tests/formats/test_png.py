"""Our PNGs hold exactly the pixels they should, for every reader, and are well-formed down to their check sums."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
import skimage.io
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from segassets.formats import _deflate, _huffman, _zlib, png, rle
from segassets_tests.benchmarks.corpus import outline, smooth_mask
from segassets_tests.formats.mask_strategies import coco_string, images

DEPTHS = [8, 2, 1]


@pytest.fixture(params=["isal and zlib-ng", "zlib"])
def codec(request):
    plain = request.param == "zlib"
    previous = png._use_isal(None if plain else pytest.importorskip("isal.isal_zlib"))
    before = _zlib.use_ng(None if plain else pytest.importorskip("zlib_ng.zlib_ng"))
    yield request.param
    png._use_isal(previous)
    _zlib.use_ng(before)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Names and data of a PNG's chunks, read without any PNG library; every CRC is checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(data):
        (n,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + n]
        assert struct.unpack_from(">I", data, at + 8 + n) == (zlib.crc32(name + body),)
        found.append((name, body))
        at += 12 + n
    assert [name for name, _ in found] == [b"IHDR", b"IDAT", b"IEND"]
    return found


def raw_data(data: bytes, size: tuple[int, int], depth: int, colour_type: int) -> bytes:
    """What the IDAT chunk holds (zlib.decompress checks Adler-32 and that nothing follows)."""
    (_, ihdr), (_, idat), (_, iend) = chunks(data)
    assert struct.unpack(">IIBBBBB", ihdr) == (size[1], size[0], depth, colour_type, 0, 0, 0) and iend == b""
    inflate = zlib.decompressobj()
    raw = inflate.decompress(idat) + inflate.flush()
    assert inflate.eof and not inflate.unused_data
    return raw


def assert_mask_png(data: bytes, mask: np.ndarray, depth: int) -> None:
    h, w = mask.shape
    raw = raw_data(data, (h, w), depth, 0)
    assert len(raw) == (1 + (w * depth + 7) // 8) * h
    rows = np.frombuffer(raw, np.uint8).reshape(h, -1)
    assert not rows[:, 0].any()  # filter None
    bits = np.unpackbits(rows[:, 1:], axis=1)
    np.testing.assert_array_equal(bits, np.pad(np.repeat(mask, depth, axis=1), ((0, 0), (0, -w * depth % 8))))
    expected = mask * np.uint8(255)
    image = Image.open(io.BytesIO(data))
    np.testing.assert_array_equal(np.array(image.convert("L")), expected)
    plain = np.array(Image.open(io.BytesIO(data)))
    read = skimage.io.imread(io.BytesIO(data))
    for array in (plain, read):
        assert array.dtype == (bool if depth == 1 else np.uint8)
        np.testing.assert_array_equal(array, mask.astype(bool) if depth == 1 else expected)
    octets = np.frombuffer(data, np.uint8)
    for flag in (0, -1):
        np.testing.assert_array_equal(cv2.imdecode(octets, flag), expected)
    np.testing.assert_array_equal(cv2.imdecode(octets, 1), np.repeat(expected[:, :, None], 3, axis=2))


@pytest.mark.parametrize("depth", DEPTHS)
@settings(max_examples=60, deadline=None)
@given(image=images())
def test_masks_read_back_in_every_reader(depth, image):
    strings = [coco_string(mask) for mask in image]
    for data, mask in zip(png.mask_pngs(strings, image[0].shape, depth), image, strict=True):
        assert_mask_png(data, mask, depth)


@pytest.mark.parametrize("depth", DEPTHS)
@settings(max_examples=40, deadline=None)
@given(image=images())
def test_ragged_and_smooth_way_give_the_same_pixels(depth, image):
    size, strings = image[0].shape, [coco_string(mask) for mask in image]
    placed = png.mask_pngs(strings, size, depth)
    for data, mask in zip(placed, image, strict=True):
        packed = png._packed_png(mask, depth)
        assert raw_data(packed, size, depth, 0) == raw_data(data, size, depth, 0)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2250), (2250, 1), (3, 7), (3, 8), (3, 9), (2, 257), (2, 258), (2, 259), (640, 481)]
)
@pytest.mark.parametrize("filled", [0, 1])
def test_full_and_empty_masks_of_unusual_sizes(depth, size, filled):
    mask = np.full(size, filled, np.uint8)
    assert_mask_png(png.mask_png(coco_string(mask), size, depth), mask, depth)


@pytest.mark.parametrize("depth", DEPTHS)
def test_single_pixels_at_every_place_around_the_longest_match(depth):
    w = 600
    image = []
    for x in [*range(0, 20), *range(250, 270), *range(510, 525), 598, 599]:
        mask = np.zeros((2, w), np.uint8)
        mask[0, x] = 1
        image.append(mask)
    for mask, data in zip(image, png.mask_pngs([coco_string(m) for m in image], (2, w), depth), strict=True):
        assert_mask_png(data, mask, depth)


@pytest.mark.parametrize("depth", DEPTHS)
def test_large_smooth_masks_and_one_ragged_one_among_them(depth, codec):
    rng = np.random.default_rng(1)
    image = [smooth_mask(rng, (700, 901)) for _ in range(8)]
    image[3] = (rng.random((700, 901)) < 0.5).astype(np.uint8)
    image[5] = np.ones((700, 901), np.uint8)
    image[7] = 1 - image[7]
    strings = [coco_string(mask) for mask in image]
    assert len(rle.row_runs(strings, (700, 901))[3]) > 700 * 901 // png._RAGGED
    for data, mask in zip(png.mask_pngs(strings, (700, 901), depth), image, strict=True):
        assert_mask_png(data, mask, depth)


@pytest.mark.parametrize("backend", ["numpy", "rlemasklib"])
def test_the_rle_backend_changes_no_byte(backend):
    rng = np.random.default_rng(2)
    strings = [coco_string(smooth_mask(rng, (300, 411))) for _ in range(20)]
    expected = png.mask_pngs(strings, (300, 411))
    previous = rle._use_backend(backend)
    try:
        assert png.mask_pngs(strings, (300, 411)) == expected
    finally:
        rle._use_backend(previous)


def test_a_mask_has_the_same_bytes_alone_and_among_others():
    rng = np.random.default_rng(3)
    strings = [coco_string(smooth_mask(rng, (300, 400))) for _ in range(30)]
    for depth in DEPTHS:
        assert png.mask_pngs(strings, (300, 400), depth) == [png.mask_png(s, (300, 400), depth) for s in strings]


@pytest.mark.parametrize("batch", [1, 50, 1000])
def test_batches_change_no_byte(monkeypatch, batch):
    rng = np.random.default_rng(4)
    strings = [coco_string(smooth_mask(rng, (200, 300))) for _ in range(12)]
    expected = png.mask_pngs(strings, (200, 300))
    monkeypatch.setattr(png, "_BATCH_RUNS", batch)
    assert png.mask_pngs(strings, (200, 300)) == expected


def test_masks_are_at_most_a_tenth_larger_than_pillows():
    rng = np.random.default_rng(5)
    image = [smooth_mask(rng) for _ in range(6)]
    pillow = 0
    for mask in image:
        file = io.BytesIO()
        Image.fromarray(mask * np.uint8(255)).save(file, "PNG")
        pillow += len(file.getvalue())
    ours = sum(map(len, png.mask_pngs([coco_string(mask) for mask in image], image[0].shape)))
    assert ours <= 1.10 * pillow


def test_no_masks_no_files_and_other_depths_are_refused():
    assert png.mask_pngs([], (4, 4)) == []
    for depth in (0, 4, 16, None):
        with pytest.raises(png.PngError, match="expected 8, 2 or 1"):
            png.mask_pngs(["538"], (4, 4), depth)
    with pytest.raises(rle.RleError, match="sum to"):
        png.mask_pngs(["538", "53"], (4, 4))


@pytest.mark.parametrize("depth", DEPTHS)
def test_huffman_tables_are_complete_and_run_bits_are_zero(depth):
    lengths = _deflate._code_lengths(depth)
    assert sum(2.0**-n for n in lengths.tolist() if n) == 1
    assert lengths[285] == 1 and _huffman.canonical_codes(lengths)[285] == 0


LABEL_MAPS = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.sampled_from([2, 200, 256]))


@settings(max_examples=60, deadline=None)
@given(LABEL_MAPS, st.sampled_from([np.uint8, np.uint16]))
def test_label_maps_read_back(shape, dtype):
    h, w, seed, n = shape
    labels = (np.random.default_rng(seed).integers(0, n, (h, w)) * (1 if dtype == np.uint8 else 257)).astype(dtype)
    data = png.gray_png(labels)
    depth = 8 * labels.itemsize
    assert len(raw_data(data, (h, w), depth, 0)) == (1 + w * labels.itemsize) * h
    for read in (cv2.imdecode(np.frombuffer(data, np.uint8), -1), skimage.io.imread(io.BytesIO(data))):
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, labels)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), labels)
    strided = np.repeat(np.repeat(labels, 2, axis=0), 3, axis=1)[::2, ::3]
    assert png.gray_png(strided) == png.gray_png(labels.astype(labels.dtype.newbyteorder())) == data


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 12)] * 4), st.tuples(st.integers(1, 20), st.integers(1, 20)), st.integers(0, 99))
def test_what_is_placed_on_zeros_is_written_as_the_whole_map(given, size, seed):
    x, y, rows, columns = given
    values = np.random.default_rng(seed).integers(0, 256, (rows, columns), np.uint8)
    whole = np.zeros((40, 40), np.uint8)
    whole[y : y + rows, x : x + columns] = values
    h, w = size
    assert png.placed_gray_png(values, x, y, size) == png.gray_png(whole[:h, :w])


@settings(max_examples=60, deadline=None)
@given(LABEL_MAPS)
def test_colours_read_back_with_and_without_an_index_map(shape):
    h, w, seed, n = shape
    rng = np.random.default_rng(seed)
    index = np.repeat(rng.integers(0, n, (h, w)), 3, axis=1).astype(np.uint16)
    colours = rng.integers(0, 256, (n, 3), np.uint8)
    expected = colours[index]
    data = png.palette_rgb_png(index, colours)
    assert data == png.rgb_png(expected)
    assert len(raw_data(data, index.shape, 8, 2)) == (1 + 9 * w) * h
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), expected)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), 1)[:, :, ::-1], expected)
    assert png.palette_rgb_png(np.asfortranarray(index), colours) == data


def test_label_maps_and_colours_are_at_most_a_fifth_larger_than_pillows(codec):
    rng = np.random.default_rng(6)
    labels = np.zeros((512, 1024), np.uint8)
    for i in range(1, 40):
        canvas = Image.fromarray(labels)
        ImageDraw.Draw(canvas).polygon(outline(rng, rng.uniform(0, 1024), rng.uniform(0, 512), 9000), fill=i)
        labels = np.array(canvas)
    colours = rng.integers(0, 256, (256, 3), np.uint8)
    for array in (labels, labels.astype(np.uint16) * 1000, colours[labels]):
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        ours = png.rgb_png(array) if array.ndim == 3 else png.gray_png(array)
        assert len(ours) <= 1.2 * len(file.getvalue())


def test_arrays_of_the_wrong_kind_are_refused():
    for call, array in [
        (png.gray_png, np.zeros((2, 2), np.int32)),
        (png.gray_png, np.zeros((2, 2, 3), np.uint8)),
        (png.rgb_png, np.zeros((2, 2), np.uint8)),
        (png.rgb_png, np.zeros((2, 2, 4), np.uint8)),
        (png.rgb_png, np.zeros((2, 2, 3), np.uint16)),
    ]:
        with pytest.raises(png.PngError, match="expected"):
            call(array)
    for values, x in [(np.zeros((2, 2), np.uint16), 0), (np.zeros(4, np.uint8), 0), (np.zeros((2, 2), np.uint8), -1)]:
        with pytest.raises(png.PngError, match="expected"):
            png.placed_gray_png(values, x, 0, (4, 4))
    with pytest.raises(png.PngError, match="index 3 has no colour"):
        png.palette_rgb_png(np.full((2, 2), 3, np.uint8), np.zeros((3, 3), np.uint8))


def test_standard_library_fallback_writes_the_same_pixels(codec):
    rng = np.random.default_rng(7)
    mask = (rng.random((50, 61)) < 0.5).astype(np.uint8)
    for depth in DEPTHS:
        assert_mask_png(png._packed_png(mask, depth), mask, depth)
        assert_mask_png(png.mask_png(coco_string(mask), mask.shape, depth), mask, depth)
    versions = png.codec_versions()
    found = {versions[name].split()[0] for name in ("label_map_codec", "ragged_mask_codec")}
    assert found == set(codec.split(" and "))


def test_importing_the_writer_loads_neither_numba_nor_opencv():
    code = "import sys, segassets.formats.control_image; print(sorted({'numba', 'cv2', 'dagster'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
