"""SA-1B with raw and store on a real S3 server, and what only a real one can show: conditions, signatures, uploads."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import segassets
import segassets.sample
from segassets.errors import Busy
from segassets.files.bucket import CLIENT
from segassets.store import locks
from segassets.store.store import Store
from segassets_tests.running import Place
from segassets_tests.store.s3 import S3
from segassets_tests.store.trees import contents, leftovers, manifests

# Beside the project where its developers work, as for the golden tests.
SHARED = Path(__file__).parents[3] / "shared"
SHARD = "sa_000000"

pytestmark = pytest.mark.timeout(900)  # a real server on the same two cores as everything else


def place(s3: S3, folder: Path) -> Place:
    """Raw folder and store in the bucket."""
    return Place(
        s3.url("raw"), s3.url("store"), str(folder / "home"), {**s3.environment, "AWS_ENDPOINT_URL": s3.server}
    )


def upload(s3: S3, folder: Path) -> None:
    """Every file below `folder`, under `raw/` in the bucket."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.client.upload_file(str(path), s3.bucket, f"raw/{path.relative_to(folder).as_posix()}")


def sourceless(store: Store) -> dict:
    """The manifests, without the names under which compressed archives are kept: those come from the raw root's own."""
    found = manifests(store)
    for rows, _ in found.values():
        for row in rows:
            row["source"] = re.sub(r"^\.segassets/unpacked/[^!]*", "unpacked", row["source"] or "")
    return found


def copied_on_the_server(store: Store) -> set[tuple]:
    """The partitions with files that never passed through a client: of these there is an ETag, and no digest."""
    return {key for key, (rows, _) in manifests(store).items() if any(row["digest_kind"] == "etag" for row in rows)}


def comparable(store: Store, copied: set[tuple]) -> dict:
    """The manifests, without the digests and data versions of what was copied on the server, and of cards, which list
    digests. Their bytes are compared by themselves."""
    found = sourceless(store)
    assets = {asset for asset, _ in copied}
    for key, (rows, footer) in found.items():
        footer["inputs"] = {name: v for name, v in footer["inputs"].items() if name.split(" ")[0] not in assets}
        if key in copied or key[0].endswith("/card"):
            footer["data_version"] = footer["rows"] = None
            for row in rows:
                row |= dict.fromkeys(("digest", "digest_kind", "content"))
                row["path"] = re.sub(r"/[0-9a-f]{32}\.parquet$", "", row["path"])  # rows are named by the version
        if key[0].endswith("/card"):
            footer["counts"] = footer["inputs"] = None
            for row in rows:
                row["bytes"] = None
    return found


def family(folder: str) -> str:
    """Datasets that are made from each other: `cityscapes_vps` needs `cityscapes`."""
    return folder.split("_")[0]


#: All that the project knows, each with what belongs to it.
FAMILIES = sorted({family(path.name) for path in (Path(segassets.__file__).parent / "defs").iterdir() if path.is_dir()})


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """The raw sample of the demo."""
    folder = tmp_path_factory.mktemp("sample") / "raw"
    segassets.sample.write(folder)
    return folder


@pytest.mark.parametrize("name", [name for name in FAMILIES if not name.startswith("_")])
def test_the_demo_on_s3_is_the_demo_in_a_folder(s3, sample, tmp_path, name):
    """The whole demo, family by family."""
    raw = tmp_path / "raw"
    for folder in sample.iterdir():
        if folder.is_dir() and family(folder.name) == name:
            shutil.copytree(folder, raw / folder.name)
    if not raw.is_dir():
        pytest.skip(f"the sample has nothing of {name}")
    upload(s3, raw)
    remote, local = place(s3, tmp_path), Place.below(tmp_path, raw=raw)
    local.home = str(tmp_path / "other-home")
    runs = [there.start("materialize", f'key:"{name}*"') for there in (remote, local)]
    for run in runs:
        said, _ = run.communicate(timeout=800)
        assert run.returncode == 0, said
    assert "as published" in remote.run("verify", f'key:"{name}*"').stdout
    assert s3.uploads() == []
    there, here = Store(remote.store), Store(local.store)
    assert leftovers(there) == []
    assert contents(there.files) == contents(here.files) != {}
    copied = copied_on_the_server(there)
    assert comparable(there, copied) == comparable(here, copied)
    assert copied_on_the_server(here) == set()
    if name != "sa1b":
        return
    # Nothing changed, so nothing is made; what was changed behind the platform's back is noticed.
    assert "nothing to do" in remote.run("materialize", "sa1b").stdout
    (victim,) = s3.keys(f"store/sam-1b/{SHARD}-blip2-caption.json")
    s3.client.put_object(Bucket=s3.bucket, Key=victim, Body=b"[]")
    assert f"{SHARD}-blip2-caption.json" in remote.run("verify", "sa1b/captions", status=1).stderr


@pytest.mark.golden
def test_sa1b_from_the_golden_shards(s3, tmp_path):
    if not (SHARED / "golden").is_dir():
        pytest.skip("no golden data beside the project")
    given = SHARED / "golden/sa1b/input"
    for shard in ("sa_000000", "sa_000001"):
        s3.client.upload_file(str(given / f"{shard}.tar"), s3.bucket, f"raw/sa1b/{shard}.tar")
        captions = f"raw/sa1b/captions/{shard}-blip2-caption.json"
        s3.client.upload_file(str(given / f"{shard}-captions.jsonl"), s3.bucket, captions)
    remote = place(s3, tmp_path)
    remote.run("materialize", "sa1b/masks", "sa1b/control_images", "sa1b/captions", "sa1b/controlnet_train")
    # The comparison reads folders.
    for key in s3.keys("store/sam-1b/"):
        target = tmp_path / "fetched" / key.removeprefix("store/")
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.client.download_file(s3.bucket, key, str(target))
    compare = [sys.executable, str(SHARED / "compare/sa1b.py"), str(SHARED / "golden/sa1b/expected")]
    compare += [str(tmp_path / "fetched/sam-1b"), "--strict-mode", "--only", "masks,control,captions,controlnet"]
    done = subprocess.run(compare, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "242 files compared, 0 differences" in done.stdout
    for name in ("evaldata", "advdata"):
        for path in (path for path in (given / name).rglob("*") if path.is_file()):
            s3.client.upload_file(str(path), s3.bucket, f"raw/sa1b/{path.relative_to(given).as_posix()}")
    remote.run("materialize", "sa1b/eval_manifest", "sa1b/tuning_manifest")
    wanted = json.loads((SHARED / "golden/sa1b/expected/eval-manifest.json").read_text())
    found = {key.rpartition("/")[2].removesuffix(".json"): key for key in s3.keys("store/sam-1b/eval/")}
    assert set(found) == {name for name, manifest in wanted.items() if manifest["present"]}
    for name, key in found.items():
        assert json.loads(s3.client.get_object(Bucket=s3.bucket, Key=key)["Body"].read()) == wanted[name]
    (tuning,) = s3.keys("store/sam-1b/tuning/")
    wanted = json.loads((SHARED / "golden/sa1b/expected/tuning-manifest.json").read_text())
    assert json.loads(s3.client.get_object(Bucket=s3.bucket, Key=tuning)["Body"].read()) == wanted
    remote.run("verify", "sa1b")


def test_of_many_that_want_a_lock_at_once_one_gets_it(s3):
    bucket = s3.at()
    start = threading.Barrier(8)
    got: list[str] = []

    def try_it() -> None:
        lock = locks.make(bucket, ".segassets/locks/one", "sa1b/masks sa_000000")
        start.wait()
        try:
            # The PUT alone: the second, local lock would let one thread of this process pass as well.
            lock._put(IfNoneMatch="*")
            got.append("lock")
        except FileExistsError:
            got.append("refused")

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["lock"] + 7 * ["refused"]


def test_a_lease_is_refused_while_it_is_held_and_taken_over_when_its_owner_is_dead(s3):
    bucket = s3.at()
    first, second = (locks.make(bucket, ".segassets/locks/one", "sa1b/masks") for _ in range(2))
    first.acquire()
    with pytest.raises(Busy):
        second.acquire()
    first.release()
    second.acquire()
    second.confirm()
    second.release()
    assert s3.keys() == []

    ended = subprocess.run([sys.executable, "-c", "pass"])
    assert ended.returncode == 0
    dead = {**locks.whoami(), "pid": 2**22 - 1, "started": "1", "token": "another"}
    s3.client.put_object(Bucket=s3.bucket, Key="store/.segassets/locks/one", Body=json.dumps(dead))
    first.acquire()
    first.release()


def test_an_upload_that_fails_leaves_neither_object_nor_parts(s3):
    bucket = s3.at()
    part = bytes(16 * 2**20)

    def broken() -> None:
        with bucket.create("large.bin") as file:
            file.write(part)
            file.write(part)
            assert s3.uploads() == ["store/large.bin"]
            raise OSError("the disk of the source is gone")

    with pytest.raises(OSError, match="gone"):
        broken()
    assert s3.uploads() == []
    assert s3.keys() == []
    with bucket.create("large.bin") as file:
        file.write(part)
        file.write(part + b"end")
    assert bucket.stat("large.bin").size == 2 * len(part) + 3


def test_parts_that_a_killed_process_left_go_with_the_folder(s3):
    bucket = s3.at()
    key = bucket.key(".segassets/stages/x/large.bin")
    s3.client.create_multipart_upload(Bucket=s3.bucket, Key=key)
    assert s3.uploads() == [key]
    bucket.delete_tree(".segassets/stages/x")
    assert s3.uploads() == []


def test_a_server_that_is_overloaded_or_hangs_up_is_asked_again(s3, monkeypatch):
    """Behind the proxy every fifth request fails once, each time otherwise; all the bytes arrive."""
    seen: set[tuple[str, str]] = set()
    faults = itertools.cycle([503, "cut", 500, "lost", "torn", "hang"])

    def fault(request):
        first = (request.method, request.key) not in seen
        seen.add((request.method, request.key))
        number = len(seen)
        return next(faults) if first and number % 5 == 0 else None

    monkeypatch.setitem(CLIENT, "read_timeout", 2)
    bucket = s3.at()
    s3.proxy.fault = fault
    wanted = {f"folder/{n:03}.bin": bytes([n]) * 1000 for n in range(40)}
    bucket.write_many(wanted)
    assert {path: bucket.read(path) for path in bucket.walk("folder")} == wanted


def test_a_wrong_key_fails_at_once_and_is_not_shown(s3, tmp_path):
    remote = place(s3, tmp_path)
    remote.environment["AWS_SECRET_ACCESS_KEY"] = "a-key-that-is-not-ours"
    said = remote.run("materialize", "sa1b", status=1)
    assert said.stderr.count("\n") == 1
    assert "a-key-that-is-not-ours" not in said.stdout + said.stderr
