"""`segassets inspect labelme|maskterial`: a folder outside the raw folder, checked without Dagster or a store."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from segassets.components import maskterial_release as release
from segassets.components import maskterial_sources as sources
from segassets.declaration import Option
from segassets.errors import Skip, UsageError
from segassets.findings import BadItem, Finding, error, warning
from segassets.formats import maskterial, maskterial_items
from segassets.formats import maskterial_checks as checks
from segassets.formats import maskterial_tree_checks as tree
from segassets.formats.labelme import Rasterizer
from segassets.formats.maskterial_classes import parse
from segassets.sources.raw import Raw


def inspect_labelme(path: Path, options: Mapping[str, str]) -> list[Finding]:
    """What is wrong with labelme files: `path` holds `classes.json` and the set folders. UsageError for a wrong call.

    Everything is checked as `maskterial/<dataset>/annotations` does, shapes are drawn, nothing is written.
    """
    values = _options(options, Option("rasterizer", Rasterizer, "labelme"))
    if not path.is_dir():
        raise UsageError(f"{path} is no folder; expected one with classes.json and folders of labelme files")
    name = path.absolute().name
    with tempfile.TemporaryDirectory(prefix="segassets-") as scratch:
        raw = _folder(path.absolute(), scratch)
        try:
            if f"{name}/classes.json" not in raw:
                told = "no classes.json: it says which label is which class"
                raise BadItem(error("no_classes", told, path=name))
            classes = parse(raw.read(f"{name}/classes.json"), "classes.json")
            listing = sources.list_labelme_folder(raw, name, f"{name}/", classes, values["rasterizer"])
        except Skip as nothing:
            return [error("no_annotations", str(nothing), path=name)]
        except BadItem as bad:
            return bad.findings
        return [*listing.findings, *_worked(listing)]


def _worked(listing: sources.Listing) -> Iterator[Finding]:
    for item in listing.items:
        read = {key: value.read() if hasattr(value, "read") else value for key, value in item.items()}
        try:
            yield from listing.work(**read, **listing.constants).findings
        except BadItem as bad:
            yield from bad.findings


def _folder(path: Path, scratch: str) -> Raw:
    """A folder (or file) anywhere, as if it were a dataset of a raw folder; its own name leads every path."""
    return Raw(str(path.parent.parent), path.parent.name, [f"{path.name}/*", path.name], scratch)


@dataclass(frozen=True)
class _Asked:
    """What `maskterial_release.find` wants to know of a declaration."""

    dataset: str
    zip_places: tuple[str, ...]


def inspect_maskterial(path: Path, options: Mapping[str, str]) -> list[Finding]:
    """What is wrong with a MaskTerial tree, a folder or a released zip: section 6 of the specification, all of it.

    Option `mask_threshold`: semantic masks show instances of more pixels than that. UsageError for a wrong call.
    """
    values = _options(options, Option("mask_threshold", int, maskterial.MASK_THRESHOLD))
    path = path.absolute()
    with tempfile.TemporaryDirectory(prefix="segassets-") as scratch:
        raw = _folder(path, scratch)
        try:
            found = release.find(raw, _Asked(path.name, (path.name,)))
        except BadItem as bad:
            return bad.findings
        if found is None:
            return [error("no_tree", f"no {release.TOP} in it: this is no MaskTerial dataset", path=path.name)]
        return list(check_release(found, values["mask_threshold"]))


def _options(given: Mapping[str, str], *known: Option) -> dict:
    names = [option.name for option in known]
    if unknown := sorted(set(given) - set(names)):
        raise UsageError(f"--set {unknown[0]}: this layout has {', '.join(names)}")
    return {option.name: option.parse(given.get(option.name, option.default)) for option in known}


def check_release(found: release.Release, mask_threshold: int) -> Iterator[Finding]:
    """Everything that can be wrong with a tree: each split by itself, then the two together."""
    digests: dict[str, dict[str, str]] = {}
    sets: dict[str, set[str]] = {}
    present = 0
    for split in sources.SPLITS:
        try:
            read, findings = release.read_split(found, split, True)
        except Skip:
            continue
        present += 1
        yield from findings
        yield from _check_split(found, split, read, mask_threshold, digests, sets)
    if not present:
        yield error("no_tree", f"no {release.TOP}<split>_annotations*.json", path=found.label)
    yield from _check_leaks(digests, sets)


def _check_split(found, split, read, mask_threshold, digests, sets) -> Iterator[Finding]:
    rules = {name: rule for name, rule in found.annotation_names(split).items() if name in read}
    if not rules:
        return
    name = release.base_name(rules)
    base = read[name]
    folder = f"{split}_images/"
    sizes, digests[split] = {}, {}
    for image in found.below(folder):
        data = found.place.read(folder + image)
        digests[split][image] = hashlib.sha256(data).hexdigest()
        try:
            sizes[image] = maskterial_items.displayed_size(data)
        except BadItem as bad:
            yield from (replace(finding, path=folder + image, image=image) for finding in bad.findings)
    yield from tree.image_findings(base, found.below(folder), sizes, folder.rstrip("/"))
    yield from _check_masks(found, split, name, base, mask_threshold)
    yield from _check_sets(found, split, base, sets)


def _check_masks(found, split, name, base, mask_threshold) -> Iterator[Finding]:
    """Sizes of run lengths, and every semantic mask against its painting."""
    spans = release.released.spans(base)
    document = found.plain(release.TOP + name)
    folder = f"{split}_semantic_masks/"
    there = set(found.below(folder))
    for image in sorted(base.images.values(), key=lambda image: image["id"]):
        annotations = release.annotations_at(document, spans.get(image["id"], ()))
        wrong = [checks.size_finding(annotation, image, base.path) for annotation in annotations]
        yield from (finding for finding in wrong if finding is not None)
        mask = f"{image['file_name'].rpartition('.')[0]}.png"
        if mask not in there:
            told = "the semantic mask of this image is missing (all zero when it has no flakes)"
            yield error("mask_missing", told, path=folder + mask, image=image["file_name"])
            continue
        expected = release.released.painting(annotations, (image["height"], image["width"]), mask_threshold)
        if expected is not None:  # else its annotations are wrong, which has been told
            yield from tree.mask_findings(found.place.read(folder + mask), expected, base.categories, folder + mask)
    stems = {str(image["file_name"]).rpartition(".")[0] for image in base.images.values()}
    for mask in sorted(there):
        if mask.rpartition(".")[0] not in stems:
            yield warning("mask_unlisted", "a mask of no listed image", path=folder + mask)


def _check_sets(found, split, base, sets) -> Iterator[Finding]:
    member = f"meta_data/{split}_set_name_to_uuid.json"
    if member not in found.members:
        yield warning("no_meta_data", f"there is no {member}", path=member)
        return
    try:
        named, findings = tree.read_sets(found.place.read(member), member)
    except BadItem as bad:
        yield from bad.findings
        return
    sets[split] = set(named)
    yield from findings
    yield from tree.set_findings(named, base.stems, member)


def _check_leaks(digests: Mapping[str, Mapping[str, str]], sets: Mapping[str, set[str]]) -> Iterator[Finding]:
    train, test = (digests.get(split, {}) for split in sources.SPLITS)
    by_stem = {name.rpartition(".")[0]: name for name in train}
    by_digest = {digest: name for name, digest in train.items()}
    for name, digest in sorted(test.items()):
        twin = by_stem.get(name.rpartition(".")[0]) or by_digest.get(digest)
        if twin is not None:
            told = f"the same image as train_images/{twin}: a model would be tested on what it was trained on"
            yield error("leak", told, path=f"test_images/{name}", image=name)
    for name in sorted(sets.get("train", set()) & sets.get("test", set())):
        told = f"the set {name} has images in train and in test: they were taken in one run, so the test says less"
        yield warning("shared_set", told, part=name)
