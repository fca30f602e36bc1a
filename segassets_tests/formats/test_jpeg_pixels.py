"""JPEGs decoded by simplejpeg: Pillow's pixels, and Pillow's word on everything that is not common or not whole."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segassets.formats import jpeg_pixels, pictures
from segassets.formats.canvas import Canvas

simplejpeg = pytest.importorskip("simplejpeg")


def photograph(size, mode="RGB", seed=0):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (size[1] // 9 + 1, size[0] // 9 + 1, 3), np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(picture, **how):
    sink = io.BytesIO()
    picture.save(sink, "JPEG", **how)
    return sink.getvalue()


def by_turbo(data):
    return jpeg_pixels.decoded(Image.open(io.BytesIO(data)), data)


@pytest.fixture
def pillow_only():
    before = jpeg_pixels.use_turbo(None)
    yield
    jpeg_pixels.use_turbo(before)


def without_turbo(function, *given):
    before = jpeg_pixels.use_turbo(None)
    try:
        return function(*given)
    finally:
        jpeg_pixels.use_turbo(before)


def seen(data):
    """What `opened` gives, or what it says."""
    try:
        picture = pictures.opened(data, "a.jpg")
    except pictures.PictureError as problem:
        return str(problem)
    return picture.mode, picture.size, picture.tobytes(), picture.info


def test_both_decoders_agree():
    assert jpeg_pixels._agrees(), (
        "simplejpeg gives other pixels than the installed Pillow: it slows synthesis down only"
    )


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(1, 130), st.integers(1, 130)),
    st.integers(1, 100),
    st.sampled_from([0, 1, 2]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_common_jpegs_have_pillows_pixels(size, quality, sampling, progressive, optimize, seed):
    picture = photograph(size, seed=seed)
    data = encoded(picture, quality=quality, subsampling=sampling, progressive=progressive, optimize=optimize)
    found, expected = by_turbo(data), Image.open(io.BytesIO(data))
    assert (found.mode, found.size) == ("RGB", size)
    assert found.tobytes() == expected.tobytes()


def test_restart_markers_and_large_pictures():
    data = encoded(photograph((1921, 1083)), restart_marker_blocks=7)
    assert by_turbo(data).tobytes() == Image.open(io.BytesIO(data)).tobytes()


EXIF = Image.Exif()
EXIF[0x0112] = 6  # to be turned by a right angle


def test_a_turned_photograph_stays_as_it_is_stored():
    data = encoded(photograph((40, 30)), exif=EXIF, comment=b"a word", dpi=(72, 72))
    found, expected = by_turbo(data), Image.open(io.BytesIO(data))
    assert found.size == (40, 30) and found.tobytes() == expected.tobytes()
    assert found.info["comment"] == b"a word" and found.info == expected.info
    assert encoded(found) == encoded(expected)


def sampled(how):
    return simplejpeg.encode_jpeg(np.asarray(photograph((41, 31))), colorsubsampling=how)


def unnamed():
    """Components that are called otherwise, which may mean another colour space."""
    data = bytearray(encoded(photograph((40, 30))))
    frame = data.index(b"\xff\xc0") + 10
    scan = data.index(b"\xff\xda") + 5
    for k, name in enumerate(b"RGB"):
        data[frame + 3 * k] = data[scan + 2 * k] = name
    return bytes(data)


def mpo():
    sink = io.BytesIO()
    photograph((40, 30)).save(sink, "MPO", save_all=True, append_images=[photograph((40, 30), seed=1)])
    return sink.getvalue()


OTHERS = {
    "grey": encoded(photograph((41, 31), "L")),
    "cmyk": encoded(photograph((41, 31), "CMYK")),
    "4:4:0": sampled("440"),
    "4:1:1": sampled("411"),
    "rgb": encoded(photograph((40, 30)), keep_rgb=True),
    "unnamed": unnamed(),
    "mpo": mpo(),
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_other_jpegs_are_left_to_pillow(data):
    assert by_turbo(data) is None
    assert seen(data) == without_turbo(seen, data)


PLAIN = {
    "baseline": encoded(photograph((90, 70)), quality=90),
    "progressive": encoded(photograph((90, 70)), quality=90, progressive=True),
}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(PLAIN)), st.data())
def test_of_damaged_and_cut_files_the_same_is_seen_and_said(kind, data):
    octets = bytearray(PLAIN[kind])
    for _ in range(data.draw(st.integers(0, 3))):
        octets[data.draw(st.integers(2, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(octets[: data.draw(st.integers(2, len(octets)))])
    for damaged in (bytes(octets), cut, cut + b"\xff\xd9"):
        assert seen(damaged) == without_turbo(seen, damaged)


def test_a_frame_header_that_is_too_short_is_pillows_business():
    data = bytearray(PLAIN["baseline"])
    data[data.index(b"\xff\xc0") + 3] -= 3
    assert seen(bytes(data)) == without_turbo(seen, bytes(data))


def test_what_simplejpeg_warns_of_is_pillows_business():
    data = PLAIN["baseline"]
    noisy = data[:-2] + b"\x12\x34" + data[-2:]
    assert seen(noisy) == without_turbo(seen, noisy)
    for cut in (data[:-2], data[: len(data) // 2], data[:100], b""):
        assert isinstance(seen(cut), str) and seen(cut) == without_turbo(seen, cut)


def test_without_simplejpeg_pillow_decodes(pillow_only):
    assert by_turbo(PLAIN["baseline"]) is None
    assert pictures.rgb(PLAIN["baseline"]).tobytes() == Image.open(io.BytesIO(PLAIN["baseline"])).tobytes()


def test_a_decoder_that_gives_other_pixels_is_not_used():
    class Other:
        @staticmethod
        def decode_jpeg(data, space):
            return simplejpeg.decode_jpeg(data, space, fastupsample=True, fastdct=True)

    before = jpeg_pixels.use_turbo(Other)
    try:
        assert by_turbo(PLAIN["baseline"]) is None
    finally:
        jpeg_pixels.use_turbo(before)


def test_a_backgrounds_comment_goes_into_the_frame_as_pillow_writes_it():
    data = encoded(photograph((40, 30)), comment=b"a word")
    canvas = Canvas()
    canvas.begin(pictures.rgb(data))
    assert pictures.jpeg(canvas.picture) == encoded(Image.open(io.BytesIO(data)).copy())
