"""Single assets of small downloads made in this process: no Dagster run, but everything else as in one."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segassets.errors import PartitionRejected
from segassets.findings import Finding
from segassets.registry import registry
from segassets.settings import Settings
from segassets.store.store import Store
from segassets.work.job import Job
from segassets.work.make import Outcome, prepare

HEIGHT, WIDTH = 12, 20


def png(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, "PNG")
    return sink.getvalue()


def photo(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))


def drawing(height: int = HEIGHT, width: int = WIDTH, objects: list | None = None) -> bytes:
    road = [{"label": "road", "polygon": [[0, 0], [width, 0], [width, height], [0, height]]}]
    document = {"imgHeight": height, "imgWidth": width, "objects": road if objects is None else objects}
    return json.dumps(document).encode()


@dataclass
class Bench:
    """A raw folder, a store, and `make`."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    @property
    def published(self) -> Path:
        return self.folder / "store"

    def put(self, path: str, data: bytes) -> Path:
        target = self.raw / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def fine(self, image: str, split: str = "val", without: tuple[str, ...] = (), **files: bytes) -> str:
        """The files of an image in gtFine, all of it road; others by kind."""
        city, *_ = image.rsplit("_", 2)
        stem = f"cityscapes/gtFine/{split}/{city}/{image}_gtFine_"
        usual = {
            "labelIds.png": png(np.full((HEIGHT, WIDTH), 7, np.uint8)),
            "instanceIds.png": png(np.full((HEIGHT, WIDTH), 7, np.uint16)),
            "color.png": png(np.full((HEIGHT, WIDTH, 4), 128, np.uint8)),
            "polygons.json": drawing(),
        }
        named = {name.replace("_", "."): data for name, data in files.items()}
        for ending, data in {**usual, **named}.items():
            if ending not in without:
                self.put(stem + ending, data)
        return stem

    def photograph(self, image: str, data: bytes | None = None, split: str = "val") -> str:
        city, *_ = image.rsplit("_", 2)
        path = f"cityscapes/leftImg8bit/{split}/{city}/{image}_leftImg8bit.png"
        self.put(path, photo() if data is None else data)
        return path

    def make(self, asset: str, partition: str = "val", max_rejected: float | None = None, **options) -> Outcome:
        settings = Settings(raw=str(self.raw), store=str(self.published), workers=1)
        artifact = registry()[asset]
        job = Job(artifact, partition, settings, artifact.parse_options(options), max_rejected)
        with job.store.locked(artifact.key, partition):
            outcome = prepare(job)
            outcome.publish()
        return outcome

    def errors(self, asset: str, partition: str = "val", **options) -> list[Finding]:
        """The errors of an asset that is refused."""
        with pytest.raises(PartitionRejected) as rejected:
            self.make(asset, partition, **options)
        return [finding for finding in rejected.value.findings if finding.severity == "error"]

    def rows(self, asset: str, partition: str = "val") -> list[dict]:
        """The published rows."""
        return list(Store(str(self.published)).handle(asset, partition).records())

    def paths(self, folder: str) -> set[str]:
        root = self.published / folder
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def declared() -> None:
    """All artifacts, declared once."""
    from segassets.definitions import defs

    defs()


@pytest.fixture
def bench(tmp_path, declared) -> Bench:
    return Bench(tmp_path)
