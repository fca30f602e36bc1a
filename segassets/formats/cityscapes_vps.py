"""Cityscapes-VPS: from colour masks and instance maps to panoptic videos and their ground-truth JSON.

Belongs here: segment ids over a video and the JSON. Names are in `cityscapes_vps_frames`, label maps of one frame in
`cityscapes_vps_labels`; both are offered here, so that one import serves the dataset. Not here: files and folders.
Source of the rules: the Cityscapes-VPS specification 2.4 and section 4 (quirk 7).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import numpy as np

from segassets.findings import BadItem, error
from segassets.formats import label_map
from segassets.formats.cityscapes_vps_frames import (
    FrameName,
    Kind,
    frames_from_names,
    frames_from_release_list,
    instance_map_name,
)
from segassets.formats.cityscapes_vps_labels import (
    CATEGORIES,
    FIRST_INSTANCE,
    FIRST_THING,
    REPAIRED_CATEGORIES,
    VOID,
    colour_code,
    colour_runs,
    ego_as_road,
    instance_runs,
    labelmap,
    panoptic_inst,
    panoptic_runs,
    read_colour_mask,
    read_instances,
)
from segassets.formats.label_map import Runs, Segments

__all__ = [
    "CATEGORIES", "REPAIRED_CATEGORIES", "VOID", "Flavour", "FrameName", "Kind", "category_of", "checked_segments",
    "colour_ids", "colour_runs", "ego_as_road", "frames_from_names", "frames_from_release_list", "instance_map_name",
    "instance_runs", "labelmap", "pan_values", "panoptic_gt", "panoptic_inst", "panoptic_runs", "panoptic_video",
    "read_colour_mask", "read_instances", "rgb_of", "structured_ids", "value_of_structured", "video_segments",
]  # fmt: skip

Flavour = Literal["clean", "upstream"]

_CLIP_STEP = 1 << 15
_MAX_STRUCTURED_CLIP = (1 << 24) // _CLIP_STEP - 1
_MAX_VALUE = len(CATEGORIES) * FIRST_INSTANCE - 1
_MOVED = 8000  # beyond the values that a clip's ids may have, and none of stuff's colours (a test says so)
_STUFF_IDS = frozenset(colour_code(record["color"]) for record in CATEGORIES if not record["isthing"])
_MAX_DISTANCE = 30
# The colours within the distance of a base are at least 31**3; so many vain draws mean that none is left.
_MAX_DRAWS = 1_000_000


def pan_values(pan: np.ndarray) -> list[int]:
    """The panoptic values in a frame that are segments (all but void), ascending. `pan`: uint16 (h, w).

    Raises BadItem `bad_panoptic_value` for values that no category has.
    """
    return [value for value in checked_segments(label_map.row_runs(pan)).values.tolist() if value != VOID]


def checked_segments(runs: Runs) -> Segments:
    """All values of a panoptic map, void included, with areas and boxes. Raises BadItem `bad_panoptic_value`."""
    if runs.values.dtype.kind not in "iu" or (
        runs.values.size and not 0 <= runs.values.min() <= runs.values.max() < 1 << 16
    ):
        raise BadItem(
            error("bad_panoptic_value", f"16-bit values are expected, {runs.values.dtype} with others was found")
        )
    found = label_map.segments(runs)
    values = found.values[found.values != VOID]
    things = values // FIRST_INSTANCE
    bad = values[~((values < len(CATEGORIES)) | ((things >= FIRST_THING) & (things < len(CATEGORIES))))]
    if bad.size:
        shown = ", ".join(map(str, bad[:5]))
        message = f"{bad.size} values belong to no category ({shown}); 0 to 18, 255, 11000 to 18999 are expected"
        raise BadItem(error("bad_panoptic_value", message))
    return found


def category_of(value: int) -> int:
    """The category of a panoptic value: itself below 1000, else its thousands."""
    return value if value < FIRST_INSTANCE else value // FIRST_INSTANCE


def structured_ids(values: Iterable[int], clip: int) -> dict[int, int]:
    """Segment id of each panoptic value: stuff its category's colour code, things clip * 32768 + value.

    A thing whose id would be the colour of stuff (clip 61, value 11002 is that of traffic lights) is moved by 8000,
    beyond all values. Independent of order and of other frames, reversible, 24 bits. A bare thing category, a crowd,
    is numbered as things are. Raises BadItem `clip_too_large` beyond clip 511.
    """
    if not 0 <= clip <= _MAX_STRUCTURED_CLIP:
        message = f"clip {clip} has no structured ids of 24 bits, at most {_MAX_STRUCTURED_CLIP}: use colours"
        raise BadItem(error("clip_too_large", message))
    return {value: _structured_id(value, clip) for value in values}


def _structured_id(value: int, clip: int) -> int:
    if value < FIRST_THING:
        return colour_code(CATEGORIES[value]["color"])
    number = clip * _CLIP_STEP + value
    return number + _MOVED if number in _STUFF_IDS else number


def value_of_structured(number: int) -> tuple[int, int] | None:
    """(clip, panoptic value) of a thing's structured id; None for the id of stuff."""
    if number in _STUFF_IDS:
        return None
    clip, value = divmod(number, _CLIP_STEP)
    return clip, value - _MOVED if value > _MAX_VALUE else value


def colour_ids(frames: Iterable[tuple[int, Iterable[int]]], seed: int = 0) -> dict[int, dict[int, int]]:
    """Segment ids as upstream draws them: {clip: {panoptic value: id}}, ids being colour codes.

    `frames`: (clip, panoptic values) of all frames of a split in image-id order. Stuff has its category's colour. A
    thing has the first time in the split its category's colour, then one drawn around it until it is unused; within a
    clip it keeps it. The draws are those of the legacy generator after `numpy.random.seed(seed)`.
    Raises BadItem `colours_exhausted` when a category has no colour left, ValueError when clips are not in order.
    Source: panopticapi's IdGenerator, one for the whole split.
    """
    random = np.random.RandomState(seed)
    taken = {colour_code(record["color"]) for record in CATEGORIES if not record["isthing"]}
    tables: dict[int, dict[int, int]] = {}
    current = None
    for clip, values in frames:
        if clip != current and clip in tables:
            raise ValueError(f"clip {clip} appears again after another clip: frames are not in image-id order")
        current = clip
        table = tables.setdefault(clip, {})
        for value in sorted(set(values) - table.keys()):
            table[value] = _draw_id(random, CATEGORIES[category_of(value)], taken)
    return tables


def _draw_id(random: np.random.RandomState, category: Mapping, taken: set[int]) -> int:
    base = colour_code(category["color"])
    if not category["isthing"]:
        return base
    code = base
    for _ in range(_MAX_DRAWS):
        if code not in taken:
            taken.add(code)
            return code
        shift = random.randint(-_MAX_DISTANCE, _MAX_DISTANCE + 1, size=3)
        code = colour_code(np.clip(np.add(category["color"], shift), 0, 255).tolist())
    raise BadItem(error("colours_exhausted", f"no colour is left for another {category['name']}: use structured ids"))


def video_segments(found: Segments, ids: Mapping[int, int]) -> tuple[list[dict], np.ndarray]:
    """The segments of a frame, in ascending panoptic value, and the segment id of every value of the map (void 0).

    `found`: of `checked_segments`; `ids`: segment id of every value of the frame (more do no harm). A segment is
    {id, category_id, iscrowd, area, bbox}; a bare thing category (11..18) is a crowd.
    Raises KeyError for a value without an id.
    """
    segments = []
    numbers = np.zeros(len(found.values), np.int64)
    rows = zip(found.values.tolist(), found.areas.tolist(), found.boxes.tolist(), strict=True)
    for index, (value, area, box) in enumerate(rows):
        if value == VOID:
            continue
        category = category_of(value)
        crowd = int(value < FIRST_INSTANCE and category >= FIRST_THING)
        numbers[index] = ids[value]
        segments.append({"id": ids[value], "category_id": category, "iscrowd": crowd, "area": area, "bbox": box})
    return segments, numbers


def panoptic_video(pan: np.ndarray, ids: Mapping[int, int]) -> tuple[np.ndarray, list[dict]]:
    """Segment id of every pixel, uint32 (h, w) with void 0, and the segments, in ascending panoptic value.

    `pan`: uint16 (h, w). Raises BadItem `bad_panoptic_value`, KeyError for a value without an id.
    """
    runs = label_map.row_runs(pan)
    found = checked_segments(runs)
    segments, numbers = video_segments(found, ids)
    return runs.painted(numbers.astype(np.uint32)[np.searchsorted(found.values, runs.values)]), segments


def rgb_of(id_map: np.ndarray) -> np.ndarray:
    """The id map as colours, uint8 (h, w, 3), ready for `png.rgb_png`. `id_map`: uint32 (h, w), ids below 2**24."""
    channels = np.ascontiguousarray(id_map, "<u4").view(np.uint8).reshape(*id_map.shape, 4)
    return np.ascontiguousarray(channels[..., :3])


def panoptic_gt(
    frames: Iterable[tuple[FrameName, tuple[int, int], list[dict]]],
    categories: list[dict] = CATEGORIES,
    bbox: bool = False,
) -> Iterator[bytes]:
    """`panoptic_gt_<split>_city_vps.json` in chunks: images, annotations, categories, on one line as upstream's.

    `frames`: (name, (height, width), segments of `panoptic_video`) in image-id order; evaluation matches by position.
    `bbox`: also write the segments' boxes, which upstream's form has not.
    Annotations follow all images in the document, so their text is held until then: some 5 MB for the largest split.
    Raises ValueError when frames are not in order.
    """
    annotations = []
    before = ""
    yield b'{"images": ['
    for frame, (height, width), segments in frames:
        image_id = frame.image_id
        if image_id <= before:
            raise ValueError(f"frame {image_id} comes after {before}: frames are not in image-id order")
        image = {"id": image_id, "width": width, "height": height, "file_name": frame.file_name("photograph")}
        if not bbox:
            segments = [{key: value for key, value in segment.items() if key != "bbox"} for segment in segments]
        annotation = {"image_id": image_id, "file_name": frame.file_name("colour_mask"), "segments_info": segments}
        annotations.append(json.dumps(annotation).encode())
        yield (b", " if before else b"") + json.dumps(image).encode()
        before = image_id
    yield b'], "annotations": ['
    for index, text in enumerate(annotations):
        yield (b", " if index else b"") + text
    yield b'], "categories": ' + json.dumps(categories).encode() + b"}"
