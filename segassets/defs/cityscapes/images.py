"""Photographs, and the licence that the STEP loader asks for."""

from segassets.artifact import artifact
from segassets.defs.cityscapes import show
from segassets.defs.cityscapes.raw import GT, LICENCE, PHOTOGRAPHS, SPLITS, images_of
from segassets.errors import Skip
from segassets.findings import error, warning
from segassets.formats.cityscapes import ImageName
from segassets.sources.zip_members import find
from segassets.work.unchanged import unchanged

#: The licence lies at the top of the tree, once: the first of these splits that has photographs publishes it.
LICENCE_WITH = ("val", "train", "test")
EVERY_SPLIT = tuple(f"*leftImg8bit/{split}/*" for split in LICENCE_WITH)


@artifact(
    "cityscapes/images",
    SPLITS,
    into="cityscapes",
    reads=(*PHOTOGRAPHS, *EVERY_SPLIT, *GT, *LICENCE),
    code_version="1",
    show=show.photographs,
)
def images(raw, partition):
    """The photographs in Cityscapes' own tree, byte for byte; and `license.txt`, without which STEP loaders stop."""
    found = find(raw, f"leftImg8bit/{partition}/*")
    pictures = images_of(found, "_leftImg8bit.png")
    if not pictures:
        raise Skip(f"there are no cityscapes/leftImg8bit/{partition}/<city>/*_leftImg8bit.png in the raw folder")
    labelled = images_of(find(raw, f"gtFine/{partition}/*"), "_gtFine_labelIds.png")
    items = [
        (image, f"leftImg8bit/{partition}/{ImageName.parse(image).photograph}", ref)
        for image, ref in sorted(pictures.items())
    ]
    licence, findings = _licence(raw, partition)
    return unchanged([*items, *licence], [*found.findings, *findings, *_pairs(pictures, labelled)])


def _licence(raw, partition):
    there = [split for split in LICENCE_WITH if find(raw, f"leftImg8bit/{split}/*").refs]
    if partition != there[0]:
        return [], []
    ref = find(raw, "license.txt").refs.get("license.txt")
    if ref is None:
        told = "there is no license.txt in the raw folder: loaders of the STEP form stop without it"
        return [], [warning("licence_missing", told)]
    return [("license.txt", "license.txt", ref)], []


def _pairs(pictures, labelled):
    """Photographs and labels belong together: one without the other is a download that is not all there."""
    if not labelled:
        return []
    counts = f"{len(pictures)} photographs and {len(labelled)} label maps are there"
    lost = [
        error("photograph_missing", f"its labels are there, its photograph is not ({counts})", image=image)
        for image in sorted(set(labelled) - set(pictures))
    ]
    bare = sorted(set(pictures) - set(labelled))
    if bare:
        told = f"{len(bare)} photographs have no labels ({', '.join(bare[:3])}{', ...' if len(bare) > 3 else ''})"
        lost.append(warning("labels_missing", f"{told}; {counts}"))
    return lost
