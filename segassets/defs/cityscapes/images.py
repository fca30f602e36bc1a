"""Photographs, and the licence that the STEP loader asks for."""

from segassets.artifact import artifact
from segassets.defs.cityscapes import show
from segassets.defs.cityscapes.raw import (
    ENDINGS,
    GT,
    LICENCE,
    PHOTOGRAPHS,
    SPLITS,
    doubled,
    images_of,
    size_of,
    strange,
)
from segassets.errors import Skip
from segassets.findings import error, info, warning
from segassets.formats.cityscapes import ImageName
from segassets.formats.cityscapes_items import photograph_file
from segassets.sources.png_ends import heads, measured
from segassets.sources.zip_members import find
from segassets.work.unchanged import unchanged

#: The licence lies at the top of the tree, once: the first of these splits that has photographs publishes it.
LICENCE_WITH = ("val", "train", "test")
EVERY_SPLIT = tuple(f"*leftImg8bit/{split}/*" for split in LICENCE_WITH)
ENDING = "_leftImg8bit.png"
_HEAD = 256  # bytes of a label file that say how large its image is


@artifact(
    "cityscapes/images",
    SPLITS,
    into="cityscapes",
    reads=(*PHOTOGRAPHS, *EVERY_SPLIT, *GT, *LICENCE),
    code_version="2",
    show=show.photographs,
)
def images(raw, partition):
    """The photographs in Cityscapes' own tree, byte for byte; and `license.txt`, without which STEP loaders stop.

    Each is a whole PNG of the size of its labels: begin and end are looked at, in a bucket those of a sample.
    """
    found = find(raw, f"leftImg8bit/{partition}/*")
    pictures, double = images_of(found, ENDING)
    if not pictures and not double:
        raise Skip(f"there are no cityscapes/leftImg8bit/{partition}/<city>/*{ENDING} in the raw folder")
    labels = find(raw, f"gtFine/{partition}/*")
    labelled = _labelled(labels)
    sizes, bad = measured(found, pictures)
    bad += [*doubled(double, found), *_odd_sizes(found, pictures, sizes, labels, labelled)]
    lost = {finding.image for finding in bad}
    items = [
        (image, f"leftImg8bit/{partition}/{ImageName.parse(image).photograph}", found.refs[path])
        for image, path in sorted(pictures.items())
        if image not in lost
    ]
    licence, findings = _licence(raw, partition)
    findings = [*found.findings, *strange(found, (ENDING,), "photographs"), *bad, *findings]
    there = {*pictures, *double}
    return unchanged([*items, *licence], [*findings, *_pairs(there, set(labelled))], photograph_file)


def _labelled(labels):
    """A label file of every image that has one: canonical path by image."""
    found = {}
    for ending in ENDINGS.values():
        found = {**images_of(labels, ending)[0], **found}
    return found


def _odd_sizes(found, pictures, sizes, labels, labelled):
    """Errors `size_differs` for photographs of another size than their labels."""
    both = [image for image in sizes if image in labelled]
    findings = []
    for image, head in zip(both, heads(labels, [labelled[image] for image in both], _HEAD), strict=True):
        wanted, size = size_of(head), sizes[image]
        if wanted is not None and wanted != size:
            told = f"it has {size[1]} x {size[0]} pixels, {labelled[image]} has {wanted[1]} x {wanted[0]}"
            path = found.refs[pictures[image]].label
            findings.append(error("size_differs", f"{told}: get both again", image=image, path=path))
    return findings


def _licence(raw, partition):
    there = [split for split in LICENCE_WITH if find(raw, f"leftImg8bit/{split}/*").refs]
    ref = find(raw, "license.txt").refs.get("license.txt")
    if ref is None:
        told = "there is no license.txt in the raw folder: loaders of the STEP form stop without it"
        return [], [warning("licence_missing", told)] if partition == there[0] else []
    if partition != there[0]:
        told = f"license.txt is one file for all splits: segassets materialize cityscapes/images --partition {there[0]}"
        return [], [info("licence_elsewhere", f"{told} publishes it")]
    return [("license.txt", "license.txt", ref)], []


def _pairs(pictures, labelled):
    """Photographs and labels belong together: one without the other is a download that is not all there."""
    if not labelled:
        return []
    counts = f"{len(pictures)} photographs and {len(labelled)} label maps are there"
    told = f"its labels are there, its photograph is not ({counts}): unpack leftImg8bit wholly"
    lost = [error("photograph_missing", told, image=image) for image in sorted(labelled - pictures)]
    bare = sorted(pictures - labelled)
    if bare:
        told = f"{len(bare)} photographs have no labels ({', '.join(bare[:3])}{', ...' if len(bare) > 3 else ''})"
        lost.append(warning("labels_missing", f"{told}; {counts}"))
    return lost
