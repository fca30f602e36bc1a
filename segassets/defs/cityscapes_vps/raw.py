"""What of the release and of Cityscapes is there: folders, zips and zips within zips, under any top folder."""

from dataclasses import replace
from functools import cached_property

import dagster as dg

from segassets import external
from segassets.defs.cityscapes.raw import ENDINGS
from segassets.findings import BadItem, error, info, warning
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_lists as lists
from segassets.formats.cityscapes import image_of
from segassets.formats.panoptic import png_size
from segassets.partitions import dynamic
from segassets.sources.png_ends import heads, looked_at
from segassets.sources.zip_members import Found, find
from segassets.work.join import join

SPLITS = dg.StaticPartitionsDefinition(["train", "val", "test"])

raw = external.downloads(
    "cityscapes_vps",
    SPLITS,
    "The Cityscapes-VPS release, with Cityscapes' gtFine beside it for the 20th frames.",
    licence="CC BY-NC-SA 4.0, and the Cityscapes licence",
    link="https://github.com/mcahny/vps",
    citation="Kim et al., Video Panoptic Segmentation, CVPR 2020, arXiv:2006.11339",
)

PREDICTIONS = dynamic("cityscapes_vps_predictions", lambda files: files.names("cityscapes_vps/predictions"))

predictions = external.predictions(
    "cityscapes_vps",
    PREDICTIONS,
    "Submissions to be scored: pred.json and pan_pred/<image id>.png, as upstream's eval_vpq takes them.",
    link="https://github.com/mcahny/vps",
    citation="Kim et al., Video Panoptic Segmentation, CVPR 2020, arXiv:2006.11339 (the metric)",
)

LIST = "panoptic_im_{partition}_city_vps.json"
DENSE_LIST = "im_all_info_{partition}_city_vps.json"
RELEASE = (f"*{LIST}", "*{partition}/cls/*", "*{partition}/inst/*", "*.zip")
CENTRAL = ("/cityscapes/*gtFine/val/*", "/cityscapes/*gtFine*.zip")
MASKS = (*RELEASE, *CENTRAL)

KINDS = {"cls": "colour_mask", "inst": "instance_map"}
#: What to say of a frame without a mask.
MISSING = {
    kind: f"there is no {what} of it in {{split}}/{kind} nor, for a 20th frame, in cityscapes/gtFine/val: unpack both wholly"
    for kind, what in {"cls": "colour mask", "inst": "instance map"}.items()
}


class Release:
    """A split of the release, and gtFine beside it, by canonical path."""

    def __init__(self, raw, partition):
        self.split = partition
        self.list_name = LIST.format(partition=partition)
        self.found = find(raw, *(f"{partition}/{kind}/*" for kind in KINDS), self.list_name)
        self.central = find(raw, "gtFine/val/*")
        refs, sizes = {**self.central.refs, **self.found.refs}, {**self.central.sizes, **self.found.sizes}
        self.everything = Found(refs, sizes)

    @property
    def findings(self):
        return [*self.found.findings, *self.central.findings]

    def own(self, kind):
        """The release's own masks of a kind: canonical path by bare name.

        Instance maps that bear the colour masks' names, as in the drop that DVPS is made from, count as such.
        """
        named = {path.rsplit("/", 1)[1]: path for path in self.found.below(f"{self.split}/{kind}/")}
        return named if kind == "cls" else {vps.instance_map_name(name): path for name, path in named.items()}

    def ref(self, path):
        return self.everything.refs[path]

    @cached_property
    def listing(self):
        """The release's list, or None."""
        ref = self.found.refs.get(self.list_name)
        return ref.read() if ref else None

    @property
    def central_names(self):
        """`<city>_<seq>_<frame>` of all images of gtFine's val split, whichever of their files are there."""
        names = (image_of(path, ending) for path in self.central.refs for ending in ENDINGS.values())
        return {name for name in names if name is not None}

    def masks(self, kind, named, frames):
        """Masks of a kind by image id: all of the release's own, and gtFine's for 20th frames that it has not."""
        own = self.own(kind)
        found = {frame.image_id: own[frame.file_name(KINDS[kind])] for frame in named}
        for frame in frames:
            path = f"gtFine/val/{frame.city}/{frame.cityscapes_file_name(KINDS[kind])}"
            if frame.central and frame.image_id not in found and path in self.central.refs:
                found[frame.image_id] = path
        return found


def labelled_frames(release, strict):
    """The frames of a split in image-id order, with the masks of each, and findings. No frames: nobody knows them.

    From the release's list, else from the masks' names, else by the rule, when gtFine has exactly the 500 names that
    the rule was checked on; each is cross-checked with the others. Where the release has no mask at all, as of test,
    frames are listed without masks.
    """
    named = {kind: vps.frames_from_names(release.own(kind), name) for kind, name in KINDS.items()}
    findings = [*release.findings, *(finding for _, strange in named.values() for finding in strange)]
    masked = lists.united(*(frames for frames, _ in named.values()))
    central = release.central_names
    by_rule = lists.frames_by_rule(central, release.split) if lists.is_published(central) else []
    by_name = lists.with_central(masked, central)
    frames, source = by_name or by_rule, "the names of the masks" if by_name else "the rule"
    listed = release.listing is not None
    if listed:
        frames, strange = _listed(release, len(by_name))
        findings += strange
        source = "the release's list"
    if not frames:
        return [], findings
    findings.append(info("frames_from", f"{len(frames)} frames are those of {source}"))
    if by_rule:
        findings += lists.not_in_rule(frames, by_rule, source)
    else:
        findings += lists.misnumbered(frames, release.split)
    findings += lists.list_findings(frames, release.split, strict)
    if release.split == "test" or not masked:
        if release.split != "test":
            findings.append(warning("no_masks", f"{no_masks(release.split)}; lists and photographs can be made"))
        return [{"frame": frame, "cls": None, "inst": None} for frame in frames], findings
    masks = {kind: release.masks(kind, named[kind][0], frames) for kind in KINDS}
    about = {frame.image_id: frame for frame in frames}
    told = {kind: text.format(split=release.split) for kind, text in MISSING.items()}
    items, missing = join(about, "frame", told, **masks)
    blamed = {finding.image for finding in findings if finding.severity == "error"} - {None}
    missing = [_unexpected(finding) if listed else finding for finding in missing if finding.image not in blamed]
    return [{**item, "frame": about[item["frame"]]} for item in items], [*findings, *missing]


def no_masks(split):
    """What to say where masks are asked for and the release's are not there."""
    return f"there are no masks of {split}: put the release's {split}/cls and {split}/inst into cityscapes_vps/"


def _listed(release, masked):
    """The frames of the release's list; its bad records are errors."""
    path = release.found.refs[release.list_name].label
    frames, findings = _read_list(path, vps.frames_from_release_list, release.listing)
    if not frames and not findings:
        told = (
            f"it lists no frame, and {masked} have masks: get it again, or remove it, so that the masks' names decide"
        )
        raise BadItem(error("empty_list", told, path=path))
    # The items of a list are its records: one that names no frame is known by its index, not by the file's path.
    named = [replace(f, path=path) if f.image else replace(f, message=f"{path}: {f.message}") for f in findings]
    return frames, named


def _read_list(path, read, data):
    """What a pure function reads of a list; what is wrong with it names the file."""
    try:
        return read(data)
    except BadItem as bad:
        raise BadItem(*(replace(finding, path=path) for finding in bad.findings)) from None


def _unexpected(finding):
    """A mask that the release's list does not name: one of the two is of another release."""
    if not finding.code.endswith("_unexpected"):
        return finding
    told = f"{finding.message}: get masks and list from one release, or remove what is left from another"
    return replace(finding, severity="error", message=told)


def frame_sizes(release, items):
    """(height, width) by image id, and findings: errors of frames that are of another size than those of their clip.

    The colour masks' first bytes say it, in a bucket those of a sample; where there is none, and of the rest of a
    sample that agrees with the list, the list.
    """
    listed = lists.sizes_of(release.listing) if release.listing is not None else {}
    masks = {item["frame"].image_id: item["cls"] for item in items if item["cls"] is not None}
    wanted = {*looked_at(release.everything, masks), *(masks.keys() - {i for i, size in listed.items() if size})}
    sizes, findings = _measured(release.everything, {i: path for i, path in masks.items() if i in wanted})
    if any(listed.get(image_id, size) != size for image_id, size in sizes.items()):
        more, bad = _measured(release.everything, {i: path for i, path in masks.items() if i not in wanted})
        sizes, findings = {**sizes, **more}, findings + bad
    findings += lists.list_sizes_findings(listed, sizes)
    clips = {item["frame"].image_id: item["frame"].clip for item in items}
    for image_id, (size, usual) in lists.odd_sizes(sizes, clips).items():
        told = (
            f"it has {size[1]} x {size[0]} pixels, the other frames of its clip {usual[1]} x {usual[0]}: get it again"
        )
        findings.append(error("size_differs", told, image=image_id, path=release.ref(masks[image_id]).label))
    return {**{i: size for i, size in listed.items() if size}, **sizes}, findings


def _measured(found, masks):
    sizes, findings = {}, []
    for (image_id, path), head in zip(masks.items(), heads(found, list(masks.values())), strict=True):
        try:
            sizes[image_id] = png_size(head)
        except BadItem as bad:
            findings += [replace(f, image=image_id, path=found.refs[path].label) for f in bad.findings]
    return sizes, findings


def dense_findings(raw, partition, snippets):
    """The rule's dense list beside the release's: one that differs is an error."""
    name = DENSE_LIST.format(partition=partition)
    ref = find(raw, name).refs.get(name)
    if ref is None:
        return []
    listed = _read_list(ref.label, lists.dense_names, ref.read())
    made = [photo for members in snippets.values() for photo in members]
    if listed == made:
        return []
    odd = sorted(set(listed) ^ set(made))[:3]
    told = f"it lists {len(listed)} photographs, the frames give {len(made)}; {', '.join(odd) or 'the order'} differs"
    if set(listed) >= set(made):
        return [warning("dense_list_differs", f"{told}: the frames decide", path=name)]
    return [error("dense_list_differs", told, path=name)]
