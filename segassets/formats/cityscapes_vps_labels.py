"""Label maps of Cityscapes-VPS: colour masks and instance maps in, labelmap and panoptic_inst out.

Belongs here: the table of categories, decoding, and the rule that joins colours and instances. Not here: ids over a
video (`cityscapes_vps`), names (`cityscapes_vps_frames`).
A colour code is R + 256 G + 65536 B. Maps are joined in runs of equal pixels: 2 million pixels are some 40,000 runs.
Source of the rules: the Cityscapes-VPS specification 2.3, 2.6 and 5.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Literal, NamedTuple

import numpy as np

from segassets.findings import BadItem, Finding, error, info, warning
from segassets.formats.label_map import Runs, joined, runs_of
from segassets.formats.panoptic import grey_runs, id_runs, read_ids

_TABLE = json.loads(resources.files(__package__).joinpath("cityscapes_vps_categories.json").read_bytes())

CATEGORIES: list[dict] = _TABLE["categories"]
"""The 19 records as upstream publishes them, with "vegitation" and one wrong `ori_id`."""

_REPAIRS = {repair["id"]: repair for repair in _TABLE["repairs"]}
REPAIRED_CATEGORIES: list[dict] = [{**record, **_REPAIRS.get(record["id"], {})} for record in CATEGORIES]
"""The same, spelt and numbered right."""

VOID = 255
FIRST_INSTANCE = 1000
FIRST_THING = min(record["id"] for record in CATEGORIES if record["isthing"])

_UNKNOWN_SHARE = 0.001
_DISAGREEMENT_SHARE = 0.05
_EXAMPLES = 5
_MANY = 1 << 16  # entries of a table that is made for every frame
_EGO_FROM = 0.7  # of the height, downwards


def colour_code(colour: list[int]) -> int:
    """R + 256 G + 65536 B."""
    return colour[0] + 256 * colour[1] + 65536 * colour[2]


_ORDER = np.argsort([colour_code(record["color"]) for record in CATEGORIES])
_CODES = np.array([colour_code(CATEGORIES[i]["color"]) for i in _ORDER], np.uint32)
_CODE_CATEGORIES = np.array([CATEGORIES[i]["id"] for i in _ORDER], np.uint8)
_VOID_CODES = np.array([colour_code(record["color"]) for record in _TABLE["void"]], np.uint32)
# Caravan and trailer have instances but no category, so their class is void.
_VOID_PREFIXES = (29, 30)
_PREFIX_CATEGORIES = np.full(66, VOID, np.int64)
for _record in CATEGORIES:
    if _record["isthing"]:
        _PREFIX_CATEGORIES[_record["ori_id"]] = _record["id"]


def colour_runs(data: bytes) -> Runs:
    """Colour codes of a PNG in runs, uint32; the alpha channel of an RGBA mask is ignored.

    Raises BadItem `bad_png`, or `bad_mode` when it is not 8-bit RGB or RGBA.
    """
    return id_runs(data, "an 8-bit RGB or RGBA colour mask")


def read_colour_mask(data: bytes) -> np.ndarray:
    """The same as a map, uint32 (h, w)."""
    return read_ids(data, "an 8-bit RGB or RGBA colour mask")


def instance_runs(data: bytes) -> Runs:
    """Instance values of a grey PNG of 8 or 16 bits in runs, uint16.

    Raises BadItem `bad_png`, or `bad_mode` for anything with colours or fewer bits.
    """
    runs = grey_runs(data, (8, 16), "an instance map")
    return runs._replace(values=runs.values.astype(np.uint16, copy=False))


def read_instances(data: bytes) -> np.ndarray:
    """The same as a map, uint16 (h, w)."""
    runs = instance_runs(data)
    return runs.painted(runs.values)


def _categories_of(codes: np.ndarray) -> np.ndarray:
    """Category of every code, uint8, 255 where the colour is none of the 19."""
    at = np.minimum(np.searchsorted(_CODES, codes), len(_CODES) - 1)
    return np.where(_CODES[at] == codes, _CODE_CATEGORIES[at], np.uint8(VOID))


def labelmap(codes: np.ndarray) -> np.ndarray:
    """Category of every colour code, uint8 of the same shape: 0..18, 255 where the colour is none of the 19.

    `codes`: uint32, pixels or, much cheaper, the values of runs.
    """
    return _categories_of(codes)


def panoptic_runs(
    codes: np.ndarray | Runs, instances: np.ndarray | Runs, groups: Literal["void", "crowd"] = "void"
) -> tuple[Runs, list[Finding]]:
    """Panoptic values in runs, uint16: 0..10 stuff, 255 void, 1000 t + n for instance n of thing category t.

    `codes`: uint32, `instances`: integers, maps (h, w) or their runs. An instance is a value of 1000 or more; its
    category is that of the most frequent colour under it, of the smallest code at a tie. When that is no thing the
    instance is dropped. Thing pixels outside instances (groups) are void, or with groups="crowd" the bare category
    11..18. Neighbouring runs may have one value.

    Findings, one of each code with counts and examples: instance_dropped, instance_class_differs, instance_collision,
    instance_disagreement, unknown_colour (warnings), group_void or group_crowd (info).
    Raises BadItem `size_differs` when the maps have different sizes.
    """
    codes, instances = runs_of(codes), runs_of(instances)
    if codes.shape != instances.shape:
        sizes = [f"{width} x {height}" for height, width in (codes.shape, instances.shape)]
        message = f"the colour mask has {sizes[0]} pixels, the instance map {sizes[1]}: get both from one release"
        raise BadItem(error("size_differs", message))
    colours = np.unique(codes.values)  # few: everything is looked up by the number of a colour among them
    of_colour = np.searchsorted(colours, codes.values)
    starts, lengths, colour, values = joined(codes._replace(values=of_colour), instances)
    category_of = _categories_of(colours)
    inside = np.flatnonzero(values >= FIRST_INSTANCE)
    found, instance = _numbered(values[inside].astype(np.int64))
    votes = _counted(instance, colour[inside], lengths[inside], (len(found), len(colours)))
    majority = category_of[_majority(votes, len(found))]
    thing = (majority >= FIRST_THING) & (majority != VOID)
    new = (FIRST_INSTANCE * majority.astype(np.int64) + found % FIRST_INSTANCE).astype(np.uint16)

    stuff = np.where(category_of < FIRST_THING, category_of, VOID).astype(np.uint16)
    pan = (category_of.astype(np.uint16) if groups == "crowd" else stuff)[colour]
    pan[inside] = np.where(thing[instance], new[instance], stuff[colour[inside]])

    areas = np.bincount(colour, weights=lengths, minlength=len(colours))
    findings = [
        *_instance_findings(found, majority, thing, new),
        *_pixel_findings(areas, colours, category_of, votes, majority, thing, groups),
    ]
    return Runs(starts, lengths, pan, codes.shape), findings


def ego_as_road(runs: Runs) -> Runs:
    """Void in the lower three tenths of the picture as road (0): what upstream did until October 2020.

    `runs`: of a label map or of panoptic values. Only for numbers to be compared with the paper's.
    """
    height, width = runs.shape
    ego = (runs.starts >= int(height * _EGO_FROM) * width) & (runs.values == VOID)
    return runs._replace(values=np.where(ego, 0, runs.values).astype(runs.values.dtype))


def panoptic_inst(
    codes: np.ndarray, instances: np.ndarray, groups: Literal["void", "crowd"] = "void"
) -> tuple[np.ndarray, list[Finding]]:
    """The same as a map, uint16 (h, w)."""
    runs, findings = panoptic_runs(codes, instances, groups)
    return runs.painted(runs.values), findings


def _numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values (int64, ascending), and of each entry the number of its value among them."""
    if not values.size or values.max() >= _MANY or values.min() < 0:
        return np.unique(values, return_inverse=True)
    occurs = np.zeros(_MANY, bool)
    occurs[values] = True
    found = np.flatnonzero(occurs)
    number = np.empty(_MANY, np.int64)
    number[found] = np.arange(len(found))
    return found, number[values]


class _Votes(NamedTuple):
    """Pixels of a colour under an instance, for pairs that occur: ascending by instance, then colour; int64 [n] each."""

    instance: np.ndarray
    colour: np.ndarray
    pixels: np.ndarray


def _counted(instance: np.ndarray, colour: np.ndarray, lengths: np.ndarray, size: tuple[int, int]) -> _Votes:
    """The votes of runs. `size`: numbers of instances and colours. Of a map of noise their table would not fit into memory."""
    pairs = instance * size[1] + colour
    if size[0] * size[1] <= _MANY:
        table = np.bincount(pairs, weights=lengths, minlength=size[0] * size[1])
        found = np.flatnonzero(table)
        votes = table[found]
    else:
        found, of = np.unique(pairs, return_inverse=True)
        votes = np.bincount(of, weights=lengths, minlength=len(found))
    return _Votes(*np.divmod(found, size[1]), votes.astype(np.int64))


def _majority(votes: _Votes, count: int) -> np.ndarray:
    """The colour with most pixels of each of `count` instances, the smallest at a tie; all colours vote."""
    order = np.lexsort((-votes.pixels, votes.instance))  # stable: of equal votes the smallest colour comes first
    return votes.colour[order[np.searchsorted(votes.instance, np.arange(count))]]


def _instance_findings(found: np.ndarray, majority: np.ndarray, thing: np.ndarray, new: np.ndarray) -> list[Finding]:
    expected = _PREFIX_CATEGORIES[np.minimum(found // FIRST_INSTANCE, len(_PREFIX_CATEGORIES) - 1)]
    findings = []
    # Caravans and trailers on void are as they should be: void. All others were to be something.
    dropped = ~thing & ~((majority == VOID) & np.isin(found // FIRST_INSTANCE, _VOID_PREFIXES))
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
    areas: np.ndarray,
    colours: np.ndarray,
    category_of: np.ndarray,
    votes: _Votes,
    majority: np.ndarray,
    thing: np.ndarray,
    groups: str,
) -> list[Finding]:
    """`areas`, `colours`, `category_of`: of every colour; `majority`, `thing`: of every instance."""
    findings = []
    total = int(areas.sum())
    unknown = int(areas[(category_of == VOID) & ~np.isin(colours, _VOID_CODES)].sum())
    if unknown > _UNKNOWN_SHARE * total:
        message = f"{unknown} of {total} pixels have a colour that is in no Cityscapes table: they are void"
        findings.append(warning("unknown_colour", message))
    made = thing[votes.instance]
    covered = int(votes.pixels[made].sum())
    other = int(votes.pixels[made & (category_of[votes.colour] != majority[votes.instance])].sum())
    if other > _DISAGREEMENT_SHARE * covered:
        message = f"{other} of {covered} pixels inside instances have another category in the label map"
        findings.append(warning("instance_disagreement", message))
    outside = areas - np.bincount(votes.colour, weights=votes.pixels, minlength=len(areas))
    group = int(outside[(category_of >= FIRST_THING) & (category_of != VOID)].sum())
    if group:
        code, fate = ("group_crowd", "crowd regions") if groups == "crowd" else ("group_void", "void, as upstream")
        findings.append(info(code, f"{group} pixels of things belong to no instance: {fate}"))
    return findings


def _name(category: int) -> str:
    return "void" if category == VOID else REPAIRED_CATEGORIES[category]["name"]


def _shown(examples) -> str:
    examples = list(examples)
    return ", ".join(examples[:_EXAMPLES]) + (", ..." if len(examples) > _EXAMPLES else "")
