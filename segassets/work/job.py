"""A job: one partition of one artifact to be made, and everything that decides what comes out. No Dagster here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from segassets.declaration import Artifact
from segassets.errors import BeingPublished, UsageError
from segassets.settings import Settings
from segassets.sources.raw import Raw
from segassets.store.store import Store
from segassets.work.node import Sight

LOOK_AT = 8
AT_ONCE = 16

log = logging.getLogger("segassets")


@dataclass
class Job:
    """One partition of one artifact to be made, and everything that decides what comes out."""

    artifact: Artifact
    partition: str | None
    settings: Settings
    options: Mapping[str, Any] = field(default_factory=dict)
    max_rejected: float | None = None
    force: bool = False
    run_id: str = ""
    workers_lock: str | None = None
    handles: Mapping[str, Any] = field(default_factory=dict)
    say: Callable[[str], None] = log.info
    connect: Callable[[], object] | None = None

    @property
    def label(self) -> str:
        return f"{self.artifact.key} {self.partition}" if self.partition else self.artifact.key

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    @cached_property
    def raw(self) -> Raw:
        """One listing for the fingerprint and for what is read, so that the one is of the other."""
        patterns = self.artifact.patterns(self.partition)
        return Raw(self.settings.raw, self.artifact.dataset, patterns, scratch=self.settings.store)

    def share_listing(self, known: dict[tuple[str, tuple[str, ...]], Raw]) -> Job:
        """Look at raw files through the listing of another job of the same run that reads the same ones."""
        if self.artifact.reads:
            mark = self.artifact.dataset, self.artifact.patterns(self.partition)
            self.raw = known.setdefault(mark, self.raw)
        return self

    @property
    def tolerance(self) -> float:
        if self.max_rejected is None:
            return self.artifact.max_rejected
        if not 0 <= self.max_rejected <= 1:  # not so of NaN, either
            raise UsageError(f"max_rejected={self.max_rejected}: expected a share from 0 to 1")
        return self.max_rejected

    def sights(self) -> list[Sight]:
        """Some of the raw files as they are seen from here: another machine has to see the same."""
        if not self.artifact.reads:
            return []
        files = list(self.raw.files.items())
        step = max(1, len(files) // LOOK_AT)
        return [Sight(self.raw.root, self.raw.ref(path).path, entry.size) for path, entry in files[::step][:LOOK_AT]]

    def inputs(self) -> dict[str, Any]:
        """A handle for each upstream asset; for one of other partitions, a function that gives its handles by key.

        They stay the same: what is read is of the versions that the fingerprint names.
        """
        return self._inputs

    @cached_property
    def _inputs(self) -> dict[str, Any]:
        handles: dict[str, Any] = dict(self.handles)
        for name, key in self.artifact.inputs.items():
            if name not in handles:
                whole = name in self.artifact.whole_inputs
                handles[name] = Whole(self.store, key) if whole else self.store.handle(key, self.partition)
        return handles

    @cached_property
    def published(self) -> dict[str, dict[tuple[str, str | None], Any]]:
        """By parameter: a handle for each pair of `where_published`, None where nothing is published."""
        found = {}
        for name, wanted in self.artifact.where_published.items():
            pairs = wanted(self.options, self.raw if self.artifact.reads else None)
            there = {pair: self.store.footer(*pair) is not None for pair in pairs}
            found[name] = {pair: self.store.handle(*pair) if there[pair] else None for pair in pairs}
        return found

    def arguments(self) -> dict[str, Any]:
        """What the artifact's functions get: its inputs, and `raw` when it reads raw files."""
        there = {name: {k: v for k, v in found.items() if v is not None} for name, found in self.published.items()}
        return {**self.inputs(), **there, **({"raw": self.raw} if self.artifact.reads else {})}


@dataclass
class Whole:
    """All partitions of an upstream asset; those that are asked for are remembered as inputs."""

    store: Store
    asset: str
    used: dict[str | None, Any] = field(default_factory=dict)
    versions: dict[str | None, str] = field(default_factory=dict)

    def __getitem__(self, partition: str | None):
        handle = self.used.setdefault(partition, self.store.handle(self.asset, partition))
        if self.versions.setdefault(partition, handle.data_version) != handle.data_version:
            raise BeingPublished(f"{handle.label} was replaced while it was read; try again")
        return handle

    def read_versions(self, partitions: Sequence[str | None]) -> dict[str | None, str]:
        """The data versions of partitions, read off the footers alone: of a shard's manifest that is a thousandth."""
        unknown = [partition for partition in partitions if partition not in self.versions]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self.versions.update(zip(unknown, pool.map(self._read_version, unknown), strict=True))
        return {partition: self.versions[partition] for partition in partitions}

    def _read_version(self, partition: str | None) -> str:
        handle = self.store.handle(self.asset, partition)
        handle.settled()
        footer = self.store.footer(self.asset, partition)
        return footer.data_version if footer is not None else handle.data_version

    @property
    def partitions(self) -> list[str | None]:
        return self.store.published(self.asset)
