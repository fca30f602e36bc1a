"""Checks of what was made of a split: all rows, and the pixels of a seeded sample."""

import json
from dataclasses import replace

import numpy as np

from segassets.findings import error
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_checks as rules
from segassets.formats import cityscapes_vps_lists as lists
from segassets.formats.panoptic import read_grey, read_ids

CLIPS = 2
FRAMES = 8


def _paths(view):
    return dict(zip(view.files["item"].to_pylist(), view.files["path"].to_pylist(), strict=True))


def _sample(values, random, count):
    values = sorted(values)
    return random.sample(values, min(count, len(values)))


def labelmap(view, random):
    """8-bit grey, values 0 to 18 and 255 (8 frames are looked at)."""
    findings = []
    paths = _paths(view)
    for frame in _sample(paths, random, FRAMES):
        values = set(np.unique(read_grey(view.read(paths[frame]), 8, "a label map")).tolist())
        strange = sorted(values - {*range(len(vps.CATEGORIES)), vps.VOID})
        if strange:
            findings.append(error("bad_value", f"the values {strange[:5]} are no categories", image=frame))
    return findings


def panoptic_inst(view, random):
    """Values of all frames, one size a clip; tracks that break or have gaps are counted."""
    findings, sizes, frames = [], {}, []
    for row in view.records():
        findings += rules.pan_findings(row["frame"], row["values"])
        sizes[row["frame"]] = (row["height"], row["width"])
        frames.append((vps.FrameName.from_image_id(row["frame"]), row["values"]))
    for frame, (size, usual) in lists.odd_sizes(sizes, {frame.image_id: frame.clip for frame, _ in frames}).items():
        told = f"it has {size[::-1]} pixels, the other frames of its clip have {usual[::-1]}"
        findings.append(error("size_differs", told, image=frame))
    return [*findings, *rules.track_findings(frames)]


def panoptic_video(view, random):
    """Ids of all frames: constant in a clip, of one clip only, one category; two clips have a VPQ of 100 of themselves.

    The PNGs of those two clips have exactly the ids and areas of the rows.
    """
    paths, tracks, findings, clips = _paths(view), rules.Tracks(), [], {}
    chosen = set(_sample({frame[:4] for frame in paths if frame}, random, CLIPS))
    for row in view.records():
        segments = json.loads(row["segments"])
        findings += rules.segment_findings(row["frame"], segments, row["height"] * row["width"])
        findings += tracks.add(vps.FrameName.from_image_id(row["frame"]), segments)
        if row["frame"][:4] in chosen:
            clips.setdefault(row["frame"][:4], []).append((row["frame"], segments))
    for clip, frames in clips.items():
        decoded = [(read_ids(view.read(paths[frame])), segments) for frame, segments in frames]
        for (frame, segments), (ids, _) in zip(frames, decoded, strict=True):
            findings += rules.png_findings(frame, ids, segments)
        findings += rules.self_vpq_findings(clip, decoded)
    return findings


def panoptic_gt(view, random):
    """Order, clips of six frames (a warning), categories, crowds, ids over clips."""
    paths = view.files["path"].to_pylist()
    findings = rules.gt_findings(json.loads(view.read(paths[0]))) if paths else []
    # Frames that were rejected on purpose leave a clip short; upstream's evaluation cannot take it, ours can.
    return [replace(f, severity="warning") if f.code == "clip_frames" else f for f in findings]


def instances(view, random):
    """Run lengths of all annotations: of their picture's size, with the area and box that are stated."""
    findings = []
    for row in view.records(["annotations"]):
        records = [{**json.loads(text), "id": index} for index, text in enumerate(json.loads(row["annotations"]))]
        sizes = {record["image_id"]: tuple(record["segmentation"]["size"]) for record in records}
        findings += rules.instance_findings(records, sizes)
    return findings
