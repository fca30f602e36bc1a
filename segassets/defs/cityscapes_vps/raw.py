"""What of the release and of Cityscapes is there: folders, zips and zips within zips, under any top folder."""

import dagster as dg

from segassets import external
from segassets.findings import BadItem, error, info, warning
from segassets.formats import cityscapes_vps as vps
from segassets.formats import cityscapes_vps_lists as lists
from segassets.formats.panoptic import png_size
from segassets.partitions import dynamic
from segassets.sources.zip_members import find
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
SEQUENCE = ("/cityscapes/*leftImg8bit_sequence/val/*", "/cityscapes/*leftImg8bit_sequence*.zip")
MASKS = (*RELEASE, *CENTRAL)

KINDS = {"cls": "colour_mask", "inst": "instance_map"}
HEAD = 64  # bytes of a PNG that say how large it is


class Release:
    """A split of the release, and gtFine beside it, by canonical path."""

    def __init__(self, raw, partition):
        self.split = partition
        self.found = find(raw, *(f"{partition}/{kind}/*" for kind in KINDS), LIST.format(partition=partition))
        self.central = find(raw, "gtFine/val/*")

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
        return self.found.refs.get(path) or self.central.refs[path]

    @property
    def listing(self):
        """The release's list, or None."""
        ref = self.found.refs.get(LIST.format(partition=self.split))
        return ref.read() if ref else None

    @property
    def central_names(self):
        """`<city>_<seq>_<frame>` of all images of gtFine's val split."""
        ending = "_gtFine_color.png"
        names = (path.rsplit("/", 1)[1] for path in self.central.refs if path.endswith(ending))
        return {name.removesuffix(ending) for name in names if lists.is_central_name(name.removesuffix(ending))}

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
    the rule was checked on; each is cross-checked with the others.
    """
    named = {kind: vps.frames_from_names(release.own(kind), name) for kind, name in KINDS.items()}
    findings = [*release.findings, *(finding for _, strange in named.values() for finding in strange)]
    central = release.central_names
    by_rule = lists.frames_by_rule(central, release.split) if lists.is_published(central) else []
    by_name = lists.with_central(named["cls"][0] or named["inst"][0], central)
    frames, source = by_name or by_rule, "the names of the masks" if by_name else "the rule"
    if release.listing is not None:
        frames, strange = vps.frames_from_release_list(release.listing)
        findings += strange
        source = "the release's list"
    if not frames:
        return [], findings
    findings.append(info("frames_from", f"{len(frames)} frames are those of {source}"))
    if by_rule:
        findings += lists.not_in_rule(frames, by_rule, source)
    findings += lists.list_findings(frames, release.split, strict)
    if release.split == "test":
        return [{"frame": frame, "cls": None, "inst": None} for frame in frames], findings
    masks = {kind: release.masks(kind, named[kind][0], frames) for kind in KINDS}
    about = {frame.image_id: frame for frame in frames}
    items, missing = join(about, "frame", **masks)
    return [{**item, "frame": about[item["frame"]]} for item in items], [*findings, *missing]


def frame_sizes(release, items):
    """(height, width) by image id: as the list says, else as the colour mask's first bytes do; none without either."""
    listed = dict(lists.sizes_of(release.listing)) if release.listing is not None else {}
    sizes, findings = {}, []
    for item in items:
        image_id = item["frame"].image_id
        if image_id in listed:
            sizes[image_id] = listed[image_id]
        elif item["cls"] is not None:
            try:
                sizes[image_id] = png_size(release.ref(item["cls"]).read(HEAD))
            except (BadItem, EOFError):
                findings.append(error("bad_png", f"{item['cls']} is no PNG: download it again", image=image_id))
    return sizes, findings


def photographs(raw):
    """References to Cityscapes' sequence photographs by `<city>_<seq>_<frame>`, and findings."""
    found = find(raw, "leftImg8bit_sequence/val/*")
    ending = "_leftImg8bit.png"
    named = {
        path.rsplit("/", 1)[1].removesuffix(ending): ref for path, ref in found.refs.items() if path.endswith(ending)
    }
    return named, found.findings


def dense_findings(raw, partition, snippets):
    """The rule's dense list beside the release's: one that differs is an error."""
    name = DENSE_LIST.format(partition=partition)
    ref = find(raw, name).refs.get(name)
    if ref is None:
        return []
    listed = lists.dense_names(ref.read())
    made = [photo for members in snippets.values() for photo in members]
    if listed == made:
        return []
    odd = sorted(set(listed) ^ set(made))[:3]
    told = f"it lists {len(listed)} photographs, the frames give {len(made)}; {', '.join(odd) or 'the order'} differs"
    if set(listed) >= set(made):
        return [warning("dense_list_differs", f"{told}: the frames decide", path=name)]
    return [error("dense_list_differs", told, path=name)]
