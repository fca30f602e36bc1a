"""The three folder structures of MaGGIe's loaders: what is where, what is wrong, which samples are really used.

Belongs here: rules about names, on a listing. Pixels are `matting_samples`' business. Paths are relative to the
loader's root. Source: the MaGGIe specification 2, which states what `maggie/dataloader/{him,vim}.py` (62344dd) do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats.matting_dataset import Folders, Judged, Layout, Sample
from segassets.formats.matting_videos import judge_video

_GLOB = re.compile(r"[\[\]*?]")


def judge(folders: Folders, layout: Layout, root: str = "") -> Judged:
    """Findings about names, samples, and the effective index. `root`: the path that the loader is given."""
    if not layout.split:
        return Judged(findings=_wrong_layout(folders, layout))
    return _JUDGES[layout.kind](folders, layout, root)


def image_folder(layout: Layout) -> str:
    """Where the pictures are."""
    if layout.kind == "image_eval":
        return f"images/{layout.split}"
    return f"{layout.split}/images" if layout.kind == "image_train" else f"{layout.split}/fgr"


def _stem(name: str) -> str:
    return name.replace(".jpg", "")


def _wrong_layout(folders: Folders, layout: Layout) -> list[Finding]:
    tops = folders.listdir("")
    others = [("image validation and testing", f"images/{name}")
              for name in ([layout.split] if layout.split else folders.folders("images"))]  # fmt: skip
    for split in [layout.split] if layout.split else tops:
        others += [("image training", f"{split}/images"), ("video", f"{split}/fgr")]
    found = [f"found {folder} (that is the layout for {name})" for name, folder in others if folders.has(folder)]
    expected = image_folder(replace(layout, split=layout.split or "<split>"))
    shown = found[0] if found else f"found {', '.join(tops[:6]) or 'nothing'}"
    expected = f"expected {expected} below the root; {shown}"
    return [error("layout", f"{expected}: choose the other layout or split, or move the folders", path="")]


def _images(folders: Folders, folder: str) -> tuple[list[str], list[Finding]]:
    """The pictures that the loaders' `*.jpg` finds, and what is wrong with the names of all files there."""
    taken, findings = [], []
    for name in folders.files(folder):
        path = f"{folder}/{name}"
        if name.endswith(".jpg") and not name.startswith("."):
            taken.append(name)
            findings += _name_findings(name, path)
        elif name.startswith("."):
            findings.append(warning("hidden_file", "a hidden file; the loader does not see it", path=path))
        elif name.lower().endswith((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")):
            message = "only *.jpg in lower case is read: this image is silently left out; convert or rename it"
            findings.append(error("image_extension", message, path=path, image=name))
        else:
            findings.append(warning("foreign_file", "not an image; the loader does not see it", path=path))
    return taken, findings


def _name_findings(name: str, path: str) -> Iterator[Finding]:
    stem = _stem(name)
    if _GLOB.search(stem):
        message = "[ ] * ? in a name are patterns to the loader, which then finds no alphas: rename it"
        yield error("glob_characters", message, path=path, image=stem)
    if ".jpg" in name.removesuffix(".jpg"):
        message = f"every .jpg in the name is cut out: its alphas are looked for in {stem}; rename it"
        yield error("stem_with_extension", message, path=path, image=stem)


def _pngs(folders: Folders, folder: str, listed: bool) -> tuple[list[str], list[Finding]]:
    """The pictures that a loader reads in a folder: of a listing every file, else `*.png`; and foreign files there."""
    taken, findings = [], []
    for name in folders.listdir(folder) if listed else folders.files(folder):
        path = f"{folder}/{name}"
        if name.endswith(".png") and not name.startswith("."):
            taken.append(path)
            continue
        if listed:
            taken.append(path)
        code = "hidden_file" if name.startswith(".") else "foreign_file"
        say = error if listed else warning
        fate = "the loader reads every file here and fails: remove it" if listed else "the loader does not read it"
        findings.append(say(code, f"expected only *.png; {fate}", path=path))
    return taken, findings


def _judge_train(folders: Folders, layout: Layout, root: str) -> Judged:
    folder, alphas = image_folder(layout), f"{layout.split}/{layout.alpha_dir_name}"
    judged = Judged()
    if not folders.has(folder):
        judged.findings = _wrong_layout(folders, layout)
        return judged
    names, judged.findings = _images(folders, folder)
    for name in names:
        stem = _stem(name)
        here = f"{alphas}/{stem}"
        taken, foreign = _pngs(folders, here, listed=False)
        if _GLOB.search(stem):
            taken = []
        elif not folders.has(here):
            message = f"no folder {here}: the loader keeps the sample and crashes when it is drawn"
            judged.findings.append(error("missing_alpha_dir", message, path=f"{folder}/{name}", image=stem))
        elif not taken:
            message = "no *.png in it: the loader keeps the sample and crashes when it is drawn"
            judged.findings.append(error("empty_alpha_dir", message, path=here, image=stem))
        judged.findings += foreign
        judged.samples.append(Sample(stem, f"{folder}/{name}", taken))
    judged.findings += _orphans(folders, layout, alphas, folder)
    judged.index = [[sample.image, sample.alphas] for sample in judged.samples]
    return judged


def _orphans(folders: Folders, layout: Layout, alphas: str, images: str) -> list[Finding]:
    # An image of another extension has its own finding; its alphas are not orphans as well.
    stems = {re.sub(r"\.[^.]*$", "", name) for name in folders.files(images)}
    stems |= {_stem(name) for name in folders.files(images)}
    message = "alphas without an image: never read"
    extra = [name for name in folders.folders(alphas) if name not in stems]
    orphans = [warning("orphan_alpha_dir", message, path=f"{alphas}/{name}") for name in extra]
    return orphans if layout.kind == "video" else orphans + _loose(folders, alphas)


def _loose(folders: Folders, folder: str) -> list[Finding]:
    """Files where a loader looks for folders only."""
    return [
        warning("hidden_file" if name.startswith(".") else "foreign_file", "never read", path=f"{folder}/{name}")
        for name in folders.files(folder)
    ]


def _judge_eval(folders: Folders, layout: Layout, root: str) -> Judged:
    folder, judged = image_folder(layout), Judged()
    if not folders.has(folder):
        judged.findings = _wrong_layout(folders, layout)
        return judged
    names, judged.findings = _images(folders, folder)
    alphas = f"{layout.alpha_dir_name}/{layout.split}"
    indexed = f"{layout.mask_dir_name}/{layout.split}" if layout.uses_masks else alphas
    for name in names:
        judged.samples.append(_eval_sample(folders, layout, judged, f"{folder}/{name}", (alphas, indexed)))
    judged.findings += _orphans(folders, layout, alphas, folder)
    judged.findings += _loose(folders, indexed) if layout.uses_masks else []
    judged.findings += _name_in_path(layout, root, [s for s in judged.samples if s.used])
    judged.index = [[sample.image, sample.alphas] for sample in judged.samples if sample.used]
    return judged


def _eval_sample(folders: Folders, layout: Layout, judged: Judged, image: str, where: tuple[str, str]) -> Sample:
    """One image: what the loader indexes comes from the mask folder when there is one, else from the alpha folder."""
    stem = _stem(image.rsplit("/", 1)[1])
    alphas, indexed = (f"{folder}/{stem}" for folder in where)
    pngs, unread = _pngs(folders, alphas, listed=False)
    known = {path.rsplit("/", 1)[1] for path in pngs}
    if not folders.has(alphas):
        message = (
            f"no folder {alphas}: {'FileNotFoundError when' if layout.uses_masks else 'left out before'} it is used"
        )
        judged.findings.append(error("missing_alpha_dir", message, path=image, image=stem))
    elif not known:
        judged.findings.append(error("empty_alpha_dir", "no *.png in it", path=alphas, image=stem))
    if not folders.has(indexed):
        if layout.uses_masks and folders.has(alphas):
            message = "this folder is missing: the whole image is left out of the evaluation without a word"
            judged.findings.append(error("missing_mask_dir", message, path=indexed, image=stem))
        return Sample(stem, image, sorted(f"{alphas}/{name}" for name in known), used=False)
    taken, foreign = _pngs(folders, indexed, listed=True)
    judged.findings += [_of(finding, stem) for finding in foreign]
    if not layout.uses_masks:
        return Sample(stem, image, taken)
    judged.findings += [_of(finding, stem) for finding in unread]
    names = [path.rsplit("/", 1)[1] for path in taken]
    unmasked = [f"{alphas}/{name}" for name in sorted(known - set(names))]
    for path in unmasked:
        message = "no mask for it: left out of the evaluation without a word"
        judged.findings.append(warning("alpha_without_mask", message, path=path, image=stem))
    for name in names:
        if name not in known and name.endswith(".png") and known:
            message = f"there is no alpha {alphas}/{name}: FileNotFoundError when the sample is loaded"
            judged.findings.append(error("mask_without_alpha", message, path=f"{indexed}/{name}", image=stem))
    return Sample(stem, image, [f"{alphas}/{name}" for name in names], taken, unmasked=unmasked)


def further_masks(paths: Iterable[str], layout: Layout) -> dict[str, list[str]]:
    """Masks in all folders `masks*`, by sample (image's stem, or video): a dataset has one a detector, a loader reads one.

    `<masks>/<split>/<stem>/*.png`, or `<split>/<masks>/<stem or video>/...*.png`.
    """
    own = 0 if layout.kind == "image_eval" else 1
    depth = 5 if layout.kind == "video" else 4
    found: dict[str, list[str]] = {}
    for path in paths:
        steps = path.split("/")
        here = len(steps) == depth and steps[own].startswith("masks") and steps[1 - own] == layout.split
        if here and steps[-1].endswith(".png") and not steps[-1].startswith("."):
            found.setdefault(steps[2], []).append(path)
    return found


def _of(finding: Finding, stem: str) -> Finding:
    return replace(finding, image=stem)


def _name_in_path(layout: Layout, root: str, samples: list[Sample]) -> list[Finding]:
    """The loaders make a mask's path by replacing every occurrence of the alpha folder's name, wherever it stands."""
    if not layout.uses_masks:
        return []
    name = f"/{layout.alpha_dir_name}/" if layout.kind == "video" else layout.alpha_dir_name
    told = "the loader replaces it everywhere in a path and then looks for masks where none are: use another name"
    if name in (f"/{root}/" if layout.kind == "video" else root):
        return [error("name_in_path", f"the root's path has {layout.alpha_dir_name} in it, too; {told}", path="")]
    found = []
    for sample in samples:
        alpha = next(iter(sample.alphas), "")
        if f"/{alpha}".count(name) > 1:
            key = sample.video or sample.key
            found.append(
                error("name_in_path", f"{layout.alpha_dir_name} is in it twice; {told}", path=alpha, image=key)
            )
    return found


def _judge_video(folders: Folders, layout: Layout, root: str) -> Judged:

    if not folders.has(image_folder(layout)):
        return Judged(findings=_wrong_layout(folders, layout))
    judged = judge_video(folders, layout, Judged(), _pngs)
    judged.findings += _name_in_path(layout, root, judged.samples[:1])
    return judged


_JUDGES: dict[str, Callable[[Folders, Layout, str], Judged]] = {
    "image_train": _judge_train,
    "image_eval": _judge_eval,
    "video": _judge_video,
}


def find_root(paths: Iterable[str], layout: Layout, name: str) -> tuple[str, str]:
    """(prefix, added): the folder in a listing that holds the layout, and what the loader's own paths have before it.

    A download has at most two folders around it (`HIM2K/images/...`). Of a set that is its own split, such as I-HIM50K,
    the split's folder may be the top: its root is then the folder above, and `added` is `I-HIM50K/`. Of several the one
    nearest to the top is taken. Raises BadItem `layout` where two are equally near.
    """
    found = _roots(paths, layout, name)
    if len(found) > 1 and found[0][:2] == found[1][:2]:
        told = f"{found[0].pictures} and {found[1].pictures} could both be the pictures of {layout.split}: keep one of"
        raise BadItem(error("layout", f"{told} them here", path=name))
    return (found[0].prefix, found[0].added) if found else ("", "")


def nested_roots(paths: Iterable[str], layout: Layout, name: str) -> list[Finding]:
    """A warning for every other folder that looks like the split's: a backup, or the archive's own folder beside it."""
    told = "looks like this split, too, but lies deeper than the one that is read: it is left aside; move it elsewhere"
    return [
        warning("layout", f"{root.pictures} {told}", path=root.pictures) for root in _roots(paths, layout, name)[1:]
    ]


def has_split(paths: Iterable[str], layout: Layout, name: str) -> bool:
    """Whether a listing has pictures of the layout's split anywhere that `find_root` looks."""
    return bool(_roots(paths, layout, name))


class _Root(NamedTuple):
    """A folder that may be the loader's root. Sorted by depth of its folder of pictures; a named split comes first."""

    depth: int
    unnamed: bool
    pictures: str
    prefix: str
    added: str


def _roots(paths: Iterable[str], layout: Layout, name: str) -> list[_Root]:
    wanted = image_folder(layout)
    inner = wanted.removeprefix(f"{layout.split}/") if layout.kind != "image_eval" and layout.split == name else None
    found: dict[str, _Root] = {}
    for folder in {path.rpartition("/")[0] for path in paths}:
        steps = folder.split("/")
        for depth in range(min(3, len(steps))):
            # Archives of a Mac have a folder __MACOSX of the same structure, without pictures.
            if depth and (steps[depth - 1].startswith(".") or steps[depth - 1] == "__MACOSX"):
                break
            prefix = "".join(f"{step}/" for step in steps[:depth])
            for shape, added in ((wanted, ""), (inner, f"{layout.split}/")):
                pictures = f"{prefix}{shape}"
                if shape is not None and f"{folder}/".startswith(f"{pictures}/"):
                    root = _Root(pictures.count("/"), bool(added), pictures, prefix, added)
                    found[pictures] = min(root, found.get(pictures, root))
    return sorted(found.values())
