"""Synthetic training sets: group photographs and videos by the draws of upstream's scripts."""

import re
from functools import lru_cache

import dagster as dg

from segassets.artifact import artifact
from segassets.defs.maggie import show
from segassets.errors import Skip, UsageError
from segassets.findings import BadItem, error, warning
from segassets.formats.synthesis import chosen
from segassets.formats.synthesis_items import IMAGE_ROWS, synthetic_image
from segassets.formats.synthesis_lists import plain_path, read_list, unlike_frames
from segassets.formats.synthesis_video import NUMBERS, drawn
from segassets.formats.synthesis_video_items import VIDEO_ROWS, synthetic_video
from segassets.sources.refused import broken_in
from segassets.work.plans import Items, each

IMAGES, RANGE = 50_000, 100
IMAGE_SOURCES, VIDEO_SOURCES = "sources/image/", "sources/video/"
IMAGE_ROOT, BG_ROOT, INVALID_NAMES = "HHM/train/images", "BG-20K/train", "invalid_him.txt"
FEW_CLIPS = 29  # the shorter one of upstream's lists


def _ranges(first, last):
    return [f"{start:05d}-{start + RANGE - 1:05d}" for start in range(first - first % RANGE, last + 1, RANGE)]


ID_RANGES = dg.StaticPartitionsDefinition(_ranges(0, IMAGES - 1))
VIDEO_RANGES = dg.StaticPartitionsDefinition(
    [
        f"{split}-{level}-{key}"
        for (split, level), spans in NUMBERS.items()
        for key in dict.fromkeys(key for first, last in spans for key in _ranges(first, last))
    ]
)

MAGGIE = {
    "non_commercial": True,
    "link": dg.MetadataValue.url("https://huggingface.co/datasets/chuonghm/MaGGIe-HIM"),
    "citation": "Huynh et al., MaGGIe, CVPR 2024, arXiv:2404.16035 (the recipe); each source has a paper of its own",
}
image_sources = dg.AssetSpec(
    ["maggie", "sources", "image"],
    partitions_def=ID_RANGES,
    group_name="maggie",
    description="sources/image/: HHM's photographs and alphas, BG-20K's backgrounds, names that are not used.",
    metadata={"licence": "each source has terms of its own: HHM50K (SparseMat), BG-20K (GFM)", **MAGGIE},
)
video_sources = dg.AssetSpec(
    ["maggie", "sources", "video"],
    partitions_def=VIDEO_RANGES,
    group_name="maggie",
    description="sources/video/: lists of clips and backgrounds, and the frames that they name.",
    metadata={"licence": "each source has terms of its own: VideoMatte240K, VM108, CRGNN", **MAGGIE},
)


def _few_pictures(partition, raw):
    """Upstream makes as many images as HHM has pictures; of a smaller folder not 50,000 by themselves."""
    folder = f"{IMAGE_SOURCES}HHM/train/images/"
    count = _number_below(raw, folder)
    if count and int(partition.split("-")[0]) >= max(count, RANGE):
        return f"{count} pictures in {folder}: numbers beyond that are made when they are named (--partition)"
    return None


@lru_cache(maxsize=4)
def _number_below(raw, folder):
    """Files below a folder; the same listing is asked once for each of 500 partitions."""
    return sum(path.startswith(folder) for path in raw.paths)


def _few_clips(partition, raw):
    """The same for videos: of a short list only the first hundred of each level."""
    split, level, first, _ = partition.split("-")
    path = f"{VIDEO_SOURCES}fg_{split}.txt"
    if path not in raw:
        return f"no {path} in {raw.root}/maggie"
    try:
        count = len(read_list(raw.read(path), path))
    except BadItem:
        return None  # that is told when it is made
    if count < FEW_CLIPS and int(first) // RANGE > NUMBERS[split, level][0][0] // RANGE:
        return f"{count} clips in {path}: numbers beyond the first hundred are made when they are named (--partition)"
    return None


@artifact(
    "maggie/synthetic_images",
    ID_RANGES,
    into="maggie/synthetic_images",
    reads="sources/image/*",
    raw="sources/image",
    rows=IMAGE_ROWS,
    code_version="3",
    show=show.synthetic_images,
    lacks=_few_pictures,
)
def synthetic_images(
    raw,
    partition,
    *,
    image_root: str = IMAGE_ROOT,
    bg_root: str = BG_ROOT,
    invalid_names: str = INVALID_NAMES,
    lossless: bool = False,
):
    """Two to four people on a background for every number of the range, as the published I-HIM50K was made.

    Upstream's draws, number by number, on lists sorted by name. A number that nobody finds a place in is a hole.
    """
    below = IMAGE_SOURCES
    listed = f"{below}{plain_path(invalid_names)}"
    if listed not in raw and invalid_names != INVALID_NAMES:
        raise UsageError(f"--set invalid_names={invalid_names}: there is no {listed} in the raw folder's maggie/")
    names = read_list(raw.read(listed), listed) if listed in raw else []
    people = _files_of(raw, f"{below}{plain_path(image_root)}/", ".jpg", {name.rpartition("/")[2] for name in names})
    backgrounds = _files_of(raw, f"{below}{plain_path(bg_root)}/", "", set())
    _enough(len(people), 4, "image_root", image_root, IMAGE_ROOT)
    _enough(len(backgrounds), 1, "bg_root", bg_root, BG_ROOT)
    # One picture less in a list, and every number is made of others.
    if broken := [*broken_in(raw, below + plain_path(image_root)), *broken_in(raw, below + plain_path(bg_root))]:
        raise BadItem(*broken)
    items = []
    alphas = {path: _alpha_path(path) for path in people}
    missing = [path for path in people if alphas[path] not in raw]
    if missing:
        told = f"there is no alpha of it; add its name to {invalid_names}"
        raise BadItem(*(error("alpha_missing", f"{told} ({alphas[path]})", path=path) for path in missing[:100]))
    first, last = (int(number) for number in partition.split("-"))
    for number in range(first, last + 1):
        picked, behind, _ = chosen(number, len(people), len(backgrounds))
        paths = [people[k] for k in picked]
        named = {path.rpartition("/")[2]: (raw.ref(path), raw.ref(alphas[path])) for path in paths}
        back = backgrounds[behind]
        items.append({"number": number, "people": named, "background": (back.rpartition("/")[2], raw.ref(back))})
    source = Items(items, "number", batch_items=10)
    return each(source, synthetic_image, foregrounds=len(people), backgrounds=len(backgrounds), lossless=lossless)


def _enough(found, needed, option, root, usual):
    """Without sources in the usual place there is nothing to do; a place that was named must have some."""
    if found >= needed:
        return
    told = f"{found} pictures in {IMAGE_SOURCES}{plain_path(root)} of the raw folder's maggie/"
    if root == usual:
        raise Skip(told)
    raise UsageError(f"--set {option}={root}: {told}, at least {needed} needed")


def _files_of(raw, folder, suffix, left_out):
    """Files of a folder, not of those in it, by the bytes of their names."""
    names = [path.removeprefix(folder) for path in raw.paths if path.startswith(folder)]
    names = [n for n in names if "/" not in n and n.endswith(suffix) and n not in left_out and not n.startswith(".")]
    return [folder + name for name in sorted(names, key=str.encode)]


def _alpha_path(path):
    """Upstream replaces every "images" in a path; the folder that SEGASSETS_RAW and ours add is not part of it."""
    tail = path.removeprefix(IMAGE_SOURCES)
    return IMAGE_SOURCES + tail.replace("images", "alphas").replace(".jpg", ".png")


@artifact(
    "maggie/synthetic_videos",
    VIDEO_RANGES,
    into="maggie/synthetic_videos",
    reads="sources/video/*",
    raw="sources/video",
    rows=VIDEO_ROWS,
    code_version="3",
    show=show.synthetic_videos,
    lacks=_few_clips,
)
def synthetic_videos(raw, partition, *, lossless: bool = False):
    """Two to four clips over a background for every number of the range, accepted by how much they cover each other.

    Each split and level in a folder of its own: upstream writes all levels of the test split into one, where they
    overwrite each other. Rejected numbers stand in the table, and are not tried again.
    """
    split, level, first, last = re.fullmatch(r"(\w+)-(\w+)-(\d+)-(\d+)", partition).groups()
    below = VIDEO_SOURCES
    lists = [f"{below}{kind}_{split}.txt" for kind in ("fg", "bg")]
    if any(path not in raw for path in lists):
        raise Skip(f"no {' and '.join(lists)} in the raw folder's maggie/")
    people, backs = ([plain_path(line) for line in read_list(raw.read(path), path)] for path in lists)
    frames = _by_folder(raw, below)
    findings = [
        error("missing", "the list names it, but there are no frames of it", path=f"{below}{name}")
        for name in [*people, *backs]
        if name not in frames and f"{below}{name}" not in raw
    ]
    for folder in dict.fromkeys([*people, *map(_alpha_folder, people), *backs]):
        findings += broken_in(raw, f"{below}{folder}") if folder in frames else []
    if findings:
        raise BadItem(*findings)
    if len(people) < 4:
        raise BadItem(error("too_few_clips", f"{len(people)} clips are listed, up to four are drawn", path=lists[0]))
    if not backs:
        raise BadItem(
            error("too_few_backgrounds", "no background is listed, one is drawn for every video", path=lists[1])
        )
    items, unlike = [], {}
    for number in _numbers(split, level, int(first), int(last)):
        picked, _ = drawn(number, level, len(people))
        clips = [(people[k], frames[people[k]], frames.get(_alpha_folder(people[k]))) for k in picked]
        unlike |= {name: _unlike(name, colours, alphas) for name, colours, alphas in clips if name not in unlike}
        if not any(finding.severity == "error" for name, _, _ in clips for finding in unlike[name]):
            items.append({"number": number, "clips": clips})
    return each(
        Items(items, "number", batch_items=2),
        synthetic_video,
        findings=[finding for name in sorted(unlike) for finding in unlike[name]],
        folder=f"{split}/{level}",
        level=level,
        list_length=len(people),
        stills=[name for name in backs if name.endswith(".jpg")],
        videos=[name for name in backs if not name.endswith(".jpg")],
        backgrounds={name: frames.get(name) or [raw.ref(f"{below}{name}")] for name in backs},
        lossless=lossless,
    )


def _unlike(clip, colours, alphas):
    """A finding where frames and alphas of a clip do not go together: upstream pairs them by their order."""
    if alphas is None:
        return []
    told = unlike_frames(*([ref.path.rpartition("/")[2] for ref in refs] for refs in (colours, alphas)))
    if told is None:
        return []
    where = f"{VIDEO_SOURCES}{clip}"
    remedy = f"complete it and {VIDEO_SOURCES}{_alpha_folder(clip)}, or take the clip off the list"
    if len(colours) < len(alphas):
        told = f"{told}: upstream fails where it draws an alpha without a frame, videos with this clip are left out"
        return [error("frames_differ", f"{told}; {remedy}", path=where)]
    told = f"{told}: paired by order, as upstream does, so that a frame gets another's alpha"
    return [warning("frames_differ", f"{told}; {remedy}", path=where)]


def _alpha_folder(clip):
    return f"/{clip}".replace("/fgr/", "/pha/")[1:]


def _numbers(split, level, first, last):
    spans = NUMBERS[split, level]
    return [number for number in range(first, last + 1) if any(a <= number <= b for a, b in spans)]


def _by_folder(raw, below):
    """Frames of every folder below `below`, sorted by name."""
    found = {}
    for path in raw.paths:
        folder, _, name = path.removeprefix(below).rpartition("/")
        if folder and not name.startswith("."):
            found.setdefault(folder, []).append(raw.ref(path))
    return found
