"""What of the Cityscapes download is there: folders or official zips, under any top folder."""

from collections import Counter

import dagster as dg

from segassets import external
from segassets.errors import Skip
from segassets.findings import BadItem, error, warning
from segassets.formats import cityscapes, cityscapes_polygons
from segassets.formats.panoptic import png_size
from segassets.partitions import dynamic
from segassets.sources.png_ends import heads, looked_at
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

#: gtFine in a folder or zip, and what a user has there who put the inside of gtFine elsewhere, or left out the split:
#: no folder of a split begins as a city of the last pattern does, so that other splits are not read with this one.
GT = (
    "*gtFine/{partition}/*",
    "*gtFine*.zip",
    "*{partition}/*_gtFine_[!p]*",
    "*gtFine/[!tv]*_gtFine_[!p]*",
)
PHOTOGRAPHS = ("*leftImg8bit/{partition}/*", "*leftImg8bit*.zip")
LICENCE = ("*license.txt",)

KINDS = {"labels": "labelIds.png", "instances": "instanceIds.png", "polygons": "polygons.json"}
ENDINGS = {kind: f"_gtFine_{ending}" for kind, ending in {**KINDS, "colours": "color.png"}.items()}
_OTHERS = ("_gtFine_labelTrainIds.png", "_gtFine_instanceTrainIds.png")
_HEAD = 256  # bytes of a label file that say how large its image is
_BESIDE = 16  # images in a bucket whose four files are compared in size: each file is a request


class GroundTruth:
    """gtFine of a split: where the files of its images lie, and what is wrong with them.

    Raises Skip when the split has nothing of gtFine, BadItem `wrong_root` when its folders lie elsewhere.
    """

    def __init__(self, raw, partition):
        self.found = find(raw, f"gtFine/{partition}/*")
        self.paths, double = {}, {}
        for kind, ending in ENDINGS.items():
            self.paths[kind], twice = images_of(self.found, ending)
            for image, paths in twice.items():
                double.setdefault(image, []).extend(paths)
        images = set(double).union(*self.paths.values())
        if not images:
            _nothing(raw, partition)
        self.images = sorted(images, key=cityscapes.ImageName.parse)
        self.findings = [*self.found.findings, *strange(self.found, (*ENDINGS.values(), *_OTHERS), "labels")]
        odd = [*doubled(double, self.found), *self._odd_sizes()]
        self.findings += odd
        self.left_out = {finding.image for finding in odd}

    def ref(self, kind, image):
        """The file of a kind, or None."""
        path = self.paths[kind].get(image)
        return self.found.refs[path] if path else None

    def _odd_sizes(self):
        """Errors `size_differs` for images whose files are not all of one size, as far as they are looked at."""
        images = looked_at(self.found, self.images, _BESIDE)
        files = [(image, kind, of[image]) for image in images for kind, of in self.paths.items() if image in of]
        sizes = {}
        for (image, kind, _), head in zip(files, heads(self.found, [f[2] for f in files], _HEAD), strict=True):
            size = size_of(head)
            if size is not None:
                sizes.setdefault(image, {})[kind] = size
        return [self._odd_size(image, of) for image, of in sizes.items() if len(set(of.values())) > 1]

    def _odd_size(self, image, sizes):
        counts = Counter(sizes.values())
        odd = min(sizes, key=lambda kind: counts[sizes[kind]])
        shown = ", ".join(f"{ENDINGS[kind]} {width} x {height}" for kind, (height, width) in sizes.items())
        told = f"its files are not of one size ({shown}): get them again from one download"
        return error("size_differs", told, image=image, path=self.found.refs[self.paths[odd][image]].label)


def ground_truth(raw, partition, kind, strict_counts=False, needs=()):
    """gtFine of a split, the images that have a file of one kind (and of those that it `needs`), and findings.

    Images are sorted by city and name; they are {image, data, path}. One that has other files of gtFine but not
    these is an error: the download is not all there.
    """
    truth = GroundTruth(raw, partition)
    findings = [*truth.findings]
    usable = [image for image in truth.images if image not in truth.left_out]
    for wanted, why in {kind: "", **dict(needs)}.items():
        have = truth.paths[wanted]
        told = f"there is no *{ENDINGS[wanted]} for it ({len(have)} of {len(truth.images)} images have one){why}"
        lost = [image for image in usable if image not in have]
        findings += [error(f"{wanted}_missing", f"{told}: unpack gtFine wholly", image=image) for image in lost]
        usable = [image for image in usable if image in have]
    findings += _counted(partition, len(truth.images), strict_counts)
    refs = {image: truth.ref(kind, image) for image in usable}
    return truth, [{"image": image, "data": ref, "path": ref.label} for image, ref in refs.items()], findings


def images_of(found, ending):
    """The files of one kind: canonical path by image, and all paths of images that are there more than once."""
    paths = {}
    for path in found.refs:
        image = cityscapes.image_of(path, ending)
        if image is not None:
            paths.setdefault(image, []).append(path)
    once = {image: path[0] for image, path in paths.items() if len(path) == 1}
    return once, {image: sorted(path) for image, path in paths.items() if len(path) > 1}


def size_of(head):
    """(height, width) that the first bytes of a label file speak of; None where they do not."""
    try:
        return png_size(head)
    except BadItem:
        return cityscapes_polygons.size_of(head)


def doubled(double, found):
    """Errors `duplicate_image` for images that lie in more than one city's folder."""
    findings = []
    for image, paths in sorted(double.items()):
        shown = " and ".join(found.refs[path].label for path in paths)
        told = f"it is there {len(paths)} times ({shown}), and none can be preferred: keep one"
        findings.append(error("duplicate_image", told, image=image, path=found.refs[paths[0]].label))
    return findings


def _nothing(raw, partition):
    expected = f"cityscapes/gtFine/{partition}/<city>/*_instanceIds.png"
    for path, ref in find(raw, f"{partition}/*", "gtFine/*").refs.items():
        if any(cityscapes.image_of(path, ending) for ending in ENDINGS.values()) and not _of_other(path, partition):
            told = f"label files lie in {ref.label.rpartition('/')[0]}/: {expected} are expected"
            raise BadItem(error("wrong_root", f"{told}; move them into gtFine/{partition}/", path=ref.label))
    raise Skip(f"there are no {expected} in the raw folder, nor a zip of gtFine with them")


def _of_other(path, partition):
    """Whether files lie right, but are of another split."""
    return path.split("/")[1] in {*cityscapes.COUNTS} - {partition} and path.startswith("gtFine/")


def strange(found, endings, what):
    """Warning `foreign_files` of files beside the expected ones."""
    names = [path for path in found.refs if not any(cityscapes.image_of(path, ending) for ending in endings)]
    if not names:
        return []
    shown = ", ".join(sorted(names)[:5])
    told = f"{len(names)} files are no {what} of a <city>_<sequence>_<frame>, left aside: {shown}"
    return [warning("foreign_files", told)]


def _counted(partition, count, strict):
    """`count_differs` when the split is not the published one; subsets are everyday."""
    expected = cityscapes.COUNTS[partition]
    if count == expected:
        return []
    told = f"{count} images of {partition} are there, the published split has {expected}"
    if strict:
        raise BadItem(error("count_differs", f"{told}; unpack the whole download, or do not set strict_counts"))
    return [warning("count_differs", told)]
