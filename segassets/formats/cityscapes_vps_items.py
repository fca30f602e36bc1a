"""What becomes of one Cityscapes-VPS frame: the functions that run in workers. Bytes in, `Made` out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from segassets.findings import BadItem
from segassets.formats import cityscapes_vps as vps
from segassets.formats import png
from segassets.items import File, Made

FRAME_ROWS = {
    "frame": "string",
    "clip": "int32",
    "number": "int32",
    "central": "bool",
    "cls": "string",
    "inst": "string",
}
VIDEO_ROWS = {"frame": "string", "central": "bool", "height": "int32", "width": "int32", "segments": "string"}


def content(array: np.ndarray) -> bytes:
    """The digest of what a picture decodes to: its shape, type and pixels."""
    digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array))
    return digest.digest()


def _about(frame: str, findings: Iterable) -> list:
    return [replace(finding, image=frame) for finding in findings]


def _checked(frame: str, function, *arguments):
    """Call a pure function, with the frame named in what it finds."""
    try:
        return function(*arguments)
    except BadItem as bad:
        raise BadItem(*_about(frame, bad.findings)) from None


def labelmap_file(frame: str, cls: bytes, name: str) -> Made:
    """Category of every pixel: 0 to 18 as in the table, 255 where the colour is none of the nineteen. 8-bit grey."""
    labels = vps.labelmap(_checked(frame, vps.read_colour_mask, cls))
    return Made([File(name, png.gray_png(labels), content(labels))])


def panoptic_inst_file(frame: str, cls: bytes, inst: bytes, name: str, groups: str) -> Made:
    """Stuff as its category, things as 1000 category + instance, void 255; 16-bit grey."""
    codes = _checked(frame, vps.read_colour_mask, cls)
    instances = _checked(frame, vps.read_instances, inst)
    pan, findings = _checked(frame, vps.panoptic_inst, codes, instances, groups)
    return Made([File(name, png.gray_png(pan), content(pan))], findings=_about(frame, findings))


def panoptic_video_file(frame: str, pan: bytes, name: str, ids: dict[int, int] | None) -> Made:
    """Segment ids as RGB, and the frame's segments as a row. `ids` None: structured ones, from the frame's clip."""
    where = vps.FrameName.from_image_id(frame)
    values = _checked(frame, vps.read_instances, pan)
    table = ids if ids is not None else _checked(frame, vps.structured_ids, vps.pan_values(values), where.clip)
    id_map, segments = _checked(frame, vps.panoptic_video, values, table)
    row = {
        "frame": [frame],
        "central": [name.endswith("_gtFine_color.png")],
        "height": [values.shape[0]],
        "width": [values.shape[1]],
        "segments": [json.dumps(segments)],
    }
    return Made([File(name, png.rgb_png(vps.rgb_of(id_map)), content(id_map))], rows=row)


def panoptic_gt_pieces(records: Iterable[dict]) -> Iterator[bytes]:
    """`panoptic_gt_<split>_city_vps.json` from the rows of the panoptic video, streamed in image-id order."""
    frames = (
        (
            vps.FrameName.from_image_id(row["frame"], central=row["central"]),
            (row["height"], row["width"]),
            json.loads(row["segments"]),
        )
        for row in records
    )
    return vps.panoptic_gt(frames)
