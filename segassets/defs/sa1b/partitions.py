"""The partitions of SA-1B: a shard is one tar; it becomes a partition when it lies in the raw folder."""

import dagster as dg

from segassets.formats.asam_eval import DATASETS
from segassets.partitions import dynamic


def _shards(files):
    return [name.removesuffix(".tar") for name in files.names("sa1b") if name.endswith(".tar")]


def _adversarial_runs(files):
    return [
        f"{folder.removesuffix('-Grad')}.{run}"
        for folder in files.names("sa1b/advdata")
        if folder.endswith("-Grad")
        for run in files.names(f"sa1b/advdata/{folder}")
    ]


SHARDS = dynamic("sa1b_shards", _shards)
RUNS = dynamic("sa1b_adversarial_runs", _adversarial_runs)
EVALUATION = dg.StaticPartitionsDefinition(list(DATASETS))
