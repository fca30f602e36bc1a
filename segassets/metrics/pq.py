"""Panoptic quality: matching of segments, tallies a category, and their averages.

One rule serves COCO, Cityscapes and, over tubes, Cityscapes-VPS. Source: Kirillov et al., Panoptic Segmentation, 2019;
panopticapi evaluation.py, cityscapesScripts evalPanopticSemanticLabeling.py (the same algorithm); the specification 5.
Two of their slips are repaired: areas are those of the pixels, not of the JSON, and all crowds of a category count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from segassets.findings import Finding, error, warning
from segassets.formats import label_map
from segassets.formats.label_map import Runs

VOID = 0
_EXAMPLES = 5


@dataclass
class Tally:
    """What a category came to: the sum of IoUs of its matches, and how many true and false ones there are."""

    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def add(self, other: Tally) -> None:
        """Add another image's, or window's."""
        self.iou += other.iou
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn

    @property
    def seen(self) -> bool:
        return self.tp + self.fp + self.fn > 0

    def scores(self) -> dict[str, float]:
        """pq, sq, rq from 0 to 1; 0 where nothing matched."""
        weight = self.tp + 0.5 * self.fp + 0.5 * self.fn
        pq, rq = (self.iou / weight, self.tp / weight) if weight else (0.0, 0.0)
        return {"pq": pq, "sq": self.iou / self.tp if self.tp else 0.0, "rq": rq}


class Truth(NamedTuple):
    """A segment of the ground truth."""

    category: int
    crowd: bool


Overlaps = Mapping[tuple[int, int], int]
"""Pixels by (id of the ground truth, predicted id); all pixels, void and unlabelled ones included."""


def overlaps(truth_ids: np.ndarray | Runs, predicted_ids: np.ndarray | Runs) -> dict[tuple[int, int], int]:
    """How many pixels have which two ids. Maps of integers (h, w) or their runs. ValueError when the shapes differ."""
    first, second, pixels = label_map.pairs(truth_ids, predicted_ids)
    return dict(zip(zip(first.tolist(), second.tolist(), strict=True), pixels.tolist(), strict=True))


def tallies(found: Overlaps, truth: Mapping[int, Truth], predicted: Mapping[int, int]) -> dict[int, Tally]:
    """Match the segments of one image (or the tubes of one window) and count, by category.

    `truth` and `predicted`: what the ids are; pixels of other ids of the ground truth are neither void nor segment.
    A pair of one category matches when its IoU, void left out, is more than a half. A prediction without a match is
    ignored when more than half of it lies on void or on crowds of its category.
    """
    truth_area: dict[int, int] = {}
    area: dict[int, int] = {}
    ignored: dict[int, int] = {}
    for (true_id, predicted_id), pixels in found.items():
        truth_area[true_id] = truth_area.get(true_id, 0) + pixels
        area[predicted_id] = area.get(predicted_id, 0) + pixels
        if true_id == VOID or _is_own_crowd(truth.get(true_id), predicted.get(predicted_id)):
            ignored[predicted_id] = ignored.get(predicted_id, 0) + pixels
    result: dict[int, Tally] = {}
    matched_truth, matched = set(), set()
    for (true_id, predicted_id), pixels in found.items():
        segment, category = truth.get(true_id), predicted.get(predicted_id)
        if segment is None or category is None or segment.crowd or segment.category != category:
            continue
        union = truth_area[true_id] + area[predicted_id] - pixels - found.get((VOID, predicted_id), 0)
        if 2 * pixels > union:
            tally = result.setdefault(category, Tally())
            tally.tp += 1
            tally.iou += pixels / union
            matched_truth.add(true_id)
            matched.add(predicted_id)
    for true_id, segment in truth.items():
        if true_id not in matched_truth and not segment.crowd:
            result.setdefault(segment.category, Tally()).fn += 1
    for predicted_id, category in predicted.items():
        if predicted_id not in matched and not 2 * ignored.get(predicted_id, 0) > area.get(predicted_id, 0):
            result.setdefault(category, Tally()).fp += 1
    return result


def _is_own_crowd(segment: Truth | None, category: int | None) -> bool:
    return segment is not None and segment.crowd and segment.category == category


def truth_of(segments: Iterable[Mapping]) -> dict[int, Truth]:
    """Segments of a panoptic JSON as `tallies` takes them."""
    return {segment["id"]: Truth(segment["category_id"], bool(segment.get("iscrowd"))) for segment in segments}


_ANEW = "write PNG and JSON from one result"


def prediction_findings(ids: Iterable[int], segments: Sequence[Mapping], categories: Iterable[int]) -> list[Finding]:
    """What is wrong with one predicted image: `ids` are those of its PNG, `segments` those of its JSON.

    Errors: id_not_in_json, id_not_in_png, unknown_category. Warning: duplicate_id, which the reference tools take.
    """
    painted = set(ids) - {VOID}
    listed = [segment["id"] for segment in segments]
    findings = []
    if lost := sorted(painted - set(listed)):
        told = f"{len(lost)} of {len(painted)} ids of the PNG are not in the JSON ({_some(lost)})"
        swapped = {(i & 255) << 16 | i & 0xFF00 | i >> 16 for i in lost} & set(listed)
        hint = "; red and blue look swapped" if swapped else ""
        findings.append(error("id_not_in_json", f"{told}{hint}: {_ANEW}"))
    if bare := sorted(set(listed) - painted):
        findings.append(
            error("id_not_in_png", f"{len(bare)} segments of the JSON have no pixels ({_some(bare)}): {_ANEW}")
        )
    if strange := sorted({segment["category_id"] for segment in segments} - set(categories)):
        findings.append(
            error(
                "unknown_category", f"the categories {_some(strange)} are not in the ground truth's table: use its ids"
            )
        )
    if len(listed) > len(set(listed)):
        double = sorted(i for i, count in Counter(listed).items() if count > 1)
        told = (
            f"{len(double)} ids are listed more than once ({_some(double)}): one entry counts, as in the reference tool"
        )
        findings.append(warning("duplicate_id", f"{told}; {_ANEW}"))
    return findings


def _some(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:_EXAMPLES])) + (", ..." if len(values) > _EXAMPLES else "")


def averages(found: Mapping[int, Tally], things: Mapping[int, bool]) -> dict[str, dict]:
    """All, Things and Stuff: pq, sq, rq (from 0 to 1, None without a category) over the `n` categories that were seen.

    `things`: whether a category is a thing, for all categories of the dataset.
    """
    groups = {"All": None, "Things": True, "Stuff": False}
    return {
        name: _average([found.get(c, Tally()) for c, t in things.items() if wanted in (None, t)])
        for name, wanted in groups.items()
    }


def _average(members: Sequence[Tally]) -> dict:
    scores = [tally.scores() for tally in members if tally.seen]
    means = {name: sum(s[name] for s in scores) / len(scores) if scores else None for name in ("pq", "sq", "rq")}
    return {**means, "n": len(scores)}


def per_class(found: Mapping[int, Tally], categories: Iterable[int]) -> dict[str, dict]:
    """Scores and counts of every category, by its id as text (a JSON key)."""
    return {str(c): {**(tally := found.get(c, Tally())).scores(), **asdict(tally)} for c in categories}


def total(parts: Iterable[Mapping[int, Tally]]) -> dict[int, Tally]:
    """The tallies of many images added up."""
    result: dict[int, Tally] = {}
    for part in parts:
        for category, tally in part.items():
            result.setdefault(category, Tally()).add(tally)
    return result
