"""Which frames there are, and the files that only change their place: photographs and masks."""

from segassets.artifact import artifact
from segassets.defs.cityscapes_vps import show
from segassets.defs.cityscapes_vps.photographs import EXPECTED, SEQUENCE, Photographs, picture_problems
from segassets.defs.cityscapes_vps.raw import (
    DENSE_LIST,
    KINDS,
    MASKS,
    SPLITS,
    Release,
    dense_findings,
    frame_sizes,
    labelled_frames,
    no_masks,
)
from segassets.errors import Skip
from segassets.findings import error, info
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_lists as lists
from segassets.formats.cityscapes_items import photograph_file
from segassets.formats.cityscapes_vps_items import FRAME_ROWS, photo_file
from segassets.sources.zip_members import find
from segassets.work.plans import Items, each, files
from segassets.work.unchanged import unchanged

Flavour = vps.Flavour


@artifact("cityscapes_vps/frame_list", SPLITS, into="", reads=MASKS, rows=FRAME_ROWS, code_version="3")
def frame_list(raw, partition, *, strict_counts: bool = False):
    """The labelled frames of a split, in image-id order, and where the masks of each lie.

    From the release's list, else from the names of the masks, else by the rule that numbers Cityscapes' 500 val
    names; each cross-checked with the others. A frame without a mask is an error in train and val, unless the raw
    folder has no mask at all; test has none. So is one of another size than the other frames of its clip.
    """
    release = Release(raw, partition)
    items, findings = labelled_frames(release, strict_counts)
    if not items and not any(finding.severity == "error" for finding in findings):
        raise Skip(f"there is no panoptic_im_{partition}_city_vps.json and no {partition}/cls in the raw folder")
    sizes, bad = frame_sizes(release, items)
    lost = {finding.image for finding in [*findings, *bad] if finding.severity == "error"}
    rows = {name: [] for name in FRAME_ROWS}
    for item in items:
        frame = item["frame"]
        if frame.image_id in lost:
            continue
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
    if not items and frame_list.partition != "test":
        raise Skip(no_masks(frame_list.partition))
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


def _rows(frame_list):
    """The rows of a frame list by image id, in order, with the `name` of the frame; `size` where masks give it."""
    rows = {}
    for row in frame_list.records(["frame", "central", "cls", "height", "width"]):
        name = vps.FrameName.from_image_id(row["frame"], central=row["central"])
        size = (row["height"], row["width"]) if row["height"] is not None else None
        rows[row["frame"]] = {"name": name, "listed": size, "size": size if row["cls"] is not None else None}
    return rows


@artifact(
    "cityscapes_vps/img",
    SPLITS,
    into="cityscapes_vps/{partition}/img",
    reads=(*SEQUENCE, "*{partition}/img/*", "*.zip"),
    code_version="2",
    show=show.pictures,
)
def img(frame_list, raw, partition):
    """The photographs of the labelled frames, from Cityscapes' sequences, under the release's names.

    Photographs that the release folder has already are compared with Cityscapes': the same bytes are expected. Each
    is a whole PNG of the size of its masks, or of its clip: in a bucket a sample is looked at.
    """
    photos, release = Photographs(raw), find(raw, f"{partition}/img/*")
    own = {path.rsplit("/", 1)[1]: path for path in release.refs}
    if not photos and not own:
        raise Skip(f"there are no {EXPECTED} in the raw folder")
    rows = _rows(frame_list)
    sizes = {item: row["size"] for item, row in rows.items()}
    clips = {item: row["name"].clip for item, row in rows.items()}
    files = {item: row["name"].file_name("photograph") for item, row in rows.items()}
    only_own = {item: own[name] for item, name in files.items() if name in own and photos.lacks(rows[item]["name"])}
    names = {item: row["name"].cityscapes_name for item, row in rows.items() if item not in only_own}
    bad = [*photos.problems(names, sizes, clips), *picture_problems(release, only_own, sizes, clips)]
    lost = {finding.image for finding in bad}
    plain, doubled = [], []
    for item, name in files.items():
        if item in lost:
            continue
        photo = release.refs[own[name]] if item in only_own else photos.ref(names[item])
        if item in names and name in own:
            ref = release.refs[own[name]]
            doubled.append({"frame": item, "name": name, "photo": photo, "own": ref, "path": ref.label})
        else:
            plain.append((item, name, photo))
    findings = [*photos.findings, *bad]
    if not doubled:
        return unchanged(plain, findings, photograph_file)
    same = [{"frame": item, "name": name, "photo": ref, "own": ref} for item, name, ref in plain]
    return each(Items(sorted(doubled + same, key=lambda item: item["frame"]), "frame"), photo_file, findings=findings)


def snippets_of(frame_list):
    """Cityscapes names of the 30 photographs of every clip, by clip."""
    return {clip: lists.snippet(members) for clip, members in lists.clips(frames_of(frame_list)).items()}


@artifact("cityscapes_vps/img_all", SPLITS, into="cityscapes_vps/{partition}/img_all", reads=SEQUENCE, code_version="2")
def img_all(frame_list, raw, partition):
    """All 30 photographs of every clip of val and test, under Cityscapes' own names.

    Each is a whole PNG of the size of its clip: in a bucket a sample is looked at.
    """
    if partition == "train":
        return nothing_for(partition, "dense photographs")
    photos = Photographs(raw)
    if not photos:
        raise Skip(f"there are no {EXPECTED} in the raw folder")
    masked = {row["name"].clip: row["size"] for row in _rows(frame_list).values() if row["size"]}
    clips = {name: clip for clip, members in snippets_of(frame_list).items() for name in members}
    sizes = {name: masked.get(clip) for name, clip in clips.items()}
    bad = photos.problems({name: name for name in clips}, sizes, clips)
    lost = {finding.image for finding in bad}
    items = [(name, f"{name}_leftImg8bit.png", photos.ref(name)) for name in clips if name not in lost]
    return unchanged(items, [*photos.findings, *bad], photograph_file)


def _sizes(frame_list, raw):
    """(height, width) of every frame, None where nothing tells; and what a list says otherwise.

    Of masks; where there are none, of a photograph of the clip; where that is not there either, of the list.
    """
    rows = _rows(frame_list)
    photos, clips = None, {}
    for row in rows.values():
        if row["size"] is None:
            clips.setdefault(row["name"].clip, []).append(row["name"].cityscapes_name)
    if clips:
        photos = Photographs(raw)
        clips = {clip: photos.size(names) for clip, names in clips.items()}
    seen = {item: row["size"] or clips[row["name"].clip] for item, row in rows.items()}
    listed = {item: row["listed"] for item, row in rows.items() if row["listed"]}
    findings = lists.list_sizes_findings(listed, {item: size for item, size in seen.items() if size})
    return rows, {item: size or rows[item]["listed"] for item, size in seen.items()}, findings


def _unknown(items):
    told = f"its size is in no list, and there is neither a mask nor a photograph to tell: {EXPECTED} are expected"
    return [error("size_unknown", told, image=item) for item in items]


@artifact("cityscapes_vps/panoptic_im", SPLITS, into="cityscapes_vps", reads=SEQUENCE, code_version="2")
def panoptic_im(frame_list, raw, partition, *, flavour: Flavour = "clean"):
    """The list of labelled frames that loaders read: image ids, sizes, file names, categories."""
    rows, sizes, findings = _sizes(frame_list, raw)
    known = [
        {"frame": item, "central": row["name"].central, "height": sizes[item][0], "width": sizes[item][1]}
        for item, row in rows.items()
        if sizes[item]
    ]
    findings += _unknown(item for item, size in sizes.items() if size is None)
    document = lists.panoptic_im(known, flavour)
    return files({f"panoptic_im_{partition}_city_vps.json": document}, findings=[*findings, *repaired(flavour)])


@artifact(
    "cityscapes_vps/im_all_info",
    SPLITS,
    into="cityscapes_vps",
    reads=(*SEQUENCE, f"*{DENSE_LIST}", "*.zip"),
    code_version="2",
)
def im_all_info(frame_list, raw, partition, *, flavour: Flavour = "clean"):
    """The list of all photographs of val and test, 30 a clip, in the order of clips and frames."""
    if partition == "train":
        return nothing_for(partition, "dense photographs")
    rows, sizes, findings = _sizes(frame_list, raw)
    of_clip = {rows[item]["name"].clip: size for item, size in sizes.items() if size}
    snippets = snippets_of(frame_list)
    findings += _unknown(members[0] for clip, members in snippets.items() if clip not in of_clip)
    known = {clip: members for clip, members in snippets.items() if clip in of_clip}
    document = lists.im_all_info(known, of_clip, partition, flavour)
    findings += [*dense_findings(raw, partition, snippets), *repaired(flavour)]
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
