"""Merging an archive from one bucket into another by a real run: what must be true of it on any S3 server."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

from segassets_tests.formats.test_split_zip import split_zip
from segassets_tests.running import Place
from segassets_tests.store.s3 import S3

MIB = 2**20
MEMBERS = [(f"m/{k}", random.Random(k).randbytes(3 * MIB // 2)) for k in range(40)]
#: What a merge may move through the client.
SHARE, FIXED = 0.005, 11 * MIB


def place_behind(s3: S3, folder: Path) -> Place:
    """Raw folder and store in the bucket; every request by the proxy."""
    return Place(s3.url("raw"), s3.url("store"), str(folder / "home"), s3.environment)


def upload(s3: S3, parts: dict[str, bytes]) -> int:
    """Put an archive into the raw folder; its bytes."""
    for name, data in parts.items():
        s3.client.put_object(Bucket=s3.bucket, Key=f"raw/maggie/{name}", Body=data)
    return sum(map(len, parts.values()))


def merged_members(s3: S3, folder: Path, archive: str = "X") -> dict[str, bytes]:
    """Contents of the published archive; zipfile checks every CRC."""
    path = folder / "fetched.zip"
    s3.client.download_file(s3.bucket, f"store/maggie/merged/{archive}.zip", str(path))
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def check_that_the_data_stay_on_the_server(s3: S3, folder: Path) -> None:
    """Index, merge and publication together move no more through the client than a merge may."""
    place = place_behind(s3, folder)
    total = upload(s3, split_zip(MEMBERS, 9 * MIB))
    s3.proxy.up.clear(), s3.proxy.down.clear()
    place.run("materialize", "maggie/merged_zip")
    assert s3.proxy.moved() <= SHARE * total + FIXED
    copies = [r for r in s3.proxy.requests if "x-amz-copy-source-range" in {name.lower() for name in r.headers}]
    assert copies and all("x-amz-copy-source-if-match" in {name.lower() for name in r.headers} for r in copies)
    assert merged_members(s3, folder) == dict(MEMBERS)
    assert s3.uploads() == []
    (finding,) = [f for f in place.findings("maggie/merged_zip") if f["code"] == "crc_not_checked"]
    assert finding["severity"] == "info"
    (row,) = place.published.handle("maggie/merged_zip", "X").files.to_pylist()
    assert row["digest_kind"] == "etag" and row["bytes"] > total - 100
    assert "as published" in place.run("verify", "maggie/merged_zip").stdout
    assert "nothing to do" in place.run("materialize", "maggie/merged_zip").stdout

    # A folder has the same version of it: what the archive holds decides, not where it lies.
    local = Place.below(folder / "local")
    raw = folder / "local/raw/maggie"
    raw.mkdir(parents=True)
    for name, data in split_zip(MEMBERS, 9 * MIB).items():
        (raw / name).write_bytes(data)
    local.run("materialize", "maggie/merged_zip")
    versions = [at.published.footer("maggie/merged_zip", "X").data_version for at in (place, local)]
    assert versions[0] == versions[1]
    assert "as published" in local.run("verify", "maggie/merged_zip").stdout
    merged = Path(local.store, "maggie/merged/X.zip")
    data = bytearray(merged.read_bytes())
    data[len(data) // 2] ^= 1
    merged.write_bytes(data)
    assert "maggie/merged/X.zip has other content" in local.run("verify", "maggie/merged_zip", status=1).stderr


def check_that_nothing_is_left_of_a_merge_that_fails(s3: S3, folder: Path) -> None:
    """A copy that the server refuses, a part that is replaced on the way: no object, no parts of an upload."""
    place = place_behind(s3, folder)
    parts = split_zip(MEMBERS[:16], 7 * MIB)
    upload(s3, parts)
    s3.proxy.fault = lambda request: 403 if "partNumber=2" in request.path else None
    said = place.run("materialize", "maggie/merged_zip", status=1).stderr
    assert "maggie/merged_zip X" in said and "the server could not copy it" in said
    assert s3.uploads() == [] and s3.keys("store/maggie/merged") == []

    def replaced(request):
        if "uploads" in request.path and request.method == "POST":
            s3.client.put_object(Bucket=s3.bucket, Key="raw/maggie/X.z02", Body=b"?" * len(parts["X.z02"]))

    s3.proxy.fault = replaced
    said = place.run("materialize", "maggie/merged_zip", status=1).stderr
    assert "X.z02" in said and "run it again" in said, said
    assert s3.uploads() == [] and s3.keys("store/maggie/merged") == []
    s3.proxy.fault = lambda request: None


def check_that_damage_is_found(s3: S3, folder: Path) -> None:
    """A small archive is read whole; of a large one a sample, unless all is asked for."""
    place = place_behind(s3, folder)
    small = split_zip([("a", b"a" * 5000), ("b", random.Random(1).randbytes(9000))], 4000)
    damaged = {name: bytearray(data) for name, data in small.items()}
    data = damaged["X.z02"]  # in the middle of b
    data[len(data) // 2] ^= 1
    upload(s3, damaged)
    place.run("materialize", "maggie/merged_zip", status=1)
    (finding,) = [f for f in place.findings("maggie/merged_zip") if f["severity"] == "error"]
    assert (finding["code"], finding["member"]) == ("crc", "b")
    assert s3.keys("store/maggie/merged") == []

    large = {name: bytearray(data) for name, data in split_zip(MEMBERS[:8], 7 * MIB).items()}
    for data in large.values():
        data[len(data) // 2] ^= 1
    upload(s3, {name.replace("X", "Y"): data for name, data in large.items()})
    place.run("materialize", "maggie/merged_zip", "--partition", "Y", "--set", "check_crc=always", status=1)
    assert {f["code"] for f in place.findings("maggie/merged_zip") if f["partition"] == "Y"} == {"crc"}
    assert s3.keys("store/maggie/merged") == []
