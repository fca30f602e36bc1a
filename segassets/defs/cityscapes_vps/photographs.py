"""Cityscapes' sequence photographs: which there are, and which of those that are wanted cannot be used."""

from segassets.defs.cityscapes.raw import doubled, images_of
from segassets.findings import BadItem, error
from segassets.formats import cityscapes_vps_lists as lists
from segassets.formats.panoptic import png_size
from segassets.sources.png_ends import heads, measured
from segassets.sources.zip_members import find

ENDING = "_leftImg8bit.png"
SEQUENCE = ("/cityscapes/*leftImg8bit_sequence/val/*", "/cityscapes/*leftImg8bit_sequence*.zip")
EXPECTED = f"cityscapes/leftImg8bit_sequence/val/<city>/*{ENDING}"


class Photographs:
    """The photographs of the sequences, by `<city>_<seq>_<frame>`."""

    def __init__(self, raw):
        self.found = find(raw, "leftImg8bit_sequence/val/*")
        self.paths, self.double = images_of(self.found, ENDING)

    @property
    def findings(self):
        return self.found.findings

    def __bool__(self):
        return bool(self.paths or self.double)

    def lacks(self, frame):
        """Whether there is no photograph of a frame, not even one too many."""
        return frame.cityscapes_name not in self.paths and frame.cityscapes_name not in self.double

    def ref(self, name):
        return self.found.refs[self.paths[name]]

    def size(self, names):
        """(height, width) of the first of some photographs that is there and can be read; None without one."""
        for path in (self.paths[name] for name in names if name in self.paths):
            try:
                return png_size(heads(self.found, [path])[0])
            except BadItem:
                continue  # an error of the artifact that publishes it
        return None

    def problems(self, names, sizes, clips):
        """Errors of the photographs that are wanted: missing, doubled, no whole PNG, of another size.

        By item: `names` the photographs, `sizes` the (height, width) that the labels have, `clips` of whose other
        photographs it must have the size where it has no labels.
        """
        double = {item: self.double[name] for item, name in names.items() if name in self.double}
        there = {item: self.paths[name] for item, name in names.items() if name in self.paths}
        lost = [item for item in names if item not in there and item not in double]
        findings = [
            error("photograph_missing", f"there is no {names[item]}{ENDING} among the {len(self.paths)} photographs of "
                  f"the sequences: {EXPECTED} are expected", image=item)
            for item in lost
        ]  # fmt: skip
        findings += doubled(double, self.found)
        return findings + picture_problems(self.found, there, sizes, clips)


def picture_problems(found, paths, sizes, clips):
    """Errors of pictures (canonical path by item): no whole PNG, or of another size than their labels or neighbours."""
    shapes, findings = measured(found, paths)
    for item, (size, wanted) in lists.odd_sizes(shapes, clips, sizes).items():
        told = (
            f"it has {size[1]} x {size[0]} pixels, its labels or the others of its clip have {wanted[1]} x {wanted[0]}"
        )
        path = found.refs[paths[item]].label
        findings.append(error("size_differs", f"{told}: get it again", image=item, path=path))
    return findings
