"""Which frames there are, and the files that only change their place: photographs and masks."""

from segassets.artifact import artifact
from segassets.defs.cityscapes_vps import show
from segassets.defs.cityscapes_vps.raw import (
    DENSE_LIST,
    HEAD,
    KINDS,
    MASKS,
    SEQUENCE,
    SPLITS,
    Release,
    dense_findings,
    frame_sizes,
    labelled_frames,
    photographs,
)
from segassets.errors import Skip
from segassets.findings import error, info
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_lists as lists
from segassets.formats.cityscapes_vps_items import FRAME_ROWS, photo_file
from segassets.formats.panoptic import png_size
from segassets.sources.zip_members import find
from segassets.work.plans import Items, each, files
from segassets.work.unchanged import unchanged

Flavour = vps.Flavour


@artifact("cityscapes_vps/frame_list", SPLITS, into="", reads=MASKS, rows=FRAME_ROWS, code_version="2")
def frame_list(raw, partition, *, strict_counts: bool = False):
    """The labelled frames of a split, in image-id order, and where the masks of each lie.

    From the release's list, else from the names of the masks, else by the rule that numbers Cityscapes' 500 val
    names; each cross-checked with the others. A frame without a mask is an error in train and val; test has none.
    """
    release = Release(raw, partition)
    items, findings = labelled_frames(release, strict_counts)
    if not items and not any(finding.severity == "error" for finding in findings):
        raise Skip(f"there is no panoptic_im_{partition}_city_vps.json and no {partition}/cls in the raw folder")
    sizes, bad = frame_sizes(release, items)
    rows = {name: [] for name in FRAME_ROWS}
    for item in items:
        frame = item["frame"]
        height, width = sizes.get(frame.image_id, (None, None))
        values = {**item, **frame._asdict(), "frame": frame.image_id, "height": height, "width": width}
        for name, column in rows.items():
            column.append(values[name])
    return files(rows=rows, findings=[*findings, *bad])


def frames_of(frame_list):
    """The frames of a frame list, in order."""
    rows = frame_list.records(["frame", "central"])
    return [vps.FrameName.from_image_id(row["frame"], central=row["central"]) for row in rows]


def nothing_for(partition, what):
    """The plan of a split that has no such artifact."""
    return files(findings=[info("no_such_split", f"the release has no {what} of {partition}; nothing is published")])


def _masks(frame_list, raw, kind):
    release = Release(raw, frame_list.partition)
    rows = [row for row in frame_list.records(["frame", "central", kind]) if row[kind] is not None]
    items = []
    for row in rows:
        frame = vps.FrameName.from_image_id(row["frame"], central=row["central"])
        items.append((row["frame"], frame.file_name(KINDS[kind]), release.ref(row[kind])))
    return unchanged(items) if items else nothing_for(frame_list.partition, "masks")


@artifact(
    "cityscapes_vps/cls",
    SPLITS,
    into="cityscapes_vps/{partition}/cls",
    reads=MASKS,
    code_version="2",
    show=show.masks,
)
def cls(frame_list, raw):
    """Colour masks of all labelled frames, byte for byte; the 20th frames come from Cityscapes' gtFine."""
    return _masks(frame_list, raw, "cls")


@artifact("cityscapes_vps/inst", SPLITS, into="cityscapes_vps/{partition}/inst", reads=MASKS, code_version="2")
def inst(frame_list, raw):
    """Instance maps of all labelled frames, byte for byte."""
    return _masks(frame_list, raw, "inst")


@artifact(
    "cityscapes_vps/img",
    SPLITS,
    into="cityscapes_vps/{partition}/img",
    reads=(*SEQUENCE, "*{partition}/img/*", "*.zip"),
    code_version="1",
    show=show.pictures,
)
def img(frame_list, raw, partition):
    """The photographs of the labelled frames, from Cityscapes' sequences, under the release's names.

    Photographs that the release folder has already are compared with Cityscapes': the same bytes are expected.
    """
    known, findings = photographs(raw)
    own = {path.rsplit("/", 1)[1]: ref for path, ref in find(raw, f"{partition}/img/*").refs.items()}
    if not known and not own:
        raise Skip("there are no cityscapes/leftImg8bit_sequence/val/<city>/*_leftImg8bit.png in the raw folder")
    plain, doubled = [], []
    for frame in frames_of(frame_list):
        name = frame.file_name("photograph")
        photo = known.get(frame.cityscapes_name)
        if photo is not None and name in own:
            doubled.append({"frame": frame.image_id, "name": name, "photo": photo, "own": own[name]})
        elif photo is None and name not in own:
            told = (
                f"there is no {frame.cityscapes_name}_leftImg8bit.png among {len(known)} photographs of the sequences"
            )
            findings.append(error("photograph_missing", told, image=frame.image_id))
        else:
            plain.append((frame.image_id, name, photo or own[name]))
    if not doubled:
        return unchanged(plain, findings)
    same = [{"frame": item, "name": name, "photo": ref, "own": ref} for item, name, ref in plain]
    return each(Items(sorted(doubled + same, key=lambda item: item["frame"]), "frame"), photo_file, findings=findings)


def snippets_of(frame_list):
    """Cityscapes names of the 30 photographs of every clip, by clip."""
    return {clip: lists.snippet(members) for clip, members in lists.clips(frames_of(frame_list)).items()}


@artifact("cityscapes_vps/img_all", SPLITS, into="cityscapes_vps/{partition}/img_all", reads=SEQUENCE, code_version="1")
def img_all(frame_list, raw, partition):
    """All 30 photographs of every clip of val and test, under Cityscapes' own names."""
    if partition == "train":
        return nothing_for(partition, "dense photographs")
    known, findings = photographs(raw)
    if not known:
        raise Skip("there are no cityscapes/leftImg8bit_sequence/val/<city>/*_leftImg8bit.png in the raw folder")
    items = []
    for clip, members in snippets_of(frame_list).items():
        missing = [name for name in members if name not in known]
        if missing:
            told = f"{len(missing)} of the 30 photographs of clip {clip:04d} are missing, {missing[0]} for one"
            findings += [error("photograph_missing", told, image=name) for name in missing]
        items += [(name, f"{name}_leftImg8bit.png", known[name]) for name in members if name in known]
    return unchanged(items, findings)


@artifact("cityscapes_vps/panoptic_im", SPLITS, into="cityscapes_vps", reads=SEQUENCE, code_version="1")
def panoptic_im(frame_list, raw, partition, *, flavour: Flavour = "clean"):
    """The list of labelled frames that loaders read: image ids, sizes, file names, categories."""
    rows, findings = [], []
    for row in frame_list.records(["frame", "central", "height", "width"]):
        if row["height"] is None:
            row, lost = _measured(row, raw)
            findings += lost
        rows.append(row)
    document = lists.panoptic_im([row for row in rows if row["height"] is not None], flavour)
    return files({f"panoptic_im_{partition}_city_vps.json": document}, findings=[*findings, *repaired(flavour)])


def _measured(row, raw):
    """A row with the size of its photograph, for a frame that no list and no mask gives one."""
    frame = vps.FrameName.from_image_id(row["frame"], central=row["central"])
    ref = photographs(raw)[0].get(frame.cityscapes_name)
    if ref is None:
        told = "its size is in no list, and neither a mask nor its photograph is there to tell"
        return row, [error("size_unknown", told, image=row["frame"])]
    height, width = png_size(ref.read(HEAD))
    return {**row, "height": height, "width": width}, []


@artifact(
    "cityscapes_vps/im_all_info", SPLITS, into="cityscapes_vps", reads=(f"*{DENSE_LIST}", "*.zip"), code_version="1"
)
def im_all_info(frame_list, raw, partition, *, flavour: Flavour = "clean"):
    """The list of all photographs of val and test, 30 a clip, in the order of clips and frames."""
    if partition == "train":
        return nothing_for(partition, "dense photographs")
    snippets = snippets_of(frame_list)
    first = next(iter(frame_list.records(["height", "width"])))
    document = lists.im_all_info(snippets, (first["height"], first["width"]), partition, flavour)
    findings = [*dense_findings(raw, partition, snippets), *repaired(flavour)]
    return files({f"im_all_info_{partition}_city_vps.json": document}, findings=findings)


def repaired(flavour):
    """What the clean flavour writes other than upstream."""
    if flavour == "upstream":
        return []
    changed = [
        f"{old['name']} ({key} {old[key]} -> {new[key]})"
        for old, new in zip(vps.CATEGORIES, vps.REPAIRED_CATEGORIES, strict=True)
        for key in old
        if old[key] != new[key]
    ]
    return [
        info("categories_repaired", f"{len(changed)} categories: {', '.join(changed)}; flavour=upstream keeps them")
    ]
