"""What becomes of one synthetic flake image: the functions that run in workers.

Its instances and its photograph are made apart, from the same random stream: neither needs the other, and nothing of a
set has to be made to make one of its images again.
"""

from __future__ import annotations

from segassets.formats import flake_photos, maskterial
from segassets.formats.flake_scenes import Frame, Recipe, scene
from segassets.formats.maskterial_items import image_rows
from segassets.items import File, Made

SOURCE = "generated/"
MAX_LAYERS = 10
"""What upstream's pretraining reads ends in `_300_max_10`: instances of at most ten layers."""


def source(frame: Frame) -> str:
    """What stands for the raw file of a generated image; `frame_of` reads it."""
    return f"{SOURCE}{frame.split}/{frame.index}"


def frame_of(dataset: str, text: str) -> Frame | None:
    """The frame that a row's `source` names; None for a real photograph."""
    if not text.startswith(SOURCE):
        return None
    _, split, index = text.split("/")
    return Frame(dataset, split, int(index))


def file_names(split: str, thresholds: tuple[int, ...] = maskterial.FILE_THRESHOLDS) -> dict[str, tuple]:
    """The annotation files of a generated split: name → (class-agnostic, least area, most layers or None)."""
    least = max(thresholds)
    names: dict[str, tuple] = {
        name: (*rule, None) for name, rule in maskterial.threshold_names(split, thresholds).items()
    }
    for stem, agnostic in (("annotations_with_class", False), ("annotations", True)):
        names[f"{split}_{stem}_{least}_max_{MAX_LAYERS}.json"] = (agnostic, least, MAX_LAYERS)
    return names


def instances_item(image: str, frame: Frame, recipe: Recipe) -> Made:
    """The rows of a generated image, as those of any other source."""
    h, w = recipe.size
    head = {"image": image, "width": w, "height": h, "set": frame.set_name(recipe.seed), "source": source(frame)}
    rows = [
        {"category_id": layers, "counts": mask.counts.decode("ascii"), "area": mask.area, "bbox": list(mask.bbox)}
        for layers, mask in scene(recipe, frame).instances(recipe.layers)
    ]
    return Made(rows=image_rows(head, rows))


def photograph_item(image: str, frame: Frame, recipe: Recipe) -> Made:
    """The photograph of a generated image."""
    data = flake_photos.jpeg(flake_photos.photograph(recipe, frame), recipe.quality)
    return Made([File(image, data, source=source(frame))])
