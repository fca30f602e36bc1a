"""What the UI shows of Cityscapes-VPS: masks in colour, and strips of one clip in which instances keep theirs."""

import io

import numpy as np
from PIL import Image

from segassets import previews

SHOWN = 6


def _decoded(view, path):
    return np.asarray(Image.open(io.BytesIO(view.read(path))))


def _some(view):
    paths = view.files["path"].to_pylist()
    return paths[:: max(1, len(paths) // SHOWN)][:SHOWN]


def pictures(view, **inputs):
    """Published pictures as they are."""
    return {"preview": previews.contact_sheet([_decoded(view, path)[..., :3] for path in _some(view)], columns=3)}


def label_maps(view, **inputs):
    """Label maps, a colour a value, with the borders between them."""
    return {"preview": previews.contact_sheet([_coloured(_decoded(view, path)) for path in _some(view)], columns=3)}


def strip(view, **inputs):
    """The frames of the first clip, in order: a tracked instance has the same colour in all of them."""
    paths = sorted(view.files["path"].to_pylist())
    clip = [path for path in paths if path.rsplit("/", 1)[1][:4] == paths[0].rsplit("/", 1)[1][:4]] if paths else []
    ids = [_decoded(view, path)[..., :3].astype(np.uint32) @ np.array([1, 256, 65536], np.uint32) for path in clip]
    known = np.unique(np.concatenate([np.unique(frame) for frame in ids])) if ids else np.zeros(1, np.uint32)
    tiles = [previews.paint(np.searchsorted(known, frame), len(known)) for frame in ids]
    return {"preview": previews.contact_sheet(tiles, columns=3)}


def _coloured(labels):
    known, index = np.unique(labels, return_inverse=True)
    return previews.paint(index.reshape(labels.shape), len(known))
