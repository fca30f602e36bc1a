"""From the masks to label maps, panoptic videos and their ground truth; frames are joined by their ids."""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from segassets.artifact import artifact
from segassets.defs.cityscapes_vps import checks, show
from segassets.defs.cityscapes_vps.frames import Flavour, nothing_for, repaired
from segassets.defs.cityscapes_vps.raw import SPLITS
from segassets.findings import info
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_instances, cityscapes_vps_lists
from segassets.formats.cityscapes_vps_items import (
    INSTANCE_ROWS,
    LABEL_ROWS,
    PAN_ROWS,
    VIDEO_ROWS,
    instances_row,
    labelmap_file,
    panoptic_gt_pieces,
    panoptic_inst_file,
    panoptic_video_file,
)
from segassets.work.join import join
from segassets.work.plans import Items, each, fold

Seed = Annotated[int, Field(ge=0, lt=1 << 32)]  # what numpy.random.seed takes


def _refs(handle):
    """References to an asset's files by frame."""
    return {frame: handle.ref(path) for frame, path in handle.paths.items()}


def _named(handle):
    """Bare file names by frame."""
    return {frame: path.rsplit("/", 1)[1] for frame, path in handle.paths.items()}


def _maps(handle, as_name):
    """The maps of an asset as items: frame, the bytes under `as_name`, the file's name."""
    names = _named(handle)
    return [{"frame": frame, as_name: ref, "name": names[frame]} for frame, ref in _refs(handle).items()]


@artifact(
    "cityscapes_vps/labelmap",
    SPLITS,
    into="cityscapes_vps/{partition}/labelmap",
    rows=LABEL_ROWS,
    code_version="4",
    check=checks.labelmap,
    show=show.label_maps,
)
def labelmap(cls, partition, *, ego_to_road: bool = False):
    """Category of every pixel: 0 to 18 as in the table, 255 where the colour is none of the nineteen. 8-bit grey.

    Pole groups have the colour of poles and are poles. `ego_to_road`: void in the lower three tenths becomes road, as
    upstream had it until October 2020: only to compare with the paper's numbers.
    """
    items = [{**item, "path": item["cls"].label} for item in _maps(cls, "cls")]
    if not items:
        return nothing_for(partition, "masks")
    findings = _ego(ego_to_road, len(items))
    return each(Items(items, "frame"), labelmap_file, findings=findings, ego_to_road=ego_to_road)


def _ego(wanted, count):
    told = f"{count} frames: void in the lower three tenths is road, as upstream had it until October 2020"
    return [info("ego_to_road", told)] if wanted else []


@artifact(
    "cityscapes_vps/panoptic_inst",
    SPLITS,
    into="cityscapes_vps/{partition}/panoptic_inst",
    rows=PAN_ROWS,
    code_version="4",
    check=checks.panoptic_inst,
    show=show.panoptic_maps,
)
def panoptic_inst(
    frame_list, cls, inst, partition, *, groups: Literal["void", "crowd"] = "void", ego_to_road: bool = False
):
    """Stuff as its category, things as 1000 category + instance, void 255; 16-bit grey.

    Class by the majority of colours under an instance, frame by frame, as upstream. `groups=crowd` keeps thing pixels
    without an instance as the bare category (11 to 18), which becomes a crowd in the ground truth. `ego_to_road`: as
    of `labelmap`.
    """
    frames = [row["frame"] for row in frame_list.records(["frame", "cls"]) if row["cls"] is not None]
    told = {
        kind: f"cityscapes_vps/{kind} has no file of it: segassets materialize cityscapes_vps/{kind}"
        for kind in ("cls", "inst")
    }
    items, findings = join(frames, "frame", told, cls=_refs(cls), inst=_refs(inst), name=_named(cls))
    items = [{**item, "paths": (item["cls"].label, item["inst"].label)} for item in items]
    if not items and not findings:
        return nothing_for(partition, "masks")
    findings = [*findings, *_ego(ego_to_road, len(items))]
    return each(Items(items, "frame"), panoptic_inst_file, findings=findings, groups=groups, ego_to_road=ego_to_road)


@artifact(
    "cityscapes_vps/panoptic_video",
    SPLITS,
    into="cityscapes_vps/{partition}/panoptic_video",
    rows=VIDEO_ROWS,
    code_version="2",
    check=checks.panoptic_video,
    show=show.strip,
)
def panoptic_video(panoptic_inst, partition, *, ids: Literal["structured", "colours"] = "structured", seed: Seed = 0):
    """Segment ids as RGB, kept by an instance over its clip; the segments of every frame are rows.

    Structured ids: stuff its category's colour, things clip * 32768 + panoptic value. `ids=colours`: drawn as upstream
    draws them after `numpy.random.seed(seed)`.
    """
    items = _maps(panoptic_inst, "pan")
    if not items:
        return nothing_for(partition, "masks")
    told = "segment ids are structured: the same in every run (upstream's are random); ids=colours draws colours"
    if ids == "colours":
        told = f"segment ids are colours drawn with the seed {seed}, as upstream's would be with it"
        tables = vps.colour_ids(_values(panoptic_inst), seed)
        for item in items:
            item["ids"] = tables[vps.FrameName.from_image_id(item["frame"]).clip]
    return each(Items(items, "frame"), panoptic_video_file, findings=[info("ids", f"{len(items)} frames: {told}")])


def _values(panoptic_inst):
    """(clip, panoptic values) of all frames, in image-id order."""
    for row in panoptic_inst.records(["frame", "values"]):
        clip = vps.FrameName.from_image_id(row["frame"]).clip
        yield clip, [value for value in row["values"] if value != vps.VOID]


@artifact("cityscapes_vps/panoptic_gt", SPLITS, into="cityscapes_vps", code_version="2", check=checks.panoptic_gt)
def panoptic_gt(panoptic_video, partition, *, flavour: Flavour = "clean", bbox: bool = False):
    """Segments of every frame in image-id order; ids are those in the PNGs."""
    if panoptic_video.row_count() == 0:
        return nothing_for(partition, "masks")
    return fold(
        panoptic_gt_pieces,
        panoptic_video.records(),
        cityscapes_vps_lists.categories(flavour),
        bbox,
        name=f"panoptic_gt_{partition}_city_vps.json",
        findings=repaired(flavour),
    )


@artifact(
    "cityscapes_vps/instances",
    SPLITS,
    into="cityscapes_vps",
    rows=INSTANCE_ROWS,
    code_version="2",
    check=checks.instances,
    show=show.instances,
)
def instances(
    panoptic_inst, partition, *, flavour: Flavour = "clean", id_base: NonNegativeInt = 1, compressed: bool = False
):
    """Instances as COCO annotations with uncompressed run lengths; frames without instances are listed, too.

    `compressed`: run lengths as COCO's strings, a fifth of the size; upstream's loader and pycocotools take both.
    """
    rows = list(panoptic_inst.records(["frame", "height", "width"])) if panoptic_inst.paths else []
    if not rows:
        return nothing_for(partition, "masks")
    names = _named(panoptic_inst)
    images = [
        (vps.FrameName.from_file_name(names[row["frame"]], "colour_mask"), (row["height"], row["width"]))
        for row in rows
    ]
    document = partial(
        cityscapes_vps_instances.document, images=images, split=partition, flavour=flavour, id_base=id_base
    )
    items = [{"frame": frame, "pan": ref} for frame, ref in _refs(panoptic_inst).items()]
    return each(
        Items(items, "frame"),
        instances_row,
        findings=[*repaired(flavour), *_instance_repairs(flavour, id_base, len(items))],
        folds={f"instances_{partition}_city_vps_rle.json": document},
        compressed=compressed,
    )


def _instance_repairs(flavour, id_base, count):
    findings = []
    if id_base:
        told = f"annotation ids begin at {id_base} (upstream at 0, which COCOeval takes for no match)"
        findings.append(info("ids_repaired", told))
    if flavour == "clean":
        told = f"{count} images have license 0, the only one that is listed (upstream 1), and the release's date"
        findings.append(info("licence_repaired", told))
    return findings
