"""Cityscapes-DVPS: names of the depth drop, and panoptic values in its encoding.

Its `gtFine_instanceTrainIds` is not what cityscapesScripts calls so: every value is 1000 category + instance, stuff
has instance 0, so that 0 is road; void is 32000.
Source of the rules: ViP-DeepLab copy_gt.py, copy_video_sequence.py; the specification 3.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats.cityscapes import CITY
from segassets.formats.cityscapes_vps_labels import FIRST_INSTANCE, FIRST_THING, VOID
from segassets.formats.panoptic import png_size, read_grey

DVPS_VOID = 32 * FIRST_INSTANCE
FRAMES_A_VIDEO = 6

_STEM = re.compile(rf"([0-9]{{6}})_([0-9]{{6}})_({CITY}_[0-9]{{6}}_[0-9]{{6}})")
_ENDING = "_depth.png"


class DepthName(NamedTuple):
    """A depth file `<video>_<k>_<city>_<seq>_<frame>_depth.png`; `frame` is its `<city>_<seq>_<frame>`."""

    stem: str
    video: int
    position: int
    frame: str

    @classmethod
    def parse(cls, name: str) -> DepthName | None:
        """None when the name is another."""
        match = _STEM.fullmatch(name.removesuffix(_ENDING)) if name.endswith(_ENDING) else None
        return cls(match[0], int(match[1]), int(match[2]), match[3]) if match else None


def instance_train_ids(pan: np.ndarray) -> np.ndarray:
    """uint16 (h, w): stuff 1000 category, things as they are, void and crowds 32000. `pan`: as `panoptic_inst`."""
    table = np.full(1 << 16, DVPS_VOID, np.uint16)
    table[np.arange(FIRST_THING)] = np.arange(FIRST_THING) * FIRST_INSTANCE
    table[FIRST_THING * FIRST_INSTANCE : 19 * FIRST_INSTANCE] = np.arange(
        FIRST_THING * FIRST_INSTANCE, 19 * FIRST_INSTANCE
    )
    table[VOID] = DVPS_VOID
    return table.take(pan)


def check_depth(data: bytes, shape: tuple[int, int]) -> list[Finding]:
    """Raises BadItem unless a depth file is a whole 16-bit grey PNG of this (height, width).

    Warning `depth_empty` where no pixel has a depth.
    """
    if png_size(data) != tuple(shape):
        told = f"the depth map has {png_size(data)[::-1]} pixels, the labels have {tuple(shape)[::-1]}: get it again"
        raise BadItem(error("size_differs", told))
    if read_grey(data, 16, "a depth map, metres * 256").any():
        return []
    return [warning("depth_empty", "no pixel of it has a depth: all are 0, which is unknown")]
