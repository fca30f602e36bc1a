"""One synthetic image as files; runs in workers. Reads, decodes, composes, encodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from segassets.findings import Finding, info, warning
from segassets.formats.jpeg_canvas import on_black
from segassets.formats.memory import keep_freed_memory
from segassets.formats.pictures import PictureError, grey, jpeg, opened, png, reason
from segassets.formats.png import placed_gray_png
from segassets.formats.synthesis import Composite, NotMade, chosen, compose, levels
from segassets.items import File, Made

IMAGE_ROWS = {
    "id": "int64",
    "made": "bool",
    "reason": "string",
    "instances": "int64",
    "foregrounds": "list<string>",
    "background": "string",
}


def synthetic_image(
    number: int,
    people: Mapping[str, tuple[Any, Any]],
    background: tuple[str, Any],
    foregrounds: int,
    backgrounds: int,
    lossless: bool,
) -> Made:
    """Image `number`: `images/N.jpg`, `bg/N.jpg`, and for everybody visible `alphas/N/K.png` and `fg/N/K.jpg`.

    `people`: name → (picture, alpha), in the order of the draw. What cannot be made is an info finding `not_made`.
    """
    keep_freed_memory()
    random = chosen(number, foregrounds, backgrounds)[2]
    findings: list[Finding] = []
    try:
        given = []
        for name, (picture, alpha) in people.items():
            opacity = grey(alpha.read(), alpha.label)
            given.append((name, opacity, _decoder(number, picture, opacity.size, findings)))
        made = compose(given, opened(background[1].read(), background[1].label), random)
        files = _files(number, made, background[1].label)
    except NotMade as why:
        return _not_made(number, str(why), background[0])
    except (PictureError, ValueError) as problem:  # Pillow's: modes that it does not resize, paste or write
        return _not_made(number, f"upstream fails on it, too: {reason(problem)}", background[0])
    if lossless:
        whole = png(made.image)
        if whole is None:
            told = f"no lossless copy: PNG does not hold {made.image.mode}, the mode of {background[1].label}"
            findings.append(info("not_lossless", told, image=str(number)))
        else:
            files.append(File(f"lossless/{number}.png", whole))
    names = [instance.name for instance in made.instances]
    return Made(files, _row(number, True, None, names, background[0]), findings)


def _not_made(number: int, why: str, background: str) -> Made:
    finding = info("not_made", f"{why}; this number stays a hole", image=str(number))
    return Made([], _row(number, False, why, [], background), [finding])


def _row(number: int, made: bool, why: str | None, names: list[str], background: str) -> dict[str, list]:
    values = (number, made, why, len(names), names, background)
    return {column: [value] for column, value in zip(IMAGE_ROWS, values, strict=True)}


def _decoder(number: int, ref: Any, size: tuple[int, int], findings: list[Finding]) -> Callable[[], Image.Image]:
    """Decodes a person's picture; a warning where it has not the size of its alpha, whose box upstream cuts out of it."""

    def decode() -> Image.Image:
        picture = opened(ref.read(), ref.label)
        if picture.size != size:
            told = f"{picture.width} x {picture.height} pixels, its alpha {size[0]} x {size[1]}: the alpha's box is cut"
            told += " out of it all the same, as upstream does; give both one size"
            findings.append(warning("size_mismatch", told, path=ref.label, image=str(number)))
        return picture

    return decode


def _files(number: int, made: Composite, behind: str) -> list[File]:
    frame = made.image.size
    files = [
        File(f"images/{number}.jpg", jpeg(made.image, behind)),
        File(f"bg/{number}.jpg", jpeg(made.background, behind)),
    ]
    for k, instance in enumerate(made.instances):
        matte = placed_gray_png(levels(instance.matte), instance.x, instance.y, frame[::-1])
        files.append(File(f"alphas/{number}/{k}.png", matte))
        files.append(File(f"fg/{number}/{k}.jpg", on_black(instance.picture, instance.x, instance.y, frame)))
    return files
