"""Grey PNGs of label maps straight from runs: the pixels of every reader, and the same bytes with and without numba."""

from __future__ import annotations

import io
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segassets.formats import _huffman, _label_deflate, png
from segassets.formats.label_map import row_runs

WIDTHS = st.sampled_from([1, 2, 3, 40, 257, 258, 259, 260, 261, 519, 1100])


@pytest.fixture(scope="module")
def kernel():
    pytest.importorskip("numba")
    assert _label_deflate.KERNEL.load()
    return _label_deflate.KERNEL.after(1)


def blocks(seed: int, height: int, width: int, dtype, values: int) -> np.ndarray:
    """Rectangles and noise of some of the type's values, the largest among them."""
    rng = np.random.default_rng(seed)
    table = np.append(rng.integers(0, np.iinfo(dtype).max, values), np.iinfo(dtype).max).astype(dtype)
    across, down = (int(n) for n in rng.integers(1, (300, 9)))
    small = rng.integers(0, len(table), (height // down + 1, width // across + 1))
    return table[np.repeat(np.repeat(small, down, 0)[:height], across, 1)[:, :width]]


def decoded(stream: bytes, shape: tuple[int, int], dtype) -> np.ndarray:
    """The map, from rows that all have filter Up. zlib checks the stream's sum."""
    height, width = shape
    raw = np.frombuffer(zlib.decompress(stream), np.uint8).reshape(height, 1 + width * np.dtype(dtype).itemsize)
    assert (raw[:, 0] == 2).all()
    octets = np.add.accumulate(raw[:, 1:], axis=0, dtype=np.uint8)
    return octets.view(np.dtype(dtype).newbyteorder(">")).astype(dtype)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), WIDTHS, st.sampled_from([np.uint8, np.uint16]), st.integers(0, 300))
def test_the_map_comes_back_and_the_kernel_writes_the_same_bytes(kernel, seed, height, width, dtype, values):
    expected = blocks(seed, height, width, dtype, values)
    runs = row_runs(expected)
    spans = _label_deflate.up_spans(runs, runs.values)
    stream = _label_deflate._by_numpy(spans, b"IDAT")
    assert stream[:4] == b"IDAT"
    np.testing.assert_array_equal(decoded(stream[4:], expected.shape, dtype), expected)
    compiled = _label_deflate._compiled_spans(kernel, runs, runs.values)
    for ours, theirs in zip(compiled[:2], spans[:2], strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    assert _label_deflate._by_kernel(kernel, spans, b"IDAT") == stream


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("wanted", [True, False])
def test_large_maps_of_few_runs_are_written_from_runs(monkeypatch, dtype, wanted):
    monkeypatch.setattr(_label_deflate.KERNEL, "wanted", wanted)
    y, x = np.mgrid[:256, :512]
    street = ((x + y // 3) // 90 + 5 * (y // 100)).astype(dtype) * dtype(11 if dtype is np.uint8 else 1001)
    runs = row_runs(street)
    data = png.runs_png(runs, runs.values)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), street)
    target = io.BytesIO()
    Image.fromarray(street).save(target, "PNG")
    assert data != png.gray_png(street) and len(data) < 1.35 * len(target.getvalue())


def test_runs_that_became_equal_change_no_byte():
    """A table may give neighbouring runs one value: the map is what counts, not how it was cut."""
    y, x = np.mgrid[:256, :512]
    runs = row_runs((x // 40 + y // 60).astype(np.uint8))
    table = runs.values // 3
    merged = row_runs(runs.painted(table))
    assert len(merged.starts) < len(runs.starts)
    assert png.runs_png(runs, table) == png.runs_png(merged, merged.values)


@pytest.mark.parametrize(
    "pixels",
    [
        np.random.default_rng(0).integers(0, 9, (200, 300), np.uint8),  # a run a pixel
        np.zeros((20, 30), np.uint16),
    ],
)
def test_ragged_and_small_maps_are_written_by_zlib(pixels):
    runs = row_runs(pixels)
    assert png.runs_png(runs, runs.values) == png.gray_png(pixels)


def test_other_types_are_refused():
    runs = row_runs(np.zeros((2, 2), np.int64))
    with pytest.raises(png.PngError, match="values are int64, expected uint8 or uint16"):
        png.runs_png(runs, runs.values)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=286), st.sampled_from([9, 15]), st.integers(0, 1))
def test_codes_are_complete_short_enough_and_of_no_two_one_begins_the_other(counts, longest, fibonacci):
    counts = np.array(counts, np.int64)
    if fibonacci:  # the deepest trees
        counts[:60] = np.minimum(counts[:60], 1)
        series = [1, 1]
        while len(series) < min(60, len(counts)):
            series.append(series[-1] + series[-2])
        counts[: len(series)] = series[: len(counts)]
    if np.count_nonzero(counts) < 2:
        counts[:2] = 1
    lengths = _huffman.code_lengths(counts, longest)
    assert ((lengths > 0) == (counts > 0)).all() and lengths.max() <= longest
    assert sum(2.0**-n for n in lengths.tolist() if n) == 1
    codes = _huffman.canonical_codes(lengths).tolist()
    words = sorted(f"{code:0{n}b}"[::-1] for code, n in zip(codes, lengths.tolist(), strict=True) if n)
    assert not any(after.startswith(word) for word, after in pairwise(words))


def test_the_codes_of_the_rfc():
    """RFC 1951, 3.2.2: lengths (3, 3, 3, 3, 3, 2, 4, 4) are coded 010, 011, 100, 101, 110, 00, 1110, 1111."""
    lengths = np.array([3, 3, 3, 3, 3, 2, 4, 4])
    codes = _huffman.canonical_codes(lengths).tolist()
    told = [f"{code:0{n}b}"[::-1] for code, n in zip(codes, lengths.tolist(), strict=True)]
    assert told == ["010", "011", "100", "101", "110", "00", "1110", "1111"]
