"""Label maps of Cityscapes-VPS: colour masks and instance maps in, labelmap and panoptic_inst out.

Belongs here: the table of categories, decoding, and the rule that joins colours and instances. Not here: ids over a
video (`cityscapes_vps`), names (`cityscapes_vps_frames`).
A colour code is R + 256 G + 65536 B. Maps are joined in runs of equal pixels: 2 million pixels are some 40,000 runs.
Source of the rules: the Cityscapes-VPS specification 2.3, 2.6 and 5.
"""

from __future__ import annotations

import io
import json
import warnings
from importlib import resources
from typing import Literal

import numpy as np
from PIL import Image

from segassets.findings import BadItem, Finding, error, info, warning

_TABLE = json.loads(resources.files(__package__).joinpath("cityscapes_vps_categories.json").read_bytes())

CATEGORIES: list[dict] = _TABLE["categories"]
"""The 19 records as upstream publishes them, with "vegitation" and one wrong `ori_id`."""

_REPAIRS = {repair["id"]: repair for repair in _TABLE["repairs"]}
REPAIRED_CATEGORIES: list[dict] = [{**record, **_REPAIRS.get(record["id"], {})} for record in CATEGORIES]
"""The same, spelt and numbered right."""

VOID = 255
FIRST_INSTANCE = 1000
FIRST_THING = min(record["id"] for record in CATEGORIES if record["isthing"])

_MAX_PIXELS = 1 << 26
_UNKNOWN_SHARE = 0.001
_DISAGREEMENT_SHARE = 0.05
_EXAMPLES = 5
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}


def colour_code(colour: list[int]) -> int:
    """R + 256 G + 65536 B."""
    return colour[0] + 256 * colour[1] + 65536 * colour[2]


_ORDER = np.argsort([colour_code(record["color"]) for record in CATEGORIES])
_CODES = np.array([colour_code(CATEGORIES[i]["color"]) for i in _ORDER], np.uint32)
_CODE_CATEGORIES = np.array([CATEGORIES[i]["id"] for i in _ORDER], np.uint8)
_VOID_CODES = np.array([colour_code(record["color"]) for record in _TABLE["void"]], np.uint32)
# Caravan and trailer (29, 30) have instances but no category, so their class is void.
_PREFIX_CATEGORIES = np.full(66, VOID, np.int64)
for _record in CATEGORIES:
    if _record["isthing"]:
        _PREFIX_CATEGORIES[_record["ori_id"]] = _record["id"]


def read_colour_mask(data: bytes) -> np.ndarray:
    """Colour codes of a PNG, uint32 (h, w); the alpha channel of an RGBA mask is ignored.

    Raises BadItem `bad_png`, or `bad_mode` when it is not 8-bit RGB or RGBA.
    """
    image = _open_png(data, {(8, 2), (8, 6)}, "an 8-bit RGB or RGBA colour mask")
    width, height = image.size
    # Four bytes a pixel are a uint32 view; converting three channels by arithmetic takes twice as long.
    pixels = image.tobytes("raw", "RGBX" if image.mode == "RGB" else "RGBA")
    return np.frombuffer(pixels, "<u4").reshape(height, width) & np.uint32(0xFFFFFF)


def read_instances(data: bytes) -> np.ndarray:
    """Instance values of a grey PNG of 8 or 16 bits, uint16 (h, w).

    Raises BadItem `bad_png`, or `bad_mode` for anything with colours or fewer bits.
    """
    image = _open_png(data, {(8, 0), (16, 0)}, "a grey instance map of 16 (or 8) bits")
    return np.ascontiguousarray(np.asarray(image), dtype=np.uint16)


def _open_png(data: bytes, accepted: set[tuple[int, int]], wanted: str) -> Image.Image:
    """The decoded image. Depth, colour type and size are checked before anything is decoded."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) < 33 or data[12:16] != b"IHDR":
        raise BadItem(error("bad_png", f"no PNG file but {data[:12]!r}...: download it again"))
    depth, colour = data[24], data[25]
    if (depth, colour) not in accepted:
        found = f"{depth}-bit {_COLOUR_TYPES.get(colour, f'colour type {colour}')}"
        raise BadItem(error("bad_mode", f"a {found} PNG was found, {wanted} is expected"))
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if not 0 < width * height <= _MAX_PIXELS:
        raise BadItem(error("bad_png", f"its size {width} x {height} is out of the range up to {_MAX_PIXELS} pixels"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=["PNG"])
            image.load()
    # Pillow answers damaged files with many kinds of exceptions; to the frame they all mean the same.
    except Exception as problem:
        raise BadItem(error("bad_png", f"cannot be decoded ({problem}): download it again")) from None
    return image


def run_starts(*maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where runs of pixels begin that are equal in all maps of one shape, row by row, and how long they are (int64)."""
    size = maps[0].size
    change = np.zeros(size, bool)
    change[:1] = True
    for each in maps:
        flat = each.reshape(-1)
        change[1:] |= flat[1:] != flat[:-1]
    starts = np.flatnonzero(change)
    return starts, np.diff(starts, append=size)


def _categories_of(codes: np.ndarray) -> np.ndarray:
    """Category of every code, uint8, 255 where the colour is none of the 19."""
    at = np.minimum(np.searchsorted(_CODES, codes), len(_CODES) - 1)
    return np.where(_CODES[at] == codes, _CODE_CATEGORIES[at], np.uint8(VOID))


def labelmap(codes: np.ndarray) -> np.ndarray:
    """Category of every pixel, uint8 (h, w): 0..18, 255 where the colour is none of the 19. `codes`: uint32 (h, w)."""
    starts, lengths = run_starts(codes)
    return np.repeat(_categories_of(codes.reshape(-1)[starts]), lengths).reshape(codes.shape)


def panoptic_inst(
    codes: np.ndarray, instances: np.ndarray, groups: Literal["void", "crowd"] = "void"
) -> tuple[np.ndarray, list[Finding]]:
    """Panoptic values, uint16 (h, w): 0..10 stuff, 255 void, 1000 t + n for instance n of thing category t.

    `codes`: uint32 (h, w), `instances`: integers (h, w). An instance is a value of 1000 or more; its category is that
    of the most frequent colour under it, of the smallest code at a tie. When that is no thing the instance is dropped.
    Thing pixels outside instances (groups) are void, or with groups="crowd" the bare category 11..18.

    Findings, one of each code with counts and examples: instance_dropped, instance_class_differs, instance_collision,
    instance_disagreement, unknown_colour (warnings), group_void or group_crowd (info).
    Raises BadItem `size_differs` when the maps have different sizes.
    """
    if codes.shape != instances.shape:
        message = f"the colour mask has {codes.shape[::-1]} pixels, the instance map {instances.shape[::-1]}"
        raise BadItem(error("size_differs", message))
    starts, lengths = run_starts(codes, instances)
    colours, values = codes.reshape(-1)[starts], instances.reshape(-1)[starts].astype(np.int64)
    categories = _categories_of(colours)
    inside = values >= FIRST_INSTANCE
    keep = (categories < FIRST_THING) | ((groups == "crowd") & ~inside)
    pan = np.where(keep, categories, VOID).astype(np.uint16)

    found, position = np.unique(values[inside], return_inverse=True)
    majority = _majority(position, colours[inside], lengths[inside], len(found))
    thing = (majority >= FIRST_THING) & (majority != VOID)
    new = (FIRST_INSTANCE * majority.astype(np.int64) + found % FIRST_INSTANCE).astype(np.uint16)
    pan[inside] = np.where(thing[position], new[position], pan[inside])

    findings = [
        *_instance_findings(found, majority, thing, new),
        *_pixel_findings(colours, categories, inside, pan, lengths, groups),
    ]
    return np.repeat(pan, lengths).reshape(codes.shape), findings


def _majority(position: np.ndarray, colours: np.ndarray, lengths: np.ndarray, count: int) -> np.ndarray:
    """Category of the colour with most pixels of each of `count` instances, uint8; all colours vote.

    `position`, `colours`, `lengths` describe runs. Votes are kept only for pairs that occur: a table of instances
    times colours would not fit into memory for a map of noise.
    """
    pairs, of = np.unique(position.astype(np.int64) << 24 | colours, return_inverse=True)
    votes = np.bincount(of, weights=lengths, minlength=len(pairs)).astype(np.int64)
    # Pairs are in ascending order, and sorting is stable: of equal votes the smallest code comes first.
    order = np.lexsort((-votes, pairs >> 24))
    winners = order[np.searchsorted(pairs[order] >> 24, np.arange(count))]
    return _categories_of((pairs[winners] & 0xFFFFFF).astype(np.uint32))


def _instance_findings(found: np.ndarray, majority: np.ndarray, thing: np.ndarray, new: np.ndarray) -> list[Finding]:
    expected = _PREFIX_CATEGORIES[np.minimum(found // FIRST_INSTANCE, len(_PREFIX_CATEGORIES) - 1)]
    findings = []
    dropped = (expected != VOID) & ~thing
    if dropped.any():
        shown = _shown(f"{v} on {_name(c)}" for v, c in zip(found[dropped], majority[dropped], strict=True))
        message = f"{dropped.sum()} instances lie mostly on colours that are no thing: {shown}; left out, as upstream"
        findings.append(warning("instance_dropped", message))
    differs = thing & (expected != majority)
    if differs.any():
        shown = _shown(f"{v} on {_name(c)}" for v, c in zip(found[differs], majority[differs], strict=True))
        message = f"{differs.sum()} instances have another class in their value: {shown}; the colour decides"
        findings.append(warning("instance_class_differs", message))
    kept, first, counts = np.unique(new[thing], return_inverse=True, return_counts=True)
    same = counts > 1
    if same.any():
        ids = found[thing]
        shown = _shown(f"{'+'.join(map(str, ids[first == i]))} -> {kept[i]}" for i in np.flatnonzero(same)[:_EXAMPLES])
        message = f"{same.sum()} segments are made of several instances: {shown}; joined, as upstream"
        findings.append(warning("instance_collision", message))
    return findings


def _pixel_findings(
    colours: np.ndarray, categories: np.ndarray, inside: np.ndarray, pan: np.ndarray, lengths: np.ndarray, groups: str
) -> list[Finding]:
    findings = []
    total = int(lengths.sum())
    unknown = int(lengths[(categories == VOID) & ~np.isin(colours, _VOID_CODES)].sum())
    if unknown > _UNKNOWN_SHARE * total:
        message = f"{unknown} of {total} pixels have a colour that is in no Cityscapes table: they are void"
        findings.append(warning("unknown_colour", message))
    made = inside & (pan >= FIRST_INSTANCE)
    covered = int(lengths[made].sum())
    other = int(lengths[made & (pan // FIRST_INSTANCE != categories)].sum())
    if other > _DISAGREEMENT_SHARE * covered:
        message = f"{other} of {covered} pixels inside instances have another category in the label map"
        findings.append(warning("instance_disagreement", message))
    group = int(lengths[~inside & (categories >= FIRST_THING) & (categories != VOID)].sum())
    if group:
        code, fate = ("group_crowd", "crowd regions") if groups == "crowd" else ("group_void", "void, as upstream")
        findings.append(info(code, f"{group} pixels of things belong to no instance: {fate}"))
    return findings


def _name(category: int) -> str:
    return "void" if category == VOID else REPAIRED_CATEGORIES[category]["name"]


def _shown(examples) -> str:
    examples = list(examples)
    return ", ".join(examples[:_EXAMPLES]) + (", ..." if len(examples) > _EXAMPLES else "")
