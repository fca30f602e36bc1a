"""Scoring panoptic predictions image by image and clip by clip: the functions that run in workers, and their results.

Belongs here: predictions in the form of a JSON and PNGs, tallies as rows, score files. The rules are in `metrics`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from segassets.findings import BadItem, Finding, error
from segassets.formats.label_map import Runs
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


def annotations(data: bytes, where: str) -> list:
    """The `annotations` of a predictions' JSON, whatever they are. Raises BadItem `bad_json`."""
    wanted = 'an object with a list "annotations" is expected: write it anew'
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_json", f"it is no JSON ({str(problem)[:200]}); {wanted}", path=where)) from None
    found = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(found, list):
        has = f"its annotations are a {type(found).__name__}" if found is not None else "it has no annotations"
        raise BadItem(error("bad_json", f"{has}; {wanted}", path=where))
    if not found:
        raise BadItem(error("bad_json", f"its list of annotations is empty; {wanted}", path=where))
    return found


def by_image(entries: Sequence, where: str, images: Sequence[str] | None = None) -> tuple[dict, list[Finding]]:
    """The annotations by image, each with `segments_info`, segments of whole numbers `id` and `category_id`; and errors.

    `images`: of which image each annotation is, in a form that does not say so; None: each says so by `image_id`.
    Errors bad_annotation and duplicate_image: an image that has one has no annotation.
    """
    named: dict[str, list] = {}
    findings = []
    for index, entry in enumerate(entries):
        image = images[index] if images is not None else entry.get("image_id") if isinstance(entry, dict) else None
        problem = _problem(entry)
        if isinstance(image, str):
            named.setdefault(image, []).append(entry)
        else:
            image, problem = None, problem or f"its image_id is {image!r:.40}, a text is expected"
        if problem is not None:
            findings.append(
                error("bad_annotation", f"annotation {index} of {where}: {problem}", image=image, index=index)
            )
    for image, found in named.items():
        if len(found) > 1:
            told = f"{len(found)} annotations are of this image, and none can be preferred: keep one"
            findings.append(error("duplicate_image", told, image=image, path=where))
    lost = {finding.image for finding in findings}
    return {image: found[0] for image, found in named.items() if image not in lost}, findings


def _problem(entry: Any) -> str | None:
    segments = entry.get("segments_info") if isinstance(entry, dict) else None
    if not isinstance(segments, list):
        return "it has no list segments_info"
    for number, segment in enumerate(segments):
        for key in ("id", "category_id"):
            value = segment.get(key) if isinstance(segment, dict) else None
            if type(value) is not int and not (isinstance(value, float) and value.is_integer()):
                return f"segment {number} has the {key} {value!r:.40}, a whole number is expected"
    return None


def _rows(item: str, window: int, found: Mapping[int, Tally]) -> dict[str, list]:
    tallies = sorted(found.items())
    return {
        "item": [item] * len(tallies),
        "window": [window] * len(tallies),
        "category": [category for category, _ in tallies],
        **{name: [getattr(tally, name) for _, tally in tallies] for name in ("iou", "tp", "fp", "fn")},
    }


def overlaps_of(
    image: str,
    truth_png: bytes,
    predicted_png: bytes,
    prediction: Sequence[Mapping],
    categories: Iterable[int],
    path: str | None = None,
) -> tuple[dict[tuple[int, int], int], list[Finding]]:
    """The overlaps of one image, after all checks of the prediction, and warnings.

    Raises BadItem that names the image, and its predicted PNG by `path`.
    """
    try:
        truth_ids, ids = id_runs(truth_png), id_runs(predicted_png)
        if truth_ids.shape != ids.shape:
            told = (
                f"the prediction has {_pixels(ids)} pixels, the ground truth {_pixels(truth_ids)}: predict at its size"
            )
            raise BadItem(error("size_differs", told))
        found = pq.overlaps(truth_ids, ids)
        problems = pq.prediction_findings({predicted for _, predicted in found}, prediction, categories)
        if any(finding.severity == "error" for finding in problems):
            raise BadItem(*problems)
    except BadItem as bad:
        raise BadItem(*(replace(finding, image=image, path=path) for finding in bad.findings)) from None
    return found, [replace(finding, image=image, path=path) for finding in problems]


def _pixels(runs: Runs) -> str:
    return f"{runs.shape[1]} x {runs.shape[0]}"


def score_image(
    image: str,
    segments: Sequence[Mapping],
    prediction: Sequence[Mapping],
    predicted_png: bytes,
    truth_png: bytes,
    categories: Sequence[int],
    path: str | None = None,
) -> Made:
    """The tallies of one image as rows. `path`: of the predicted PNG, for messages."""
    found, warnings = overlaps_of(image, truth_png, predicted_png, prediction, categories, path)
    result = pq.tallies(found, pq.truth_of(segments), predicted_of(prediction))
    return Made(rows=_rows(image, 1, result), findings=warnings)


def predicted_of(prediction: Iterable[Mapping]) -> dict[int, int]:
    """Category of each predicted id; of an id that is listed twice the last decides, as in panopticapi."""
    return {segment["id"]: segment["category_id"] for segment in prediction}


def score_clip(clip: str, frames: Sequence[Mapping[str, Any]], categories: Sequence[int]) -> Made:
    """The tallies of one clip over windows of each length as rows.

    `frames`: {image, truth_png, predicted_png (references), segments, prediction} in temporal order; two pictures are
    in memory at a time.
    """
    made, warnings = [], []
    for frame in frames:
        truth, predicted = frame["truth_png"].read(), frame["predicted_png"].read()
        path = frame["predicted_png"].label
        found, told = overlaps_of(frame["image"], truth, predicted, frame["prediction"], categories, path)
        warnings += told
        of = predicted_of(reversed(frame["prediction"]))  # of an id that is listed twice the first decides, as upstream
        made.append(vpq.Frame(found, pq.truth_of(frame["segments"]), of))
    parts = [_rows(clip, length, tallies) for length, tallies in vpq.clip_tallies(made).items()]
    return Made(
        rows={name: [value for part in parts for value in part[name]] for name in TALLY_ROWS}, findings=warnings
    )


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
