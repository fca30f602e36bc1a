"""Which frames Cityscapes-VPS has: the rule that gives every name, the dense lists, and the list JSONs.

Belongs here: `panoptic_im_*` and `im_all_info_*`, and numbering. Names of one frame are in `cityscapes_vps_frames`.
Source of the rules: the Cityscapes-VPS specification 1.2 and 2.7.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats.cityscapes import CITY
from segassets.formats.cityscapes_vps_frames import FrameName
from segassets.formats.cityscapes_vps_labels import CATEGORIES, REPAIRED_CATEGORIES
from segassets.formats.panoptic import MAX_PIXELS

_RULE = json.loads(resources.files(__package__).joinpath("cityscapes_vps_rule.json").read_bytes())

COUNTS: dict[str, int] = {split: known["frames"] for split, known in _RULE["splits"].items()}
"""Labelled frames of each split: six a clip (upstream's documentation states others)."""

LABELLED, STEP, CENTRAL = 6, 5, 4
SNIPPET, CENTRAL_POSITION = 30, 20
DATE = "2020-06-18 00:00:00.000000"  # of the release; a clock would make every run another version

_NAME = re.compile(rf"({CITY})_([0-9]{{6}})_([0-9]{{6}})")
_EXAMPLES = 3


def digest(names: Iterable[str]) -> str:
    """sha256 of the sorted names joined by a newline."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def is_published(central_names: Iterable[str]) -> bool:
    """Whether these are the 500 names of gtFine's val split, the only ones that the rule may number."""
    names = set(central_names)
    return len(names) == _RULE["central_names"]["count"] and digest(names) == _RULE["central_names"]["sha256"]


def split_of(clip: int) -> str:
    """Clips 5, 15, ... are val, 10, 20, ... test."""
    return {5: "val", 0: "test"}.get(clip % 10, "train")


def frames_by_rule(central_names: Iterable[str], split: str) -> list[FrameName]:
    """The labelled frames of a split, in image-id order, from `<city>_<seq>_<frame>` of all 20th frames.

    Clips are numbered by the sorted names; six labelled frames five apart, the fourth of which is the 20th frame.
    """
    frames = []
    for clip, name in enumerate(sorted(set(central_names)), 1):
        if split_of(clip) == split:
            city, sequence, centre = _NAME.fullmatch(name).groups()
            for j in range(1, LABELLED + 1):
                number = LABELLED * (clip - 1) + j
                frame = int(centre) + STEP * (j - CENTRAL)
                frames.append(FrameName(clip, number, city, int(sequence), frame, j == CENTRAL))
    return frames


def clips(frames: Iterable[FrameName]) -> dict[int, list[FrameName]]:
    """The frames of each clip, in temporal order."""
    found: dict[int, list[FrameName]] = {}
    for frame in sorted(frames):
        found.setdefault(frame.clip, []).append(frame)
    return found


def snippet(frames: Sequence[FrameName]) -> list[str]:
    """Cityscapes names of the 30 photographs of a clip, from its labelled frames: F-19 to F+10 around the 20th, F.

    Raises BadItem `no_central_frame` when none of them is the 20th, nor all six are there to tell.
    """
    central = next((frame for frame in frames if frame.central), None)
    if central is None:
        # Labelled frame j of the whole video has the number 6 (clip - 1) + j.
        first = frames[0]
        j = first.number - LABELLED * (first.clip - 1)
        if not 1 <= j <= LABELLED:
            told = f"clip {first.clip:04d} has no 20th frame, and frame {first.number} is none of its numbers"
            raise BadItem(error("no_central_frame", told, image=first.image_id))
        central = first._replace(frame=first.frame + STEP * (CENTRAL - j))
    start = central.frame - CENTRAL_POSITION
    return [central._replace(frame=start + k).cityscapes_name for k in range(1, SNIPPET + 1)]


def list_findings(frames: Sequence[FrameName], split: str, strict: bool = False) -> list[Finding]:
    """Of a frame list as a whole: incomplete_clip and count_differs (warnings; the latter raised when `strict`)."""
    findings = []
    short = {clip: len(members) for clip, members in clips(frames).items() if len(members) != LABELLED}
    if short:
        shown = ", ".join(f"{clip:04d} has {count}" for clip, count in list(short.items())[:_EXAMPLES])
        told = f"{len(short)} clips have not {LABELLED} labelled frames ({shown}): upstream's evaluation would shift"
        findings.append(warning("incomplete_clip", told))
    if len(frames) != COUNTS[split]:
        told = f"{len(frames)} labelled frames of {split} are listed, the published split has {COUNTS[split]}"
        if strict:
            raise BadItem(error("count_differs", f"{told}; get the whole release, or do not set strict_counts"))
        findings.append(warning("count_differs", told))
    return findings


def categories(flavour: str, things_only: bool = False) -> list[dict]:
    """The records of the JSONs: upstream's own, or with its two slips repaired."""
    records = CATEGORIES if flavour == "upstream" else REPAIRED_CATEGORIES
    return [record for record in records if record["isthing"] or not things_only]


def panoptic_im(rows: Iterable[Mapping], flavour: str) -> bytes:
    """`panoptic_im_<split>_city_vps.json`: panoptic_gt without annotations. `rows`: {frame, central, height, width}."""
    images = []
    for row in rows:
        frame = FrameName.from_image_id(row["frame"], central=row["central"])
        size = {"width": row["width"], "height": row["height"]}
        images.append({"id": frame.image_id, **size, "file_name": frame.file_name("photograph")})
    return json.dumps({"images": images, "categories": categories(flavour)}).encode()


def im_all_info(
    snippets: Mapping[int, Sequence[str]], sizes: Mapping[int, tuple[int, int]], split: str, flavour: str
) -> bytes:
    """`im_all_info_<split>_city_vps.json`: all photographs, in blocks of 30 a clip, in the order of clips.

    `snippets`: Cityscapes names, `sizes`: (height, width), both by clip. ids are n * 10000 + k, n the position of the clip in
    the split and k that in the snippet.
    """
    images = [
        {
            "id": 10000 * n + k,
            "file_name": f"{name}_leftImg8bit.png",
            "mode": split,
            "width": sizes[clip][1],
            "height": sizes[clip][0],
            "date_captured": DATE,
            "license": license_id(flavour),
            "coco_url": "",
            "flickr_url": "",
        }
        for n, (clip, members) in enumerate(snippets.items(), 1)
        for k, name in enumerate(members, 1)
    ]
    document = {"images": images, "annotations": [], "categories": categories(flavour, things_only=True)}
    return json.dumps(document).encode()


def license_id(flavour: str) -> int:
    """Upstream's images have license 1, and its list has license 0 only."""
    return 1 if flavour == "upstream" else 0


def dense_names(data: bytes) -> list[str]:
    """Names of a release list `im_all_info_*`, in its order. Raises BadItem `bad_json`."""
    wanted = 'an object with "images", a list of objects with "file_name", is expected: get it again'
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_json", f"it is no JSON ({str(problem)[:200]}): get it again")) from None
    records = document.get("images") if isinstance(document, dict) else None
    if not isinstance(records, list):
        raise BadItem(error("bad_json", f"it has no images; {wanted}"))
    named = [record.get("file_name") if isinstance(record, dict) else None for record in records]
    odd = [index for index, name in enumerate(named) if not isinstance(name, str)]
    if odd:
        raise BadItem(
            error(
                "bad_json", f"{len(odd)} of {len(named)} images have no file_name, images[{odd[0]}] for one; {wanted}"
            )
        )
    return [name.removesuffix("_leftImg8bit.png") for name in named]


def sizes_of(data: bytes) -> dict[str, tuple[int, int] | None]:
    """(height, width) by image id of a release list that is known to be one; None where it says something that is no
    size; records that say nothing are left out."""
    sizes = {}
    for record in json.loads(data)["images"]:
        if isinstance(record, dict) and isinstance(record.get("id"), str) and {"height", "width"} & record.keys():
            height, width = record.get("height"), record.get("width")
            whole = type(height) is int and type(width) is int and height > 0 and width > 0
            sizes[record["id"]] = (height, width) if whole and height * width <= MAX_PIXELS else None
    return sizes


def list_sizes_findings(
    listed: Mapping[str, tuple[int, int] | None], sizes: Mapping[str, tuple[int, int]]
) -> list[Finding]:
    """Warning `list_size_differs` when a release list says other sizes than the files have: the files decide."""
    false = [image_id for image_id in sizes if listed.get(image_id, sizes[image_id]) != sizes[image_id]]
    if not false:
        return []
    first = false[0]
    said = "no size" if listed[first] is None else "{1} x {0}".format(*listed[first])
    told = f"the list says another size of {len(false)} of {len(sizes)} frames, {said} of {first} for one"
    return [warning("list_size_differs", f"{told}: the files decide, which have {sizes[first][1]} x {sizes[first][0]}")]


def odd_sizes(
    sizes: Mapping[str, tuple[int, int]],
    clips: Mapping[str, int],
    wanted: Mapping[str, tuple[int, int] | None] | None = None,
) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
    """Items that are of another size than `wanted`, else than most of their clip: (theirs, the right one) by item.

    Where as many of a clip have one size as another, that which more of the whole split have is right.
    """
    everywhere = Counter(sizes.values())
    of_clip: dict[int, Counter] = {}
    for item, size in sizes.items():
        of_clip.setdefault(clips[item], Counter())[size] += 1
    usual = {clip: max(of, key=lambda size: (of[size], everywhere[size])) for clip, of in of_clip.items()}
    right = {item: (wanted or {}).get(item) or usual[clips[item]] for item in sizes}
    return {item: (size, right[item]) for item, size in sizes.items() if size != right[item]}


def united(*named: Iterable[FrameName]) -> list[FrameName]:
    """The frames that any of several kinds of names speaks of, each once, in image-id order."""
    found: dict[str, FrameName] = {}
    for frames in named:
        for frame in frames:
            found.setdefault(frame.image_id, frame)
    return [found[image_id] for image_id in sorted(found)]


def with_central(named: Sequence[FrameName], central_names: Iterable[str]) -> list[FrameName]:
    """Frames that masks' names speak of, and the 20th frames of their clips that Cityscapes has masks of.

    The release has no masks of 20th frames; where they lie follows from any other frame of the clip.
    """
    known = set(central_names)
    found = list(named)
    for members in clips(named).values():
        first = members[0]
        number = LABELLED * (first.clip - 1) + CENTRAL
        frame = first._replace(number=number, frame=first.frame + STEP * (number - first.number), central=True)
        if all(member.number != number for member in members) and frame.cityscapes_name in known:
            found.append(frame)
    return sorted(found)


def not_in_rule(frames: Iterable[FrameName], by_rule: Iterable[FrameName], source: str) -> list[Finding]:
    """Errors `frame_list_differs` for frames that the rule does not give; fewer than it gives are a subset."""
    known = set(by_rule)
    return [
        error("frame_list_differs", f"{source} has it, the rule of numbering gives no such frame", image=frame.image_id)
        for frame in frames
        if frame not in known
    ]


def misnumbered(frames: Iterable[FrameName], split: str) -> list[Finding]:
    """Warning `numbering_differs` when names break the rule of numbering: a clip is of one split, and of its six
    numbers the fourth is the 20th frame. They are used as they are, for the names decide what belongs together.
    """
    odd = {}
    for frame in frames:
        first = LABELLED * (frame.clip - 1) + 1
        if split_of(frame.clip) != split:
            odd[frame.image_id] = f"clip {frame.clip:04d} is of {split_of(frame.clip)}"
        elif not first <= frame.number < first + LABELLED:
            odd[frame.image_id] = f"clip {frame.clip:04d} has the numbers {first} to {first + LABELLED - 1}"
        elif frame.central != (frame.number == first + CENTRAL - 1):
            odd[frame.image_id] = (
                f"of clip {frame.clip:04d} number {first + CENTRAL - 1} alone is Cityscapes' own frame"
            )
    if not odd:
        return []
    shown = "; ".join(f"{image_id}: {why}" for image_id, why in list(odd.items())[:_EXAMPLES])
    told = f"{len(odd)} names of {split} are not as the release numbers frames ({shown})"
    return [warning("numbering_differs", f"{told}: used as they are; compare with the release if it is meant to be it")]
