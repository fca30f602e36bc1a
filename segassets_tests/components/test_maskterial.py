"""MaskTerial's component: YAML errors with their lines, sources of a user's own, leaks, counts, the Zenodo download."""

import hashlib
import http.server
import io
import json
import threading
import uuid

import numpy as np
import pytest
from PIL import Image

from segassets.components import maskterial_download as downloads
from segassets.errors import UsageError
from segassets.findings import BadItem
from segassets_tests.running import Place

TYPE = "type: segassets.components.maskterial.MaskTerialDataset\n\nattributes:\n  dataset: Own\n"
SQUARE = [[10, 10], [40, 10], [40, 30], [10, 30]]


def jpeg(number, kind="JPEG"):
    sink = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(sink, kind)
    return sink.getvalue()


def labelme(name, *labels):
    shapes = [{"label": label, "points": SQUARE, "group_id": None, "shape_type": "polygon"} for label in labels]
    return json.dumps({"shapes": shapes, "imagePath": name, "imageData": None, "imageHeight": 60, "imageWidth": 80})


def own(tmp_path, yaml="  layers: 2\n"):
    (tmp_path / "defs/own").mkdir(parents=True)
    (tmp_path / "defs/own/defs.yaml").write_text(TYPE + yaml)
    return Place.below(tmp_path, SEGASSETS_DEFS=str(tmp_path / "defs"))


def put(tmp_path, split, run, stem, data, *labels):
    folder = tmp_path / "raw/maskterial/Own/labelme" / split / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.jpg").write_bytes(data)
    (folder / f"{stem}.json").write_text(labelme(f"{stem}.jpg", *labels))


@pytest.mark.parametrize(
    ("yaml", "line", "told"),
    [
        ("  rasterizer: pil\n", 5, "'auto', 'labelme' or 'coco'"),
        ("  classes:\n    - {id: 1}\n    - {id: 2, colour: red}\n", 7, "colour"),
        ("  classes:\n    - {id: 1}\n    - {id: 3}\n", 5, "[1, 3]"),
        ("  layers: 900\n", 5, "1 to 255"),
        ("  layerz: 3\n", 5, "layerz"),
        ("  classes: {id: 1}\n", 5, "classes: Input should be a valid array"),
        ("  classes: [one]\n", 5, "classes.0: Input should be an object, found 'one'"),
        ("  classes:\n    - {id: 1}\n    - {name: two}\n", 7, "classes.1.id: Field required"),
        ("  classes:\n    - {id: 1}\n    - {id: 1}\n", 5, "[1, 1]"),
        ("  classes:\n    - {id: 1, labels: [a]}\n    - {id: 2, labels: [a]}\n", 5, "means class 1 and class 2"),
        ("  classes:\n    - {id: 1, labels: [1]}\n", 6, "classes.0.labels.0: Input should be a valid string, found 1"),
        ("  layers: 3\n  classes:\n    - {id: 1}\n", 5, "3 layers and 1 classes"),
        ("  thresholds: [300, 200]\n", 5, "smallest first"),
        ("  thresholds: [200, x]\n", 5, "thresholds.1: Input should be a valid integer"),
        ("  mask_threshold: -3\n", 5, "-3 is no area"),
        ("  images: {train: 3, val: 2}\n", 5, "'val' is no split"),
        ("  images: {train: -3}\n", 5, "-3 images"),
        ("  seed: 42\n", 5, "seed: Input should be a valid string, found 42"),
        ("  archive: ../x.zip\n", 5, "no name of a zip"),
        ("  source: generated\n", 5, "source: Input should be"),
        ("  layers: 3\n  layers: 4\n", 6, "'layers' is there twice, first in line 5"),
        ("\tlayers: 3\n", 5, "no YAML"),
    ],
)
def test_a_wrong_yaml_is_told_with_its_line(tmp_path, yaml, line, told):
    from segassets.user_defs import load_user_defs

    own(tmp_path, yaml)
    with pytest.raises(Exception, match=r"defs\.yaml") as caught:
        load_user_defs(tmp_path / "defs")
    assert f"defs.yaml:{line}: " in str(caught.value)
    assert told in str(caught.value) and "pydantic" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_component_that_is_none(tmp_path):
    from segassets.user_defs import load_user_defs

    own(tmp_path)
    path = tmp_path / "defs/own/defs.yaml"
    for text, told in ((path.read_text().replace("Dataset\n", "Datasett\n", 1), "1: type: there is no component"),
                       ("attributes: {}\n", "1: no `type:`"), ("", "1: it is empty")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UsageError, match=told):
            load_user_defs(tmp_path / "defs")


def test_a_name_that_is_taken(tmp_path):
    place = own(tmp_path)
    path = tmp_path / "defs/own/defs.yaml"
    path.write_text(path.read_text().replace("Own", "GrapheneH"))
    told = place.run("status", status=2)
    assert told.stderr.count("\n") == 1 and "maskterial/GrapheneH: segassets has it already" in told.stderr


def test_a_dataset_of_ones_own(tmp_path):
    """Names from bytes, one shared photograph, one shared run: the leak is left out of the test split."""
    place = own(tmp_path)
    put(tmp_path, "train", "run_1", "IMG_0001", jpeg(1), "1", "2L", "__ignore__")
    put(tmp_path, "train", "run_2", "IMG_0002", jpeg(2))
    put(tmp_path, "test", "run_2", "IMG_0003", jpeg(3), "2")
    put(tmp_path, "test", "run_3", "copy", jpeg(1), "1")
    place.run("materialize", "maskterial/Own", "--partition", "train", "--partition", "test",
              "--max-rejected", "0.5")  # fmt: skip
    tree = tmp_path / "store/maskterial/Own"
    full = json.loads((tree / "RLE_annotations/train_annotations_with_class_full.json").read_bytes())
    assert [image["id"] for image in full["images"]] == [1, 2]
    assert all(uuid.UUID(image["file_name"][:-4]).version == 5 for image in full["images"])
    assert sorted((a["category_id"], a["area"]) for a in full["annotations"]) == [(1, 31 * 21), (2, 31 * 21)]
    assert {p.read_bytes() for p in (tree / "train_images").iterdir()} == {jpeg(1), jpeg(2)}
    test = json.loads((tree / "RLE_annotations/test_annotations_300.json").read_bytes())
    assert len(test["images"]) == 1 and test["categories"] == [{"id": 1, "name": "flake", "supercategory": "flake"}]
    codes = {(f["partition"], f["severity"], f["code"]) for f in place.findings("maskterial/Own")}
    assert {("test", "error", "leak"), ("train", "warning", "leak")} <= codes
    assert ("train", "warning", "shared_set") in codes
    failed = place.run("materialize", "maskterial/Own/annotations", "--partition", "test", status=1)
    assert "trained on" in failed.stderr + failed.stdout


def test_counts_can_be_strict(tmp_path):
    place = own(tmp_path, "  layers: 2\n  images: {train: 3}\n")
    put(tmp_path, "train", "run_1", str(uuid.UUID(int=1, version=4)), jpeg(1), "1")
    place.run("materialize", "maskterial/Own/annotations", "--partition", "train")
    assert [f["code"] for f in place.findings("maskterial/Own")] == ["count_differs"]
    told = place.run("materialize", "maskterial/Own/annotations", "--partition", "train", "--set",
                     "strict_counts=true", status=1)  # fmt: skip
    assert "1 images" in told.stderr + told.stdout


BODY = b"PK" + bytes(range(256)) * 400
MD5 = hashlib.md5(BODY).hexdigest()


class Zenodo(http.server.ThreadingHTTPServer):
    """A record with one file, in either form of the answer; `cut`: the first answer ends early."""

    daemon_threads = True

    def __init__(self, **record):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked, self.cut = [], False
        link = {"self": f"{self.url}/content"}
        entry = {"key": "Real_Own.zip", "checksum": f"md5:{MD5}", "size": len(BODY), "links": link, **record}
        about = {"license": {"id": "cc-by-4.0"}, "version": "1.0"}
        self.record = {"id": 15765514, "metadata": about, "files": [entry]}


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        if self.path == "/records/15765514":
            return self.answer(200, json.dumps(self.server.record).encode(), {"Content-Type": "application/json"})
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        cut, self.server.cut = self.server.cut, False
        body = BODY[start:]
        head = {"ETag": '"v1"', "Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"}
        return self.answer(206 if start else 200, body[: 50_000 if cut else None], head, len(body))

    def answer(self, status, body, headers, length=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def zenodo():
    servers = []

    def start(**record):
        servers.append(Zenodo(**record))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_download_asset(tmp_path, zenodo):
    """Nothing without being asked; then the record once, the rest after a cut, and nothing again the second time."""
    server = zenodo()
    server.cut = True
    place = own(tmp_path, f"  layers: 2\n  api: {server.url}/records\n")
    (tmp_path / "raw").mkdir()
    place.run("materialize", "maskterial/Own/download")
    assert server.asked == []
    place.run("materialize", "maskterial/Own/download", "--set", "fetch=true")
    assert (tmp_path / "raw/maskterial/Real_Own.zip").read_bytes() == BODY
    assert [path for path, _ in server.asked].count("/records/15765514") == 1
    assert ("/content", "bytes=50000-") in server.asked
    row = next(iter(place.published.handle("maskterial/Own/download", None).records()))
    assert (row["md5"], row["bytes"], row["record"], row["licence"]) == (MD5, len(BODY), "15765514", "cc-by-4.0")
    server.asked.clear()
    place.run("materialize", "maskterial/Own/download", "--set", "fetch=true", "--force")
    assert [path for path, _ in server.asked] == ["/records/15765514"]


def test_both_forms_of_a_record(zenodo):
    old = zenodo(filename="Real_Own.zip", key=None, checksum=MD5)
    found = downloads.resolve(f"{old.url}/records/15765514", "Real_Own.zip", "15765514")
    assert (found["md5"], found["size"], found["licence"]) == (MD5, len(BODY), "cc-by-4.0")


@pytest.mark.parametrize(
    ("record", "name", "told"),
    [
        ({}, "Real_Other.zip", "Real_Own.zip"),
        ({"checksum": "sha1:12"}, "Real_Own.zip", "nothing to verify"),
        ({"size": None}, "Real_Own.zip", "nothing to verify"),
    ],
)
def test_records_that_cannot_be_used(zenodo, record, name, told):
    server = zenodo(**record)
    with pytest.raises(BadItem, match=told):
        downloads.resolve(f"{server.url}/records/15765514", name, "15765514")


def test_a_download_with_another_sum_is_not_kept(zenodo, tmp_path):
    server = zenodo()
    with pytest.raises(BadItem, match=r"md5|hash"):
        downloads.fetched("Real_Own.zip", f"{server.url}/content", len(BODY), "0" * 32, "1", None, None,
                          str(tmp_path), "maskterial")  # fmt: skip
    assert not (tmp_path / "maskterial/Real_Own.zip").exists()
