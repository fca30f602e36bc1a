"""What the UI shows of Cityscapes-DVPS: photograph, labels and depth of some frames."""

import io

import numpy as np
from PIL import Image

from segassets import previews
from segassets.defs.cityscapes.show import coloured
from segassets.formats.cityscapes_dvps import DVPS_VOID

SHOWN = 3
FAR = 80  # metres


def triplets(view, raw, labels):
    """Photographs, labels in Cityscapes' colours, depth (near is bright)."""
    paths = view.files["path"].to_pylist()
    stems = sorted(path.removesuffix("_depth.png") for path in paths if path.endswith("_depth.png"))
    tiles = []
    for stem in stems[:: max(1, len(stems) // SHOWN)][:SHOWN]:
        photo = _decoded(view, f"{stem}_leftImg8bit.png")[..., :3]
        tiles += [photo, _labels(_decoded(view, f"{stem}_gtFine_instanceTrainIds.png"))]
        depth = _decoded(view, f"{stem}_depth.png").astype(np.float32) / 256
        tiles.append(np.where(depth > 0, 255 * (1 - np.minimum(depth, FAR) / FAR), 0).astype(np.uint8))
    return {"preview": previews.contact_sheet(tiles, columns=3), "triplets": len(stems)}


def _decoded(view, path):
    return np.asarray(Image.open(io.BytesIO(view.read(path))))


def _labels(values):
    values = values.astype(np.int64)
    stuff = (values % 1000 == 0) & (values < 11000)
    return coloured(np.where(values == DVPS_VOID, 255, np.where(stuff, values // 1000, values)))
