"""Hundreds of thousands of files: memory of a publication stays bounded, its work grows with their number."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import json, sys, time
import pyarrow as pa, pyarrow.parquet as pq, io, os
from segassets.store import manifest
from segassets.store.manifest import Footer
from segassets.store.publish import by_folder
from segassets.store.batch import Summary
from segassets.store.store import Store

count, store = int(sys.argv[2]), Store(sys.argv[1])
with store.locked("toys/masks", "red"):
    stage = store.stage("toys/masks", "red", "toys", "1")
    paths = [f"toys/red/sa_{n // 100}/segmentation_{n % 100}.png" for n in range(count)]
    for number, start in enumerate(range(0, count, 3000)):
        part = paths[start : start + 3000]
        digests = [n.to_bytes(32, "big") for n in range(start, start + len(part))]
        columns = {"path": part, "bytes": [900] * len(part), "digest": digests, "digest_kind": ["sha256"] * len(part),
                   "content": digests, "item": [path.split("/")[2] for path in part],
                   "source": [f"{path}.json#annotations/7" for path in part]}
        sink = io.BytesIO()
        pq.write_table(pa.table(columns, schema=manifest.SCHEMA), sink)
        store.files.write(stage.place.batch(number, "files.parquet"), sink.getvalue())
        stage.add(Summary(number, files=len(part), content="00"))
    for folder, names in by_folder(paths).items():
        os.makedirs(store.files.path(stage.place.staged(folder)))
        for name in names:
            os.close(os.open(store.files.path(stage.place.staged(f"{folder}/{name}")), os.O_CREAT | os.O_WRONLY))
    del paths
    begun = time.process_time()
    store.publish(stage, Footer("toys/masks", "red", "1", "1", stage.data_version()), [])
    seconds = time.process_time() - begun
assert store.handle("toys/masks", "red").all_files.num_rows == count
with open("/proc/self/status") as status:  # getrusage() counts the parent's memory before exec, too
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps([seconds, peak / 1024]))
"""


@pytest.mark.parametrize("count", [40_000])
def test_a_publication_of_very_many_files_stays_small(tmp_path, count):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path), str(count)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    _, megabytes = json.loads(done.stdout)
    assert megabytes < 300  # 203 at 50,000 files, 426 at 300,000
