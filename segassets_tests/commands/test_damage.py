"""Stores that something else has damaged: what the commands say of it, and that they go on with the rest."""

from __future__ import annotations

import json
import os

import pytest

from segassets_tests.dagster.platform import SHARD, Platform

MASKS = f".segassets/manifests/sa1b/masks/{SHARD}.parquet"


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"x" * 900])
def test_a_damaged_manifest_is_named_and_stops_nothing_else(made: Platform, call, damage):
    (made.store / MASKS).write_bytes(damage)

    said = call("verify", "sa1b")
    assert said.status == 1
    (line,) = said.err.splitlines()
    assert f"sa1b/masks {SHARD}: {MASKS} is damaged" in line and "make the partition again" in line
    assert f"sa1b/images {SHARD}: " in said.out, "the others are verified"

    rows = {row["asset"]: row for row in json.loads(call("status", "sa1b", "--json").out)}
    assert rows["sa1b/masks"]["failed"] == 1 and rows["sa1b/images"]["made"] == 1

    said = call("explain", made.store / f"sam-1b/{SHARD}/sa_11186.jpg")
    assert said.status in (0, 1) and "please report" not in said.err
    said = call("explain", made.store / f"sam-1b/{SHARD}/sa_11186/segmentation_0.png")
    assert said.status == 1 and MASKS in said.err

    said = call("materialize", "sa1b/masks", "--only")
    assert said.status == 1 and MASKS in said.err and "please report" not in said.err


def test_damaged_findings_are_named(made: Platform, call):
    path = f".segassets/findings/sa1b/masks/{SHARD}.parquet"
    (made.store / path).write_bytes(b"")
    said = call("findings", "sa1b/masks")
    assert said.status == 1 and f"{path} is damaged" in said.err


@pytest.mark.parametrize("lost", [True, False])
def test_rows_that_are_lost_or_cut_are_made_again(made: Platform, call, lost):
    (rows,) = (made.store / f".segassets/rows/sa1b/mask_table/{SHARD}").iterdir()
    whole = rows.read_bytes()
    if lost:
        rows.unlink()
    else:
        rows.write_bytes(whole[:-100])
    only = call("materialize", "sa1b/masks", "--only", "--force")
    assert only.status == 1
    assert ("is gone; run: segassets materialize sa1b/mask_table" if lost else "is damaged") in only.err
    assert call("materialize", "sa1b/masks").status == 0
    assert rows.read_bytes() == whole
    assert call("verify", "sa1b").status == 0


def test_extra_folders_links_and_pipes_are_found(made: Platform, call):
    folder = made.store / f"sam-1b/{SHARD}"
    image = next(path for path in sorted(folder.iterdir()) if path.is_dir())
    (image / "segmentation_99.png").mkdir()
    (image / "segmentation_98.png").symlink_to("/nowhere")
    os.mkfifo(image / "segmentation_97.png")
    (folder / "sa_99").mkdir()
    (folder / "sa_99/z").touch()
    said = call("verify", "sa1b/masks")
    assert said.status == 1
    for name in (*(f"{image.name}/segmentation_{n}.png" for n in (97, 98, 99)), "sa_99"):
        assert f"extra: sam-1b/{SHARD}/{name} is in no manifest" in said.err


def test_a_folder_at_the_path_of_a_published_file_is_refused_before_anything_changes(made: Platform, call):
    folder = made.store / f"sam-1b/{SHARD}"
    image = next(path for path in sorted(folder.iterdir()) if path.is_dir())
    kept = (image / "segmentation_0.png").read_bytes()
    (image / "segmentation_1.png").unlink()
    (image / "segmentation_1.png").mkdir()
    said = call("materialize", "sa1b/masks", "--force", "--only", "--partition", SHARD)
    assert said.status == 1 and "foreign_file" in said.err and "segmentation_1.png" in said.err
    assert (image / "segmentation_0.png").read_bytes() == kept
    assert not list((made.store / ".segassets").rglob("publishing/*/*/*")), "nothing was announced"
    (image / "segmentation_1.png").rmdir()
    assert call("materialize", "sa1b/masks", "--only", "--partition", SHARD).status == 0
    assert call("verify", "sa1b/masks").status == 0


def test_explain_by_any_way_to_the_file(made: Platform, call, tmp_path, monkeypatch):
    picture = f"sam-1b/{SHARD}/" + next(p.name for p in sorted((made.store / f"sam-1b/{SHARD}").iterdir()) if p.suffix)
    link = tmp_path / "link"
    link.symlink_to(made.store)
    monkeypatch.chdir(tmp_path)
    dotted = f"{made.store.parent}/./other/../{made.store.name}"
    for file, root in (
        (link / picture, made.store),
        (made.store / picture, link),
        (made.store / picture, dotted),
        (os.path.relpath(made.store / picture), os.path.relpath(made.store)),
        (picture, made.store),
    ):
        said = call("explain", file, SEGASSETS_STORE=root)
        assert said.status == 0, (file, root, said.err)
        assert SHARD in said.out


def test_nothing_was_made_from_a_file_that_is_not_there(made: Platform, call):
    said = call("explain", "--made-from", "evaldata/HRSOD-TE/imgs/never_was.jpg")
    assert said.status == 1 and "there is no such file" in said.err
    made.tar.unlink()  # its name stands in the manifests
    assert f"{SHARD}" in call("explain", "--made-from", f"sa1b/{SHARD}.tar").out


@pytest.mark.parametrize("share", ["nan", "-0.1", "1.1", "x"])
def test_a_share_is_from_zero_to_one(made: Platform, call, share):
    assert call("materialize", "sa1b/masks", "--max-rejected", share).status == 2


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_limits_of_options_are_told(made: Platform, call, number):
    said = call("materialize", "sa1b/webdataset", "--set", f"images_per_shard={number}")
    assert said.status == 2 and f"--set images_per_shard={number}: Input should be" in said.err


def test_names_that_cannot_be_partitions_are_told(made: Platform, call):
    for name in ("sa_000000 (1).tar", "-rf.tar"):
        (made.raw / "sa1b" / name).write_bytes(made.tar.read_bytes())
    said = call("materialize", "sa1b/shard_index")
    assert said.status == 0
    for name in ("sa_000000 (1)", "-rf"):
        assert any(line.startswith("skipped") and repr(name) in line for line in said.lines)
