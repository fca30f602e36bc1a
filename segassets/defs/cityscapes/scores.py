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
    code_version="2",
    whole_inputs=["panoptic"],
    show=show.scores,
)
def pq(raw, panoptic, partition):
    """Panoptic quality of `predictions/<name>/` (a JSON with `annotations`, and PNGs) against `cityscapes/panoptic`.

    Images are joined by their id. One without a prediction, an id that is in the PNG but not in the JSON or the
    other way round, and an unknown category are errors, as in the reference tool.
    """
    where = f"predictions/{partition}"
    path, document = only_json(raw, partition)
    predicted, bad = panoptic_scores.by_image(panoptic_scores.annotations(document, path), where)
    lost = {finding.image for finding in bad}
    pictures = {path.rsplit("/", 1)[1]: raw.ref(path) for path in raw.paths if path.endswith(".png")}
    truth, handle = ground_truth("cityscapes/panoptic", panoptic, "image", {*predicted, *lost})
    pngs = {image: path for image, path in handle.paths.items() if path.endswith(".png")}
    files = {image: entry.get("file_name") for image, entry in predicted.items()}
    items, findings = join(
        [image for image in truth if image not in lost],
        "image",
        {
            "prediction": f"no annotation in the JSON of {where} has its image_id: one an image is expected",
            "predicted_png": f"its annotation's file_name names no PNG in {where}/: put it there, or correct the name",
        },
        segments={image: segments for image, segments in truth.items() if image not in lost},
        prediction={image: entry["segments_info"] for image, entry in predicted.items()},
        predicted_png={i: pictures[f] for i, f in files.items() if isinstance(f, str) and f in pictures},
        truth_png={image: handle.ref(path) for image, path in pngs.items() if image not in lost},
    )
    # Without an annotation nobody knows the PNG's name.
    findings = [f for f in findings if f.code != "predicted_png_missing" or f.image in predicted]
    items = [{**item, "path": item["predicted_png"].label} for item in items]
    return each(
        Items(items, "image"),
        panoptic_scores.score_image,
        findings=[*bad, *findings],
        folds={"pq.json": partial(panoptic_scores.pq_json, things=THINGS)},
        categories=tuple(THINGS),
    )
