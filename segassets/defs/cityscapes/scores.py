"""Predictions scored: panoptic quality as Cityscapes' own evaluation computes it."""

from functools import partial

from segassets.artifact import artifact
from segassets.defs.cityscapes import show
from segassets.defs.cityscapes.raw import PREDICTIONS
from segassets.formats import cityscapes_panoptic, panoptic_scores
from segassets.work.join import join
from segassets.work.plans import Items, each
from segassets.work.predictions import ground_truth, only_json

FILES = ("predictions/{partition}/*", "predictions/{partition}.json")
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
    document = panoptic_scores.document(only_json(raw, partition), f"predictions/{partition}")
    pictures = {path.rsplit("/", 1)[1]: raw.ref(path) for path in raw.paths if path.endswith(".png")}
    predicted = {entry["image_id"]: entry for entry in document["annotations"]}
    truth, handle = ground_truth("cityscapes/panoptic", panoptic, "image", predicted.keys())
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
