"""HIM2K's masks by a detector that runs here, through a real run; the library is a small one of the test's own."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segassets import detecting
from segassets_tests.running import Place

#: As much of torch as is called.
TORCH = """
import contextlib
import numpy as np

class Tensor:
    def __init__(self, array): self.array = np.asarray(array)
    def permute(self, *order): return Tensor(self.array.transpose(order))
    def to(self, device): return self
    def cpu(self): return self
    def numpy(self): return self.array
    def __truediv__(self, n): return Tensor(self.array / np.float32(n))

class cuda:
    @staticmethod
    def is_available(): return False

from_numpy = Tensor
inference_mode = contextlib.nullcontext
"""
#: A "model" that takes every red pixel for one person, every green one for another; and sees a dog in all.
DETECTION = """
import numpy as np
from torch import Tensor

class Model:
    def eval(self): return self
    def to(self, device): return self
    def __call__(self, images):
        (image,) = (one.array for one in images)
        red, green = (image[k] > 0.6 for k in (0, 1))
        masks = np.stack([np.ones_like(red), green, red, red]).astype(np.float32)[:, None]
        found = {"labels": np.array([18, 1, 1, 1]), "scores": np.array([.99, .8, .9, .4], np.float32), "masks": masks}
        return [{name: Tensor(value) for name, value in found.items()}]

def maskrcnn_resnet50_fpn_v2(weights):
    assert weights == "DEFAULT"
    return Model()
"""
MODEL = "maskrcnn_resnet50_fpn_v2"


def png(array) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def place(tmp_path) -> Place:
    """One photograph with two people, one without a photograph."""
    root = tmp_path / "raw/maggie/HIM2K_M-HIM2K"
    for folder in ("images/comp", "alphas/comp/a", "alphas/comp/b"):
        (root / folder).mkdir(parents=True)
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[10:60, 10:50, 0] = 250
    picture[20:70, 70:110, 1] = 250
    Image.fromarray(picture).save(root / "images/comp/a.jpg", quality=95)
    (root / "alphas/comp/a/00.png").write_bytes(png(picture[..., 1]))
    (root / "alphas/comp/a/01.png").write_bytes(png(picture[..., 0]))
    (root / "alphas/comp/b/00.png").write_bytes(png(picture[..., 0]))
    return Place.below(tmp_path)


WHAT = ("maggie/him2k_masks", "--partition", f"{MODEL}|comp", "--set", "detector=torchvision")


def test_masks_of_a_model_that_runs_here(place, tmp_path):
    for name, text in (("torch/__init__.py", TORCH), ("torchvision/models/detection.py", DETECTION),
                       ("torchvision/__init__.py", "__version__ = '0.0.test'"), ("torchvision/models/__init__.py", "")):  # fmt: skip
        path = tmp_path / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    place.environment["PYTHONPATH"] = str(tmp_path / "library")
    place.run("materialize", *WHAT, "--max-rejected", "0.6")
    rows = list(place.published.handle("maggie/him2k_masks", f"{MODEL}|comp").records())
    found = [(row["alpha"], row["best_mask"], row["source"], round(row["score"], 2)) for row in rows]
    assert found == [("00.png", "01.png", "predicted", 0.8), ("01.png", "00.png", "predicted", 0.9)]
    codes = {(f["severity"], f["code"], f["image"]) for f in place.findings("maggie/him2k_masks")}
    assert codes == {("error", "missing_image", "b"), ("info", "detected", None)}
    (finding,) = [f for f in place.findings("maggie/him2k_masks") if f["code"] == "detected"]
    assert "torchvision 0.0.test" in finding["message"]
    store = tmp_path / "store/maggie/HIM2K_M-HIM2K"
    masks = sorted(path.relative_to(store).as_posix() for path in store.rglob("*.png"))
    assert masks == [f"masks_{MODEL}/comp/a/{k:02d}.png" for k in range(2)] + [
        f"masks_matched_{MODEL}/comp/a/{k:02d}.png" for k in range(2)
    ]


@pytest.mark.skipif(bool(detecting.available()), reason="torchvision is installed here")
def test_without_its_library_the_error_says_what_to_do(place):
    Path(place.raw, "maggie/predictions", MODEL).mkdir(parents=True)  # its name becomes a partition
    said = place.run("materialize", *WHAT, status=1).stderr
    assert "pip install 'segassets[detector]'" in said and "predictions/<model>/<subset>.json" in said


def test_a_model_that_there_is_not():
    with pytest.raises(ValueError, match="maskrcnn_resnet50_fpn"):
        detecting.require("yolo")
