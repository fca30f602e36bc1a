"""What the UI shows of MaGGIe's derived data: composites beside their instances in colour, masks over photographs."""

import io

import numpy as np
from PIL import Image

from segassets import previews
from segassets.components.matting_show import decoded, instance_map
from segassets.formats.matching import matching_findings

SHOWN = 4
RECIPE = "upstream-62344dd"


def _numbers(view):
    made = [row["made"] for row in view.records(["made"])]
    return {"made": sum(made), "not made": len(made) - sum(made), "recipe": RECIPE}


def _below(view, part):
    """Published paths of one kind, such as images/, in order."""
    return sorted(path for path in view.files["path"].to_pylist() if f"/{part}/" in path)


def _side_by_side(view, pictures, alphas_of):
    tiles = []
    for path in pictures:
        photograph = decoded(view.read(path))
        alphas = [decoded(view.read(name)) for name in alphas_of(path)]
        tiles += [photograph, previews.overlay(photograph, instance_map(alphas, photograph.shape[:2]))]
    return previews.contact_sheet(tiles, columns=4)


def synthetic_images(view, **_):
    """Composites beside their instances in colour."""
    alphas = _below(view, "alphas")

    def alphas_of(path):
        number = path.rsplit("/", 1)[1].removesuffix(".jpg")
        return [name for name in alphas if f"/alphas/{number}/" in name]

    images = _below(view, "images")
    shown = images[:: max(1, len(images) // SHOWN)][:SHOWN]
    return {"preview": _side_by_side(view, shown, alphas_of), **_numbers(view)} if shown else _numbers(view)


def synthetic_videos(view, **_):
    """Frames of the first accepted video, beside their instances in colour."""
    frames, alphas = _below(view, "fgr"), _below(view, "pha")
    if not frames:
        return _numbers(view)
    first = frames[0].rsplit("/", 1)[0]
    clip = [path for path in frames if path.startswith(f"{first}/")]

    def alphas_of(path):
        folder = path.replace("/fgr/", "/pha/").removesuffix(".jpg")
        return [name for name in alphas if name.startswith(f"{folder}/")]

    shown = clip[:: max(1, len(clip) // SHOWN)][:SHOWN]
    return {"preview": _side_by_side(view, shown, alphas_of), **_numbers(view)}


def masks(photographs):
    """A function that shows matched masks over the photographs that `photographs(raw, subset)` gives, by image."""

    def show(view, raw):
        matched = _below_matched(view)
        known = photographs(raw, view.partition.split("|")[1])
        tiles = []
        for image, paths in list(matched.items())[:SHOWN]:
            found = [decoded(view.read(path)) for path in paths]
            size = found[0].shape[:2]
            ref = known.get(image)
            photograph = _fitting(ref.read(), size) if ref else np.zeros((*size, 3), np.uint8)
            tiles += [photograph, previews.overlay(photograph, instance_map(found, size))]
        sheet = {"preview": previews.contact_sheet(tiles, columns=4)} if tiles else {}
        return {**sheet, **matching_findings(list(view.records()))}

    return show


def _below_matched(view):
    found = {}
    for path in sorted(view.files["path"].to_pylist()):
        if "/masks_matched_" in path:
            found.setdefault(path.split("/")[-2], []).append(path)
    return found


def _fitting(data, size):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize(size[::-1]))
