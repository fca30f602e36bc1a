"""What must hold of Cityscapes-VPS maps and JSONs, frame by frame and over a split, as findings.

Belongs here: the rules, on arrays and parsed records. Looking at a whole folder is in `cityscapes_vps_folder`.
Source of the rules: the Cityscapes-VPS specification 5.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from segassets.findings import Finding, error, info, warning
from segassets.formats import label_map, rle
from segassets.formats.cityscapes_vps_frames import FrameName
from segassets.formats.cityscapes_vps_labels import CATEGORIES, FIRST_INSTANCE, FIRST_THING, VOID
from segassets.formats.cityscapes_vps_lists import LABELLED
from segassets.metrics import pq, vpq

_EXAMPLES = 3


def pan_findings(frame: str, values: Iterable[int]) -> list[Finding]:
    """Values of a panoptic map: 0 to 18, 255, or 11000 to 18999."""
    last = len(CATEGORIES) * FIRST_INSTANCE
    bad = [v for v in values if not (v < len(CATEGORIES) or v == VOID or FIRST_THING * FIRST_INSTANCE <= v < last)]
    return (
        [error("bad_panoptic_value", f"the values {bad[:_EXAMPLES]} belong to no category", image=frame)] if bad else []
    )


def labels_findings(frame: str, labels: np.ndarray, pan: np.ndarray) -> list[Finding]:
    """Outside instances the panoptic map and the label map agree on stuff. Maps (h, w)."""
    outside = pan < FIRST_THING
    wrong = int(np.count_nonzero(labels[outside] != pan[outside]))
    return (
        [error("maps_disagree", f"{wrong} pixels of stuff are other stuff in labelmap", image=frame)] if wrong else []
    )


def segment_findings(frame: str, segments: Sequence[Mapping], pixels: int) -> list[Finding]:
    """A frame's segments by themselves: each id once, categories known, crowds are things, areas within the picture."""
    ids = [segment["id"] for segment in segments]
    findings = []
    if len(set(ids)) != len(ids):
        findings.append(error("duplicate_id", "a segment id is listed more than once", image=frame))
    strange = sorted({segment["category_id"] for segment in segments} - set(range(len(CATEGORIES))))
    if strange:
        findings.append(error("unknown_category", f"the categories {strange[:_EXAMPLES]} do not exist", image=frame))
    crowds = [s for s in segments if s["iscrowd"] not in (0, 1) or (s["iscrowd"] and s["category_id"] < FIRST_THING)]
    if crowds:
        findings.append(error("bad_crowd", f"segment {crowds[0]['id']} is a crowd of stuff, or neither", image=frame))
    if sum(segment["area"] for segment in segments) > pixels or any(segment["area"] <= 0 for segment in segments):
        findings.append(error("area_wrong", "an area is not positive, or they sum to more than the frame", image=frame))
    return findings


def png_findings(frame: str, ids: np.ndarray, segments: Sequence[Mapping]) -> list[Finding]:
    """A frame's PNG beside its segments: the same ids, the same areas. `ids`: uint32 (h, w)."""
    found = label_map.segments(ids)
    painted = {v: n for v, n in zip(found.values.tolist(), found.areas.tolist(), strict=True) if v}
    listed = {segment["id"]: segment["area"] for segment in segments}
    findings = []
    if extra := sorted(set(painted) - set(listed)):
        findings.append(
            error("id_not_in_json", f"the PNG has ids that the JSON has not: {extra[:_EXAMPLES]}", image=frame)
        )
    if bare := sorted(set(listed) - set(painted)):
        findings.append(error("id_not_in_png", f"the JSON has ids without a pixel: {bare[:_EXAMPLES]}", image=frame))
    wrong = [i for i in listed if i in painted and listed[i] != painted[i]]
    if wrong and not extra:
        told = f"segment {wrong[0]} has the area {listed[wrong[0]]}, its pixels are {painted[wrong[0]]}"
        findings.append(error("area_wrong", told, image=frame))
    return findings


def same_partition(frame: str, ids: np.ndarray, pan: np.ndarray) -> list[Finding]:
    """Error unless segment ids and panoptic values are one to one, void being id 0. Maps (h, w)."""
    first, second, _ = label_map.pairs(ids, pan)
    one_to_one = len(set(first.tolist())) == len(first) and len(set(second.tolist())) == len(second)
    void = all((i == 0) == (v == VOID) for i, v in zip(first.tolist(), second.tolist(), strict=True))
    if one_to_one and void:
        return []
    return [error("partition_differs", "its segments are not those of panoptic_inst", image=frame)]


@dataclass
class Tracks:
    """Ids over a split: in which clip each thing's id was seen, with which category, in which frames."""

    owner: dict[int, int] = field(default_factory=dict)
    category: dict[int, int] = field(default_factory=dict)

    def add(self, frame: FrameName, segments: Sequence[Mapping]) -> Iterator[Finding]:
        """Findings of a frame: id_shared (a thing of another clip has it), track_category (it was something else)."""
        for segment in segments:
            number, category = segment["id"], segment["category_id"]
            if not 0 <= category < len(CATEGORIES):
                continue  # a finding of its own
            if self.category.setdefault(number, category) != category:
                told = f"id {number} is category {category} here and was {self.category[number]} before"
                yield error("track_category", told, image=frame.image_id)
            if category >= FIRST_THING and self.owner.setdefault(number, frame.clip) != frame.clip:
                told = f"id {number} is also a thing of clip {self.owner[number]:04d}"
                yield error("id_shared", told, image=frame.image_id)


def gt_findings(document: Mapping, frames: Sequence[str] | None = None) -> list[Finding]:
    """A whole panoptic_gt: order, frames, clips of six, segments, ids over clips.

    `frames`: the image ids of the frame list, when they are known.
    """
    images = [image["id"] for image in document["images"]]
    annotated = [annotation["image_id"] for annotation in document["annotations"]]
    findings = []
    if annotated != images or images != sorted(images):
        told = "images and annotations are not both in image-id order: evaluation matches by position"
        findings.append(error("order", told))
    if frames is not None and set(images) != set(frames):
        odd = sorted(set(images) ^ set(frames))
        findings.append(
            error("frames_differ", f"{len(odd)} frames are not both here and in the list: {odd[:_EXAMPLES]}")
        )
    counts: dict[str, int] = defaultdict(int)
    for image in images:
        counts[image[:4]] += 1
    short = {clip: count for clip, count in counts.items() if count != LABELLED}
    if short:
        findings.append(error("clip_frames", f"clips without six frames: {short}: every later window would shift"))
    sizes = {image["id"]: image["width"] * image["height"] for image in document["images"]}
    tracks = Tracks()
    for annotation in document["annotations"]:
        frame = annotation["image_id"]
        findings += segment_findings(frame, annotation["segments_info"], sizes.get(frame, 0))
        findings += tracks.add(FrameName.from_image_id(frame), annotation["segments_info"])
    return findings


def instance_findings(annotations: Iterable[Mapping], sizes: Mapping[int, tuple[int, int]]) -> Iterator[Finding]:
    """Instance annotations: run lengths of the picture, area and box of the pixels, ids and instances once.

    `sizes`: (height, width) by image id.
    """
    ids, instances = set(), set()
    for index, record in enumerate(annotations):
        where = {"image": f"{record['image_id']:08d}", "index": index, "annotation_id": record["id"]}
        if record["id"] in ids or (record["image_id"], record["inst_id"]) in instances:
            yield error("duplicate_id", "its id, or its instance in this image, was there before", **where)
        ids.add(record["id"])
        instances.add((record["image_id"], record["inst_id"]))
        problem, told = _segmentation_problem(record, sizes[record["image_id"]])
        if problem:
            yield error(problem, told, **where)


def _segmentation_problem(record: Mapping, size: tuple[int, int]) -> tuple[str, str]:
    height, width = size
    counts = record["segmentation"]["counts"]
    if isinstance(counts, str):
        try:
            counts = rle.to_uncompressed(counts, size)
        except rle.RleError as problem:
            return "bad_rle", str(problem)
    counts = np.asarray(counts, np.int64)
    if tuple(record["segmentation"]["size"]) != (height, width):
        return "bad_rle", f"its size is {record['segmentation']['size']}, the picture's {[height, width]}"
    if counts.sum() != height * width or (counts[1:] <= 0).any() or (counts[:1] < 0).any():
        return "bad_rle", f"its runs sum to {counts.sum()}, expected {height * width}, and none but the first may be 0"
    ends = np.cumsum(counts)
    starts, stops = ends[0::2][: len(counts) // 2], ends[1::2]
    area = int((stops - starts).sum())
    if area != record["area"]:
        return "area_wrong", f"its area is {record['area']}, its runs have {area}"
    box = _box(starts, stops, height)
    if list(record["bbox"]) != box:
        return "bbox_wrong", f"its box is {record['bbox']}, its runs have {box}"
    return "", ""


def _box(starts: np.ndarray, stops: np.ndarray, height: int) -> list[int]:
    """x, y, w, h of runs down the columns."""
    left, right = starts // height, (stops - 1) // height
    over = left != right
    top = np.where(over, 0, starts % height)
    bottom = np.where(over, height - 1, (stops - 1) % height)
    x, y = int(left.min()), int(top.min())
    return [x, y, int(right.max()) - x + 1, int(bottom.max()) - y + 1]


def track_findings(frames: Iterable[tuple[FrameName, Sequence[int]]]) -> list[Finding]:
    """What is odd about tracks, with counts. `frames`: panoptic values of every frame in image-id order.

    track_class_changes (warning): one number has two categories in a clip, so that its track breaks; track_gaps,
    short_tracks, no_instances (info).
    """
    seen: dict[tuple[int, int], list[int]] = defaultdict(list)
    empty = []
    for frame, values in frames:
        things = [value for value in values if value >= FIRST_INSTANCE]
        if not things:
            empty.append(frame.image_id)
        for value in things:
            seen[frame.clip, value].append(frame.number)
    classes: dict[tuple[int, int], set[int]] = defaultdict(set)
    for clip, value in seen:
        classes[clip, value % FIRST_INSTANCE].add(value // FIRST_INSTANCE)
    told = [
        (warning, "track_class_changes", [f"{c:04d} number {n}" for (c, n), found in classes.items() if len(found) > 1],
         "instance numbers have more than one category in their clip"),
        (info, "track_gaps", [f"{c:04d} {v}" for (c, v), n in seen.items() if n[-1] - n[0] >= len(n)],
         "tracks have a gap: they keep their id"),
        (info, "short_tracks", [f"{c:04d} {v}" for (c, v), n in seen.items() if len(n) == 1],
         "tracks are of one frame"),
        (info, "no_instances", empty, "frames have no instance: upstream's loader stops at their neighbours"),
    ]  # fmt: skip
    return [
        make(code, f"{len(found)} {text} ({', '.join(found[:_EXAMPLES])}{', ...' if len(found) > _EXAMPLES else ''})")
        for make, code, found, text in told
        if found
    ]


def self_vpq_findings(clip: str, frames: Sequence[tuple[np.ndarray, Sequence[Mapping]]]) -> list[Finding]:
    """Error `vpq_self`: a clip scored against itself must be exactly 100. `frames`: (ids, segments) in order."""
    made = []
    for ids, segments in frames:
        predicted = {segment["id"]: segment["category_id"] for segment in segments if not segment["iscrowd"]}
        made.append(vpq.Frame(pq.overlaps(ids, ids), pq.truth_of(segments), predicted))
    wrong = {
        category
        for tallies in vpq.clip_tallies(made).values()
        for category, tally in tallies.items()
        if tally.fp or tally.fn or abs(tally.iou - tally.tp) > 1e-9
    }
    if not wrong:
        return []
    return [error("vpq_self", f"against itself it has no VPQ of 100 in the categories {sorted(wrong)[:5]}", image=clip)]
