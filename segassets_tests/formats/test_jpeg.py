"""JPEGs: whole ones pass with their size, others are told apart."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from segassets.formats import jpeg
from segassets.formats.jpeg import JpegTruncated, JpegUnreadable, check


def make_jpeg(size=(90, 60), **options):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100, "subsampling": 0}, {"optimize": True}])
def test_whole_files_give_their_size(options):
    assert check(make_jpeg((90, 60), **options)) == (90, 60)
    assert check(make_jpeg((1, 1), **options), decode=False) == (1, 1)


def test_grey_and_cmyk():
    for mode in ("L", "CMYK"):
        out = io.BytesIO()
        Image.new(mode, (20, 10)).save(out, "JPEG")
        assert check(out.getvalue()) == (20, 10)


def test_exif_orientation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert check(make_jpeg((90, 60), exif=exif)) == (90, 60)


def test_data_after_the_end_are_no_matter():
    assert check(make_jpeg() + b"padding") == (90, 60)


@pytest.mark.parametrize("decode", [True, False])
def test_every_cut_is_noticed(decode):
    data = make_jpeg()
    for cut in range(2, len(data), 53):
        with pytest.raises((JpegTruncated, JpegUnreadable)):
            check(data[:cut], decode)
    with pytest.raises(JpegTruncated, match="cut"):
        check(data[:-2], decode)
    with pytest.raises(JpegTruncated, match="zeros"):
        check(data[: len(data) // 2] + bytes(1000), decode)


def test_a_cut_inside_an_exif_thumbnail_is_noticed():
    exif = Image.Exif()
    exif[0x010E] = "\xff\xd9" * 20
    data = make_jpeg(exif=exif)
    with pytest.raises(JpegTruncated):
        check(data[:-100])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "empty"),
        (b"<html><title>404</title>", "HTML page titled '404'"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xd9", "before any image data"),
        (b"\xff\xd8" + b"abc", "expected a marker"),
    ],
)
def test_what_is_no_jpeg(data, text):
    with pytest.raises(JpegUnreadable, match=text):
        check(data)


def frame(width, height):
    return b"\xff\xc0\x00\x0b\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x01\x01\x11\x00"


def test_bombs_are_refused():
    with pytest.raises(JpegUnreadable, match="bomb"):
        check(b"\xff\xd8" + frame(65000, 65000) + b"\xff\xd9")
    with pytest.raises(JpegUnreadable, match="0 x 5"):
        check(b"\xff\xd8" + frame(0, 5) + b"\xff\xd9")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    with pytest.raises(JpegUnreadable, match="scans"):
        check(b"\xff\xd8" + frame(8, 8) + scan * (jpeg.MAX_SCANS + 1) + b"\xff\xd9")
    with pytest.raises(JpegUnreadable, match="scans"):
        check(b"\xff\xd8" + frame(9000, 9000) + scan * 20 + b"\xff\xd9")


def test_tolerant_pillow_is_not_trusted(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(RuntimeError, match="LOAD_TRUNCATED_IMAGES"):
        check(make_jpeg())


SEED = make_jpeg((40, 30))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_fuzz_only_its_own_errors(changes):
    data = bytearray(SEED)
    for place, value in changes:
        data[place] = value
    try:
        width, height = check(bytes(data))
    except (JpegTruncated, JpegUnreadable) as problem:
        assert str(problem)
    else:
        assert width > 0 and height > 0
