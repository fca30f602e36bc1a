"""Is a JPEG whole? Its size from the header, its structure, and a cheap decode.

Belongs here: judging a photograph that is only passed on. Not here: what the size is compared with (`sa1b`). EXIF
orientation is ignored everywhere: masks lie on the pixels as they are stored (SA-1B specification, section 5).
"""

from __future__ import annotations

import io
import re
import warnings

from PIL import Image, ImageFile

from segassets.formats.file_kinds import looks_like

#: Pillow's own limit. SA-1B's photographs have 3 to 17 million pixels.
MAX_PIXELS = 89_478_485
#: A progressive JPEG has about ten scans; each costs a pass over all coefficients. A crafted file has thousands.
MAX_SCANS = 100
MAX_SCAN_PIXELS = 10 * MAX_PIXELS

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
#: Start of frame; C4, C8 and CC between them are other things.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset(range(0xD0, 0xD8)) | {0x01}
#: In entropy-coded data, ff 00 is a stuffed byte and ff d0 ... ff d7 restart; anything else ends the scan.
_NEXT_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")


class JpegUnreadable(Exception):
    """Not a JPEG, or one that cannot or must not be decoded."""


class JpegTruncated(Exception):
    """A JPEG that ends too early."""


def check(data: bytes, decode: bool = True) -> tuple[int, int]:
    """(width, height) of a whole JPEG, as its frame header says.

    `decode` also runs the entropy decoder over all of it, at an eighth of the size (about a fifth of a full decode);
    without it only the structure is followed from marker to marker. Raises JpegUnreadable or JpegTruncated. What a
    decoder cannot notice either (bits that changed within a scan) is not found.
    """
    width, height = _walk(data)
    if decode:
        _decode(data, (width, height))
    return width, height


def _walk(data: bytes) -> tuple[int, int]:
    """Follow the segments up to the end marker; (width, height)."""
    if data[:2] != b"\xff\xd8":
        raise JpegUnreadable(f"not a JPEG but {looks_like(data[:4096])}")
    size, scans, position = None, 0, 2
    while True:
        marker, position = _marker(data, position)
        if marker == _EOI:
            break
        if marker in _STANDALONE:
            continue
        segment, position = _segment(data, position, marker)
        if marker in _SOF and size is None:
            size = _frame_size(segment)
        elif marker == _SOS:
            if size is None:
                raise JpegUnreadable("image data come before the frame header")
            scans += 1
            if scans > MAX_SCANS or scans * size[0] * size[1] > MAX_SCAN_PIXELS:
                raise JpegUnreadable(f"refused: {scans} or more scans of {size[0]} x {size[1]} (a decompression bomb?)")
            position = _end_of_scan(data, position)
    if size is None or not scans:
        raise JpegUnreadable("it ends before any image data")
    return size


def _marker(data: bytes, position: int) -> tuple[int, int]:
    """The marker at `position` (fill bytes allowed) and the place behind it."""
    if position < len(data) and data[position] != 0xFF:
        raise JpegUnreadable(f"byte {position:,} is {data[position]:02x}, expected a marker (ff)")
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise _truncated(data)
    return data[position], position + 1


def _segment(data: bytes, position: int, marker: int) -> tuple[bytes, int]:
    length = int.from_bytes(data[position : position + 2], "big")
    end = position + length
    if len(data) < position + 2 or end > len(data):
        raise _truncated(data)
    if length < 2:
        raise JpegUnreadable(f"the segment ff {marker:02x} at byte {position - 2:,} has an impossible length")
    return data[position + 2 : end], end


def _frame_size(segment: bytes) -> tuple[int, int]:
    height, width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
    if len(segment) < 6 or not width or not height:
        raise JpegUnreadable(f"the frame header says {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise JpegUnreadable(f"refused: {width} x {height} pixels are more than {MAX_PIXELS:,} (a decompression bomb?)")
    return width, height


def _end_of_scan(data: bytes, position: int) -> int:
    match = _NEXT_MARKER.search(data, position)
    if not match:
        raise _truncated(data)
    return match.start()


def _truncated(data: bytes) -> JpegTruncated:
    zeros = len(data) - len(data.rstrip(b"\0"))
    tail = f", the last {zeros:,} of them zeros" if zeros > 16 else ""
    return JpegTruncated(f"the file ends without an end marker (ff d9) after {len(data):,} bytes{tail}; it was cut")


def _decode(data: bytes, size: tuple[int, int]) -> None:
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise RuntimeError("PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on: truncated pictures could not be told from whole")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about EXIF and size; size has been checked
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
                if image.size != size:
                    raise JpegUnreadable(f"the decoder finds {image.size[0]} x {image.size[1]}, the header says {size}")
                image.draft(None, (max(1, size[0] // 8), max(1, size[1] // 8)))
                image.load()
    except JpegUnreadable:
        raise
    except Exception as problem:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, ...
        text = str(problem).split("<_io")[0].strip()
        if "truncated" in text:
            raise JpegTruncated(f"its image data end too early ({text})") from None
        raise JpegUnreadable(f"it cannot be decoded ({text or type(problem).__name__})") from None
