"""What a card says, gathered from declarations and manifests; nothing of it is written by hand. No Dagster here.

Memory stays at a part of one manifest, however many partitions and files there are.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from segassets.declaration import Artifact
from segassets.store import names
from segassets.store.store import Store

LOOKED_AT = 16  # partitions whose names of files are looked at, spread over all
FEW = 8  # files that are listed one by one, with their digests
PATTERNS = 24
_VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
_SPECIAL = re.compile(r"([*?[])")


@dataclass(frozen=True)
class About:
    """Where a dataset comes from, as its raw asset declares it."""

    name: str
    description: str
    licence: str
    link: str
    citation: str


@dataclass(frozen=True)
class Listed:
    """A published file that is listed by itself."""

    path: str
    bytes: int
    sha256: str


@dataclass
class Published:
    """What is published of one asset."""

    artifact: Artifact
    about: str
    partitions: list[str | None] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    findings: Counter = field(default_factory=Counter)
    data_versions: list[str] = field(default_factory=list)
    libraries: dict[str, str] = field(default_factory=dict)
    patterns: list[str] = field(default_factory=list)
    listed: list[Listed] = field(default_factory=list)

    @property
    def key(self) -> str:
        return self.artifact.key

    @property
    def is_table(self) -> bool:
        """Whether its rows are what it publishes, and not a companion of its files."""
        return self.counts["rows"] > 0 and not self.counts["files"]


def gather(store: Store, artifact: Artifact, about: str) -> Published:
    """The published partitions of an asset; an empty record when there is none."""
    found = Published(artifact, about, store.published(artifact.key))
    for partition in found.partitions:
        footer = store.footer(artifact.key, partition)
        if footer is not None:
            found.counts.update(footer.counts)
            found.findings.update(footer.findings)
            found.data_versions.append(footer.data_version)
            found.libraries.update(footer.versions)
    if found.counts["files"]:
        step = max(1, len(found.partitions) // LOOKED_AT)
        found.patterns = _patterns(store, artifact, found.partitions[::step])
    if 0 < found.counts["files"] <= FEW:
        found.listed = _listed(store, artifact, found.partitions)
    return found


def _patterns(store: Store, artifact: Artifact, partitions: Sequence[str | None]) -> list[str]:
    """Globs that the published paths match: numbers and UUIDs vary; where names do as well, only the ending is kept."""
    found: set[str] = set()
    endings: set[str] = set()
    for partition in partitions:
        for paths in _paths(store, artifact, partition):
            endings.update(path.rpartition(".")[2] for path in paths)
            if len(found) <= PATTERNS:
                found.update(map(pattern_of, paths))
    if len(found) > PATTERNS:
        roots = {pattern_of(artifact.target(partition)) for partition in partitions}
        found = {f"{root}/*.{ending}" if root else f"*.{ending}" for root in roots for ending in endings}
    return sorted(pattern for pattern in found if not _covered(pattern, found))


def pattern_of(path: str) -> str:
    """A glob that matches a path and those that differ from it in numbers and UUIDs only."""
    return _VARYING.sub("*", _SPECIAL.sub(r"[\1]", path))


def _covered(pattern: str, others: set[str]) -> bool:
    return any(other != pattern and fnmatch.fnmatchcase(pattern, other) for other in others)


def _paths(store: Store, artifact: Artifact, partition: str | None) -> Iterator[list[str]]:
    """The published paths, a batch of rows at a time; of a partition of a million files the first group is enough."""
    with (
        store.files.open(names.manifest(artifact.key, partition)) as file,
        pq.ParquetFile(file) as manifest,
    ):
        groups = list(range(min(1, manifest.num_row_groups)))
        for batch in manifest.iter_batches(batch_size=8192, row_groups=groups, columns=["path"]):
            yield [path for path in batch.column(0).to_pylist() if not path.startswith(f"{names.HOME}/")]


def _listed(store: Store, artifact: Artifact, partitions: Sequence[str | None]) -> list[Listed]:
    """Every file with its sha256; none when some were copied on a server and never read."""
    rows = [row for partition in partitions for row in store.handle(artifact.key, partition).files.to_pylist()]
    if any(row["digest_kind"] != "sha256" for row in rows):
        return []
    return [Listed(row["path"], row["bytes"], row["digest"].hex()) for row in sorted(rows, key=lambda row: row["path"])]
