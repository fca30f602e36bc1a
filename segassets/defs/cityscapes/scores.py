"""Predictions scored: panoptic quality as Cityscapes' own evaluation computes it."""

import json
from functools import partial

from segassets.artifact import artifact
from segassets.defs.cityscapes import show
from segassets.defs.cityscapes.raw import PREDICTIONS
from segassets.findings import BadItem, error
from segassets.formats import cityscapes_panoptic, panoptic_scores
from segassets.work.join import join
from segassets.work.plans import Items, each

FILES = ("predictions/{partition}/*", "predictions/{partition}.json")
SPLITS = ("val", "train")
THINGS = {record["id"]: bool(record["isthing"]) for record in cityscapes_panoptic.categories()}


@artifact(
    "cityscapes/pq",
    PREDICTIONS,
    into="cityscapes/scores/{partition}",
    reads=FILES,
    raw="predictions",
    rows=panoptic_scores.TALLY_ROWS,
    code_version="1",
    whole_inputs=["panoptic"],
    show=show.scores,
)
def pq(raw, panoptic, partition):
    """Panoptic quality of `predictions/<name>/` (a JSON with `annotations`, and PNGs) against `cityscapes/panoptic`.

    Images are joined by their id. One without a prediction, an id that is in the PNG but not in the JSON or the
    other way round, and an unknown category are errors, as in the reference tool.
    """
    document = panoptic_scores.document(_json(raw, partition), f"predictions/{partition}")
    pictures = {path.rsplit("/", 1)[1]: raw.ref(path) for path in raw.paths if path.endswith(".png")}
    predicted = {entry["image_id"]: entry for entry in document["annotations"]}
    truth, handle = _ground_truth(panoptic, predicted)
    pngs = {image: path for image, path in handle.paths.items() if path.endswith(".png")}
    items, findings = join(
        truth,
        "image",
        segments=truth,
        prediction={image: entry["segments_info"] for image, entry in predicted.items()},
        predicted_png={i: pictures[e["file_name"]] for i, e in predicted.items() if e.get("file_name") in pictures},
        truth_png={image: handle.ref(path) for image, path in pngs.items()},
    )
    return each(
        Items(items, "image"),
        panoptic_scores.score_image,
        findings=findings,
        folds={"pq.json": partial(panoptic_scores.pq_json, things=THINGS)},
        categories=tuple(THINGS),
    )


def _json(raw, partition):
    found = [path for path in raw.paths if path.endswith(".json")]
    if len(found) != 1:
        told = f"{len(found)} JSON files in predictions/{partition}: one with `annotations` is expected"
        raise BadItem(error("predictions_json", told, path=f"predictions/{partition}"))
    return raw.read(found[0])


def _ground_truth(panoptic, predicted):
    """The segments of every image of the split that the predictions are of, and its handle."""
    made = [split for split in SPLITS if split in panoptic.partitions]
    if not made:
        told = "neither val nor train of cityscapes/panoptic is made; run: segassets materialize cityscapes/panoptic"
        raise BadItem(error("no_ground_truth", told))
    for split in made:
        rows = {row["image"]: json.loads(row["segments"]) for row in panoptic[split].records(["image", "segments"])}
        if set(rows) & set(predicted):
            return rows, panoptic[split]
    raise BadItem(error("no_ground_truth", f"no prediction is of an image of {' or '.join(made)}"))
