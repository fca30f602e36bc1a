"""Synthesis by upstream's draws: independent of order, holes recorded, decisions near the limit as upstream's."""

import io
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from segassets.findings import BadItem
from segassets.formats import png_runs, resample
from segassets.formats.png import gray_png
from segassets.formats.synthesis import Instance, _covered, _exact_ratio, chosen
from segassets.formats.synthesis_items import synthetic_image
from segassets.formats.synthesis_lists import plain_path, read_list, unlike_frames
from segassets.formats.synthesis_video import NUMBERS, Clip, NotMade, Plan, drawn, mattes, plan
from segassets.formats.synthesis_video_items import synthetic_video


@dataclass
class Bytes:
    data: bytes
    label: str = "x"

    def read(self):
        return self.data


def jpeg(array):
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, "JPEG")
    return Bytes(sink.getvalue())


def person(seed, empty=False):
    random = np.random.RandomState(seed)
    alpha = np.zeros((60, 40), np.uint8)
    if not empty:
        alpha[10:55, 8:30] = random.randint(1, 256, (45, 22))
    return jpeg(random.randint(0, 256, (60, 40, 3)).astype(np.uint8)), Bytes(gray_png(alpha))


BACK = jpeg(np.random.RandomState(9).randint(0, 256, (70, 120, 3)).astype(np.uint8))


def image(number, people):
    picked, _, _ = chosen(number, len(people), 1)
    named = {str(k): people[k] for k in picked}
    return synthetic_image(number, named, ("back", BACK), len(people), 1, lossless=True)


def test_a_number_gives_the_same_bytes_whatever_was_made_before():
    people = [person(k) for k in range(5)]
    first = {number: image(number, people) for number in range(6)}
    for number in reversed(range(6)):
        again = image(number, people)
        assert [(f.path, f.data) for f in again.files] == [(f.path, f.data) for f in first[number].files]


def test_alphas_of_a_made_image_never_add_up_to_more_than_one():
    people = [person(k) for k in range(5)]
    for number in range(8):
        alphas = [f.data for f in image(number, people).files if f.path.startswith("alphas/")]
        total = sum(np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in alphas)
        assert total.max() <= 255


def test_what_cannot_be_made_is_a_hole_with_its_reason():
    made = image(3, [person(k, empty=True) for k in range(5)])
    assert made.files == []
    assert made.rows["made"] == [False]
    assert [(f.severity, f.code) for f in made.findings] == [("info", "not_made")]


def picture(mode, kind):
    sink = io.BytesIO()
    colours = np.random.RandomState(9).randint(0, 256, (70, 120, 3)).astype(np.uint8)
    Image.fromarray(colours).convert(mode).save(sink, kind)
    return Bytes(sink.getvalue(), f"{mode}.{kind}")


@pytest.mark.parametrize(("mode", "kind", "copied"), [("CMYK", "JPEG", False), ("1", "PNG", True), ("L", "JPEG", True)])
def test_a_lossless_copy_never_changes_which_images_exist(mode, kind, copied):
    people, back = [person(k) for k in range(5)], picture(mode, kind)
    for number in range(4):
        named = {str(k): people[k] for k in chosen(number, 5, 1)[0]}
        made = [synthetic_image(number, named, ("back", back), 5, 1, lossless) for lossless in (False, True)]
        both = [{f.path: f.data for f in one.files if not f.path.startswith("lossless/")} for one in made]
        assert both[0] == both[1] and both[0]
        whole = [
            np.asarray(Image.open(io.BytesIO(f.data))) for f in made[1].files if f.path == f"lossless/{number}.png"
        ]
        assert [image.shape for image in whole] == ([(70, 120)] if copied else [])
        assert [(f.severity, f.code) for f in made[1].findings] == ([] if copied else [("info", "not_lossless")])


def test_what_upstream_fails_on_names_the_picture_and_no_address():
    people = [person(k) for k in range(5)]
    for back, why in (
        (Bytes(b"junk", "bg/b.jpg"), "bg/b.jpg: cannot identify image file"),
        (picture("P", "PNG"), "mode P"),
    ):
        named = {str(k): people[k] for k in chosen(1, 5, 1)[0]}
        made = synthetic_image(1, named, ("back", back), 5, 1, lossless=True)
        (finding,) = made.findings
        assert finding.code == "not_made" and why in finding.message and "0x" not in finding.message
        assert made.rows["reason"] == [finding.message.removesuffix("; this number stays a hole")]


def test_the_limit_is_decided_on_whole_frames_in_single_precision():
    matte = np.random.RandomState(0).rand(30, 20).astype(np.float32)
    instance = Instance("a", 5, 6, matte, None, float(matte.sum(dtype=np.float64)))
    front = np.full((30, 6), 1, np.float32)
    (window, covered, _), *_ = _covered([instance], front, 5, 6, (60, 50))
    whole = np.zeros((50, 60), np.float32)
    whole[6:36, 5:25] = matte
    opacity = np.zeros((50, 60), np.float32)
    opacity[6:36, 5:11] = 1
    expected = (whole * (1 - opacity)).sum() / (whole.sum() + np.float32(1e-7))
    assert _exact_ratio(instance, window, covered, (60, 50)) == expected


def test_ids_of_the_levels():
    assert NUMBERS["train", "medium"] == [(500, 1499), (3500, 9499)]
    picked, _ = drawn(5, "easy", 10)
    assert len(set(picked)) == len(picked) <= 3


def video(level, alpha):
    clips = [Clip(0, (0, 0, 8, 8), 0, 0, 8, 8, 1.0), Clip(0, (0, 0, 8, 8), 4, 0, 8, 8, 1.0)]
    grey = Image.fromarray(np.full((8, 8), alpha, np.uint8))
    return mattes(Plan(2, (16, 8), clips), level, lambda clip, frame: grey)


def test_videos_are_accepted_by_what_their_worst_step_covers():
    assert video("easy", 255).occlusion == pytest.approx(0.5)
    with pytest.raises(NotMade, match=r"allowed is 0\.3"):
        video("medium", 255)
    with pytest.raises(NotMade, match=r"needed is 0\.5"):
        video("hard", 20)
    visible = video("easy", 255).visible[0]
    assert visible[0][:, :4].min() == 255 and visible[0][:, 4:].max() == 0 and visible[1].min() == 255


def test_whole_levels_survive_upstreams_rounding():
    levels = np.arange(256, dtype=np.uint8)
    assert ((levels / 255) * 255).astype(np.uint8).tolist() == levels.tolist()


def test_an_empty_frame_pulls_the_box_to_the_corner_and_an_empty_clip_is_not_made():
    random = np.random.RandomState(0)
    boxes = [(4, 5, 9, 9), None]
    given = plan(random, "easy", [2], (60, 40), 1, lambda clip, start, frames: boxes)
    assert given.clips[0].box == (0, 0, 9, 9)
    with pytest.raises(NotMade):
        plan(random, "easy", [2], (60, 40), 1, lambda clip, start, frames: [None, None])


def test_what_is_compiled_changes_no_byte(monkeypatch):
    pytest.importorskip("numba")
    assert resample.load() and png_runs.load()
    people = [person(k) for k in range(5)]
    made = {}
    for wanted in (True, False):
        monkeypatch.setattr(resample.KERNEL, "wanted", wanted)
        monkeypatch.setattr(png_runs.KERNEL, "wanted", wanted)
        given = [image(number, people) for number in range(4)]
        given += [group(number, level, people) for level in ("easy", "medium", "hard") for number in range(4)]
        made[wanted] = [([(file.path, file.data) for file in one.files], one.rows) for one in given]
    assert made[True] == made[False]
    assert sum(bool(files) for files, _ in made[True]) > 5


def group(number, level, people):
    """A video of two frames, made of `people`, each of whom moves by turning into the next one."""
    picked, _ = drawn(number, level, len(people))
    clips = [(str(k), *zip(people[k], people[(k + 1) % len(people)], strict=True)) for k in picked]
    return synthetic_video(number, clips, "v", level, len(people), ["b"], ["b"], {"b": [BACK, BACK]}, True)


def test_lists_with_a_byte_order_mark_and_windows_lines():
    assert read_list(b"\xef\xbb\xbfa.jpg \r\n\r\n b\xc3\xa9.jpg\r\n", "l.txt") == ["a.jpg", "b\u00e9.jpg"]
    assert [plain_path(name) for name in ("./c3/fgr/a", "c0/fgr/a/", "c0//fgr/a")] == [
        "c3/fgr/a",
        "c0/fgr/a",
        "c0/fgr/a",
    ]
    with pytest.raises(BadItem) as problem:
        read_list(b"a.jpg\nb\xe9.jpg\n", "l.txt")
    (finding,) = problem.value.findings
    assert (finding.code, finding.path) == ("not_utf8", "l.txt") and "line 2" in finding.message


@pytest.mark.parametrize(
    ("frames", "alphas", "told"),
    [
        (["0.jpg", "1.jpg"], ["0.png", "1.png"], None),
        (["f0.jpg", "f1.jpg"], ["a0.png", "a1.png"], None),
        (["0.jpg", "1.jpg", "2.jpg"], ["0.png", "2.png"], "3 frames, 2 alphas, no alpha of 1"),
        (["0.jpg"], ["0.png", "1.png"], "1 frames, 2 alphas, no frame of the alpha 1"),
        (["0.jpg", "1.jpg"], ["1.png", "2.png"], "2 frames, 2 alphas, no alpha of 0, no frame of the alpha 2"),
        (["f0.jpg", "f1.jpg"], ["a0.png"], "2 frames, 1 alphas, no alpha of f0, f1, no frame of the alpha a0"),
    ],
)
def test_frames_and_alphas_that_do_not_go_together(frames, alphas, told):
    assert unlike_frames(frames, alphas) == told


def test_a_picture_that_has_not_the_size_of_its_alpha_is_told():
    random = np.random.RandomState(1)
    alpha = person(0)[1]
    large = jpeg(random.randint(0, 256, (90, 80, 3)).astype(np.uint8))
    large.label = "large.jpg"
    people = [(large, alpha), *(person(k) for k in range(1, 5))]
    told = [finding for number in range(12) for finding in image(number, people).findings]
    sizes = [finding for finding in told if finding.code == "size_mismatch"]
    assert sizes and {(f.severity, f.path) for f in sizes} == {("warning", "large.jpg")}
    assert "80 x 90 pixels, its alpha 40 x 60" in sizes[0].message
