"""A released MaskTerial tree, as the zip that Zenodo has (read where it lies, never unpacked) or as a folder.

Its files are published as they are, when they are right. Where in the zip the tree begins is found by looking for
`RLE_annotations/`. Large annotation files are inflated once into the stage, because what lies in them is then read by
ranges.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from segassets.components.maskterial_sources import NO_SET, Listing
from segassets.errors import Skip
from segassets.files.ref import Ref, files_at
from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats import few_shot as few
from segassets.formats import maskterial_checks as checks
from segassets.formats import maskterial_released as released
from segassets.formats import maskterial_tree_checks as tree
from segassets.formats.file_kinds import looks_like
from segassets.formats.maskterial import threshold_names
from segassets.formats.split_zip import safe_name
from segassets.store import names
from segassets.work.plans import each, files, groups

TOP = "RLE_annotations/"
PIECE = 1 << 22
_NAME = re.compile(
    r"(?P<split>train|test)_annotations(?P<class>_with_class)?_(?P<least>full|\d+)(?P<max>_max_\d+)?\.json"
)


@dataclass(frozen=True)
class Place:
    """Where a released tree lies: small, for workers. `archive` is a zip, or None for a folder; `prefix` in it."""

    root: str
    archive: str | None
    prefix: str
    version: str

    def ref(self, member: str) -> Ref:
        """A file of a folder."""
        return Ref(self.root, self.prefix + member)

    def read(self, member: str) -> bytes:
        """A file's bytes. BadItem `damaged_member`."""
        if self.archive is None:
            return self.ref(member).read()
        try:
            return _archive(self.root, self.archive, self.version).read(self.prefix + member)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as problem:
            told = f"{type(problem).__name__}: {problem}; download the archive again"
            raise BadItem(error("damaged_member", told, path=self.archive, member=member)) from None

    @contextlib.contextmanager
    def open(self, member: str):
        """A file as a stream."""
        if self.archive is None:
            with files_at(self.root).open(self.prefix + member) as stream:
                yield stream
        else:
            with _archive(self.root, self.archive, self.version).open(self.prefix + member) as stream:
                yield stream


@lru_cache(maxsize=4)
def _archive(root: str, path: str, version: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(files_at(root).open(path))


@dataclass
class Release:
    """A released tree of one dataset; `members`: paths below its top, and how many bytes each has."""

    place: Place
    members: Mapping[str, int]
    label: str
    scratch: str

    def below(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted."""
        return sorted(m[len(folder) :] for m in self.members if m.startswith(folder) and "/" not in m[len(folder) :])

    def annotation_names(self, split: str) -> dict[str, tuple[bool, int, str]]:
        """Annotation files of a split: name → (class-agnostic, least area, suffix such as `_max_10`)."""
        found = {}
        for name in self.below(TOP):
            match = _NAME.fullmatch(name)
            if match and match["split"] == split:
                least = 1 if match["least"] == "full" else int(match["least"])
                found[name] = (match["class"] is None, least, match["max"] or "")
        return found

    def annotation_file(self, name: str, agnostic: bool) -> checks.AnnotationFile:
        """One annotation file, read and checked (once a process)."""
        return _read(self.place, TOP + name, agnostic)

    def plain(self, member: str, folder: str = f"{names.HOME}/unpacked") -> Ref:
        """A file that can be read by ranges: itself, or its inflated copy in `folder` of the work area."""
        if self.place.archive is None:
            return self.place.ref(member)
        token = f"{self.place.root}/{self.place.archive} {self.place.version} {self.place.prefix}{member}"
        target = f"{folder}/{hashlib.sha256(token.encode()).hexdigest()[:24]}.json"
        here = files_at(self.scratch)
        if here.stat(target) is None:
            with self.place.open(member) as stream, here.create(target) as out:
                while piece := stream.read(PIECE):
                    out.write(piece)
        return Ref(self.scratch, target)

    def few_shot_ids(self, shot: int, run: int) -> set[int] | None:
        """Annotation ids of a released few-shot split; None when it has no such file."""
        member = f"{TOP}{shot}_shot/run_{run}/{few.WITH_CLASS_FILE}"
        if member not in self.members:
            return None
        with self.place.open(member) as stream:
            return {annotation["id"] for annotation in json.load(stream)["annotations"]}

    def size(self, member: str) -> int:
        """Bytes of a file; -1 for one that is not there."""
        return self.members.get(member, -1)

    def digest(self, member: str) -> str:
        """sha256 of a file."""
        return hashlib.sha256(self.place.read(member)).hexdigest()


#: Annotation files of the release that was read last: a million annotations are 100 MB, so that only one stays.
_files_read: dict[tuple[Place, str, bool], checks.AnnotationFile] = {}


def _read(place: Place, member: str, agnostic: bool) -> checks.AnnotationFile:
    if any(known != place for known, _, _ in _files_read):
        _files_read.clear()
    key = place, member, agnostic
    if key not in _files_read:
        with place.open(member) as stream:
            _files_read[key] = checks.read_file(stream, member, agnostic)
    return _files_read[key]


def find(raw, declared) -> Release | None:
    """The released tree of a dataset in the raw folder: its zip, or a folder with `RLE_annotations/`; None without.

    BadItem `bad_zip`, `unsafe_path` for an archive that cannot be used.
    """
    for path in declared.zip_places:
        if path in raw:
            return _zipped(raw, path)
    for path in raw.paths:
        before, found, _ = path.partition(f"/{TOP}")
        if found and (before == declared.dataset or before.startswith(f"{declared.dataset}/")):
            prefix = raw.ref(f"{before}/x").path[:-1]
            members = {p[len(before) + 1 :]: raw.files[p].size for p in raw.paths if p.startswith(f"{before}/")}
            version = hashlib.sha256(repr([(p, raw.files[p]) for p in raw.paths]).encode()).hexdigest()
            return Release(Place(raw.root, None, prefix, version), members, before, raw.scratch)
    return None


def _zipped(raw, path: str) -> Release:
    ref, listed = raw.ref(path), raw.files[path]
    try:
        archive = _archive(raw.root, ref.path, listed.version)
    except (zipfile.BadZipFile, OSError) as problem:
        told = f"no readable zip but {looks_like(ref.read(limit=4096))} ({problem}); download it again"
        raise BadItem(error("bad_zip", told, path=path)) from None
    members = {entry.filename: entry.file_size for entry in archive.infolist() if not entry.is_dir()}
    unsafe = [name for name in members if safe_name(name) != name]
    if unsafe:
        told = f"{len(unsafe)} members have names that lead out of the folder: refused"
        raise BadItem(error("unsafe_path", told, path=path, member=unsafe[0]))
    tops = sorted({name.partition(TOP)[0] for name in members if f"/{TOP}" in f"/{name}"}, key=len)
    if not tops:
        raise BadItem(error("no_tree", f"no {TOP} in it: this is no released dataset", path=path))
    below = {name[len(tops[0]) :]: size for name, size in members.items() if name.startswith(tops[0])}
    return Release(Place(raw.root, ref.path, tops[0], listed.version), below, path, raw.scratch)


def list_released(found: Release, split: str, declared, asset: str | None = None) -> Listing:
    """The images of a split, for an `asset` with the bytes at which their annotations lie. Skip when it has no
    annotation file.

    What is wrong with the files themselves fails the split: they are published as they are. An inflated copy of a
    zipped file lies in the asset's stage, and goes with it.
    """
    read, findings = read_split(found, split, declared.expects_all)
    if any(finding.severity == "error" for finding in findings):
        raise BadItem(*findings)
    name = base_name(found.annotation_names(split))
    base = read[name]
    folder = f"{split}_images/"
    findings += tree.image_findings(base, found.below(folder), {}, folder.rstrip("/"))
    document = found.plain(TOP + name, f"{names.stage(asset, split)}/unpacked") if asset else None
    spans = released.spans(base) if document else {}
    sets = set_of(found, split)
    present = set(found.below(folder))
    items = [
        {
            "image": image["file_name"],
            "path": f"{found.label}/{TOP}{name}",
            "record": image,
            "place": found.place,
            "source": folder + image["file_name"],
            "set_name": sets.get(image["file_name"].rpartition(".")[0], NO_SET),
            "parts": tuple(Ref(document.root, document.path, a, b - a) for a, b in spans.get(image["id"], ())),
        }
        for image in sorted(base.images.values(), key=lambda image: image["id"])
        if image["file_name"] in present
    ]
    folds = {other: partial(_copied, found.place, TOP + other) for other in found.annotation_names(split)}
    return Listing(released.released_item, items, findings, folds=folds, release=found)


def read_split(found: Release, split: str, whole: bool) -> tuple[dict[str, checks.AnnotationFile], list[Finding]]:
    """All annotation files of a split, by name, and what is wrong with each and among them. Skip without any."""
    rules = found.annotation_names(split)
    if not rules:
        raise Skip(f"{found.label} has no {TOP}{split}_annotations*.json")
    read, findings = {}, []
    for name, (agnostic, _, _) in rules.items():
        try:
            read[name] = found.annotation_file(name, agnostic)
        except BadItem as bad:
            findings += bad.findings
        else:
            findings += read[name].findings
    if whole:
        missing = sorted(set(threshold_names(split)) - set(rules))
        findings += [error("file_missing", f"the release has no {name}", path=TOP + name) for name in missing]
    for suffix in {suffix for _, _, suffix in rules.values()}:
        group = {name: rule[:2] for name, rule in rules.items() if rule[2] == suffix}
        findings += checks.sibling_findings(read, group)
    return read, findings


def base_name(rules: dict[str, tuple[bool, int, str]]) -> str:
    """The file that has most: with classes, the smallest threshold, no further limit."""
    return min(rules, key=lambda name: (rules[name][0], rules[name][1], rules[name][2]))


def set_of(found: Release, split: str) -> dict[str, str]:
    """Set of each image's stem; nothing where the release does not say."""
    member = f"meta_data/{split}_set_name_to_uuid.json"
    if member not in found.members:
        return {}
    try:
        sets, _ = tree.read_sets(found.place.read(member), member)
    except BadItem:
        return {}
    return {stem: name for name, stems in sets.items() for stem in stems}


def _copied(place: Place, member: str, records) -> Iterator[bytes]:
    """The released file as it is."""
    with place.open(member) as stream:
        while piece := stream.read(PIECE):
            yield piece


def annotations_at(document: Ref, spans) -> list[dict]:
    """The annotations that lie at some ranges of a file, in ascending order of their ids."""
    parts = [Ref(document.root, document.path, a, b - a) for a, b in spans]
    return sorted(released.read_parts(parts), key=lambda annotation: annotation.get("id", 0))


def list_masks(found: Release, split: str, annotations, declared):
    """Released semantic masks, each compared with its painting; painted anew where the release has none at all."""
    folder = f"{split}_semantic_masks/"
    source = groups(annotations, "image", "height", "width", "category_id", "counts", "area")
    if not found.below(folder):
        told = f"the release has no {folder}: painted from its annotations"
        note = [warning("no_masks", told, path=folder)]
        return each(source, released.painted_item, findings=note, more_than=declared.mask_threshold)
    images = {row["image"].rpartition(".")[0] for row in annotations.records(["image"])}
    extra = sorted(name for name in found.below(folder) if name.rpartition(".")[0] not in images)
    findings = [warning("mask_unlisted", "a mask of no image; left aside", path=folder + name) for name in extra]
    return each(
        source,
        released.mask_item,
        findings=findings,
        place=found.place,
        folder=folder,
        more_than=declared.mask_threshold,
    )


def meta_data(found: Release, split: str, annotations):
    """The released sets, as they are, checked against the images."""
    member = f"meta_data/{split}_set_name_to_uuid.json"
    if member not in found.members:
        return files(findings=[info("no_meta_data", f"the release has no {member}", path=member)])
    data = found.place.read(member)
    sets, findings = tree.read_sets(data, member)
    stems = {row["image"].rpartition(".")[0] for row in annotations.records(["image"])}
    findings += tree.set_findings(sets, stems, member)
    return files({member.rpartition("/")[2]: data}, findings=findings)
