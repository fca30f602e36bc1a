"""A shard of SA-1B's real size through the platform: seconds, memory of the largest process, what two workers gain.

    python -m segassets_tests.benchmarks.whole_shard FOLDER [--images 11186] [--workers 1 2]

Pictures and annotations are synthetic and few; they are repeated under new ids until the shard has its size. The first
call writes the tar (about 7 GB), later ones use it. Not part of `make bench`: it takes minutes and disk.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from segassets_tests.benchmarks.corpus import SIZE, corpus

DISTINCT = 32
ASSETS = ("shard_index", "mask_table", "masks", "control_images")


def photograph(seed: int) -> bytes:
    """A JPEG of about half a megabyte."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (SIZE[0] // 12, SIZE[1] // 12, 3), np.uint8)
    image = Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC)
    noise = random.normal(0, 7, (*SIZE, 1))
    noisy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(noisy).save(sink, "JPEG", quality=80)
    return sink.getvalue()


def write_shard(path: Path, images: int) -> None:
    """The tar, in the order of ids."""
    documents = [json.loads(text) for text in corpus(DISTINCT)]
    pictures = [photograph(seed) for seed in range(8)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number in range(1, images + 1):
            document = documents[number % DISTINCT]
            document["image"] |= {"image_id": number, "file_name": f"sa_{number}.jpg"}
            for k, annotation in enumerate(document["annotations"]):
                annotation["id"] = number * 1000 + k
            for suffix, data in (("jpg", pictures[number % 8]), ("json", json.dumps(document).encode())):
                info = tarfile.TarInfo(f"sa_{number}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def materialize(folder: Path, workers: int) -> dict[str, float]:
    """Seconds of each asset's run and of all, processor seconds, and the largest process' memory in MiB."""
    store = folder / f"store-{workers}"
    environment = {
        **os.environ,
        "SEGASSETS_RAW": str(folder / "raw"),
        "SEGASSETS_STORE": str(store),
        "DAGSTER_HOME": str(folder / f"home-{workers}"),
        "SEGASSETS_WORKERS": str(workers),
    }
    found: dict[str, float] = {}
    for asset in ASSETS:
        command = [sys.executable, "-c", "from segassets.cli import main; main()", "materialize", f"sa1b/{asset}"]
        before, cpu = time.perf_counter(), _cpu()
        done = subprocess.run([*command, "--only"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[asset] = time.perf_counter() - before
        found[f"{asset}, processor"] = _cpu() - cpu
        print(f"  {workers} workers, {asset}: {found[asset]:.1f} s  {done.stdout.splitlines()[-1]}", flush=True)
    found["largest process, MiB"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return found


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=11_186)
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    arguments = parser.parse_args()
    shard = arguments.folder / "raw/sa1b/sa_000000.tar"
    if not shard.exists():
        write_shard(shard, arguments.images)
    print(f"{shard.stat().st_size / 1e9:.2f} GB, {arguments.images:,} images")
    for workers in arguments.workers:
        for name, value in materialize(arguments.folder, workers).items():
            print(f"{workers} workers  {name:32} {value:10.1f}")


if __name__ == "__main__":
    main()
