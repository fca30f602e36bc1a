"""MaskTerial's golden data with raw folder and store in a bucket: one dataset from labelme, one as a released zip."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from segassets.formats import few_shot
from segassets_tests.golden.test_maskterial import run
from segassets_tests.running import Place
from segassets_tests.store.s3 import S3

FROM_LABELME, RELEASED = "WS2", "MoSe2"


def golden_tree_is_made(s3: S3, shared: Path, folder: Path) -> None:
    """Both datasets come out as the golden tree, with strict ids and the photographs' bytes; nothing is left behind."""
    golden = shared / "golden/maskterial"
    source = golden / "input" / FROM_LABELME
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        put(s3, f"raw/maskterial/{FROM_LABELME}/{path.relative_to(source).as_posix()}", path)
    put(s3, f"raw/maskterial/Real_{RELEASED}.zip", released_zip(golden, folder))
    environment = {**s3.environment, "AWS_ENDPOINT_URL": s3.server}
    place = Place(s3.url("raw"), s3.url("store"), str(folder / "home"), environment)
    datasets = [f"maskterial/{name}" for name in (FROM_LABELME, RELEASED)]
    place.run("materialize", *datasets, "--partition", "train", "--partition", "test", "--partition", "4|3")
    tree = fetched(s3, "store/maskterial/", folder / "tree")
    for name in (FROM_LABELME, RELEASED):
        told = run(shared, "maskterial.py", golden / "expected", tree, "--strict-ids", "--images", "--datasets", name)
        assert "differences: 0" in told
    wanted = json.loads((golden / "expected/fewshot_hashrank.json").read_bytes())
    for name in (FROM_LABELME, RELEASED):
        made = json.loads((tree / name / "RLE_annotations/3_shot/run_4" / few_shot.WITH_CLASS_FILE).read_bytes())
        assert [a["id"] for a in made["annotations"]] == wanted[name]["3/4"]["annotations"]
    assert "as published" in place.run("verify", "maskterial").stdout
    assert s3.uploads() == []
    assert not s3.keys("store/.segassets/stages/") and not s3.keys("store/.segassets/unpacked/")


def released_zip(golden: Path, folder: Path) -> Path:
    """The golden tree of a dataset, zipped as Zenodo has it."""
    target = folder / f"Real_{RELEASED}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((golden / "expected" / RELEASED).rglob("*.*")):
            archive.write(path, path.relative_to(golden / "expected"))
        for path in sorted((golden / "input" / RELEASED / "labelme").rglob("*.jpg")):
            archive.write(path, f"{RELEASED}/{path.parts[-3]}_images/{path.name}")
    return target


def put(s3: S3, key: str, path: Path) -> None:
    s3.client.put_object(Bucket=s3.bucket, Key=key, Body=path.read_bytes())


def fetched(s3: S3, prefix: str, target: Path) -> Path:
    """Everything below a prefix, as a folder."""
    for key in s3.keys(prefix):
        path = target / key.removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.client.get_object(Bucket=s3.bucket, Key=key)["Body"].read())
    return target
