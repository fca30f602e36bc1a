"""Where a MaskTerial dataset's annotations come from, and which images a split has: listings, nothing is decoded here.

Sources: labelme files, a Label Studio export, instance masks; a released tree is in `maskterial_release`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from posixpath import join, normpath
from typing import Any

from segassets.errors import Skip
from segassets.findings import BadItem, Finding, error, warning
from segassets.formats import instance_masks, label_studio, labelme, maskterial
from segassets.formats import maskterial_items as items
from segassets.formats.maskterial_classes import Classes, layers, parse

SPLITS = ("train", "test")
KINDS = ("labelme", "labelstudio", "instance_masks", "released")
GENERATED = "generated"
LABEL_STUDIO = ("native.json", "result.json")
SIDECAR = "instance_classes.json"
NO_SET = "unassigned"
PIECE = 1 << 22


@dataclass
class Listing:
    """The images of a split: one dictionary an image for `work`, sorted by published name."""

    work: Callable
    items: list[dict]
    findings: list[Finding]
    constants: dict[str, Any] = field(default_factory=dict)
    agnostic: bool = False
    folds: dict[str, Callable] | None = None
    release: Any = None


def kind_of(raw, dataset: str, wanted: str, release: str | None) -> str:
    """Which source the raw folder has. Skip when there is none, BadItem `several_sources` when it is not clear."""
    there = [
        kind
        for kind, present in {
            "labelme": _any(raw, f"{dataset}/labelme/"),
            "labelstudio": any(
                path.rsplit("/", 1)[-1] in LABEL_STUDIO for path in _below(raw, f"{dataset}/labelstudio/")
            ),
            "instance_masks": _any(raw, f"{dataset}/instance_masks/"),
            "released": release is not None,
        }.items()
        if present
    ]
    if wanted != "auto":
        if wanted not in there:
            raise Skip(f"there is no {wanted} source of {dataset} in the raw folder's {raw.dataset}/")
        return wanted
    if not there:
        raise Skip(f"the raw folder's {raw.dataset}/ has nothing of {dataset} ({', '.join(KINDS)})")
    if len(there) > 1:
        told = f"{dataset} has the sources {' and '.join(there)}: say `source: {there[0]}` in its YAML, or remove one"
        raise BadItem(error("several_sources", told, path=dataset))
    return there[0]


def _below(raw, prefix: str) -> Iterable[str]:
    return (path for path in raw.paths if path.startswith(prefix))


def _any(raw, prefix: str) -> bool:
    return next(iter(_below(raw, prefix)), None) is not None


def classes_of(raw, dataset: str, declared: Classes | None, count: int | None) -> tuple[Classes, list[Finding]]:
    """The classes: those of the YAML, else of `classes.json`, else one a layer; a warning where the first two differ.

    BadItem `no_classes` when nobody says which there are.
    """
    path = f"{dataset}/classes.json"
    written = parse(raw.read(path), path) if path in raw else None
    if declared is not None:
        if written is not None and written != declared:
            told = "it differs from the classes in the dataset's YAML, which are used"
            return declared, [warning("classes_differ", told, path=path)]
        return declared, []
    if written is not None:
        return written, []
    if count:
        return layers(count), []
    told = "no classes: put a classes.json there, or `classes` into the dataset's YAML"
    raise BadItem(error("no_classes", told, path=path))


def list_labelme(raw, dataset: str, split: str, classes: Classes, rasterizer: str) -> Listing:
    """The labelme files of a split. Skip when the split has no folder; BadItem `no_annotations` when it has no file."""
    return list_labelme_folder(raw, dataset, f"{dataset}/labelme/{split}/", classes, rasterizer)


def list_labelme_folder(raw, dataset: str, folder: str, classes: Classes, rasterizer: str) -> Listing:
    """The labelme files below a folder, whose own folders are the sets."""
    paths = list(_below(raw, folder))
    documents = [path for path in paths if path.endswith(".json") and path != f"{dataset}/classes.json"]
    if not paths:
        raise Skip(f"there is no {folder} in the raw folder's {raw.dataset}/")
    if not documents:
        told = f"{len(paths)} files and no labelme JSON among them"
        raise BadItem(error("no_annotations", told, path=folder.rstrip("/")))
    photos = {_stem(path): path for path in paths if _suffix(path) in maskterial.PHOTOGRAPHS}
    listed, findings = [], []
    for path in documents:
        try:
            listed.append(_labelme_item(raw, dataset, folder, path, photos.get(_stem(path))))
        except BadItem as bad:
            findings += bad.findings
    used = {item["source"] for item in listed}
    for photo in sorted(set(photos.values()) - used):
        told = "no labelme file of it: left out (an empty one says that there are no flakes)"
        findings.append(warning("not_annotated", told, path=photo))
    constants = {"classes": classes, "rasterizer": "labelme" if rasterizer == "auto" else rasterizer}
    return _listing(items.labelme_item, listed, findings, constants)


def _labelme_item(raw, dataset: str, folder: str, path: str, photo: str | None) -> dict:
    set_name = path[len(folder) :].rpartition("/")[0].replace("/", "_") or NO_SET
    document = raw.ref(path)
    if photo is None:
        photo = _named_photo(raw, dataset, path, document.read())
    source = photo or f"{path}#imageData"
    suffix = _suffix(photo) if photo else items.embedded_kind(document.read())
    stem = _stem(photo or path).rsplit("/", 1)[-1]
    sha256 = None if maskterial.is_uuid(stem) else _sha256(raw, photo) if photo else _embedded_sha256(document.read())
    return {
        "image": maskterial.image_name(stem, suffix, dataset, sha256),
        "path": path,
        "document": document,
        "photo": raw.ref(photo) if photo else None,
        "set_name": set_name,
        "source": source,
    }


def _named_photo(raw, dataset: str, path: str, data: bytes) -> str | None:
    """The photograph that imagePath names, when it is there. BadItem `image_path_escapes` outside the dataset."""
    named = labelme.image_path(data)
    if named is None:
        return None
    folder = path.rpartition("/")[0]
    if labelme.is_absolute(named):
        found = f"{folder}/{named.rsplit('/', 1)[-1]}"  # somebody else's computer: look beside the file
    else:
        found = normpath(join(folder, named))
        if not found.startswith(f"{dataset}/"):
            told = f"imagePath {named!r} leads out of the dataset's folder"
            raise BadItem(error("image_path_escapes", told, path=path, image=_stem(path).rsplit("/", 1)[-1]))
    return found if found in raw else None


def _embedded_sha256(data: bytes) -> str:
    try:
        return hashlib.sha256(labelme.read(data).image_data or b"").hexdigest()
    except BadItem:
        return hashlib.sha256(data).hexdigest()  # it is rejected anyway, under some name


def list_label_studio(raw, dataset: str, split: str, only: str, classes: Classes) -> Listing:
    """The pictures of a Label Studio export: `native.json` (which keeps brushes), else `result.json`."""
    folder = _split_folder(raw, f"{dataset}/labelstudio/", split, only)
    found = {path.rsplit("/", 1)[-1]: path for path in _below(raw, folder) if path.endswith(".json")}
    name = next((name for name in LABEL_STUDIO if name in found), None)
    if name is None:
        raise Skip(f"there is no {' or '.join(LABEL_STUDIO)} in the raw folder's {raw.dataset}/{folder}")
    path = found[name]
    read = label_studio.read_native if name == LABEL_STUDIO[0] else label_studio.read_coco
    pictures = read(raw.read(path), path=path)
    photos = {p.rsplit("/", 1)[-1]: p for p in _below(raw, folder) if _suffix(p) in maskterial.PHOTOGRAPHS}
    listed, findings = [], []
    for picture in pictures:
        photo = photos.get(picture.name)
        if any(finding.code == "not_annotated" for finding in picture.findings):
            findings += picture.findings
        elif photo is None:
            told = f"there is no {folder}images/{picture.name}"
            findings.append(error("image_missing", told, path=path, image=picture.name))
        else:
            listed.append(_item(raw, dataset, photo, path, picture=picture))
    return _listing(items.label_studio_item, listed, findings, {"classes": classes})


def list_instance_masks(raw, dataset: str, split: str, only: str, classes: Classes) -> Listing:
    """Instance masks with a photograph of the same name beside each, and the sidecar of their classes."""
    folder = _split_folder(raw, f"{dataset}/instance_masks/", split, only)
    paths = list(_below(raw, folder))
    photos = {_stem(path): path for path in paths if _suffix(path) in (".jpg", ".jpeg")}
    masks = [path for path in paths if _suffix(path) == ".png"]
    if not masks:
        raise Skip(f"there is no mask in the raw folder's {raw.dataset}/{folder}")
    path = next((p for p in paths if p.rsplit("/", 1)[-1] == SIDECAR), None)
    sidecar = instance_masks.read_sidecar(raw.read(path), path=path) if path else None
    listed, findings = [], []
    for mask in masks:
        stem = _stem(mask).rsplit("/", 1)[-1]
        photo = photos.get(_stem(mask))
        if photo is None:
            told = f"there is no photograph {stem}.jpg beside it"
            findings.append(error("image_missing", told, path=mask, image=stem))
        else:
            known = None if sidecar is None else sidecar.get(stem, {})
            listed.append(_item(raw, dataset, photo, mask, indices=raw.ref(mask), sidecar=known))
    listing = _listing(items.instance_mask_item, listed, findings, {"classes": classes})
    listing.agnostic = sidecar is None and len(classes.ids) > 1
    if listing.agnostic:
        told = f"no {SIDECAR}: class-agnostic files only, and no semantic masks"
        listing.findings.append(warning("no_sidecar", told))
    return listing


def _item(raw, dataset: str, photo: str, path: str, **more: Any) -> dict:
    stem = _stem(photo).rsplit("/", 1)[-1]
    name = maskterial.image_name(
        stem, _suffix(photo), dataset, None if maskterial.is_uuid(stem) else _sha256(raw, photo)
    )
    return {"image": name, "path": path, "photo": raw.ref(photo), "set_name": NO_SET, "source": photo, **more}


def _split_folder(raw, top: str, split: str, only: str) -> str:
    """The folder of a split; a source without split folders belongs to `only`. Skip for the other split."""
    if any(_any(raw, f"{top}{name}/") for name in SPLITS):
        return f"{top}{split}/"
    if split != only:
        raise Skip(f"{top} has no folders train/ and test/, so that all of it is {only} (attribute `split`)")
    return top


def _listing(work: Callable, listed: list[dict], findings: list[Finding], constants: Mapping[str, Any]) -> Listing:
    """Sorted by name; a second file of a name is an error."""
    kept: dict[str, dict] = {}
    stems: dict[str, str] = {}
    for item in sorted(listed, key=lambda item: (item["image"], item["path"])):
        stem = _stem(item["image"])
        if stem in stems:
            told = f"the same image as {stems[stem]}: keep one of them"
            findings.append(error("duplicate_image", told, path=item["path"], image=stem))
        else:
            stems[stem] = item["path"]
            kept[item["image"]] = item
    return Listing(work, list(kept.values()), findings, dict(constants))


def leaks(
    mine: Mapping[str, str],
    others: Mapping[str, str],
    split: str,
    size_of: Callable[[str], int],
    digest_of: Callable[[str], str],
) -> list[Finding]:
    """Images that are in both splits, by name or byte for byte. `mine`, `others`: published name → source.

    Only images of equal size are read. An error in the test split, which then leaves them out; a warning in the
    training split, which keeps them.
    """
    report = error if split == "test" else warning
    stems = {_stem(name): source for name, source in others.items()}
    sizes: dict[int, list[str]] = {}
    for source in others.values():
        sizes.setdefault(size_of(source), []).append(source)
    findings = []
    for name, source in mine.items():
        twin = stems.get(_stem(name))
        candidates = sizes.get(size_of(source), []) if twin is None else []
        if candidates:
            digest = digest_of(source)
            twin = next((other for other in candidates if digest_of(other) == digest), None)
        if twin is not None:
            told = f"the same image as {twin} of the other split: a model would be tested on what it was trained on"
            findings.append(report("leak", told, path=source, image=_stem(name)))
    return findings


def raw_size(raw, source: str) -> int:
    """Bytes of a source's photograph, or of the JSON that it is embedded in."""
    path = source.partition("#")[0]
    return raw.files[path].size if path in raw else -1


def raw_digest(raw, source: str) -> str:
    """sha256 of a source's photograph, or of the JSON that it is embedded in."""
    return _sha256(raw, source.partition("#")[0])


def _sha256(raw, path: str) -> str:
    digest = hashlib.sha256()
    with raw.open(path) as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _stem(path: str) -> str:
    return path.rpartition(".")[0] if "." in path.rsplit("/", 1)[-1] else path


def _suffix(path: str) -> str:
    return path[len(_stem(path)) :].lower()
