"""From the release's masks to the video panoptic ground truth; frames are joined by their ids, never by position."""

from typing import Literal

import dagster as dg

from segassets.artifact import artifact
from segassets.defs.cityscapes_vps import show
from segassets.findings import info
from segassets.formats import cityscapes_vps as vps
from segassets.formats.cityscapes_vps_items import (
    FRAME_ROWS,
    VIDEO_ROWS,
    labelmap_file,
    panoptic_gt_pieces,
    panoptic_inst_file,
    panoptic_video_file,
)
from segassets.work.join import join
from segassets.work.plans import Items, copy, each, files, fold

SPLITS = dg.StaticPartitionsDefinition(["train", "val", "test"])

raw = dg.AssetSpec(
    ["cityscapes_vps", "raw"],
    partitions_def=SPLITS,
    group_name="cityscapes_vps",
    description="The Cityscapes-VPS release, with Cityscapes' gtFine beside it for the 20th frames.",
    metadata={
        "licence": "CC BY-NC-SA 4.0, and the Cityscapes licence",
        "link": dg.MetadataValue.url("https://github.com/mcahny/vps"),
        "citation": "Kim et al., Video Panoptic Segmentation, CVPR 2020, arXiv:2006.11339",
    },
)

LIST = "panoptic_im_{partition}_city_vps.json"
CENTRAL = "/cityscapes/gtFine/val/*"
MASKS = ("{partition}/cls/*", "{partition}/inst/*", CENTRAL)


def _by_frame(paths, folder, kind, listed):
    """Mask files by frame: the release's own, and those of Cityscapes for the 20th frames."""
    names = {path.rsplit("/", 1)[-1]: path for path in paths}
    found = {}
    for frame in listed:
        name = frame.file_name(kind)
        own = f"{folder}/{name}"
        central = names.get(frame.cityscapes_file_name(kind)) if frame.central else None
        if own in names.values():
            found[frame.image_id] = own
        elif central is not None:
            found[frame.image_id] = central
    return found


@artifact("cityscapes_vps/frame_list", SPLITS, into="", reads=(LIST, *MASKS), rows=FRAME_ROWS, code_version="1")
def frame_list(raw, partition):
    """The labelled frames of a split, in image-id order, and where the masks of each lie.

    From the release's list, else from the names of the colour masks. Frames without a mask are errors in train and
    val; test has no masks.
    """
    path = LIST.format(partition=partition)
    own = [p.rsplit("/", 1)[1] for p in raw.paths if p.startswith(f"{partition}/cls/")]
    by_name, strange = vps.frames_from_names(own, "colour_mask")
    if path in raw:
        frames, findings = vps.frames_from_release_list(raw.read(path))
    else:
        frames, findings = by_name, []
    sources = {
        kind: _by_frame(raw.paths, f"{partition}/{kind}", name, frames)
        for kind, name in (("cls", "colour_mask"), ("inst", "instance_map"))
    }
    if partition == "test":
        items = [{"frame": frame.image_id, "cls": None, "inst": None} for frame in frames]
        missing = []
    else:
        items, missing = join([frame.image_id for frame in frames], "frame", **sources)
    about = {frame.image_id: frame for frame in frames}
    rows = {name: [item[name] for item in items] for name in ("frame", "cls", "inst")}
    for name in ("clip", "number", "central"):
        rows[name] = [getattr(about[item["frame"]], name) for item in items]
    return files(rows={name: rows[name] for name in FRAME_ROWS}, findings=[*findings, *strange, *missing])


def _masks(frame_list, raw, kind):
    """(frame, published name, reference) of the masks of one kind."""
    names = {"cls": "colour_mask", "inst": "instance_map"}
    for row in frame_list.records(["frame", "central", kind]):
        if row[kind] is not None:
            frame = vps.FrameName.from_image_id(row["frame"], central=row["central"])
            yield row["frame"], frame.file_name(names[kind]), raw.ref(row[kind])


def _no_masks(partition):
    return files(findings=[info("no_masks", f"the release has no masks of {partition}; nothing is published")])


@artifact(
    "cityscapes_vps/cls",
    SPLITS,
    into="cityscapes_vps/{partition}/cls",
    reads=MASKS,
    code_version="1",
    show=show.pictures,
)
def cls(frame_list, raw, partition):
    """Colour masks of all labelled frames, byte for byte; the 20th frames come from Cityscapes' gtFine."""
    items = list(_masks(frame_list, raw, "cls"))
    return copy(items) if items else _no_masks(partition)


@artifact("cityscapes_vps/inst", SPLITS, into="cityscapes_vps/{partition}/inst", reads=MASKS, code_version="1")
def inst(frame_list, raw, partition):
    """Instance maps of all labelled frames, byte for byte."""
    items = list(_masks(frame_list, raw, "inst"))
    return copy(items) if items else _no_masks(partition)


def _named(paths):
    """Items of published masks: (frame, name of the colour mask), by frame."""
    return {frame: path.rsplit("/", 1)[1] for frame, path in paths.items()}


@artifact(
    "cityscapes_vps/labelmap",
    SPLITS,
    into="cityscapes_vps/{partition}/labelmap",
    code_version="1",
    show=show.label_maps,
)
def labelmap(cls, partition):
    """Category of every pixel: 0 to 18 as in the table, 255 where the colour is none of the nineteen. 8-bit grey."""
    items = [{"frame": f, "cls": cls.ref(path), "name": path.rsplit("/", 1)[1]} for f, path in cls.paths.items()]
    return each(Items(items, "frame"), labelmap_file) if items else _no_masks(partition)


@artifact(
    "cityscapes_vps/panoptic_inst",
    SPLITS,
    into="cityscapes_vps/{partition}/panoptic_inst",
    code_version="1",
    show=show.label_maps,
)
def panoptic_inst(frame_list, cls, inst, partition, *, groups: Literal["void", "crowd"] = "void"):
    """Stuff as its category, things as 1000 category + instance, void 255; 16-bit grey, joined by frame."""
    frames = [row["frame"] for row in frame_list.records(["frame", "cls"]) if row["cls"] is not None]
    masks = {
        name: {f: handle.ref(p) for f, p in handle.paths.items()} for name, handle in (("cls", cls), ("inst", inst))
    }
    items, findings = join(frames, "frame", **masks, name=_named(cls.paths))
    if not items and not findings:
        return _no_masks(partition)
    return each(Items(items, "frame"), panoptic_inst_file, findings=findings, groups=groups)


@artifact(
    "cityscapes_vps/panoptic_video",
    SPLITS,
    into="cityscapes_vps/{partition}/panoptic_video",
    rows=VIDEO_ROWS,
    code_version="1",
    show=show.strip,
)
def panoptic_video(panoptic_inst, partition):
    """Segment ids as RGB, kept by an instance over its clip; the segments of every frame are rows."""
    named = panoptic_inst.paths
    items = [{"frame": f, "pan": panoptic_inst.ref(path), "name": path.rsplit("/", 1)[1]} for f, path in named.items()]
    return each(Items(items, "frame"), panoptic_video_file, ids=None) if items else _no_masks(partition)


@artifact("cityscapes_vps/panoptic_gt", SPLITS, into="cityscapes_vps", code_version="1")
def panoptic_gt(panoptic_video, partition):
    """Segments of every frame in image-id order; ids are those in the PNGs."""
    if panoptic_video.row_count() == 0:
        return _no_masks(partition)
    return fold(panoptic_gt_pieces, panoptic_video.records(), name=f"panoptic_gt_{partition}_city_vps.json")
