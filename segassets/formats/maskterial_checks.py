"""What is wrong with MaskTerial annotation files that somebody else made, each by itself and among them.

Rules: MaskTerial specification, section 6. Files are read from streams and remembered as a few numbers an annotation,
so that a million of them fit. Not here: images, masks and sets (`maskterial_tree_checks`), nor where files lie.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats import rle
from segassets.formats.maskterial_json import records

TOLD = 20  # findings of one kind about one file that are told one by one
LISTS = ("images", "annotations", "categories")


@dataclass
class AnnotationFile:
    """A file as it was read: images by id, and for every annotation its id, image, category, area, a digest of its
    mask, and the bytes at which it lies."""

    path: str
    images: dict[int, dict] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    ids: array = field(default_factory=lambda: array("q"))
    image_ids: array = field(default_factory=lambda: array("q"))
    category_ids: array = field(default_factory=lambda: array("q"))
    areas: array = field(default_factory=lambda: array("d"))
    marks: array = field(default_factory=lambda: array("q"))
    starts: array = field(default_factory=lambda: array("q"))
    stops: array = field(default_factory=lambda: array("q"))
    findings: list[Finding] = field(default_factory=list)
    others: dict[str, Any] = field(default_factory=dict)
    _told: dict[str, int] = field(default_factory=dict)

    def tell(self, finding: Finding) -> None:
        """Keep a finding, unless there are many of its kind already."""
        told = self._told[finding.code] = self._told.get(finding.code, 0) + 1
        if told <= TOLD:
            self.findings.append(finding)

    def close(self) -> None:
        for code, told in self._told.items():
            if told > TOLD:
                self.findings.append(error(code, f"{told - TOLD:,} more of these", path=self.path))

    @property
    def stems(self) -> dict[str, str]:
        """Names of the listed images, by stem."""
        return {str(image["file_name"]).rpartition(".")[0]: str(image["file_name"]) for image in self.images.values()}


def read_file(stream: BinaryIO, path: str, agnostic: bool, measure: bool = True) -> AnnotationFile:
    """Read and check one annotation file; with `measure` areas and boxes are compared with the masks. BadItem
    `bad_json`, `bad_document`."""
    found = AnnotationFile(path)
    seen: set[str] = set()
    pending: list[dict] = []
    try:
        for record in records(stream):
            seen.add(record.key)
            if record.index == -1:
                continue
            if record.key not in LISTS:
                found.others[record.key] = record.value
            elif record.index is None or not isinstance(record.value, dict):
                raise BadItem(error("bad_document", f"{record.key} is no list of objects: no COCO file"))
            elif record.key == "images":
                _take_image(found, record.value, record.index)
            elif record.key == "categories":
                _take_category(found, record.value, record.index, agnostic)
            else:
                _take_annotation(found, record.value, record.index, (record.start, record.stop))
                pending.append(record.value)
                if len(pending) >= 2048:
                    check_masks(found, pending, measure)
                    pending = []
        if missing := [key for key in LISTS if key not in seen]:
            raise BadItem(error("bad_document", f"no list {', '.join(missing)} at the top level: no COCO file"))
    except BadItem as bad:
        raise BadItem(*(_at(finding, path) for finding in bad.findings)) from None
    check_masks(found, pending, measure)
    _check_references(found)
    found.close()
    return found


def _at(finding: Finding, path: str) -> Finding:
    return finding if finding.path else replace(finding, path=path)


def _take_image(found: AnnotationFile, image: dict, index: int) -> None:
    whole = all(type(image.get(key)) is int and image[key] > 0 for key in ("width", "height"))
    if type(image.get("id")) is not int or not isinstance(image.get("file_name"), str) or not whole:
        told = f"images[{index}] needs whole numbers id, width, height and a file_name"
        found.tell(error("bad_image_record", told, path=found.path, index=index))
    elif image["id"] in found.images:
        found.tell(error("duplicate_image", f"image id {image['id']} is there twice", path=found.path, index=index))
    else:
        name = image["file_name"]
        if "/" in name or "\\" in name:
            told = f"file_name {name!r} has a folder: loaders look for the bare name in the images' folder"
            found.tell(error("file_name", told, path=found.path, image=name))
        found.images[image["id"]] = {key: image[key] for key in ("id", "file_name", "width", "height")}


def _take_category(found: AnnotationFile, category: dict, index: int, agnostic: bool) -> None:
    number = category.get("id")
    if type(number) is not int:
        found.tell(error("bad_category", f"categories[{index}] has no whole number id", path=found.path, index=index))
        return
    if number < 1:
        told = f"category id {number}: 0 is the background, classes begin at 1"
        found.tell(error("category_zero", told, path=found.path, index=index))
    found.categories[number] = str(category.get("name", ""))


def _take_annotation(found: AnnotationFile, annotation: dict, index: int, place: tuple[int, int]) -> None:
    number = annotation.get("id")
    where = {"path": found.path, "index": index, "annotation_id": number if type(number) is int else None}
    if type(number) is not int:
        found.tell(error("bad_id", f"annotations[{index}] has the id {number!r}, expected a whole number", **where))
        number = -1
    elif number < 1:
        told = f"annotation id {number}: pycocotools' evaluation takes 0 for unmatched; ids begin at 1"
        found.tell(error("id_zero", told, **where))
    if "iscrowd" not in annotation:
        found.tell(error("no_iscrowd", f"annotation {number} has no iscrowd: COCOeval raises KeyError", **where))
    elif annotation["iscrowd"] not in (0, False):
        told = f"annotation {number} has iscrowd {annotation['iscrowd']!r}: it is left out of training; expected 0"
        found.tell(error("iscrowd", told, **where))
    if annotation.get("ignore"):
        found.tell(error("ignore", f"annotation {number} has `ignore`: detectron2 refuses it", **where))
    segmentation = annotation.get("segmentation")
    counts = segmentation.get("counts") if isinstance(segmentation, dict) else None
    mark = (
        (annotation.get("image_id"), str(counts))
        if not isinstance(counts, list)
        else (annotation.get("image_id"), tuple(counts))
    )
    area = annotation.get("area")
    found.ids.append(number)
    found.image_ids.append(annotation["image_id"] if type(annotation.get("image_id")) is int else -1)
    found.category_ids.append(annotation["category_id"] if type(annotation.get("category_id")) is int else -1)
    found.areas.append(float(area) if isinstance(area, (int, float)) else -1.0)
    found.marks.append(int.from_bytes(hashlib.blake2b(repr(mark).encode(), digest_size=7).digest(), "big"))
    found.starts.append(place[0])
    found.stops.append(place[1])


def check_masks(found: AnnotationFile, annotations: Sequence[dict], measure: bool = True) -> None:
    """Run lengths that are none, and areas and boxes that are not those of the mask."""
    by_size: dict[tuple[int, int], list[tuple[dict, str | bytes]]] = {}
    for annotation in annotations:
        segmentation = annotation.get("segmentation")
        if not isinstance(segmentation, dict):
            what = "polygon" if isinstance(segmentation, list) else type(segmentation).__name__
            told = f"annotation {annotation.get('id')}: {what} found, RLE required: run the conversion"
            found.tell(error("not_rle", told, **_where(found, annotation)))
            continue
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
            told = f"annotation {annotation.get('id')}: size {size} is not [height, width]"
            found.tell(error("bad_rle", told, **_where(found, annotation)))
            continue
        try:
            text = rle.from_uncompressed(counts, tuple(size)) if isinstance(counts, list) else counts
        except rle.RleError as problem:
            found.tell(_bad_rle(found, annotation, problem))
            continue
        by_size.setdefault(tuple(size), []).append((annotation, text))
    for size, members in by_size.items():
        whole = _whole(found, size, members)
        if measure and whole:
            _measure(found, size, whole)


def _whole(found: AnnotationFile, size: tuple[int, int], members: list[tuple[dict, str | bytes]]) -> list:
    """The members whose run lengths are masks of this size; the others are told."""
    try:
        problems = rle.validate_all([text for _, text in members], size)
    except rle.RleError as problem:  # the size itself
        problems = [str(problem)] * len(members)
    for (annotation, _), problem in zip(members, problems, strict=True):
        if problem:
            found.tell(_bad_rle(found, annotation, problem))
    return [member for member, problem in zip(members, problems, strict=True) if not problem]


def _where(found: AnnotationFile, annotation: dict) -> dict:
    number = annotation.get("id")
    return {"path": found.path, "annotation_id": number if type(number) is int else None}


def _bad_rle(found: AnnotationFile, annotation: dict, problem: object) -> Finding:
    return error("bad_rle", f"annotation {annotation.get('id')}: {problem}", **_where(found, annotation))


def _measure(found: AnnotationFile, size: tuple[int, int], members: list[tuple[dict, str]]) -> None:
    areas, boxes = rle.stats([text for _, text in members], size)
    for (annotation, _), area, box in zip(members, areas.tolist(), boxes.tolist(), strict=True):
        number = annotation.get("id")
        where = _where(found, annotation)
        if annotation.get("area") != area:
            told = f"annotation {number}: area is {annotation.get('area')!r}, its mask has {area} pixels"
            found.tell(error("area", told, **where))
        stated = annotation.get("bbox")
        if not isinstance(stated, list) or list(stated) != box:
            found.tell(error("bbox", f"annotation {number}: bbox is {stated}, that of its mask {box}", **where))


def _check_references(found: AnnotationFile) -> None:
    """Ids, images and categories that annotations name, and sizes of masks."""
    where = {"path": found.path}
    ids = np.array(found.ids, np.int64)
    unique, counts = np.unique(ids, return_counts=True)
    for number in unique[counts > 1].tolist():
        told = f"annotation id {number} is there {counts[unique == number][0]} times: ids join the files"
        found.tell(error("duplicate_id", told, annotation_id=number, **where))
    known = found.categories
    gap = sorted(set(range(1, max(known, default=0) + 1)) - set(known))
    if gap:
        told = f"category ids are {sorted(known)}: {gap[0]} is missing, training heads need 1 to N"
        found.tell(warning("category_gap", told, **where))
    for k in np.flatnonzero(~np.isin(np.array(found.category_ids, np.int64), list(known))).tolist():
        told = f"annotation {ids[k]}: category {found.category_ids[k]} is none of {sorted(known)}"
        code = "category_zero" if found.category_ids[k] == 0 else "unknown_category"
        found.tell(error(code, told, annotation_id=int(ids[k]), **where))
    for k in np.flatnonzero(~np.isin(np.array(found.image_ids, np.int64), list(found.images))).tolist():
        told = f"annotation {ids[k]}: image {found.image_ids[k]} is not in `images`"
        found.tell(error("unknown_image", told, annotation_id=int(ids[k]), **where))


def size_finding(annotation: Mapping, image: Mapping, path: str) -> Finding | None:
    """A mask of another size than its image; a swapped one decodes in silence."""
    segmentation = annotation.get("segmentation")
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    wanted = [image["height"], image["width"]]
    if size is None or size == wanted:
        return None
    swapped = " is [width, height]" if size == wanted[::-1] else ""
    told = f"annotation {annotation.get('id')}: size {size}{swapped}, expected [height, width] {wanted}"
    return error("rle_size", told, path=path, annotation_id=annotation.get("id"), image=image["file_name"])


def sibling_findings(files: Mapping[str, AnnotationFile], rules: Mapping[str, tuple[bool, int]]) -> list[Finding]:
    """Whether every file is the exact filter of the full one, with the same images; `rules`: name → (agnostic, least).

    Compared with the first file that has classes and the smallest threshold; files that are not there are left to
    the caller.
    """
    names = sorted((least, agnostic, name) for name, (agnostic, least) in rules.items() if name in files)
    if not names:
        return []
    full = files[names[0][2]]
    findings: list[Finding] = []
    for least, agnostic, name in names[1:]:
        findings += _compare(full, files[name], least, agnostic and not names[0][1])
    return findings


def _compare(full: AnnotationFile, other: AnnotationFile, least: int, agnostic: bool) -> list[Finding]:
    findings = []
    where = {"path": other.path}
    if {**full.stems} != {**other.stems}:
        differing = sorted(set(full.stems) ^ set(other.stems))
        told = f"{len(differing)} images are not in this file and in {full.path} ({', '.join(differing[:3])})"
        findings.append(error("images_differ", told, image=differing[0] if differing else None, **where))
    rule = f"instances of at least {least} pixels"
    (mine, mine_at), (theirs, theirs_at) = (
        np.unique(np.array(f.ids, np.int64), return_index=True) for f in (other, full)
    )
    mine_area, theirs_area = np.array(other.areas)[mine_at], np.array(full.areas)[theirs_at]
    for k in np.flatnonzero((mine_area >= 0) & (mine_area < least))[:TOLD]:
        told = f"annotation {mine[k]} has {mine_area[k]:g} pixels; this file holds {rule}"
        findings.append(error("below_threshold", told, annotation_id=int(mine[k]), **where))
    for k in np.flatnonzero((theirs_area >= least) & ~np.isin(theirs, mine))[:TOLD]:
        told = f"annotation {theirs[k]} of {full.path} ({theirs_area[k]:g} pixels) is missing; this file holds {rule}"
        findings.append(error("missing_instance", told, annotation_id=int(theirs[k]), **where))
    for number in np.setdiff1d(mine, theirs)[:TOLD].tolist():
        findings.append(
            error("extra_instance", f"annotation {number} is not in {full.path}", annotation_id=number, **where)
        )
    both, here, there = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    here, there = mine_at[here], theirs_at[there]
    for k in np.flatnonzero(np.array(other.marks)[here] != np.array(full.marks)[there])[:TOLD]:
        told = f"annotation {both[k]} has another mask than in {full.path}: with and without class they differ"
        findings.append(error("sibling_mismatch", told, annotation_id=int(both[k]), **where))
    if not agnostic:
        found, expected = np.array(other.category_ids)[here], np.array(full.category_ids)[there]
        for k in np.flatnonzero(found != expected)[:TOLD]:
            told = f"annotation {both[k]} has category {found[k]}, {expected[k]} in {full.path}"
            findings.append(error("sibling_mismatch", told, annotation_id=int(both[k]), **where))
    return findings
