"""People in photographs, by a detector whose library is installed: torchvision's Mask R-CNN, trained on COCO.

Belongs here: everything that knows the library, behind one small protocol. Not here: which images, filtering and
matching (`formats.matching`). The published M-HIM2K masks come from ten models of detectron2, which no package index
has; give their COCO results as files. Source: the MaGGIe specification, section 4.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any, Protocol

import numpy as np

from segassets.findings import BadItem, error
from segassets.formats import rle
from segassets.formats.matching import masks_of_image
from segassets.formats.pictures import PictureError, rgb
from segassets.items import Made

#: As torchvision calls them; also names of the model's partition and folders.
MODELS = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")
MIN_SCORE = 0.5  # below it upstream's demo lists no prediction
OPAQUE = 0.5  # the share above which a pixel belongs to the instance


class MissingExtra(ImportError):
    """The detector's library is not installed; the message names the extra."""


class Detector(Protocol):
    """Finds instances in a photograph."""

    def detect(self, picture: np.ndarray) -> list[dict[str, Any]]:
        """Predictions for an RGB picture (uint8, (height, width, 3)), by falling score, as `formats.matching` reads.

        Keys: score, category (COCO's id), size (height, width), counts (compressed RLE), index.
        """
        ...


class TorchvisionDetector:
    """`torchvision.models.detection`, with its own COCO weights, which torchvision fetches once."""

    def __init__(self, model: str, device: str = "auto"):
        self._torch, detection = _libraries()
        if device == "auto":
            device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._device = device
        self._model = getattr(detection, model)(weights="DEFAULT").eval().to(device)

    def detect(self, picture: np.ndarray) -> list[dict[str, Any]]:
        image = self._torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).to(self._device) / 255
        with self._torch.inference_mode():
            (found,) = self._model([image])
        labels, scores, masks = (found[name].cpu().numpy() for name in ("labels", "scores", "masks"))
        order = np.argsort(-scores, kind="stable")
        return [
            {
                "score": float(scores[k]),
                "category": int(labels[k]),
                "size": list(masks.shape[-2:]),
                "counts": rle.encode(masks[k, 0] > OPAQUE),
                "index": place,
            }
            for place, k in enumerate(order)
            if scores[k] > MIN_SCORE
        ]


def available() -> tuple[str, ...]:
    """Names of the models that could be run here; imports nothing."""
    return MODELS if importlib.util.find_spec("torchvision") else ()


def require(model: str) -> str:
    """The library and its version. MissingExtra when it is not installed, ValueError for a model that there is not."""
    if model not in MODELS:
        raise ValueError(f"{model!r} is no model that can be run here; there are {', '.join(MODELS)}")
    _libraries()
    import torchvision

    return f"torchvision {torchvision.__version__}"


def _libraries() -> tuple[Any, Any]:
    """(torch, torchvision.models.detection)."""
    try:
        import torch
        from torchvision.models import detection
    except ImportError as missing:
        raise MissingExtra(
            f"running a detector needs {missing.name or 'a library'}, which is not installed: "
            "pip install 'segassets[detector]'. Or put COCO results at predictions/<model>/<subset>.json"
        ) from missing
    return torch, detection


@cache
def _detector(model: str, device: str) -> Detector:
    return TorchvisionDetector(model, device)


def detected_masks(
    image: str, picture: bytes, alphas: dict[str, Any], model: str, subset: str, fill_unmatched: bool, device: str
) -> Made:
    """As `masks_of_image`, with the predictions of a detector that runs in this process. BadItem for bad pictures."""
    try:
        pixels = np.asarray(rgb(picture))
    except PictureError as problem:
        raise BadItem(error("unreadable", f"the picture cannot be read ({problem})", image=image)) from None
    return masks_of_image(image, alphas, _detector(model, device).detect(pixels), model, subset, fill_unmatched)
