"""Our own PNG writing: masks from run lengths, label maps and colour images from arrays. Same input, same bytes.

Masks are what training code reads back most: 8-bit grey 0/255 for every reader; 2-bit (values 0 and 3) gives the same
pixels in OpenCV, Pillow and scikit-image in less than half of the bytes; 1-bit reads as bool in the latter two.

Rules: PNG specification (third edition) sections 5.2 (signature), 5.3 (chunks), 7.2 (scanlines), 9 (filters), 11.2.1
(IHDR). Masks use filter None, since equal bytes compress as runs; label maps use filter Up: equal rows become zeros.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from segassets.formats import _deflate, _label_deflate, _zlib, rle
from segassets.formats.label_map import Runs

try:
    from isal import isal_zlib as _isal
except ImportError:  # pragma: no cover - the tests take the other way through _use_isal
    _isal = None

_GREY, _RGB = 0, 2
_FILTER_UP = 2
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_IEND = b"\x00\x00\x00\x00IEND\xaeB`\x82"

_BATCH_RUNS = 1 << 15  # so that the arrays of a batch stay in the second-level cache
_RUN_BYTES = 1 << 26  # larger masks would overflow the sums of _deflate
_SMALL = 1 << 16  # pixels of a map below which zlib is faster
_RUGGED = 32  # one run in fewer pixels than these: zlib finds more
_RAGGED = 30  # one run in this many pixels and more: packing pixels is faster than placing runs (measured)


class PngError(ValueError):
    """An array that cannot be written as asked: the message says what was found and what was expected."""


def mask_pngs(counts_list: Sequence[bytes | str], size: tuple[int, int], depth: int = 8) -> list[bytes]:
    """PNGs of an image's masks, grey of `depth` 8 (0/255), 2 (0/3) or 1 (0/1) bits. size: (h, w). Raises RleError."""
    if depth not in (1, 2, 8):
        raise PngError(f"depth is {depth!r}, expected 8, 2 or 1")
    pngs: list[bytes] = []
    if not counts_list:
        return pngs
    row_runs = rle.row_runs(counts_list, size)
    h, w = (int(n) for n in size)
    for first, stop, ragged in _batches([len(r) for r in row_runs], (h, w), depth):
        if ragged:
            pngs.append(_packed_png(rle.decode(counts_list[first], size), depth))
        else:
            pngs += _run_pngs(row_runs[first:stop], (h, w), depth)
    return pngs


def mask_png(counts: bytes | str, size: tuple[int, int], depth: int = 8) -> bytes:
    """The PNG of one mask; `mask_pngs` is much cheaper a mask when an image has several."""
    return mask_pngs([counts], size, depth)[0]


def gray_png(array: np.ndarray) -> bytes:
    """A (h, w) label map, uint8 or uint16, as grey PNG of 8 or 16 bits."""
    if array.ndim != 2 or array.dtype.kind != "u" or array.itemsize > 2:
        raise PngError(f"array is {array.dtype}{list(array.shape)}, expected uint8 or uint16 [h, w]")
    h, w = array.shape
    depth = 8 * array.itemsize
    octets = np.ascontiguousarray(array.astype(array.dtype.newbyteorder(">"), copy=False)).view(np.uint8)
    return _png((h, w), depth, _GREY, _zlib.compress(_filtered_up(octets.reshape(h, -1))))


def runs_png(runs: Runs, values: np.ndarray) -> bytes:
    """The grey PNG of a map whose i-th run has `values[i]`, uint8 or uint16: as `gray_png` of it, and much faster.

    The bytes depend on the map alone when it is large and has few runs: on no library.
    """
    if values.dtype not in (np.uint8, np.uint16):
        raise PngError(f"values are {values.dtype}, expected uint8 or uint16")
    pixels = runs.shape[0] * runs.shape[1]
    if not _SMALL <= pixels <= _label_deflate.LARGEST or len(values) * _RUGGED > pixels:
        return gray_png(runs.painted(values))
    chunk = _label_deflate.zlib_stream(runs, values, b"IDAT")
    return _with_idat(_head(runs.shape, 8 * values.itemsize, _GREY), chunk)


def placed_gray_png(values: np.ndarray, x: int, y: int, size: tuple[int, int]) -> bytes:
    """The bytes of `gray_png` for a map of zeros with `values` at (x, y), as far as they lie on it.

    values: uint8 (rows, columns); x, y: 0 or more; size: (h, w). Only the rows of the values are ever filtered.
    """
    h, w = size
    if values.ndim != 2 or values.dtype != np.uint8 or x < 0 or y < 0:
        raise PngError(
            f"values are {values.dtype}{list(values.shape)} at ({x}, {y}), expected uint8 [rows, columns] on it"
        )
    raw = np.zeros((h, 1 + w), np.uint8)
    raw[:, 0] = _FILTER_UP
    values = values[: max(h - y, 0), : max(w - x, 0)]
    if values.size:
        place, rows = raw[:, 1 + x : 1 + x + values.shape[1]], len(values)
        place[y] = values[0]
        np.subtract(values[1:], values[:-1], out=place[y + 1 : y + rows])
        if y + rows < h:
            np.negative(values[-1], out=place[y + rows])
    return _png((h, w), 8, _GREY, _zlib.compress(raw))


def rgb_png(array: np.ndarray) -> bytes:
    """A (h, w, 3) uint8 array, channels red, green, blue, as 8-bit RGB PNG."""
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise PngError(f"array is {array.dtype}{list(array.shape)}, expected uint8 [h, w, 3]")
    h, w, _ = array.shape
    return _png((h, w), 8, _RGB, _zlib.compress(_filtered_up(array.reshape(h, -1))))


def palette_rgb_png(index_map: np.ndarray, colours: np.ndarray) -> bytes:
    """RGB PNG of `colours[index_map]`: index_map (h, w) of an unsigned type, colours uint8 (n, 3).

    Filter Up leaves 0 wherever a pixel has the index of the one above it, so only the others are ever coloured.
    """
    if index_map.ndim != 2 or index_map.dtype.kind != "u" or colours.dtype != np.uint8 or colours.shape[1:] != (3,):
        raise PngError(
            f"index map is {index_map.dtype}{list(index_map.shape)} and colours {colours.dtype}{list(colours.shape)}, "
            "expected unsigned [h, w] and uint8 [n, 3]"
        )
    h, w = index_map.shape
    if index_map.size and index_map.max() >= len(colours):
        raise PngError(f"index {index_map.max()} has no colour: there are {len(colours)}")
    raw = np.zeros((h, 1 + 3 * w), np.uint8)
    raw[:, 0] = _FILTER_UP
    raw[0, 1:] = colours[index_map[0]].reshape(-1)
    index = np.ascontiguousarray(index_map).reshape(-1)
    above = np.flatnonzero(index[w:] != index[:-w])
    step = colours[index[above + w]] - colours[index[above]]
    at = 3 * (above + w) + above // w + 2  # a filter byte before every row, this one's included
    for channel in range(3):
        raw.reshape(-1)[at + channel] = step[:, channel]
    return _png((h, w), 8, _RGB, _zlib.compress(raw))


def codec_versions() -> dict[str, str]:
    """What decides the bytes of the PNGs written here (the pixels never depend on it)."""
    masks = f"zlib {zlib.ZLIB_RUNTIME_VERSION}" if _isal is None else f"isal {_isal_version()}"
    versions = {"label_map_codec": _zlib.version(), "ragged_mask_codec": masks}
    return {**versions, "rle_backend": rle.BACKEND, "mask_kernel": "runs-2", "label_map_kernel": "runs-1"}


def _isal_version() -> str:
    import isal

    return isal.__version__


def _batches(n_runs: list[int], size: tuple[int, int], depth: int) -> Iterator[tuple[int, int, bool]]:
    """Cuts a list of masks into (first, stop, ragged): ragged masks alone, the others up to _BATCH_RUNS together."""
    h, w = size
    limit = max(h * w // _RAGGED, 256) if _raw_bytes(size, depth) < _RUN_BYTES else 0
    first = total = 0
    for i, n in enumerate(n_runs):
        if n > limit or total + n > _BATCH_RUNS:
            if i > first:
                yield first, i, False
            first, total = i, 0
        if n > limit:
            yield i, i + 1, True
            first = i + 1
        else:
            total += n
    if len(n_runs) > first:
        yield first, len(n_runs), False


def _raw_bytes(size: tuple[int, int], depth: int) -> int:
    """Bytes of the raw data of a grey image: per row a filter byte and the packed pixels."""
    h, w = size
    return h * (1 + (w * depth + 7) // 8)


def _run_pngs(row_runs: list[np.ndarray], size: tuple[int, int], depth: int) -> list[bytes]:
    toggles, offsets = _toggles(row_runs, size[1], depth)
    streams = _deflate.zlib_streams(toggles, offsets, _raw_bytes(size, depth), depth, b"IDAT")
    head = _head(size, depth, _GREY)
    return [_with_idat(head, stream) for stream in streams]


def _toggles(row_runs: list[np.ndarray], w: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in the raw data (in pixels) at which masks are set and cleared: (all of them, offsets of each mask)."""
    start, stop, offsets = rle.set_intervals(row_runs)
    row, last_row = start // w, (stop - 1) // w
    if (row != last_row).any():
        start, stop, row, offsets = _cut_at_rows(start, stop, row, last_row, w, offsets)
    per_byte = 8 // depth
    # Behind every row: the pixels that fill up its last byte, and the next row's filter byte.
    more = (1 + (w * depth + 7) // 8) * per_byte - w
    toggles = np.empty(2 * len(start), np.int64)
    shift = row * more + per_byte
    np.add(start, shift, out=toggles[0::2])
    np.add(stop, shift, out=toggles[1::2])
    return toggles, 2 * offsets


def _cut_at_rows(start, stop, row, last_row, w: int, offsets) -> tuple[np.ndarray, ...]:
    """Runs that go on in the next row, cut where the row ends: there is a filter byte between."""
    parts = last_row - row + 1
    reach = np.concatenate(([0], np.cumsum(parts)))
    of = np.repeat(np.arange(len(parts)), parts)
    y = row[of] + np.arange(len(of)) - reach[of]
    return np.maximum(start[of], y * w), np.minimum(stop[of], (y + 1) * w), y, reach[offsets]


def _packed_png(mask: np.ndarray, depth: int) -> bytes:
    """The PNG of a 0/1 mask through its pixels."""
    h, w = mask.shape
    raw = np.zeros((h, _raw_bytes((1, w), depth)), np.uint8)
    if depth == 8:
        np.multiply(mask, 255, out=raw[:, 1:])
    else:
        bits = np.packbits(np.repeat(mask, depth, axis=1), axis=1)
        raw[:, 1:] = bits
    return _png((h, w), depth, _GREY, _compress(raw))


def _filtered_up(octets: np.ndarray) -> np.ndarray:
    """Rows behind their filter byte, each less the row above (PNG specification 9.2); uint8 (h, 1 + row bytes)."""
    h, n = octets.shape
    raw = np.empty((h, 1 + n), np.uint8)
    raw[:, 0] = _FILTER_UP
    raw[0, 1:] = octets[0]
    np.subtract(octets[1:], octets[:-1], out=raw[1:, 1:])
    return raw


def _compress(raw: np.ndarray) -> bytes:
    """A zlib stream of a ragged mask: isal's fastest level, which noise does not slow down, or zlib's own."""
    return zlib.compress(raw, 6) if _isal is None else _isal.compress(raw, 1)


def _png(size: tuple[int, int], depth: int, colour_type: int, stream: bytes) -> bytes:
    return _with_idat(_head(size, depth, colour_type), b"IDAT" + stream)


def _head(size: tuple[int, int], depth: int, colour_type: int) -> bytes:
    """Signature and IHDR: deflate, adaptive filters, not interlaced."""
    h, w = size
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", w, h, depth, colour_type, 0, 0, 0)
    return _SIGNATURE + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))


def _with_idat(head: bytes, chunk: bytes) -> bytes:
    """The file: `chunk` is the name IDAT and its data."""
    crc = (_isal or zlib).crc32(chunk)
    return b"".join((head, struct.pack(">I", len(chunk) - 4), chunk, struct.pack(">I", crc), _IEND))


def _use_isal(module) -> object:
    """For tests: compress with this module of isal, or with the standard library when it is None."""
    global _isal
    previous, _isal = _isal, module
    return previous
