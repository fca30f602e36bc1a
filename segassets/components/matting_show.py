"""What the UI shows of a matting set: photographs beside their people on a checkerboard, trimaps beside each other."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from segassets import previews

SHOWN = 4
SQUARE = 16


def decoded(data: bytes) -> np.ndarray:
    """A picture's pixels: uint8, (height, width), or (height, width, 3)."""
    picture = Image.open(io.BytesIO(data))
    return np.asarray(picture if picture.mode in ("L", "RGB") else picture.convert("RGB"))


def instance_map(alphas: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The instance that has most of every pixel, from 1; 0 where nobody has half of it."""
    levels = np.zeros((len(alphas) + 1, *size), np.uint8)
    levels[0] = 127
    for k, alpha in enumerate(alphas, 1):
        if alpha.shape == size:
            levels[k] = alpha
    return levels.argmax(0)


def on_checkerboard(photograph: np.ndarray, alphas: Sequence[np.ndarray]) -> np.ndarray:
    """Everybody cut out of a photograph (uint8, (height, width, 3)) by all alphas together, on a checkerboard."""
    h, w = photograph.shape[:2]
    total = np.zeros((h, w), np.float32)
    for alpha in alphas:
        if alpha.shape == (h, w):
            total += alpha
    share = np.minimum(total, 255)[..., None] / 255
    y, x = np.mgrid[0:h, 0:w]
    squares = np.where((y // SQUARE + x // SQUARE) % 2, 200, 235).astype(np.float32)[..., None]
    return (photograph * share + squares * (1 - share)).astype(np.uint8)


def samples(view: Any, refs: Mapping[str, Any]) -> dict[str, Any]:
    """A spread of the samples: each photograph beside its people on a checkerboard."""
    rows = [row for row in view.records(["image", "alphas"]) if row["alphas"]]
    tiles = []
    for row in rows[:: max(1, len(rows) // SHOWN)][:SHOWN]:
        photograph = np.asarray(Image.fromarray(decoded(refs[row["image"]].read())).convert("RGB"))
        alphas = [decoded(refs[path].read()) for path in row["alphas"] if path in refs]
        tiles += [photograph, on_checkerboard(photograph, [alpha for alpha in alphas if alpha.ndim == 2])]
    return {"preview": previews.contact_sheet(tiles, columns=4)} if tiles else {}


def trimaps(view: Any, **_: Any) -> dict[str, Any]:
    """A spread of the trimaps: background black, transition grey, foreground white."""
    paths = view.files["path"].to_pylist()
    shown = paths[:: max(1, len(paths) // 8)][:8]
    tiles = [np.array([0, 128, 255], np.uint8)[decoded(view.read(path))] for path in shown]
    return {"preview": previews.contact_sheet(tiles, columns=4)} if tiles else {}


def shown_samples(unit: str, listing: Callable[[Any, str], Mapping[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Counts, and the contact sheet of what `listing(raw, split)` refers to."""

    def show(view: Any, raw: Any) -> dict[str, Any]:
        used = [row["used"] for row in view.records(["used"])]
        counts = {unit: len(used), f"{unit} the loader uses": sum(used)}
        return {**samples(view, listing(raw, view.partition)), **counts}

    return show
