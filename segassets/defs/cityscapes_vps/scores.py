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
    code_version="1",
    whole_inputs=["panoptic_video"],
    show=show.scores,
)
def vpq(raw, panoptic_video, partition):
    """VPQ of `predictions/<name>/{pred.json, pan_pred/<image id>.png}` against `cityscapes_vps/panoptic_video`.

    PNGs are joined by their image id. The form's JSON has no image ids: its annotations are those of the frames in
    order, as many as there are frames; where they have an `image_id`, that decides.
    """
    pictures = {path.rsplit("/", 1)[1].removesuffix(".png"): path for path in raw.paths if path.endswith(".png")}
    truth, handle = ground_truth("cityscapes_vps/panoptic_video", panoptic_video, "frame", pictures.keys())
    document = panoptic_scores.document(only_json(raw, partition, "pred.json"), f"predictions/{partition}")
    predicted = _by_frame(document["annotations"], list(truth), f"predictions/{partition}")
    items, findings = join(
        truth,
        "image",
        segments=truth,
        prediction=predicted,
        predicted_png={image: raw.ref(path) for image, path in pictures.items()},
        truth_png={image: handle.ref(path) for image, path in handle.paths.items() if image},
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
        findings=findings,
        folds=folds,
        categories=tuple(THINGS),
    )


def _by_frame(annotations, frames, where):
    if all(isinstance(entry.get("image_id"), str) for entry in annotations):
        return {entry["image_id"]: entry["segments_info"] for entry in annotations}
    if len(annotations) != len(frames):
        told = (
            f"{len(annotations)} annotations without image_id for {len(frames)} frames: one a frame, in order, is due"
        )
        raise BadItem(error("predictions_count", told, path=where))
    return {frame: entry["segments_info"] for frame, entry in zip(frames, annotations, strict=True)}
