"""A prepared Cityscapes-VPS folder as a whole: every file beside every other one. For folders of any origin.

The assets check what they make as they make it; this looks at what lies there, for a user who got a prepared folder
from somebody else, and for tests. Source of the rules: the Cityscapes-VPS specification 5.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from segassets.findings import BadItem, Finding, error
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_checks as rules
from segassets.formats.cityscapes_vps_frames import Kind
from segassets.formats.panoptic import read_grey, read_ids

Read = Callable[[str], bytes]

_FOLDERS: dict[str, Kind] = {
    "img": "photograph",
    "cls": "colour_mask",
    "inst": "instance_map",
    "labelmap": "colour_mask",
    "panoptic_inst": "colour_mask",
    "panoptic_video": "colour_mask",
}


def folder_findings(names: Iterable[str], read: Read, split: str) -> Iterator[Finding]:
    """Everything that is wrong with the split of a prepared folder.

    `names`: paths relative to the folder; `read(path)` gives a file's bytes. The frames are those of panoptic_im,
    else of the colour masks. Pixels of all frames are decoded: about 0.2 s a frame of 1024 x 2048.
    """
    names = set(names)
    frames, findings = _frames(names, read, split)
    yield from findings
    present = {
        folder: {n.rsplit("/", 1)[1] for n in names if n.startswith(f"{split}/{folder}/")} for folder in _FOLDERS
    }
    for folder, kind in _FOLDERS.items():
        if present[folder]:
            yield from _listing(folder, present[folder], {frame.file_name(kind) for frame in frames})
    segments: dict[str, list[dict]] = {}
    path = f"panoptic_gt_{split}_city_vps.json"
    if path in names:
        document = json.loads(read(path))
        yield from rules.gt_findings(document, [frame.image_id for frame in frames])
        segments = {annotation["image_id"]: annotation["segments_info"] for annotation in document["annotations"]}
    for frame in frames:
        yield from _frame(frame, names, read, split, segments.get(frame.image_id))
    path = f"instances_{split}_city_vps_rle.json"
    if path in names:
        document = json.loads(read(path))
        sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
        yield from rules.instance_findings(document["annotations"], sizes)


def _frames(names: set[str], read: Read, split: str) -> tuple[list[vps.FrameName], list[Finding]]:
    path = f"panoptic_im_{split}_city_vps.json"
    if path in names:
        return vps.frames_from_release_list(read(path))
    masks = [name.rsplit("/", 1)[1] for name in names if name.startswith(f"{split}/cls/")]
    return vps.frames_from_names(masks, "colour_mask")


def _listing(folder: str, present: set[str], expected: set[str]) -> Iterator[Finding]:
    for name in sorted(expected - present):
        yield error(f"{folder}_missing", "a listed frame has no file here", path=f"{folder}/{name}")
    for name in sorted(present - expected):
        yield error(f"{folder}_unexpected", "no list names it: left from another run?", path=f"{folder}/{name}")


def _frame(
    frame: vps.FrameName, names: set[str], read: Read, split: str, segments: list[Mapping] | None
) -> Iterator[Finding]:
    """One frame: masks decode and have one size, maps follow from them, the video PNG is what the JSON says."""

    def load(folder: str, decode: Callable):
        path = f"{split}/{folder}/{frame.file_name(_FOLDERS[folder])}"
        return decode(read(path)) if path in names else None

    try:
        codes, instances = load("cls", vps.read_colour_mask), load("inst", vps.read_instances)
        labels = load("labelmap", lambda data: read_grey(data, 8, "a label map"))
        pan = load("panoptic_inst", lambda data: read_grey(data, 16, "a panoptic map"))
        ids = load("panoptic_video", read_ids)
        if codes is not None and instances is not None and codes.shape != instances.shape:
            vps.panoptic_inst(codes, instances)  # raises size_differs
    except BadItem as bad:
        yield from (replace(finding, image=frame.image_id) for finding in bad.findings)
        return
    name = frame.image_id
    if pan is not None:
        yield from rules.pan_findings(name, set(pan.reshape(-1).tolist()))
    if pan is not None and labels is not None:
        yield from rules.labels_findings(name, labels, pan)
    if ids is not None and segments is not None:
        yield from rules.png_findings(name, ids, segments)
    if ids is not None and pan is not None:
        yield from rules.same_partition(name, ids, pan)


def photo_findings(names: Iterable[str], read: Read, source: Callable[[str], bytes], split: str) -> Iterator[Finding]:
    """Photographs of `img` that differ from `source(<city>_<seq>_<frame>)`, Cityscapes' bytes of their frame."""
    for path in sorted(name for name in names if name.startswith(f"{split}/img/")):
        frame = vps.FrameName.from_file_name(path.rsplit("/", 1)[1], "photograph")
        if read(path) != source(frame.cityscapes_name):
            yield error(
                "photo_differs", "it is not Cityscapes' photograph of this frame", image=frame.image_id, path=path
            )
