"""The tree `video_sequence` that PolyphonicFormer and ViP-DeepLab read: photograph, labels and depth of every frame."""

from dataclasses import replace

import dagster as dg

from segassets import external
from segassets.artifact import artifact
from segassets.defs.cityscapes_dvps import show
from segassets.defs.cityscapes_vps.photographs import SEQUENCE, Photographs
from segassets.errors import Skip
from segassets.findings import warning
from segassets.formats import cityscapes_dvps as dvps
from segassets.formats import cityscapes_vps as vps
from segassets.formats.cityscapes_vps_items import dvps_files
from segassets.sources.zip_members import find
from segassets.work.join import join
from segassets.work.plans import Items, each

SPLITS = dg.StaticPartitionsDefinition(["train", "val", "test"])

raw = external.downloads(
    "cityscapes_dvps",
    SPLITS,
    "The depth files of ViP-DeepLab; photographs and labels come from Cityscapes and Cityscapes-VPS.",
    licence="Cityscapes licence; CC BY-NC-SA 4.0 (Cityscapes-VPS)",
    link="https://github.com/joe-siyuan-qiao/ViP-DeepLab",
    citation="Qiao et al., ViP-DeepLab, CVPR 2021, arXiv:2012.05258",
)


#: Splits that have labels: Cityscapes-VPS publishes none of test, whatever depth files there are.
LABELLED = ("train", "val")


def _labels(partition):
    return [partition] if partition in LABELLED else []


def _no_depth(partition, raw):
    """Cityscapes' photographs alone are no reason to make anything."""
    if any(not path.startswith("/") for path in raw.paths):
        return None
    return f"there are no cityscapes_dvps/video_sequence/{partition}/*_depth.png in the raw folder"


@artifact(
    "cityscapes_dvps/video_sequence",
    SPLITS,
    into="cityscapes-dvps/video_sequence/{partition}",
    reads=("*video_sequence/{partition}/*", "*.zip", *SEQUENCE),
    code_version="2",
    lacks=_no_depth,
    inputs={"labels": "cityscapes_vps/panoptic_inst"},
    whole_inputs={"labels": _labels},
    show=show.triplets,
)
def video_sequence(raw, labels, partition):
    """`<video>_<k>_<city>_<seq>_<frame>_{leftImg8bit,gtFine_instanceTrainIds,depth}.png`, one triplet a depth file.

    Labels are 1000 category + instance, stuff having instance 0 and void 32000. Joined by the Cityscapes name.
    """
    found = find(raw, f"video_sequence/{partition}/*")
    names = [dvps.DepthName.parse(path.rsplit("/", 1)[1]) for path in found.refs]
    depth = {name.stem: ref for name, ref in zip(names, found.refs.values(), strict=True) if name}
    if not depth:
        raise Skip(f"there are no cityscapes_dvps/video_sequence/{partition}/*_depth.png in the raw folder")
    foreign = _foreign([path for path, name in zip(found.refs, names, strict=True) if name is None])
    if partition not in LABELLED:
        raise Skip(f"Cityscapes-VPS has no labels of {partition}: {len(depth)} depth files are left aside")
    panoptic_inst = labels[partition]
    photos = Photographs(raw)
    paths = {vps.FrameName.from_image_id(frame).cityscapes_name: path for frame, path in panoptic_inst.paths.items()}
    frames = {name.stem: name.frame for name in sorted(filter(None, names))}
    bad = _bad_photographs(photos, frames, panoptic_inst)
    lost = {finding.image for finding in bad}
    items, missing = join(
        [stem for stem in frames if stem not in lost],
        "frame",
        {"pan": "cityscapes_vps/panoptic_inst has no labels of its frame: are its masks in cityscapes_vps/?"},
        stem={stem: stem for stem in frames if stem not in lost},
        pan={s: panoptic_inst.ref(paths[frame]) for s, frame in frames.items() if frame in paths and s not in lost},
        photo={stem: photos.ref(frame) for stem, frame in frames.items() if stem not in lost},
        depth={stem: ref for stem, ref in depth.items() if stem not in lost},
    )
    # References within a list stay references: photographs and depth are linked, whatever is read of them.
    items = [{**item, "photo": [item["photo"]], "linked": [item["depth"]]} for item in items]
    unused = sorted(set(paths) - set(frames.values()))
    if unused:
        told = f"{len(unused)} labelled frames have no depth file and are left out, {unused[0]} for one"
        missing.append(warning("depth_missing", told))
    findings = [*found.findings, *photos.findings, *bad, *missing, *foreign, *_videos(names)]
    return each(Items(items, "frame"), dvps_files, findings=findings)


def _bad_photographs(photos, frames, panoptic_inst):
    """Errors of photographs that are missing, doubled, no whole PNG, or of another size than their labels."""
    videos = {stem: dvps.DepthName.parse(f"{stem}_depth.png").video for stem in frames}
    shapes = {}
    for row in panoptic_inst.records(["frame", "height", "width"]):
        name = vps.FrameName.from_image_id(row["frame"]).cityscapes_name
        shapes[name] = (row["height"], row["width"])
    bad = photos.problems(frames, {stem: shapes.get(frame) for stem, frame in frames.items()}, videos)
    return [replace(f, code="photo_missing") if f.code == "photograph_missing" else f for f in bad]


def _foreign(paths):
    """A warning for files that are, by their names, neither depth files nor what the published triplets have beside."""
    paths = [path for path in sorted(paths) if "_leftImg8bit" not in path and "_gtFine_" not in path]
    if not paths:
        return []
    told = f"{len(paths)} files are no <video>_<k>_<city>_<seq>_<frame>_depth.png, left aside: {', '.join(paths[:5])}"
    return [warning("foreign_files", told)]


def _videos(names):
    """Warnings for videos that have not six frames."""
    counts = {}
    for name in filter(None, names):
        counts[name.video] = counts.get(name.video, 0) + 1
    short = {video: count for video, count in sorted(counts.items()) if count != dvps.FRAMES_A_VIDEO}
    if not short:
        return []
    shown = ", ".join(f"{video:06d} has {count}" for video, count in list(short.items())[:3])
    return [warning("incomplete_video", f"{len(short)} videos have not six depth files ({shown})")]
