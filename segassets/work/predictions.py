"""Predictions to be scored: their JSON in the raw folder, and the published ground truth that they are of."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from segassets.findings import BadItem, error


def only_json(raw, partition: str, ending: str = ".json") -> tuple[str, bytes]:
    """Path and bytes of the one file of `predictions/<name>` with this ending. Raises BadItem `predictions_json`."""
    found = [path for path in raw.paths if path.endswith(ending)]
    if len(found) != 1:
        told = f"{len(found)} files *{ending} in predictions/{partition}: one with `annotations` is expected"
        raise BadItem(error("predictions_json", told, path=f"predictions/{partition}"))
    return found[0], raw.read(found[0])


def ground_truth(
    asset: str, published, column: str, wanted: Collection[str], splits: Sequence[str] = ("val", "train")
) -> tuple[dict[str, Any], Any]:
    """The segments of every item of the first split that `wanted` items are of, sorted by item, and its handle.

    `published`: the asset's partitions by key; `column`: which names the items in its rows. Raises BadItem
    `no_ground_truth`.
    """
    made = [split for split in splits if split in published.partitions]
    for split in made:
        rows = published[split].records([column, "segments"])
        segments = {row[column]: json.loads(row["segments"]) for row in rows}
        if not wanted.isdisjoint(segments):
            return dict(sorted(segments.items())), published[split]
    told = f"none of the predictions is of an item of {' or '.join(made)}" if made else f"{asset} is not made"
    raise BadItem(error("no_ground_truth", f"{told}; run: segassets materialize {asset}"))
