"""Names of Cityscapes-VPS frames: image ids, files of photographs and masks, the release's lists.

Belongs here: what a name says. Not here: pixels (`cityscapes_vps_labels`), files and folders.
Source of the rules: the Cityscapes-VPS specification 1.2 and 1.3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, NamedTuple

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats.cityscapes import CITY

Kind = Literal["photograph", "colour_mask", "instance_map"]

# What follows the image id: of a new frame, and of the 20th frame, which comes from Cityscapes itself.
_ENDINGS: dict[Kind, tuple[str, str]] = {
    "photograph": ("_newImg8bit.png", "_leftImg8bit.png"),
    "colour_mask": ("_final_mask.png", "_gtFine_color.png"),
    "instance_map": ("_original_image_instance_greyscale.png", "_gtFine_instanceIds.png"),
}
_IMAGE_ID = re.compile(rf"([0-9]{{4}})_([0-9]{{4}})_({CITY})_([0-9]{{6}})_([0-9]{{6}})")


class FrameName(NamedTuple):
    """A labelled frame: clip VVVV, frame number GGGG over all clips, and its place in Cityscapes.

    `central`: the 20th frame of its snippet, annotated in Cityscapes itself; its files are named as there.
    """

    clip: int
    number: int
    city: str
    sequence: int
    frame: int
    central: bool = False

    @classmethod
    def from_image_id(cls, image_id: str, central: bool = False) -> FrameName:
        """Parses `VVVV_GGGG_city_seq_frame`. Raises BadItem `unknown_name`."""
        match = _IMAGE_ID.fullmatch(image_id)
        if match is None:
            message = "not an image id, expected VVVV_GGGG_city_sequence_frame as in 0001_0001_frankfurt_000000_000279"
            raise BadItem(error("unknown_name", message, image=image_id))
        clip, number, city, sequence, frame = match.groups()
        return cls(int(clip), int(number), city, int(sequence), int(frame), central)

    @classmethod
    def from_file_name(cls, name: str, kind: Kind) -> FrameName:
        """Parses the bare file name of a photograph, colour mask or instance map. Raises BadItem `unknown_name`."""
        for central, ending in enumerate(_ENDINGS[kind]):
            image_id = name.removesuffix(ending)
            if image_id != name and _IMAGE_ID.fullmatch(image_id):
                return cls.from_image_id(image_id, bool(central))
        new, old = _ENDINGS[kind]
        message = f"not the name of a {kind.replace('_', ' ')}, expected <image id>{new} or <image id>{old}"
        raise BadItem(error("unknown_name", message, path=name))

    @property
    def image_id(self) -> str:
        """`VVVV_GGGG_city_seq_frame`, the id in panoptic_im and panoptic_gt."""
        return f"{self.clip:04d}_{self.number:04d}_{self.cityscapes_name}"

    @property
    def cityscapes_name(self) -> str:
        """`city_seq_frame`, the name in Cityscapes' own folders (the image id without its 10 first characters)."""
        return f"{self.city}_{self.sequence:06d}_{self.frame:06d}"

    def file_name(self, kind: Kind) -> str:
        """Name of the photograph, colour mask or instance map. Derived maps bear the colour mask's name."""
        return self.image_id + _ENDINGS[kind][self.central]

    def cityscapes_file_name(self, kind: Kind) -> str:
        """Name of the same file in Cityscapes' folders; masks exist there for central frames only."""
        return self.cityscapes_name + _ENDINGS[kind][1]


def instance_map_name(name: str) -> str:
    """The instance map's own name for one that bears the colour mask's; other names as they are."""
    for wrong, right in zip(_ENDINGS["colour_mask"], _ENDINGS["instance_map"], strict=True):
        if name.endswith(wrong):
            return name.removesuffix(wrong) + right
    return name


def frames_from_names(names: Iterable[str], kind: Kind) -> tuple[list[FrameName], list[Finding]]:
    """The frames that bare file names of one kind speak of, in image-id order, each once.

    Findings: unknown_name (warning: not of this kind, left aside), duplicate_frame (error: the same frame under both
    endings; neither can be preferred, so the frame is left out).
    """
    frames: dict[str, list[FrameName]] = {}
    findings = []
    for name in sorted(names):
        try:
            frame = FrameName.from_file_name(name, kind)
        except BadItem as problem:
            message = problem.findings[0].message
            findings.append(warning("unknown_name", f"{message}; left aside", path=name))
        else:
            frames.setdefault(frame.image_id, []).append(frame)
    unique, duplicates = _unique(frames, kind)
    return unique, findings + duplicates


def _unique(frames: dict[str, list[FrameName]], kind: Kind) -> tuple[list[FrameName], list[Finding]]:
    findings = []
    for image_id, same in frames.items():
        if len(same) > 1:
            message = f"is there {len(same)} times ({', '.join(frame.file_name(kind) for frame in same)}): keep one"
            findings.append(error("duplicate_frame", message, image=image_id))
    return [frames[image_id][0] for image_id in sorted(frames) if len(frames[image_id]) == 1], findings


def frames_from_release_list(data: bytes) -> tuple[list[FrameName], list[Finding]]:
    """The frames of a release list `panoptic_im_<split>_city_vps.json` (or of a panoptic_gt), in image-id order.

    Findings: unknown_name, name_differs (id and file name disagree), duplicate_frame (errors, the frame is left out).
    Raises BadItem `bad_json` or `not_a_frame_list`.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_json", f"it is no JSON ({str(problem)[:200]}): get it again")) from None
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list):
        raise BadItem(error("not_a_frame_list", "it has no list `images`, as panoptic_im_*.json has: get it again"))
    frames: dict[str, list[FrameName]] = {}
    findings = []
    for index, record in enumerate(images):
        try:
            frame = _frame_of_record(record)
        except BadItem as problem:
            image = record.get("id") if isinstance(record, dict) else None
            image = image if isinstance(image, str) and _IMAGE_ID.fullmatch(image) else None
            findings.append(replace(problem.findings[0], image=image, index=index))
        else:
            frames.setdefault(frame.image_id, []).append(frame)
    unique, duplicates = _unique(frames, "photograph")
    return unique, findings + duplicates


def _frame_of_record(record: object) -> FrameName:
    image_id, name = (record.get("id"), record.get("file_name")) if isinstance(record, dict) else (None, None)
    if not isinstance(image_id, str) or not isinstance(name, str):
        raise BadItem(error("unknown_name", "a record has not the strings `id` and `file_name`: get the list again"))
    try:
        frame = FrameName.from_file_name(name, "photograph")
    except BadItem as problem:
        raise BadItem(error("unknown_name", f"{name[:200]!r}: {problem.findings[0].message}")) from None
    if frame.image_id != image_id:
        raise BadItem(
            error("name_differs", f"the id {image_id[:200]!r} is not that of the file {name!r}: get the list again")
        )
    return frame
