"""What of the Cityscapes download is there: folders or official zips, under any top folder."""

import dagster as dg

from segassets import external
from segassets.errors import Skip
from segassets.findings import BadItem, error, warning
from segassets.formats import cityscapes
from segassets.partitions import dynamic
from segassets.sources.zip_members import find

SPLITS = dg.StaticPartitionsDefinition(["train", "val", "test"])

raw = external.downloads(
    "cityscapes",
    SPLITS,
    "Cityscapes as downloaded: gtFine, leftImg8bit and leftImg8bit_sequence, unpacked or zipped.",
    licence="Cityscapes licence: non-commercial, registration, no redistribution",
    link="https://www.cityscapes-dataset.com/downloads/",
    citation="Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016",
)


def _predictions(files):
    names = files.names("cityscapes/predictions")
    return [name.removesuffix(".json") for name in names]


PREDICTIONS = dynamic("cityscapes_predictions", _predictions)

predictions = external.predictions(
    "cityscapes",
    PREDICTIONS,
    "Predictions to be scored: a JSON and a folder of PNGs, as Cityscapes' own evaluation takes them.",
    link="https://github.com/mcordts/cityscapesScripts",
    citation="Kirillov et al., Panoptic Segmentation, CVPR 2019, arXiv:1801.00868 (the metric)",
)

#: gtFine in a folder or zip, and what a user has there who put the inside of gtFine into the raw folder.
GT = ("*gtFine/{partition}/*", "*gtFine*.zip", "{partition}/*_gtFine_*")
PHOTOGRAPHS = ("*leftImg8bit/{partition}/*", "*leftImg8bit*.zip")
LICENCE = ("*license.txt",)

KINDS = {"labels": "labelIds.png", "instances": "instanceIds.png", "polygons": "polygons.json"}


def ground_truth(raw, partition, kind, strict_counts=False):
    """The images of a split, sorted by city and name, with a reference to the file of one kind; and findings.

    An image that has other files of gtFine but not this one is an error: the download is not all there.
    Raises Skip when the split has nothing of gtFine, BadItem `wrong_root` when its folders lie elsewhere.
    """
    found = find(raw, f"gtFine/{partition}/*")
    by_kind = {name: images_of(found, f"_gtFine_{ending}") for name, ending in KINDS.items()}
    everything = sorted(set().union(*by_kind.values()), key=_city_and_name)
    if not everything:
        _nothing(raw, partition)
    wanted = by_kind[kind]
    missing = [image for image in everything if image not in wanted]
    told = f"there is no *_gtFine_{KINDS[kind]} for it ({len(wanted)} of {len(everything)} images have one)"
    findings = [error(f"{kind}_missing", f"{told}: unpack gtFine wholly", image=image) for image in missing]
    findings += found.findings + _strange(found) + _counted(partition, len(everything), strict_counts)
    return {image: wanted[image] for image in everything if image in wanted}, findings


def images_of(found, ending):
    """The files of one kind, by image."""
    named = ((cityscapes.image_of(path, ending), ref) for path, ref in found.refs.items())
    return {image: ref for image, ref in named if image is not None}


def _city_and_name(image):
    return cityscapes.ImageName.parse(image)


def _nothing(raw, partition):
    expected = f"cityscapes/gtFine/{partition}/<city>/*_instanceIds.png"
    lost = next((path for path in raw.paths if path.startswith(f"{partition}/")), None)
    if lost is not None:
        told = f"label files lie in {lost.rpartition('/')[0]}/: {expected} are expected; move them into a folder gtFine"
        raise BadItem(error("wrong_root", told, path=lost))
    raise Skip(f"there are no {expected} in the raw folder, nor a zip of gtFine with them")


_OTHERS = ("_gtFine_color.png", "_gtFine_labelTrainIds.png", "_gtFine_instanceTrainIds.png")


def _strange(found):
    """Files beside the labels that are none."""
    known = (*(f"_gtFine_{ending}" for ending in KINDS.values()), *_OTHERS)
    names = [path for path in found.refs if not any(cityscapes.image_of(path, ending) for ending in known)]
    if not names:
        return []
    return [warning("foreign_files", f"{len(names)} files are no labels, left aside: {', '.join(sorted(names)[:5])}")]


def _counted(partition, count, strict):
    """`count_differs` when the split is not the published one; subsets are everyday."""
    expected = cityscapes.COUNTS[partition]
    if count == expected:
        return []
    told = f"{count} images of {partition} are there, the published split has {expected}"
    if strict:
        raise BadItem(error("count_differs", f"{told}; unpack the whole download, or do not set strict_counts"))
    return [warning("count_differs", told)]
