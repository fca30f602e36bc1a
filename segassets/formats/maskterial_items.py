"""What becomes of one flake image: the functions that run in workers. Bytes in, `Made` out.

Every source comes to the same rows (`maskterial.ROWS`), so that everything later is made in one way.
Rules: MaskTerial specification, sections 1 and 2.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats import instance_masks, jpeg, label_studio, labelme, maskterial
from segassets.formats.maskterial_classes import Classes
from segassets.items import File, Made

_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_EXIF_ORIENTATION = 274
MAX_PIXELS = 1 << 28


def displayed_size(data: bytes, decode: bool = True) -> tuple[int, int]:
    """(height, width) of a photograph as it is displayed, after its EXIF orientation; it is decoded to see that it is
    whole. BadItem `bad_image`."""
    try:
        if data[:2] == b"\xff\xd8":
            jpeg.check(data, decode=decode)
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise BadItem(error("bad_image", f"{picture.width} x {picture.height} pixels: refused"))
            turned = picture.getexif().get(_EXIF_ORIENTATION) in _TURNED
            if decode and picture.format != "JPEG":
                picture.load()
            return (picture.width, picture.height) if turned else (picture.height, picture.width)
    except BadItem:
        raise
    except (jpeg.JpegUnreadable, jpeg.JpegTruncated) as problem:
        raise BadItem(error("bad_image", f"{problem}")) from None
    except Exception as problem:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, ...
        raise BadItem(error("bad_image", f"it cannot be decoded ({type(problem).__name__}: {problem})")) from None


def labelme_item(
    image: str,
    path: str,
    document: bytes,
    photo: bytes | None,
    set_name: str,
    source: str,
    classes: Classes,
    rasterizer: labelme.Rasterizer,
) -> Made:
    """The instances of one labelme file. `photo` is None when only its imageData has the photograph."""
    where = {"path": path, "image": _stem(image)}
    read = labelme.read(document, **where)
    findings = list(read.findings)
    photo = photo or read.image_data
    if photo is None:
        told = f"there is no photograph {read.image_path or '(imagePath is empty)'!r} and no imageData"
        raise BadItem(*findings, error("image_missing", told, **where))
    named = read.image_path.replace("\\", "/").rsplit("/", 1)[-1]
    if named and "#" not in source and _stem(named) != _stem(source.rsplit("/", 1)[-1]):
        told = f"imagePath says {read.image_path!r}, {source.rsplit('/', 1)[-1]} of its own name is used"
        findings.append(warning("image_path_differs", told, **where))
    size = _size(photo, where)
    labelme.check_size(read, size, **where)
    found, problems = labelme.instances(read, size, classes, rasterizer, **where)
    return _made(image, size, set_name, source, photo, found, [*findings, *problems])


def label_studio_item(
    image: str, path: str, picture: label_studio.Picture, photo: bytes, set_name: str, source: str, classes: Classes
) -> Made:
    """The instances of one picture of a Label Studio export."""
    where = {"path": path, "image": picture.name}
    size = _size(photo, where)
    try:
        found, findings = label_studio.instances(picture, size, classes)
    except BadItem as bad:
        raise BadItem(*(replace(finding, **where) for finding in bad.findings)) from None
    return _made(image, size, set_name, source, photo, found, [replace(f, **where) for f in findings])


def instance_mask_item(
    image: str,
    path: str,
    indices: bytes,
    photo: bytes,
    set_name: str,
    source: str,
    sidecar: Mapping[int, int] | None,
    classes: Classes,
) -> Made:
    """The instances of one instance mask."""
    where = {"path": path, "image": _stem(image)}
    size = _size(photo, where)
    try:
        pixels = instance_masks.read_mask(indices)
        if pixels.shape != size:
            told = f"the mask has {pixels.shape[0]} x {pixels.shape[1]} (h x w), the photograph {size[0]} x {size[1]}"
            raise BadItem(error("size_differs", told))
        found, findings = instance_masks.instances(pixels, classes, sidecar)
    except BadItem as bad:
        raise BadItem(*(replace(finding, **where) for finding in bad.findings)) from None
    return _made(image, size, set_name, source, photo, found, [replace(f, **where) for f in findings])


def _size(photo: bytes, where: dict) -> tuple[int, int]:
    try:
        return displayed_size(photo)
    except BadItem as bad:
        raise BadItem(*(replace(finding, **where) for finding in bad.findings)) from None


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


def _made(
    image: str,
    size: tuple[int, int],
    set_name: str,
    source: str,
    photo: bytes,
    found: Sequence[labelme.Instance],
    findings: list[Finding],
) -> Made:
    head = {"image": image, "width": size[1], "height": size[0], "set": set_name, "source": source}
    head["sha256"] = hashlib.sha256(photo).hexdigest()
    return Made(rows=image_rows(head, [_instance_row(instance) for instance in found]), findings=findings)


def _instance_row(instance: labelme.Instance) -> dict[str, Any]:
    mask = instance.mask
    row = {"annotation_id": None, "category_id": instance.category_id, "counts": mask.counts.decode("ascii")}
    return row | {"area": mask.area, "bbox": list(mask.bbox), "shape": instance.shape}


def image_rows(head: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]) -> dict[str, list]:
    """Columns of an image and its instances; one row with nulls when it has none."""
    rows = [{**head, **instance} for instance in instances] or [dict(head)]
    return {name: [row.get(name) for row in rows] for name in maskterial.ROWS}


def semantic_item(
    image: str,
    height: list[int],
    width: list[int],
    category_id: list[int | None],
    counts: list[str | None],
    area: list[int | None],
    more_than: int,
) -> Made:
    """The semantic mask of one image, all zero when nothing qualifies."""
    some = [k for k, category in enumerate(category_id) if category is not None]
    pixels = maskterial.semantic_mask(
        [counts[k] for k in some],
        [category_id[k] for k in some],
        [area[k] for k in some],
        (height[0], width[0]),
        more_than,
    )
    data, content = maskterial.semantic_png(pixels)
    return Made([File(f"{_stem(image)}.png", data, content, image)])


def image_item(
    image: str,
    file: File | None = None,
    embedded: bytes | None = None,
    other: bytes | None = None,
    place: Any = None,
    member: str = "",
) -> Made:
    """A published photograph: a copy (`file`), labelme's imageData (`embedded`: its JSON), converted (`other`), or a
    member of a released zip (`place.read(member)`)."""
    if file is not None:
        return Made([file])
    if place is not None:
        return Made([File(image, place.read(member), source=f"{place.archive}!{member}")])
    if embedded is not None:
        return Made([File(image, labelme.read(embedded).image_data, source=f"{image}#imageData")])
    sink = io.BytesIO()
    with Image.open(io.BytesIO(other)) as picture:
        kind = picture.format
        picture.save(sink, "PNG")
    told = info("converted", f"{kind} converted to PNG without loss: upstream's loaders read JPEG and PNG", image=image)
    return Made([File(image, sink.getvalue())], findings=[told])


def embedded_kind(data: bytes) -> str:
    """The file suffix of labelme's embedded photograph."""
    try:
        head = json.loads(data).get("imageData") or ""
    except (ValueError, AttributeError, RecursionError):
        return ".png"
    return ".jpg" if isinstance(head, str) and head.startswith("/9j/") else ".png"
