"""Split archives on S3: raw folder and store in buckets, read by ranges, merged and extracted through real runs."""

import hashlib
import io
import json
import zipfile

import pytest

from segassets_tests.running import Place
from segassets_tests.store.fixtures import s3, s3_server  # noqa: F401

pytestmark = pytest.mark.golden
CASES = ("p02_short_parts", "p06_member_over_three_parts", "p07_directory_over_parts")


def test_archives_on_s3(shared, tmp_path, s3):  # noqa: F811
    golden = shared / "golden/maggie"
    truth = {}
    for case in CASES:
        about = json.loads((golden / f"expected/splitzip/{case}.json").read_text())
        base = about["last_part"].split(".zip")[0]
        for file in about["files"]:
            data = (golden / f"input/splitzip/{case}" / file["name"]).read_bytes()
            s3.client.put_object(Bucket=s3.bucket, Key=f"raw/maggie/{case}{file['name'][len(base) :]}", Body=data)
        truth[case] = {m["name"]: m["sha256"] for m in about["truth"]["members"] if not m["name"].endswith("/")}
    place = Place(
        s3.url("raw"), s3.url("store"), str(tmp_path / "home"), {**s3.environment, "AWS_ENDPOINT_URL": s3.server}
    )
    place.run("materialize", "maggie/members", "maggie/merged_zip")
    for case, wanted in truth.items():
        folder = f"store/maggie/{case}/"
        found = {key.removeprefix(folder): fetch(s3, key) for key in s3.keys(folder)}
        assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == wanted
        with zipfile.ZipFile(io.BytesIO(fetch(s3, f"store/maggie/merged/{case}.zip"))) as merged:
            assert {name: hashlib.sha256(merged.read(name)).hexdigest() for name in wanted} == wanted


def fetch(s3, key):  # noqa: F811
    return s3.client.get_object(Bucket=s3.bucket, Key=key)["Body"].read()
