"""Captions of SA-1B images: given ones, or made by a captioner; and the rows that join them with pictures."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import lru_cache

from PIL import Image

from segassets import captioning
from segassets.findings import warning
from segassets.formats import captions as caption_file
from segassets.formats import sa1b
from segassets.items import Made

CAPTION_ROWS = {"image": "string", "image_id": "int64", "prompt": "string", "captioner": "string"}


def given_captions(number: int, images: list[str], image_ids: list[int], prompts: list[str]) -> Made:
    """Rows of captions that were read from a file."""
    return Made(rows=_rows(images, image_ids, prompts, "file"))


def made_captions(
    number: int,
    images: list[str],
    image_ids: list[int],
    pictures: list,
    captioner: str,
    settings: tuple[tuple[str, object], ...],
) -> Made:
    """Rows of captions that a captioner makes of the pictures (references to JPEGs), opened one batch at a time."""
    maker = _captioner(captioner, settings)
    opened = [Image.open(io.BytesIO(picture.read())).convert("RGB") for picture in pictures]
    prompts = maker.caption(opened, [f"{image}.jpg" for image in images])
    findings = [
        warning("caption_empty", "the captioner said nothing, twice; the caption is left empty", image=image)
        for image, prompt in zip(images, prompts, strict=True)
        if not prompt
    ]
    return Made(rows=_rows(images, image_ids, prompts, maker.name), findings=findings)


@lru_cache(maxsize=1)
def _captioner(name: str, settings: tuple[tuple[str, object], ...]) -> captioning.Captioner:
    """Kept between batches: loading the model takes minutes."""
    return captioning.make(name, **dict(settings))


def _rows(images: list[str], image_ids: list[int], prompts: list[str], captioner: str) -> dict[str, list]:
    return {"image": images, "image_id": image_ids, "prompt": prompts, "captioner": [captioner] * len(images)}


def caption_lines(records: Iterable[dict]) -> Iterator[bytes]:
    """The caption file: JSON lines by ascending image id."""
    return caption_file.write((row["image_id"], row["prompt"]) for row in records)


def controlnet_lines(captions: Iterable[dict], pictures: set[str]) -> Iterator[bytes]:
    """ControlNet's training list: a row for every caption whose picture and control image exist."""
    rows = (row for row in captions if row["image"] in pictures)
    return caption_file.controlnet(sa1b.controlnet_row(row["prompt"], row["image_id"]) for row in rows)
