"""A tiny SA-1B shard of many images, and real runs of the command line in processes of their own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

SEGASSETS = [sys.executable, "-c", "from segassets.cli import console; console()"]
SHARD = "sa_000000"
HEIGHT, WIDTH = 32, 48


@lru_cache(maxsize=1)
def _pictures() -> list[bytes]:
    found = []
    for number in range(8):
        x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
        sink = io.BytesIO()
        Image.fromarray(np.stack([x * 4, y * 5, (x + y + number * 30) % 256], -1).astype(np.uint8)).save(sink, "JPEG")
        found.append(sink.getvalue())
    return found


def _document(image_id: int, masks: int) -> bytes:
    annotations = []
    for k in range(masks):
        left, top = 1 + (image_id + k) % 9, 1 + k
        box = [float(left), float(top), 30.0 - 2 * k, 20.0 - 2 * k]
        mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
        mask[top : top + 21 - 2 * k, left : left + 31 - 2 * k] = 1
        annotations.append(
            {
                "id": 100 * image_id + k,
                "area": int(mask.sum()),
                "bbox": box,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(mask)["counts"].decode()},
                "predicted_iou": 0.9,
                "stability_score": 0.97,
                "point_coords": [[10.0, 10.0]],
                "crop_box": [0.0, 0.0, float(WIDTH), float(HEIGHT)],
            }
        )
    image = {"image_id": image_id, "width": WIDTH, "height": HEIGHT, "file_name": f"sa_{image_id}.jpg"}
    return json.dumps({"image": image, "annotations": annotations}).encode()


def shard(images: int, masks: int = 3, first: int = 1) -> bytes:
    """A tar like SA-1B's, of tiny photographs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for image_id in range(first, first + images):
            members = {"jpg": _pictures()[image_id % 8], "json": _document(image_id, masks)}
            for suffix, data in members.items():
                info = tarfile.TarInfo(f"./sa_{image_id}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def captions(images: int, first: int = 1) -> bytes:
    """The captions file of such a shard."""
    lines = (json.dumps({"img": f"sa_{n}.jpg", "prompt": f"picture {n}"}) + "\n" for n in range(first, first + images))
    return "".join(lines).encode()


def write_raw(folder: Path, images: int, masks: int = 3) -> None:
    """The raw folder's `sa1b/` with one shard and its captions."""
    (folder / "sa1b" / "captions").mkdir(parents=True, exist_ok=True)
    tar = folder / "sa1b" / f"{SHARD}.tar"
    tar.write_bytes(shard(images, masks))
    os.utime(tar, ns=(10**18, 10**18 + 1000 * images + masks))  # its version does not depend on when the test ran
    (folder / "sa1b" / "captions" / f"{SHARD}-blip2-caption.json").write_bytes(captions(images))


@dataclass
class Platform:
    """Where raw folder, store and Dagster's home of a test are."""

    raw: str
    store: str
    home: Path
    workers: int = 2
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "SEGASSETS_RAW": self.raw,
            "SEGASSETS_STORE": self.store,
            "DAGSTER_HOME": str(self.home),
            "SEGASSETS_WORKERS": str(self.workers),
            **self.extra,
        }

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*SEGASSETS, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, out)

    def must(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout
