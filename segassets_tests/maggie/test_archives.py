"""Archives in a raw folder: what is missing is missed by everything that is made from them, and by nobody unnoticed."""

import os
import random

import numpy as np
import pytest

from segassets.findings import BadItem
from segassets.formats.png import gray_png
from segassets.sources.split_archive_tree import dataset_tree
from segassets_tests.formats.test_matting_layouts import jpeg
from segassets_tests.formats.test_split_zip import plain_zip, split_zip
from segassets_tests.running import Place

DATASET = "My-Set"
YAML = f"""
type: segassets.components.matting.MattingDataset
attributes:
  dataset: {DATASET}
  layout: image_train
  splits: [train]
"""


def samples(count=6):
    noise = np.random.RandomState(1)
    for k in range(count):
        alpha = noise.randint(0, 256, (40, 60)).astype(np.uint8)
        yield f"train/images/{k}.jpg", jpeg((60, 40))
        yield f"train/alphas/{k}/0.png", gray_png(alpha)
        yield f"train/alphas/{k}/1.png", gray_png(255 - alpha)


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def named(parts, stem):
    return {name.replace("X", stem, 1): data for name, data in parts.items()}


@pytest.fixture
def place(tmp_path):
    write(tmp_path / "defs/mine", {"defs.yaml": YAML.encode()})
    return Place.below(tmp_path, SEGASSETS_DEFS=str(tmp_path / "defs"))


def test_a_part_that_goes_is_missed_by_samples_and_trimaps(place, tmp_path):
    raw = tmp_path / "raw/maggie"
    write(raw, named(split_zip(list(samples()), 9000), DATASET))
    place.run("materialize", f"maggie/{DATASET}/trimaps", "--partition", "train")
    made = sorted((tmp_path / "store/maggie" / DATASET).rglob("*.png"))
    assert len(made) == 12
    (raw / f"{DATASET}.z02").unlink()
    for what in ("samples", "trimaps"):
        said = place.run("materialize", f"maggie/{DATASET}/{what}", "--partition", "train", "--only", status=1)
        assert f"{DATASET}.z02 is not there" in said.stderr and "its bytes lie in" in said.stderr
    assert sorted((tmp_path / "store/maggie" / DATASET).rglob("*.png")) == made


def test_masks_are_not_made_from_a_part_of_the_alphas(place, tmp_path):
    raw = tmp_path / "raw/maggie"
    files = [(name.replace("train/images", "images/comp").replace("train/alphas", "alphas/comp"), data)
             for name, data in samples()]  # fmt: skip
    write(raw, named(split_zip(files, 9000), "HIM2K_M-HIM2K"))
    write(raw, {"predictions/mine/comp.json": b'{"images": [], "annotations": []}'})
    (raw / "HIM2K_M-HIM2K.z02").unlink()
    said = place.run("materialize", "maggie/him2k_masks", "--partition", "mine|comp", status=1)
    assert "HIM2K_M-HIM2K.z02 is not there" in said.stderr


def test_a_tree_names_all_members_and_refuses_those_that_are_lost(tmp_path):
    from segassets.sources.split_archive_fs import archive_folder, open_archive

    parts = split_zip([(f"f{k}", random.Random(k).randbytes(300)) for k in range(8)], 900)
    del parts["X.z02"]
    write(tmp_path / "raw", parts)
    tree = dataset_tree(archive_folder(str(tmp_path / "raw"), "X"), "X")
    assert sorted(tree.refs) == [f"f{k}" for k in range(8)]
    assert [finding.code for finding in tree.errors] == ["missing_part"]
    lost = []
    for path, ref in tree.refs.items():
        try:
            assert len(ref.read()) == 300
        except BadItem as bad:
            lost.append(path)
            assert [(f.code, f.part) for f in bad.findings] == [("missing_part", "X.z02")]
    view = open_archive(str(tmp_path / "raw"), "X")
    assert sorted(view.find("")) == sorted(tree.refs) and lost
    for path in lost:
        with pytest.raises(OSError, match=r"X\.z02, which is not there"):
            view.cat_file(path)


def test_members_are_not_taken_from_parts_that_were_replaced(place, tmp_path):
    raw = tmp_path / "raw/maggie"
    write(raw, {"K.zip": plain_zip([("a", b"first"), ("b", b"one")])})
    place.run("materialize", "maggie/members", "--partition", "K")
    write(raw, {"K.zip": plain_zip([("b", b"another"), ("a", b"second")])})
    said = place.run("materialize", "maggie/members", "--partition", "K", "--only", "--max-rejected", "1", status=1)
    assert "archive_index is older than the parts" in said.stderr and "materialize maggie/archive_index" in said.stderr
    assert (tmp_path / "store/maggie/K/a").read_bytes() == b"first"
    place.run("materialize", "maggie/members", "--partition", "K")
    assert (tmp_path / "store/maggie/K/a").read_bytes() == b"second"


def test_parts_in_upper_case_and_names_that_only_look_like_archives(place, tmp_path):
    raw = tmp_path / "raw/maggie"
    write(raw, {name.upper(): data for name, data in named(split_zip([("a", bytes(2000))] * 1, 900), "set").items()})
    parts = named(split_zip([("b", random.Random(1).randbytes(2000))], 900), "low")
    write(raw, {("LOW.z02" if name == "low.z02" else name): data for name, data in parts.items()})
    write(raw, {"dir.zip/file": b"a folder of this name"})
    place.run("materialize", "maggie/members", status=1)
    assert (tmp_path / "store/maggie/SET/a").read_bytes() == bytes(2000)
    findings = place.findings("maggie/archive_index")
    assert [(f["code"], f["part"]) for f in findings] == [("missing_part", "low.z02")]
    assert "LOW.z02 looks like it" in findings[0]["message"]
    assert set(place.run("status", "maggie/archive_index", "--json").stdout.split('"')) & {"dir", "LOW"} == set()


def test_archives_whose_names_differ_in_case_are_two(place, tmp_path):
    write(tmp_path / "raw/maggie", {"Foo.zip": plain_zip([("a", b"1")]), "foo.zip": plain_zip([("a", b"2")])})
    place.run("materialize", "maggie/members")
    assert [(tmp_path / f"store/maggie/{name}/a").read_bytes() for name in ("Foo", "foo")] == [b"1", b"2"]


def test_an_unpacked_set_is_published_with_all_its_alphas_and_masks(place, tmp_path):
    root = tmp_path / "raw/maggie/HIM2K_M-HIM2K"
    full = gray_png(np.full((40, 60), 255, np.uint8))
    files = {"images/comp/0.jpg": jpeg((60, 40)), "alphas/comp/0/01.png": full, "alphas/comp/0/04.png": full}
    files |= {f"{masks}/comp/0/01.png": full for masks in ("masks_matched_r50_fpn_3x", "masks_r50_fpn_3x", "masks_x")}
    write(root, files)
    place.run("materialize", "maggie/HIM2K_M-HIM2K/trimaps", "--partition", "comp")
    store = tmp_path / "store/maggie/HIM2K_M-HIM2K"
    made = {path.relative_to(store).as_posix() for path in store.rglob("*.*")}
    assert made == {*files, "trimaps/comp/0/01.png", "trimaps/comp/0/04.png"}
    (row,) = place.published.handle("maggie/HIM2K_M-HIM2K/samples", "comp").records()
    assert (row["alphas"], row["unmasked"]) == (["alphas/comp/0/01.png"], ["alphas/comp/0/04.png"])


def test_files_that_another_partition_published_are_told_with_its_name(place, tmp_path):
    raw = tmp_path / "raw/maggie"
    write(raw, {f"{DATASET}.zip": plain_zip(list(samples(2)))})
    place.run("materialize", "maggie/members", "--partition", DATASET)
    (raw / f"{DATASET}.zip").unlink()
    write(raw / DATASET, dict(samples(2)))
    said = place.run("materialize", f"maggie/{DATASET}/samples", "--partition", "train", status=1).stderr
    assert "foreign_file" in said and f"maggie/members {DATASET} has published them" in said
    assert f".segassets/manifests/maggie/members/{DATASET}.parquet" in said


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("invalid_names=nosuch.txt", "there is no sources/image/nosuch.txt"),
        ("image_root=elsewhere/", "0 pictures in sources/image/elsewhere"),
        ("bg_root=elsewhere", "0 pictures in sources/image/elsewhere"),
    ],
)
def test_roots_and_lists_of_synthesis_that_are_named_must_be_there(place, tmp_path, given, told):
    sources = tmp_path / "raw/maggie/sources/image"
    for k in range(4):
        write(sources, {f"HHM/train/images/{k}.jpg": jpeg((60, 40)), f"HHM/train/alphas/{k}.png": b""})
    write(sources, {"BG-20K/train/b.jpg": jpeg((60, 40))})
    usual = ["--set", "image_root=./HHM/train/images/", "--set", "bg_root=BG-20K/train/"]
    what = ["maggie/synthetic_images", "--partition", "00000-00099"]
    assert told in place.run("materialize", *what, "--set", given, status=None).stderr
    place.run("materialize", *what, *usual)


def test_models_whose_names_can_be_no_keys_are_told(place, tmp_path):
    for name in ("mask rcnn", "mine", ".hidden"):
        write(tmp_path / "raw/maggie/predictions" / name, {"natural.json": b"{}"})
    said = place.run("materialize", "maggie/him2k_masks", "--dry-run").stdout
    assert "'mask rcnn'" in said and "cannot be a partition's key" in said
    assert "mine|natural" in said and ".hidden" not in said


def test_a_file_with_an_odd_name_stops_nobody(place, tmp_path):
    odd = ["a\\b{}", os.fsdecode(b"caf\xe9{}"), "new\nline{}"]
    for name in odd:
        write(tmp_path / "raw/maggie", {name.format(".zip"): b"", name.format(".z01"): b""})
        write(tmp_path / "raw/sa1b", {name.format(".tar"): b"", f"advdata/{name.format('-Grad')}/run/x": b""})
        write(tmp_path / "raw/cityscapes/predictions", {name.format(".json"): b""})
    write(tmp_path / "raw/maggie", {"K.zip": plain_zip([("a", b"1")])})
    said = place.run("materialize", "maggie/members")
    assert "cannot be a partition's key" in said.stdout + said.stderr
    assert all(repr(name.format("")) in said.stdout + said.stderr for name in odd)
    assert (tmp_path / "store/maggie/K/a").read_bytes() == b"1"
    for what in ("sa1b", "maggie", "cityscapes"):
        place.run("status", what)
    place.run("materialize", "sa1b", "--dry-run")


def test_a_top_folder_that_is_written_with_a_dot_is_not_repeated(place, tmp_path):
    write(tmp_path / "raw/maggie", {"Dot.zip": plain_zip([("./Dot/x/a", b"1"), ("./Dot/b", b"2")])})
    place.run("materialize", "maggie/members")
    assert (tmp_path / "store/maggie/Dot/x/a").read_bytes() == b"1" and (tmp_path / "store/maggie/Dot/b").is_file()
