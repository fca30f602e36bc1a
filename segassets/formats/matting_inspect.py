"""`segassets inspect` for the matting layouts and for archives: findings, index, summary of what is not (yet) raw.

Pure but for reading: the caller gives the listing and a function that reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from segassets.findings import Finding
from segassets.formats.matting_dataset import Folders, Judged, Layout, Sample
from segassets.formats.matting_layouts import judge
from segassets.formats.matting_samples import frame_sizes, look

#: Options of the layouts and their types, named as the loaders name them; the defaults are those of the published sets.
OPTIONS: dict[str, dict[str, tuple[type, Any]]] = {
    "maggie_image_train": {
        "split": (str, ""),
        "alpha_dir_name": (str, "alphas"),
        "mask_dir_name": (str, ""),
        "mode": (str, "train"),
    },
    "maggie_image_eval": {
        "split": (str, ""),
        "alpha_dir_name": (str, "alphas"),
        "mask_dir_name": (str, ""),
        "mode": (str, "test"),
    },
    "maggie_video": {
        "split": (str, ""),
        "alpha_dir_name": (str, "pha"),
        "mask_dir_name": (str, ""),
        "mode": (str, "test"),
        "clip_length": (int, 0),
        "clip_overlap": (int, -1),
    },
}
KINDS = {"maggie_image_train": "image_train", "maggie_image_eval": "image_eval", "maggie_video": "video"}


def split_of(layout: str, folders: Folders) -> str:
    """The only split that a folder has in this layout; empty when it has none or several."""
    inner = {"maggie_image_train": "images", "maggie_video": "fgr"}.get(layout)
    if inner is None:
        found = folders.folders("images")
    else:
        found = [name for name in folders.folders("") if folders.has(f"{name}/{inner}")]
    return found[0] if len(found) == 1 else ""


def inspect_samples(
    folders: Folders,
    layout: Layout,
    root: str,
    shown_root: str,
    read: Callable[[str], bytes],
    refused: Mapping[str, Finding],
) -> tuple[list[Finding], list | None, str]:
    """(findings, the loader's own index with paths from `shown_root` on, one line that sums it up).

    `refused`: path → why it cannot be read.
    """
    judged = judge(folders, layout, root)
    findings = list(judged.findings)
    sizes: dict[str, dict[str, tuple[int, int] | None]] = {}
    for sample in judged.samples:
        looked = look(sample, layout, read)
        findings += looked.findings
        if sample.video is not None:
            sizes.setdefault(sample.video, {})[sample.image] = looked.size
    for video, found in sizes.items():
        findings += frame_sizes(found, video)
    findings += unread(refused, (path for sample in judged.samples for path in files_of(sample)), layout)
    index = shown_index(judged, layout, shown_root)
    return findings, index, summary(judged, layout)


def shown_index(judged: Judged, layout: Layout, root: str) -> list | None:
    """The index in the loader's own form: [image, [alphas]], or [video, first frame, [frames]]."""
    if judged.index is None or layout.kind == "video":
        return judged.index
    return [[f"{root}/{image}", [f"{root}/{path}" for path in alphas]] for image, alphas in judged.index]


def summary(judged: Judged, layout: Layout) -> str:
    """How many samples the training code will really use."""
    if judged.index is None:
        return "the loader raises an exception before it has any sample"
    if layout.kind == "video":
        videos = len({sample.video for sample in judged.samples})
        used = len({entry[0] for entry in judged.index})
        return f"{videos:,} videos, {used:,} are used: {len(judged.index):,} clips of {layout.clip[0]} frames"
    crash = sum(not alphas for _, alphas in judged.index)
    told = f", {crash:,} of them crash when they are drawn" if crash else ""
    return f"{len(judged.samples):,} images, {len(judged.index):,} are used{told}"


def by_sample(judged: Judged) -> list[tuple[str, list[Sample], list[Finding]]]:
    """(key, its samples, findings of its names): an image, or a video with all its frames."""
    known: Mapping[str, list[Finding]] = {}
    for finding in judged.findings:
        if finding.image is not None:
            known.setdefault(finding.image, []).append(finding)
    grouped = groupby(judged.samples, key=lambda sample: sample.video or sample.key)
    return [(key, list(samples), known.get(key, [])) for key, samples in grouped]


def of_no_sample(judged: Judged) -> list[Finding]:
    """Findings that belong to no sample that is there."""
    keys = {sample.video or sample.key for sample in judged.samples}
    return [finding for finding in judged.findings if finding.image not in keys]


def files_of(sample: Sample) -> list[str]:
    """The files that are looked at for a sample."""
    return [sample.image, *sample.alphas, *sample.unmasked, *sample.masks]


def unread(refused: Mapping[str, Finding], read: Iterable[str], layout: Layout) -> list[Finding]:
    """Why files of a split cannot be read that belong to no sample, which would tell it; by the paths of the layout."""
    rest = set(refused).difference(read)
    return [replace(refused[path], path=path) for path in sorted(rest) if layout.split in path.split("/")[:-1][:2]]
