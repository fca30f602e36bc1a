"""Files that are there by name and cannot be used: their sample is left out, with a finding; the others are made."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from segassets.formats.png import gray_png
from segassets.sample import matting
from segassets_tests.commands.conftest import call  # noqa: F401
from segassets_tests.formats.test_matting_layouts import jpeg
from segassets_tests.maggie.test_archives import write
from segassets_tests.running import Place

YAML = """
type: segassets.components.matting.MattingDataset
attributes:
  dataset: Mine
  layout: {layout}
  splits: [s]
"""
LATIN = os.fsdecode(b"caf\xe9")


def alpha(left):
    values = np.zeros((20, 30), np.uint8)
    values[:, left : left + 10] = 255
    return gray_png(values)


def portraits(*names, masks=False):
    for name in names:
        yield f"images/s/{name}.jpg", jpeg((30, 20))
        for folder in ("alphas", *(["masks"] if masks else [])):
            for k in range(2):
                yield f"{folder}/s/{name}/{k}.png", alpha(15 * k)


def training(*names):
    for name in names:
        yield f"s/images/{name}.jpg", jpeg((30, 20))
        for k in range(2):
            yield f"s/alphas/{name}/{k}.png", alpha(15 * k)


def clips(*names, frames=3):
    for name in names:
        for frame in range(frames):
            yield f"s/fgr/{name}/{frame:05d}.jpg", jpeg((30, 20))
            for k in range(2):
                yield f"s/pha/{name}/{frame:05d}/{k}.png", alpha(15 * k)


def archive(files, refused=()):
    """A zip of (name, data); the names in `refused` are symbolic links."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in files:
            member = zipfile.ZipInfo("x")
            member.filename = name
            if name in refused:
                member.external_attr = 0o120777 << 16
            made.writestr(member, b"../a/1.png" if name in refused else data)
    return out.getvalue()


def broken(path):
    path.unlink(missing_ok=True)
    path.symlink_to("/nowhere/object")


def own(tmp_path, layout) -> Place:
    write(tmp_path / "defs/mine", {"defs.yaml": YAML.format(layout=layout).encode()})
    return Place.below(tmp_path, SEGASSETS_DEFS=str(tmp_path / "defs"))


def made(place, what="samples"):
    """(errors: (code, path, image); samples that are there)."""
    place.run("materialize", f"maggie/Mine/{what}", "--partition", "s", status=1)
    place.run("materialize", f"maggie/Mine/{what}", "--partition", "s", "--max-rejected", "1")
    errors = [(f["code"], f["path"], f["image"]) for f in place.findings("maggie/Mine/samples")]
    rows = place.published.handle("maggie/Mine/samples", "s").records(["sample"])
    return errors, sorted({row["sample"].split("/")[0] for row in rows})


@pytest.mark.parametrize(("refused", "name"), [("s/alphas/b/1.png", None), ("s/alphas/b/1.png", "s/alphas/b\\1.png")])
def test_members_that_are_not_unpacked_cost_their_sample(tmp_path, refused, name):
    place = own(tmp_path, "image_train")
    files = [(name if path == refused and name else path, data) for path, data in training("a", "b")]
    write(tmp_path / "raw/maggie", {"Mine.zip": archive(files, () if name else (refused,))})
    errors, samples = made(place, "trimaps")
    assert errors == [("unsafe_path", "s/alphas/b/1.png", "b")] and samples == ["a"]
    assert name is None or name in place.findings("maggie/Mine/samples")[0]["message"]
    assert {path.parent.name for path in (tmp_path / "store/maggie/Mine").rglob("*.png")} == {"a"}


def test_a_member_that_leads_out_of_the_archive_is_told(tmp_path):
    place = own(tmp_path, "image_train")
    write(tmp_path / "raw/maggie", {"Mine.zip": archive([*training("a"), ("../s/alphas/a/2.png", alpha(0))])})
    place.run("materialize", "maggie/Mine/samples", "--partition", "s", status=1)
    assert [(f["code"], f["member"]) for f in place.findings("maggie/Mine/samples")] == [
        ("unsafe_path", "../s/alphas/a/2.png")
    ]


def test_links_to_nothing_cost_their_video(tmp_path):
    place = own(tmp_path, "video")
    folder = tmp_path / "raw/maggie/Mine"
    write(folder, dict(clips("alpha", "good", "frame")))
    for frame in range(3):
        broken(folder / f"s/pha/alpha/{frame:05d}/1.png")
    broken(folder / "s/fgr/frame/00002.jpg")
    errors, samples = made(place)
    assert samples == ["good"]
    assert {(code, image) for code, _, image in errors} == {("unreadable", "alpha"), ("unreadable", "frame")}
    assert "/nowhere/object" in place.findings("maggie/Mine/samples")[0]["message"]


@pytest.mark.parametrize(
    ("layout", "files", "link"),
    [
        ("image_train", training("a", "b"), "s/alphas/b/1.png"),
        ("image_train", training("a", "b"), "s/images/b.jpg"),
        ("image_eval", portraits("a", "b"), "alphas/s/b/1.png"),
        ("video", clips("a", "b"), "s/pha/b/00001/0.png"),
        ("video", clips("a", "b"), "s/fgr/b/00001.jpg"),
    ],
)
def test_inspect_tells_of_links_to_nothing(tmp_path, call, layout, files, link):  # noqa: F811
    write(tmp_path, dict(files))
    broken(tmp_path / link)
    said = call("inspect", f"maggie_{layout}", tmp_path, "--set", "split=s", "--json")
    found = [(f["code"], f["path"], f["image"]) for f in json.loads(said.out)["findings"]]
    assert said.status == 1 and found == [("unreadable", link, "b")]


def test_names_that_no_file_can_be_published_under_cost_their_sample(tmp_path, call):  # noqa: F811
    place = own(tmp_path, "image_eval")
    folder = tmp_path / "raw/maggie/Mine"
    write(folder, dict(portraits("good", "two\nlines", "back\\slash", LATIN)))
    (folder / "alphas/s" / f"{LATIN}-empty").mkdir()
    errors, samples = made(place)
    assert samples == ["good"]
    assert {(code, image) for code, _, image in errors if code == "unsafe_path"} == {
        ("unsafe_path", name) for name in (r"two\nlines", r"back\slash", r"caf\xe9")
    }
    assert ("unsafe_path", r"images/s/caf\xe9.jpg", r"caf\xe9") in errors
    said = call("inspect", "maggie_image_eval", folder, "--set", "split=s", "--json")
    assert said.status == 1 and "fault of segassets" not in said.err
    assert {f["image"] for f in json.loads(said.out)["findings"] if f["code"] == "unsafe_path"} == {
        r"two\nlines", r"back\slash", r"caf\xe9"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("what", "partition", "link"),
    [
        ("synthetic_images", "00000-00099", "image/HHM/train/images/person_0.jpg"),
        ("synthetic_images", "00000-00099", "image/BG-20K/train/room_9.jpg"),
        ("synthetic_videos", "train-easy-00000-00099", "video/people/train/pha/clip_0/00009.png"),
    ],
)
def test_links_to_nothing_among_the_sources_of_synthesis_are_told(tmp_path, what, partition, link):
    write(tmp_path / "raw", {path: data for path, data in matting.files() if "/sources/" in path})
    broken(tmp_path / "raw/maggie/sources" / link)
    place = Place.below(tmp_path)
    place.run("materialize", f"maggie/{what}", "--partition", partition, status=1)
    assert [(f["code"], f["path"]) for f in place.findings(f"maggie/{what}")] == [("unreadable", f"sources/{link}")]
