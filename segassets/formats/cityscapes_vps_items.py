"""What becomes of one Cityscapes-VPS frame: the functions that run in workers. Bytes in, `Made` out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from segassets.findings import BadItem, error, warning
from segassets.formats import cityscapes_dvps as dvps
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_instances as instances
from segassets.formats import label_map, png
from segassets.formats.cityscapes_items import about, checked, photograph_file
from segassets.formats.panoptic import content, ids_png
from segassets.items import File, Made

FRAME_ROWS = {
    "frame": "string",
    "clip": "int32",
    "number": "int32",
    "central": "bool",
    "cls": "string",
    "inst": "string",
    "height": "int32",
    "width": "int32",
}
LABEL_ROWS = {"frame": "string", "pixels": "list<int64>"}
PAN_ROWS = {"frame": "string", "height": "int32", "width": "int32", "values": "list<int64>", "areas": "list<int64>"}
VIDEO_ROWS = {"frame": "string", "central": "bool", "height": "int32", "width": "int32", "segments": "string"}
INSTANCE_ROWS = {"frame": "string", "instances": "int32", "annotations": "string"}
CLASSES = len(vps.CATEGORIES) + 1  # the nineteen categories, and void
_VOID_SHARE = 0.4


def labelmap_file(frame: str, cls: bytes, name: str, ego_to_road: bool = False, path: str | None = None) -> Made:
    """Category of every pixel: 0 to 18 as in the table, 255 where the colour is none of the nineteen. 8-bit grey.

    `path`: of the colour mask, for messages.
    """
    runs = checked(frame, vps.colour_runs, cls, path=path)
    runs = runs._replace(values=vps.labelmap(runs.values))
    labels = (vps.ego_as_road(runs) if ego_to_road else runs).values
    counts = np.bincount(labels, weights=runs.lengths, minlength=vps.VOID + 1).astype(np.int64)
    pixels = [*counts[: CLASSES - 1].tolist(), int(counts[vps.VOID])]
    findings = []
    share = pixels[-1] / sum(pixels)
    if share > _VOID_SHARE:
        findings.append(warning("much_void", f"{share:.0%} of it are void", image=frame, path=path))
    if sum(count > 0 for count in pixels[:-1]) == 1:
        findings.append(warning("one_class", "all of it is one class", image=frame, path=path))
    return Made([_map_file(name, runs, labels)], {"frame": [frame], "pixels": [pixels]}, findings)


def _map_file(name: str, runs: label_map.Runs, values: np.ndarray) -> File:
    """The grey PNG of a map whose i-th run has `values[i]`."""
    return File(name, png.runs_png(runs, values), content(runs, values))


def panoptic_inst_file(
    frame: str,
    cls: bytes,
    inst: bytes,
    name: str,
    groups: str,
    ego_to_road: bool = False,
    paths: tuple[str | None, str | None] = (None, None),
) -> Made:
    """Stuff as its category, things as 1000 category + instance, void 255; 16-bit grey.

    `paths`: of the colour mask and the instance map, for messages.
    """
    codes = checked(frame, vps.colour_runs, cls, path=paths[0])
    values = checked(frame, vps.instance_runs, inst, path=paths[1])
    runs, findings = checked(frame, vps.panoptic_runs, codes, values, groups, path=paths[1])
    runs = vps.ego_as_road(runs) if ego_to_road else runs
    areas = np.bincount(runs.values, weights=runs.lengths).astype(np.int64)
    present = np.flatnonzero(areas)
    if inst[24] == 8 and any(finding.code.startswith("group_") for finding in findings):
        told = "its instance map has 8 bits and no instances, but there are things: was it saved with fewer bits?"
        findings.append(warning("eight_bit_instances", told))
    row = {
        "frame": [frame],
        "height": [runs.shape[0]],
        "width": [runs.shape[1]],
        "values": [present.tolist()],
        "areas": [areas[present].tolist()],
    }
    findings = [replace(f, path=paths[0]) if f.code == "unknown_colour" else f for f in findings]
    return Made([_map_file(name, runs, runs.values)], rows=row, findings=about(frame, findings, paths[1]))


def panoptic_video_file(frame: str, pan: bytes, name: str, ids: dict[int, int] | None = None) -> Made:
    """Segment ids as RGB, and the frame's segments as a row. `ids` None: structured ones, from the frame's clip."""
    where = vps.FrameName.from_image_id(frame)
    runs = checked(frame, vps.instance_runs, pan)
    found = checked(frame, vps.checked_segments, runs)
    present = [value for value in found.values.tolist() if value != vps.VOID]
    table = ids if ids is not None else checked(frame, vps.structured_ids, present, where.clip)
    segments, numbers = vps.video_segments(found, table)
    row = {
        "frame": [frame],
        "central": [name.endswith("_gtFine_color.png")],
        "height": [runs.shape[0]],
        "width": [runs.shape[1]],
        "segments": [json.dumps(segments)],
    }
    painted = numbers[np.searchsorted(found.values, runs.values)]
    return Made([File(name, ids_png(runs, found.values, numbers), content(runs, painted))], rows=row)


def panoptic_gt_pieces(records: Iterable[dict], categories: list[dict], bbox: bool) -> Iterator[bytes]:
    """`panoptic_gt_<split>_city_vps.json` from the rows of the panoptic video, streamed in image-id order."""
    frames = (
        (
            vps.FrameName.from_image_id(row["frame"], central=row["central"]),
            (row["height"], row["width"]),
            json.loads(row["segments"]),
        )
        for row in records
    )
    return vps.panoptic_gt(frames, categories, bbox)


def instances_row(frame: str, pan: bytes, compressed: bool = False) -> Made:
    """The frame's instances as annotations: a list of JSON texts, so that the document need not parse them again."""
    values = checked(frame, vps.instance_runs, pan)
    records = instances.annotations(values, vps.FrameName.from_image_id(frame), compressed)
    texts = json.dumps([json.dumps(record) for record in records])
    return Made(rows={"frame": [frame], "instances": [len(records)], "annotations": [texts]})


def photo_file(frame: str, name: str, photo: bytes, own: bytes, path: str | None = None) -> Made:
    """A photograph that both the release folder and Cityscapes have: they must be the same bytes. `path`: its own."""
    if photo != own:
        told = "the release folder's photograph is not Cityscapes' of this frame: remove the folder img, or correct it"
        raise BadItem(error("photo_differs", told, image=frame, path=path))
    return Made([File(name, photo)])


def dvps_files(frame: str, stem: str, pan: bytes, depth: bytes, photo: list, linked: list) -> Made:
    """The triplet of a DVPS frame: photograph and depth as they are, and 1000 category + instance, void 32000.

    `photo`, `linked`: references to photograph and depth map, in a list each. The depth map is decoded to see that it
    is one; a plain file is linked all the same.
    """
    runs = checked(frame, vps.instance_runs, pan)
    where = linked[0].label
    findings = about(frame, checked(frame, dvps.check_depth, depth, runs.shape, path=where), where)
    table = dvps.instance_train_ids(runs.values)
    name = f"{stem}_leftImg8bit.png"
    packed = getattr(photo[0], "packed", False)
    files = [
        *(photograph_file(frame, name, photo[0].read()).files if packed else [File(name, photo[0])]),
        _map_file(f"{stem}_gtFine_instanceTrainIds.png", runs, table),
        File(f"{stem}_depth.png", depth if getattr(linked[0], "packed", False) else linked[0]),
    ]
    return Made(files, findings=findings)
