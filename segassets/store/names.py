"""Where the platform keeps its own files, below `.segassets/`, and how partition keys become file names."""

from __future__ import annotations

import re

HOME = ".segassets"
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
UNPARTITIONED = "_"


def valid_key(key: str) -> bool:
    """Whether text from a file name may become a partition key."""
    return KEY.fullmatch(key) is not None


def partition_name(partition: str | None) -> str:
    """The file name of a partition key: Dagster joins dimensions with `|`, which is no good name; `+` is in no key."""
    if partition is None:
        return UNPARTITIONED
    parts = partition.split("|")
    if not all(valid_key(part) for part in parts):
        raise ValueError(f"{partition!r} is no partition key: letters, digits, '.', '_' and '-' only")
    return "+".join(parts)


def partition_of(name: str) -> str | None:
    """The partition key of a file name that `partition_name` made."""
    return None if name == UNPARTITIONED else name.replace("+", "|")


def manifest(asset: str, partition: str | None) -> str:
    return f"{HOME}/manifests/{asset}/{partition_name(partition)}.parquet"


def findings(asset: str, partition: str | None) -> str:
    return f"{HOME}/findings/{asset}/{partition_name(partition)}.parquet"


def tried(asset: str, partition: str | None) -> str:
    return f"{HOME}/tried/{asset}/{partition_name(partition)}.json"


def rows(asset: str, partition: str | None, version: str) -> str:
    return f"{HOME}/rows/{asset}/{partition_name(partition)}/{version}.parquet"


def stage(asset: str, partition: str | None) -> str:
    return f"{HOME}/stages/{asset}/{partition_name(partition)}"


def publishing(asset: str, partition: str | None) -> str:
    return f"{HOME}/publishing/{asset}/{partition_name(partition)}.json"


def lock(asset: str, partition: str | None) -> str:
    return f"{HOME}/locks/{asset}/{partition_name(partition)}.lock"
