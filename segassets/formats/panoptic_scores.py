"""Scoring panoptic predictions image by image and clip by clip: the functions that run in workers, and their results.

Belongs here: predictions in the form of a JSON and PNGs, tallies as rows, score files. The rules are in `metrics`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from segassets.findings import BadItem, error
from segassets.formats.panoptic import id_runs
from segassets.items import Made
from segassets.metrics import pq, vpq
from segassets.metrics.pq import Tally

TALLY_ROWS = {
    "item": "string",
    "window": "int32",
    "category": "int32",
    "iou": "double",
    "tp": "int64",
    "fp": "int64",
    "fn": "int64",
}


def document(data: bytes, where: str) -> dict:
    """A predictions' JSON with `annotations`. Raises BadItem `bad_json`."""
    try:
        found = json.loads(data)
        for entry in found["annotations"]:
            for segment in entry["segments_info"]:
                int(segment["id"]), int(segment["category_id"])
    except (ValueError, RecursionError, KeyError, TypeError) as problem:
        told = f"it is no JSON with annotations, each with segments_info of id and category_id: {problem!r:.200}"
        raise BadItem(error("bad_json", told, path=where)) from None
    return found


def _rows(item: str, window: int, found: Mapping[int, Tally]) -> dict[str, list]:
    tallies = sorted(found.items())
    return {
        "item": [item] * len(tallies),
        "window": [window] * len(tallies),
        "category": [category for category, _ in tallies],
        **{name: [getattr(tally, name) for _, tally in tallies] for name in ("iou", "tp", "fp", "fn")},
    }


def overlaps_of(
    image: str, truth_png: bytes, predicted_png: bytes, prediction: Sequence[Mapping], categories: Iterable[int]
) -> dict[tuple[int, int], int]:
    """The overlaps of one image, after all checks of the prediction. Raises BadItem that names the image."""
    try:
        truth_ids, ids = id_runs(truth_png), id_runs(predicted_png)
        if truth_ids.shape != ids.shape:
            told = f"the prediction has {ids.shape[::-1]} pixels, the ground truth {truth_ids.shape[::-1]}"
            raise BadItem(error("size_differs", told))
        found = pq.overlaps(truth_ids, ids)
        problems = pq.prediction_findings({predicted for _, predicted in found}, prediction, categories)
        if problems:
            raise BadItem(*problems)
    except BadItem as bad:
        raise BadItem(*(replace(finding, image=image) for finding in bad.findings)) from None
    return found


def score_image(
    image: str,
    segments: Sequence[Mapping],
    prediction: Sequence[Mapping],
    predicted_png: bytes,
    truth_png: bytes,
    categories: Sequence[int],
) -> Made:
    """The tallies of one image as rows."""
    found = overlaps_of(image, truth_png, predicted_png, prediction, categories)
    result = pq.tallies(found, pq.truth_of(segments), predicted_of(prediction))
    return Made(rows=_rows(image, 1, result))


def predicted_of(prediction: Iterable[Mapping]) -> dict[int, int]:
    """Category of each predicted id."""
    return {segment["id"]: segment["category_id"] for segment in prediction}


def score_clip(clip: str, frames: Sequence[Mapping[str, Any]], categories: Sequence[int]) -> Made:
    """The tallies of one clip over windows of each length as rows.

    `frames`: {image, truth_png, predicted_png (references), segments, prediction} in temporal order; two pictures are
    in memory at a time.
    """
    made = []
    for frame in frames:
        truth, predicted = frame["truth_png"].read(), frame["predicted_png"].read()
        found = overlaps_of(frame["image"], truth, predicted, frame["prediction"], categories)
        made.append(vpq.Frame(found, pq.truth_of(frame["segments"]), predicted_of(frame["prediction"])))
    parts = [_rows(clip, length, tallies) for length, tallies in vpq.clip_tallies(made).items()]
    return Made(rows={name: [value for part in parts for value in part[name]] for name in TALLY_ROWS})


def tallies_of(records: Iterable[Mapping]) -> dict[int, dict[int, Tally]]:
    """Rows added up: by window and category, in the order of rows, so that sums are the same for any worker count."""
    result: dict[int, dict[int, Tally]] = {}
    for row in records:
        part = Tally(row["iou"], row["tp"], row["fp"], row["fn"])
        result.setdefault(row["window"], {}).setdefault(row["category"], Tally()).add(part)
    return result


def pq_json(records: Iterable[Mapping], things: Mapping[int, bool]) -> Iterator[bytes]:
    """`pq.json`: All, Things, Stuff with n, pq, sq, rq (0 to 1), and `per_class` with counts."""
    found = tallies_of(records).get(1, {})
    result = {**pq.averages(found, things), "per_class": pq.per_class(found, things)}
    yield (json.dumps(result, indent=1) + "\n").encode()


def vpq_stats(records: Iterable[Mapping], things: Mapping[int, bool]) -> Iterator[bytes]:
    """`vpq_stats.json`: every number, at full precision."""
    yield (json.dumps(vpq.stats(_windows(records), things), indent=1) + "\n").encode()


def vpq_text(records: Iterable[Mapping], things: Mapping[int, bool], window: int) -> Iterator[bytes]:
    """`vpq-<k>.txt` of one window length."""
    yield vpq.window_text(vpq.stats(_windows(records), things)["per_window"][str(window)]).encode()


def vpq_final(records: Iterable[Mapping], things: Mapping[int, bool]) -> Iterator[bytes]:
    """`vpq-final.txt`."""
    yield vpq.final_text(vpq.stats(_windows(records), things)).encode()


def _windows(records: Iterable[Mapping]) -> dict[int, dict[int, Tally]]:
    found = tallies_of(records)
    return {length: found.get(length, {}) for length in vpq.WINDOWS}
