"""What small objects cost on S3, and what the packed forms cost in their place: `python -m segassets_tests.benchmarks.small_objects`.

The same masks are written and read as one object each, as members of a stored zip, and as a WebDataset tar; on a real
Ceph radosgw where that is installed, and on moto's server, the tests' stand-in. Seconds are the wall's, with client and
server on the same cores; CPU is the client's own, and requests are counted by a proxy in a pass of their own.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from moto.server import ThreadedMotoServer

from segassets.files import bucket
from segassets.files.bucket import Bucket
from segassets.files.ref import files_at
from segassets_tests.s3 import ceph
from segassets_tests.store.s3 import CREDENTIALS, S3

COUNT, SIZE, THREADS = 1000, 900, 16


def masks() -> dict[str, bytes]:
    """Names and bytes; the bytes do not compress, as those of a PNG do not."""
    source = iter(lambda: os.urandom(SIZE), b"")
    return {f"sa_{n // 100}/segmentation_{n % 100}.png": next(source) for n in range(COUNT)}


def as_files(bucket: Bucket, made: dict[str, bytes]) -> None:
    bucket.write_many({f"files/{name}": data for name, data in made.items()})


def read_files(bucket: Bucket, made: dict[str, bytes]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda name: bucket.read(f"files/{name}", 0, SIZE), made))
    assert found == list(made.values())


def as_zip(bucket: Bucket, made: dict[str, bytes]) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in made.items():
            archive.writestr(name, data)
    bucket.write("masks.zip", sink.getvalue())


def read_zip(bucket: Bucket, made: dict[str, bytes]) -> None:
    """Member by member, as a loader reads at random: the directory once, then a range each."""
    with bucket.open("masks.zip") as file, zipfile.ZipFile(file) as archive:
        where = {info.filename: info.header_offset + 30 + len(info.filename) for info in archive.infolist()}
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda name: bucket.read("masks.zip", where[name], where[name] + SIZE), made))
    assert found == list(made.values())


def as_tar(bucket: Bucket, made: dict[str, bytes]) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, data in made.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    bucket.write("masks.tar", sink.getvalue())


def read_tar(bucket: Bucket, made: dict[str, bytes]) -> None:
    """From start to end, as WebDataset does."""
    with tarfile.open(fileobj=io.BytesIO(bucket.read("masks.tar"))) as archive:
        found = [archive.extractfile(member).read() for member in archive]
    assert found == list(made.values())


WORK: dict[str, tuple[Callable, Callable]] = {
    "an object each": (as_files, read_files),
    "zip, read by member": (as_zip, read_zip),
    "tar, read as a stream": (as_tar, read_tar),
}


def measure(act: Callable, *arguments: object) -> tuple[float, float]:
    """Seconds, and seconds of this process on a CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    act(*arguments)
    return time.perf_counter() - wall, time.process_time() - cpu


def use(endpoint: str) -> None:
    os.environ.update({**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint})
    bucket._s3.cache_clear()
    files_at.cache_clear()


def table(server: str, name: str) -> Iterator[str]:
    s3, made = S3.fresh(server), masks()
    for what, (write, read) in WORK.items():
        use(server)
        bucket = s3.at()
        bucket.write("warm", b"")
        written, got = measure(write, bucket, made), measure(read, bucket, made)
        use(s3.proxy.url)
        bucket = s3.at()
        counts = []
        for act in (write, read):
            s3.proxy.requests.clear()
            act(bucket, made)
            counts.append(len(s3.proxy.requests))
        yield (
            f"{name:6} {what:22} write {written[0]:6.2f} s {written[1]:5.2f} CPU {counts[0]:5} requests"
            f"   read {got[0]:6.2f} s {got[1]:5.2f} CPU {counts[1]:5} requests"
        )
    s3.proxy.stop()


@contextlib.contextmanager
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def main() -> None:
    print(f"{COUNT} masks of {SIZE} bytes")
    if absent := ceph.missing():
        print(f"ceph: {absent}")
    else:
        with tempfile.TemporaryDirectory() as folder, ceph.serving(Path(folder)) as url:
            for line in table(url, "ceph"):
                print(line, flush=True)
    with moto() as url:
        for line in table(url, "moto"):
            print(line, flush=True)


if __name__ == "__main__":
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    sys.exit(main())
