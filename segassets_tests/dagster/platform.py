"""A platform of its own for every test: a tiny raw folder, a store, a Dagster home; and the command line in-process.

What is made of the unchanged raw folder is made once a session and copied for the tests that look at it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from PIL import Image
from pycocotools import mask as coco_mask

from segassets.commands.catalogue import Catalogue
from segassets.settings import load, prepare_dagster_home
from segassets.store.handle import Handle
from segassets.store.store import Store

SHARD, OTHER = "sa_000000", "sa_000001"
IMAGES = 6
SHARD_ASSETS = (
    "shard_index",
    "images",
    "mask_table",
    "masks",
    "control_images",
    "captions",
    "controlnet_train",
    "coco",
    "webdataset",
)


def photograph(number: int) -> bytes:
    """A JPEG of 64 x 48 that is like no other."""
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    sink = io.BytesIO()
    Image.fromarray(np.stack([x * 4, y * 5, (x + y + number * 20) % 256], -1).astype(np.uint8)).save(sink, "JPEG")
    return sink.getvalue()


def annotations(number: int, masks: int = 3) -> bytes:
    """An SA-1B JSON with nested rectangles."""
    found = []
    for k in range(masks):
        mask = np.zeros((48, 64), np.uint8, order="F")
        mask[4 + 3 * k : 40 - 2 * k, 5 + 4 * k : 60 - 5 * k] = 1
        rle = coco_mask.encode(mask)
        height, width = 36 - 5 * k, 55 - 9 * k
        found.append(
            {
                "id": 1000 * number + k,
                "area": int(mask.sum()),
                "bbox": [float(v) for v in (5 + 4 * k, 4 + 3 * k, width - 1, height - 1)],
                "segmentation": {"size": [48, 64], "counts": rle["counts"].decode()},
                "predicted_iou": 0.9,
                "stability_score": 0.97,
                "point_coords": [[20.0, 20.0]],
                "crop_box": [0.0, 0.0, 64.0, 48.0],
            }
        )
    image = {"image_id": number, "width": 64, "height": 48, "file_name": f"sa_{number}.jpg"}
    return json.dumps({"image": image, "annotations": found}).encode()


def shard(path: Path, first: int, images: int = IMAGES, *, bad: int = 0, masks: int = 3) -> None:
    """A shard's tar; the JSON of the first `bad` images is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for number in range(first, first + images):
            text = b"<html>" if number < first + bad else annotations(number, masks)
            for name, data in ((f"sa_{number}.jpg", photograph(number)), (f"sa_{number}.json", text)):
                info = tarfile.TarInfo(f"./{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def captions(path: Path, first: int, images: int = IMAGES, text: str = "a wall") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"img": f"sa_{n}.jpg", "prompt": f"{text} {n}"}) for n in range(first, first + images))
    path.write_text("".join(f"{line}\n" for line in lines))


def evaluation_set(raw: Path, folder: str, pairs: int = 2) -> None:
    """Pictures and masks of a set that is stored as `imgs/` and `gts/`."""
    for number in range(pairs):
        for place in ("imgs", "gts"):
            (raw / "sa1b/evaldata" / folder / place).mkdir(parents=True, exist_ok=True)
        (raw / "sa1b/evaldata" / folder / "imgs" / f"{number}.jpg").write_bytes(photograph(number))
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 10:30] = 255
        Image.fromarray(mask).save(raw / "sa1b/evaldata" / folder / "gts" / f"{number}.png")


@dataclass
class Platform:
    """Where a test's platform is, and what can be asked of it."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def tar(self) -> Path:
        return self.raw / f"sa1b/{SHARD}.tar"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SEGASSETS_RAW": str(self.raw),
            "SEGASSETS_STORE": str(self.store),
            "DAGSTER_HOME": str(self.home),
            "SEGASSETS_WORKERS": "1",
        }

    def use(self, patch: pytest.MonkeyPatch) -> None:
        for name, value in self.environment.items():
            patch.setenv(name, value)
        patch.delenv("SEGASSETS_DEBUG", raising=False)
        prepare_dagster_home(load())

    def write_raw(self) -> None:
        """Two shards, captions of the first, two evaluation sets."""
        shard(self.tar, first=1)
        shard(self.raw / f"sa1b/{OTHER}.tar", first=11188, images=2)
        captions(self.raw / f"sa1b/captions/{SHARD}-blip2-caption.json", first=1)
        evaluation_set(self.raw, "HRSOD-TE")
        evaluation_set(self.raw, "CAMO")

    def catalogue(self) -> Catalogue:
        return Catalogue(load())

    def run(self, *assets: str, partition: str | None = SHARD, config: Mapping | None = None, tags=None):
        """A run of sa1b assets, as a launch makes it; registered keys first."""
        catalogue = self.catalogue()
        catalogue.register()
        chosen = [f"sa1b/{name}" for name in assets] or [f"sa1b/{name}" for name in SHARD_ASSETS]
        ops = {catalogue.op_name(f"sa1b/{name}"): {"config": values} for name, values in (config or {}).items()}
        return catalogue.job.execute_in_process(
            asset_selection=[dg.AssetKey(key.split("/")) for key in chosen],
            partition_key=partition,
            instance=catalogue.instance,
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=dict(tags or {}),
            raise_on_error=False,
        )

    def stale(self, partition: str = SHARD, assets=SHARD_ASSETS, graph=None) -> dict[str, tuple[str, ...]]:
        """The assets that Dagster calls stale or missing, with the reasons; nothing when all is fresh."""
        catalogue = self.catalogue()
        instance = catalogue.instance
        resolver = CachingStaleStatusResolver(instance, graph or catalogue.graph, LoadingContextForTest(instance))
        found = {}
        for name in assets:
            key = dg.AssetKey(["sa1b", name])
            status = resolver.get_status(key, partition)
            if status.value != "FRESH":
                causes = resolver.get_stale_causes(key, partition)
                found[name] = tuple(
                    f"{cause.category.value}: {cause.dependency.asset_key.to_user_string() if cause.dependency else ''}"
                    for cause in causes
                ) or (status.value,)
        return found

    def published(self, name: str, partition: str | None = SHARD) -> Handle:
        return Store(str(self.store)).handle(f"sa1b/{name}", partition)

    def versions(self, partition: str = SHARD) -> dict[str, str]:
        """The data version of every published shard asset, from the store."""
        return {name: self.published(name, partition).data_version for name in SHARD_ASSETS}


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Platform:
    """All of sa1b, made once; to be copied, not changed."""
    platform = Platform(tmp_path_factory.mktemp("made"))
    platform.write_raw()
    with pytest.MonkeyPatch.context() as patch:
        platform.use(patch)
        result = platform.run()
        assert result.success
    return platform


@pytest.fixture
def fresh(tmp_path, monkeypatch) -> Platform:
    """A platform with a raw folder and nothing made."""
    platform = Platform(tmp_path)
    platform.write_raw()
    platform.use(monkeypatch)
    return platform


@pytest.fixture
def made(made_once, tmp_path, monkeypatch) -> Platform:
    """A copy of the platform where the first shard is made."""
    for name in ("raw", "store", "home"):
        shutil.copytree(getattr(made_once, name), tmp_path / name, symlinks=True)
    platform = Platform(tmp_path)
    platform.use(monkeypatch)
    return platform


def touch(path: Path) -> None:
    """A later time, the same content."""
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 10**9))
