"""Synthetic flake sets that are rendered here: which images, in which files, and what the UI shows of their optics.

Off by default. The rules are `formats.flake_scenes` and `formats.flake_photos`; the assets those of every dataset.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from segassets import previews
from segassets.findings import BadItem, error, info
from segassets.formats import flake_items, flake_photos, maskterial, thin_film
from segassets.formats.flake_scenes import SHARD, Frame, Recipe
from segassets.formats.maskterial_classes import Classes, layers
from segassets.work.plans import Each, Items, each

MOST = 10_000_000
PHOTOGRAPHS = 16  # a batch: some seconds of rendering


def is_generated(annotations) -> bool:
    """Whether a split's published annotations are of pictures that nobody has taken."""
    return annotations.footer.config.get("generate") is True


def annotations(declared, split: str, count: int) -> Each:
    """The plan of a generated split's annotations. BadItem `cannot_generate`."""
    count = count or declared.images.get(split, 0)
    if not 0 < count <= MOST:
        told = f"{count:,} images: say how many with --set count=N, 1 to {MOST:,} (the YAML has no number for {split})"
        raise BadItem(error("cannot_generate", told))
    recipe = _recipe(declared)
    frames = [Frame(declared.dataset, split, index) for index in range(count)]
    items = [{"image": frame.name(recipe.seed), "frame": frame} for frame in frames]
    items.sort(key=lambda item: item["image"])
    told = f"{count:,} rendered images of {recipe.material}, seed {recipe.seed!r}, in {-(-count // SHARD)} shards"
    return each(
        Items(items, "image", batch_items=64),
        flake_items.instances_item,
        findings=[info("generated", told)],
        folds=_folds(declared, split),
        recipe=recipe,
    )


def _recipe(declared) -> Recipe:
    try:
        return declared.recipe
    except ValueError as problem:
        told = f"{problem}: under `generate` in the YAML of {declared.dataset}"
        raise BadItem(error("cannot_generate", told)) from None


def _folds(declared, split: str) -> dict:
    classes: Classes = declared.known_classes or layers(declared.recipe.layers)
    return {
        name: partial(
            maskterial.annotation_pieces,
            categories=classes.agnostic() if agnostic else classes.categories(),
            agnostic=agnostic,
            least=least,
            highest=most,
        )
        for name, (agnostic, least, most) in flake_items.file_names(split, tuple(declared.thresholds)).items()
    }


def photographs(declared, rows: list[dict]) -> Each:
    """The plan of a generated split's photographs, as its annotations list them."""
    recipe = _recipe(declared)
    items = [{"image": row["image"], "frame": flake_items.frame_of(declared.dataset, row["source"])} for row in rows]
    return each(Items(items, "image", batch_items=PHOTOGRAPHS), flake_items.photograph_item, recipe=recipe)


def photograph(declared, row: dict) -> np.ndarray | None:
    """The picture of a row; None for a real one."""
    frame = flake_items.frame_of(declared.dataset, row["source"])
    return None if frame is None else flake_photos.photograph(declared.recipe, frame)


def optics(recipe: Recipe) -> dict:
    """What the UI shows of a recipe: colours of layers on more and less oxide, contrasts, where the indices are from."""
    numbers = list(range(1, recipe.layers + 1))
    found = thin_film.contrasts(recipe.flake, numbers, [recipe.oxide_nm], recipe.microscope)[0]
    lines = ["| layers | red | green | blue |", "| ---: | ---: | ---: | ---: |"]
    lines += [f"| {n} | {r:+.3f} | {g:+.3f} | {b:+.3f} |" for n, (r, g, b) in zip(numbers, found.tolist(), strict=True)]
    return {
        "colours of layers": swatches(recipe),
        "contrasts": previews.markdown("\n".join(lines)),
        "refractive indices": recipe.flake.source or "the dataset's YAML",
    }


def swatches(recipe: Recipe, cell: tuple[int, int] = (38, 26)) -> Image.Image:
    """Oxide (down) x layers (across), exposed for the wafer in the middle; the first column is the bare wafer."""
    spread = sorted({recipe.oxide_nm + k * recipe.oxide_sd_nm for k in (-2, -1, 0, 1, 2)})
    heights = [height for height in spread if height > 0]
    numbers = list(range(recipe.layers + 1))
    known = thin_film.values(recipe.flake, numbers, heights, recipe.microscope)
    wafer = thin_film.values(recipe.flake, [0], [recipe.oxide_nm], recipe.microscope)[0, 0]
    pixels = np.clip(known * 125 / wafer.mean(), 0, 255).astype(np.uint8)
    w, h = cell
    left, top = 56, 18
    picture = Image.new("RGB", (left + w * len(numbers), top + h * len(heights)), (24, 24, 28))
    draw = ImageDraw.Draw(picture)
    for column, number in enumerate(numbers):
        draw.text((left + column * w + w // 2 - 4, 4), str(number), fill=(170, 170, 180))
    for line, height in enumerate(heights):
        draw.text((4, top + line * h + h // 2 - 6), f"{height:g} nm", fill=(170, 170, 180))
        for column in range(len(numbers)):
            x, y = left + column * w, top + line * h
            draw.rectangle([x, y, x + w - 1, y + h - 1], fill=tuple(pixels[line, column].tolist()))
    return picture
