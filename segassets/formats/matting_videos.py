"""The video layout: frames, alphas and masks of every frame, clips. Source: the MaGGIe specification 2.3."""

from __future__ import annotations

import re
from collections.abc import Callable

from segassets.findings import error, warning
from segassets.formats.matting_dataset import MAX_INSTANCES, Folders, Judged, Layout, Sample

_NUMBER = re.compile(r"\d+")


def judge_video(folders: Folders, layout: Layout, judged: Judged, pngs: Callable) -> Judged:
    """Videos are what the alpha folder lists; the frames of each what `fgr` lists, in text order."""
    alphas, frames = f"{layout.split}/{layout.alpha_dir_name}", f"{layout.split}/fgr"
    if not folders.has(alphas):
        judged.findings.append(error("missing_alpha_dir", "this folder is missing: the loader raises", path=alphas))
        judged.index = None
        return judged
    for name in folders.files(alphas):
        code = "hidden_file" if name.startswith(".") else "foreign_file"
        message = "the loader takes every name here for a video and raises: remove it"
        judged.findings.append(error(code, message, path=f"{alphas}/{name}"))
        judged.index = None
    videos = folders.folders(alphas)
    for video in folders.folders(frames):
        if video not in videos:
            message = f"no folder {alphas}/{video}: this video is never used"
            judged.findings.append(error("missing_alpha_video", message, path=f"{frames}/{video}", image=video))
    for video in videos:
        if not folders.has(f"{frames}/{video}"):
            message = f"no frames in {frames}/{video}: the loader's constructor raises, and nothing can be used"
            judged.findings.append(error("missing_frames", message, path=f"{alphas}/{video}", image=video))
            judged.index = None
            continue
        _judge_one(folders, layout, judged, video, pngs)
    return judged


def _judge_one(folders: Folders, layout: Layout, judged: Judged, video: str, pngs: Callable) -> None:
    frames = f"{layout.split}/fgr/{video}"
    names = folders.listdir(frames)
    length, step = layout.clip
    starts = range(0, len(names) - length + 1, step)
    if not starts:
        message = f"{len(names)} frames, a clip for {layout.mode} has {length}: silently unused"
        judged.findings.append(warning("video_too_short", message, path=frames, image=video))
    numbers = [int(_NUMBER.findall(name)[-1]) for name in names if _NUMBER.search(name)]
    if numbers != sorted(numbers):
        message = "frames are read in the order of their text, which is not that of their numbers: pad with zeros"
        judged.findings.append(error("frame_order", message, path=frames, image=video))
    used = {number for start in starts for number in range(start, start + length)}
    samples = [_frame(folders, layout, judged, video, name, number in used, pngs) for number, name in enumerate(names)]
    judged.samples += [sample for sample in samples if sample is not None]
    _instances(layout, judged, video, [sample for sample in samples if sample is not None])
    stems = {name.replace(".jpg", "") for name in names}
    below = f"{layout.split}/{layout.alpha_dir_name}/{video}"
    for name in folders.listdir(below):
        if name not in stems:
            message = "alphas without a frame: never read"
            judged.findings.append(warning("missing_frames", message, path=f"{below}/{name}", image=video))
    if judged.index is not None:
        judged.index += [[video, start, names[start : start + length]] for start in starts]


def _frame(folders: Folders, layout: Layout, judged: Judged, video: str, name: str, used: bool, pngs) -> Sample | None:
    """One frame with its alphas and, where the loader reads any, masks."""
    path = f"{layout.split}/fgr/{video}/{name}"
    if name.startswith("."):
        judged.findings.append(
            error("hidden_file", "the loader takes it for a frame: remove it", path=path, image=video)
        )
        return None
    if not name.endswith(".jpg"):
        message = "only .jpg is cut off the name when alphas are looked for: convert the frames"
        judged.findings.append(error("frame_extension", message, path=path, image=video))
        return None
    below = [layout.alpha_dir_name, *([layout.mask_dir_name] if layout.uses_masks else [])]
    stem = name.replace(".jpg", "")
    found = []
    for folder in below:
        here = f"{layout.split}/{folder}/{video}/{stem}"
        taken, foreign = pngs(folders, here, listed=True)
        judged.findings += [error(f.code, f.message, path=f.path, image=video) for f in foreign]
        if folder == layout.alpha_dir_name and not taken:
            judged.findings.append(error("missing_alpha_dir", f"no alphas in {here}", path=path, image=video))
        found.append(taken)
    masks = found[1] if len(found) > 1 else []
    if layout.uses_masks:
        _masks(layout, judged, video, found[0], masks)
    return Sample(f"{video}/{stem}", path, found[0], masks, video, used)


def _masks(layout: Layout, judged: Judged, video: str, alphas: list[str], masks: list[str]) -> None:
    """One mask must exist for every alpha, under its name."""
    have = {path.rsplit("/", 1)[1] for path in masks}
    known = {path.rsplit("/", 1)[1] for path in alphas}
    for path in alphas:
        if path.rsplit("/", 1)[1] not in have:
            message = f"no mask of this name in {layout.mask_dir_name}: the loader fails on every clip with this frame"
            judged.findings.append(error("alpha_without_mask", message, path=path, image=video))
    for path in masks:
        if path.rsplit("/", 1)[1] not in known:
            judged.findings.append(warning("mask_without_alpha", "never read", path=path, image=video))


def _instances(layout: Layout, judged: Judged, video: str, samples: list[Sample]) -> None:
    """All frames have the same instances in the same order; at most ten are used."""
    names = [[path.rsplit("/", 1)[1] for path in sample.alphas] for sample in samples if sample.alphas]
    if not names:
        return
    for sample, here in zip((s for s in samples if s.alphas), names, strict=True):
        if here != names[0]:
            message = (
                f"{len(here)} alphas ({', '.join(here[:4])}), the first frame has {len(names[0])} "
                f"({', '.join(names[0][:4])}): the loader fails, or mixes instances up"
            )
            folder = f"{layout.split}/{layout.alpha_dir_name}/{sample.key}"
            judged.findings.append(error("instances_differ", message, path=folder, image=video))
            break
    if len(names[0]) > MAX_INSTANCES:
        message = f"{len(names[0])} instances, the first {MAX_INSTANCES} by name are used"
        judged.findings.append(warning("too_many_instances", message, path=f"{layout.split}/fgr/{video}", image=video))
