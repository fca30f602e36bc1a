"""Submissions scored: video panoptic quality as upstream's eval_vpq computes it."""

from functools import partial

from segassets.artifact import artifact
from segassets.defs.cityscapes_vps import show
from segassets.defs.cityscapes_vps.raw import PREDICTIONS
from segassets.findings import BadItem, error
from segassets.formats import cityscapes_vps as vps
from segassets.formats import panoptic_scores
from segassets.metrics.vpq import WINDOWS
from segassets.work.join import join
from segassets.work.plans import Items, each
from segassets.work.predictions import ground_truth, only_json

THINGS = {record["id"]: bool(record["isthing"]) for record in vps.CATEGORIES}


@artifact(
    "cityscapes_vps/vpq",
    PREDICTIONS,
    into="cityscapes_vps/vpq/{partition}",
    reads="predictions/{partition}/*",
    raw="predictions",
    rows=panoptic_scores.TALLY_ROWS,
    code_version="2",
    whole_inputs=["panoptic_video"],
    show=show.scores,
)
def vpq(raw, panoptic_video, partition):
    """VPQ of `predictions/<name>/{pred.json, pan_pred/<image id>.png}` against `cityscapes_vps/panoptic_video`.

    PNGs are joined by their image id. The form's JSON has no image ids: its annotations are those of the frames in
    order, as many as there are frames; where they have an `image_id`, that decides.
    """
    where = f"predictions/{partition}"
    pictures = {path.rsplit("/", 1)[1].removesuffix(".png"): path for path in raw.paths if path.endswith(".png")}
    truth, handle = ground_truth("cityscapes_vps/panoptic_video", panoptic_video, "frame", pictures.keys())
    path, document = only_json(raw, partition, "pred.json")
    entries = panoptic_scores.annotations(document, path)
    predicted, bad = _by_frame(entries, list(truth), where)
    lost = {finding.image for finding in bad}
    items, findings = join(
        [frame for frame in truth if frame not in lost],
        "image",
        {
            "prediction": f"no annotation of {where}/pred.json has its image_id: one a frame is expected",
            "predicted_png": f"there is no PNG of its segments: {where}/pan_pred/<image id>.png is expected",
        },
        segments={frame: segments for frame, segments in truth.items() if frame not in lost},
        prediction={frame: entry["segments_info"] for frame, entry in predicted.items()},
        predicted_png={image: raw.ref(path) for image, path in pictures.items() if image not in lost},
        truth_png={image: handle.ref(path) for image, path in handle.paths.items() if image and image not in lost},
    )
    clips = {}
    for item in items:
        clips.setdefault(item["image"][:4], []).append(item)
    folds = {f"vpq-{k}.txt": partial(panoptic_scores.vpq_text, things=THINGS, window=t) for t, k in WINDOWS.items()}
    folds["vpq-final.txt"] = partial(panoptic_scores.vpq_final, things=THINGS)
    folds["vpq_stats.json"] = partial(panoptic_scores.vpq_stats, things=THINGS)
    return each(
        Items([{"clip": clip, "frames": frames} for clip, frames in clips.items()], "clip", batch_items=2),
        panoptic_scores.score_clip,
        findings=[*bad, *findings],
        folds=folds,
        categories=tuple(THINGS),
    )


def _by_frame(entries, frames, where):
    """Annotations by frame, and errors: by their `image_id` where any of them has one, else in the order of frames."""
    if any(isinstance(entry, dict) and "image_id" in entry for entry in entries):
        return panoptic_scores.by_image(entries, where)
    if len(entries) != len(frames):
        told = f"{len(entries)} annotations without image_id for {len(frames)} frames: one a frame, in order, is due"
        raise BadItem(error("predictions_count", told, path=where))
    return panoptic_scores.by_image(entries, where, frames)
