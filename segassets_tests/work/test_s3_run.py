"""The whole of SA-1B from one bucket into another, by the command line and a real Dagster run."""

from __future__ import annotations

import io

import fsspec
import pytest
from PIL import Image

from segassets.store.store import Store
from segassets_tests.store.trees import manifests, published
from segassets_tests.work.platform import HEIGHT, SHARD, WIDTH, Platform, captions, shard, write_raw

IMAGES = 40


@pytest.fixture
def platform(s3, tmp_path):
    raw = s3.at("raw")
    raw.write(f"sa1b/{SHARD}.tar", shard(IMAGES))
    raw.write(f"sa1b/captions/{SHARD}-blip2-caption.json", captions(IMAGES))
    return Platform(s3.url("raw"), s3.url("store"), tmp_path / "home")


def test_a_shard_on_s3_becomes_the_same_tree_as_on_a_folder(s3, platform, tmp_path):
    platform.must("materialize", "sa1b", "--set", "packing=zip")
    counts, files = s3.proxy.counts(), len([key for key in s3.keys("store") if "/.segassets/" not in key])
    assert files > 3 * IMAGES
    assert counts["COPY"] < files + 60  # three for each of nine assets, and the rows
    assert counts["LIST"] + counts["UPLOADS"] + counts["DELETE-MANY"] < 250  # whatever the number of images
    assert "as published" in platform.must("verify", "sa1b")
    assert s3.uploads() == []
    options = {"skip_instance_cache": True, "endpoint_url": s3.server}  # else another test's client and its server
    fs = fsspec.filesystem(
        "zip", fo=f"{platform.store}/sam-1b/{SHARD}-masks.zip", remote_protocol="s3", remote_options=options
    )
    assert Image.open(io.BytesIO(fs.cat(f"{SHARD}/sa_7/segmentation_0.png"))).size == (WIDTH, HEIGHT)
    assert not [key for key in s3.keys("store/.segassets/") if "/stages/" in key or "/publishing/" in key]
    write_raw(tmp_path / "raw", IMAGES)
    folder = Platform(str(tmp_path / "raw"), str(tmp_path / "store"), tmp_path / "home2")
    folder.must("materialize", "sa1b", "--set", "packing=zip")
    assert published(Store(platform.store)) == published(Store(folder.store))
    assert manifests(Store(platform.store)) == manifests(Store(folder.store))
