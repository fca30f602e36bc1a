"""The partitions of SA-1B: a shard is one tar; it becomes a partition when it lies in the raw folder."""

import dagster as dg

from segassets.files.paths import is_plain
from segassets.formats.asam_eval import DATASETS
from segassets.partitions import dynamic


def _shards(files):
    return [name.removesuffix(".tar") for name in files.names("sa1b") if name.endswith(".tar")]


def _adversarial_runs(files):
    runs = []
    for folder in files.names("sa1b/advdata"):
        if folder.endswith("-Grad"):
            # Nobody can look into a folder of an odd name: it stands for itself, and is refused as a key.
            inside = files.names(f"sa1b/advdata/{folder}") if is_plain(folder) else [""]
            runs += [f"{folder.removesuffix('-Grad')}.{run}" for run in inside]
    return runs


SHARDS = dynamic("sa1b_shards", _shards)
RUNS = dynamic("sa1b_adversarial_runs", _adversarial_runs)
EVALUATION = dg.StaticPartitionsDefinition(list(DATASETS))
