"""What ASAM is evaluated and tuned on, validated: pairs of pictures and ground truth, with the number of masks."""

import json

import dagster as dg

from segassets.artifact import artifact
from segassets.defs.sa1b.partitions import EVALUATION, RUNS
from segassets.errors import Skip
from segassets.formats import asam_eval
from segassets.work.plans import files

DATA = "evaldata/"
ASAM = {
    "link": dg.MetadataValue.url("https://github.com/luckybird1994/ASAM"),
    "citation": "Li et al., ASAM: Boosting Segment Anything Model with Adversarial Tuning, CVPR 2024, arXiv:2405.00256",
}

raw_evaluation = dg.AssetSpec(
    ["sa1b", "raw_evaluation"],
    partitions_def=EVALUATION,
    group_name="sa1b",
    description="The 27 sets that ASAM is evaluated on, each as its own source publishes it, below `evaldata/`.",
    metadata={"licence": "each set has its own", **ASAM},
)
raw_adversarial = dg.AssetSpec(
    ["sa1b", "raw_adversarial"],
    partitions_def=RUNS,
    group_name="sa1b",
    description="Adversarial pictures that an attack of ASAM has made of a shard, below `advdata/`.",
    metadata={"licence": "SA-1B Dataset Research License, as the pictures that were attacked", **ASAM},
)
PAIRS = {"image": "string", "gt": "string", "masks": "int64"}
TUNING = {"image": "string", "gt": "string", "masks": "int64", "worst_iou": "double"}


def _evaluation_files(key):
    return [f"{DATA}{place}*" if place.endswith("/") else f"{DATA}{place}" for place in asam_eval.folders(key)]


@artifact(
    "sa1b/eval_manifest",
    EVALUATION,
    into="sam-1b/eval",
    reads=_evaluation_files,
    raw="raw_evaluation",
    rows=PAIRS,
    code_version="1",
    backfill=dg.BackfillPolicy.single_run(),
)
def eval_manifest(raw, partition):
    """The pairs of one of ASAM's 27 evaluation sets, sorted, so that an evaluation can be repeated."""
    paths = [path.removeprefix(DATA) for path in raw.paths]
    manifest, findings = asam_eval.manifest(partition, paths, lambda path: raw.read(f"{DATA}{path}"))
    if not manifest["present"]:
        raise Skip(f"none of {', '.join(asam_eval.folders(partition))} is in the raw folder's {DATA}")
    columns = {name: [item.get(name) for item in manifest["items"]] for name in PAIRS}
    return files({f"{partition}.json": _json(manifest)}, rows=columns, findings=findings)


def _run_files(key):
    shard, _, run = key.partition(".")
    return [f"advdata/{shard}-Grad/{run}/{kind}/*" for kind in ("adv", "record")]


def _shard_of(key):
    return [key.partition(".")[0]]


@artifact(
    "sa1b/tuning_manifest",
    RUNS,
    into="sam-1b/tuning",
    reads=_run_files,
    raw="raw_adversarial",
    rows=TUNING,
    code_version="1",
    inputs={"shards": "sa1b/shard_index"},
    whole_inputs={"shards": _shard_of},
    backfill=dg.BackfillPolicy.single_run(),
)
def tuning_manifest(raw, shards, partition):
    """What ASAM's tuning reads of an adversarial run: its pictures, the mask folders they belong to, worst IoUs."""
    shard, _, run = partition.partition(".")
    top = f"advdata/{shard}-Grad/{run}/"
    masks = {row["image_id"]: row["masks"] for row in shards[shard].records(["image_id", "masks"])}
    paths = [path.removeprefix(top) for path in raw.paths]
    manifest, findings = asam_eval.tuning_manifest(run, paths, lambda path: raw.read(top + path), masks, shard)
    columns = {name: [row.get(name) for row in manifest["rows"]] for name in TUNING}
    return files({f"{partition}.json": _json(manifest)}, rows=columns, findings=findings)


def _json(value):
    return (json.dumps(value, indent=1) + "\n").encode()
