"""All artifacts as the commands see them: selections, order, partitions, what is current."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from segassets import partitions as dynamic_partitions
from segassets.declaration import Artifact
from segassets.errors import SegassetsError, UsageError
from segassets.files.s3_faults import check_endpoint
from segassets.registry import registry
from segassets.settings import Settings, is_remote, prepare_dagster_home
from segassets.sources.raw import Raw, plain_pattern
from segassets.store.names import valid_key
from segassets.store.store import Store


def _check_folder(variable: str, root: str) -> None:
    """Say so when a root is there and is no folder that can be read: to a listing it would only look empty."""
    if is_remote(root) or not os.path.exists(root):
        return
    if not os.path.isdir(root):
        raise UsageError(f"{variable}: {root} is a file; expected a folder or s3://bucket/prefix")
    if not os.access(root, os.R_OK | os.X_OK):
        raise SegassetsError(f"{variable}: {root} cannot be read by this user; change its permissions")


@dataclass
class Catalogue:
    """The loaded definitions, the instance, the settings."""

    settings: Settings

    def __post_init__(self) -> None:
        _check_folder("SEGASSETS_RAW", self.settings.raw)
        _check_folder("SEGASSETS_STORE", self.settings.store)
        if is_remote(self.settings.raw) or is_remote(self.settings.store):
            check_endpoint()
        try:
            prepare_dagster_home(self.settings)
        except OSError as problem:
            raise SegassetsError(f"DAGSTER_HOME: {self.settings.dagster_home}: {problem.strerror}") from None

    @cached_property
    def definitions(self) -> dg.Definitions:
        from segassets.definitions import defs

        return defs()

    @cached_property
    def job(self):
        return self.definitions.resolve_implicit_global_asset_job_def()

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        from segassets.instance import opened
        from segassets.runs import free_dead_runs

        instance = opened()
        free_dead_runs(instance)
        return instance

    @cached_property
    def graph(self):
        return self.definitions.resolve_asset_graph()

    @cached_property
    def artifacts(self) -> dict[str, Artifact]:
        """By key, inputs before what is made from them."""
        declared = registry() if self.definitions else {}
        keys = [key.to_user_string() for level in self.graph.toposorted_asset_keys_by_level for key in sorted(level)]
        return {key: declared[key] for key in keys if key in declared}

    def select(self, what: Iterable[str]) -> list[str]:
        """Artifact keys of datasets, assets or selection strings, in making order. UsageError for what is neither."""
        chosen: set[str] = set()
        for text in what:
            chosen |= self._select_one(text)
        return [key for key in self.artifacts if key in chosen]

    def _select_one(self, text: str) -> set[str]:
        if text in self.artifacts:
            return {text}
        below = {key for key in self.artifacts if key.startswith(f"{text}/")}
        if below:
            return below
        if not any(sign in text for sign in '*+:"() ='):
            raise UsageError(f"there is no dataset or asset {text!r}{self._nearest(text)}")
        try:
            keys = dg.AssetSelection.from_string(text).resolve(self.graph)
        except Exception as problem:
            raise UsageError(f"{text!r} is no asset selection: {str(problem).splitlines()[0]}") from None
        found = {key.to_user_string() for key in keys} & set(self.artifacts)
        if not found:
            raise UsageError(f"the selection {text!r} matches no asset{self._nearest(text)}")
        return found

    def _nearest(self, text: str) -> str:
        known = sorted({artifact.dataset for artifact in self.artifacts.values()} | set(self.artifacts))
        near = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
        datasets = ", ".join(sorted({artifact.dataset for artifact in self.artifacts.values()}))
        return f"; did you mean {' or '.join(near)}?" if near else f"; datasets are {datasets}"

    def with_inputs(self, keys: Sequence[str]) -> list[str]:
        """The keys and everything within their dataset that they are made from."""
        wanted, pending = set(keys), list(keys)
        while pending:
            artifact = self.artifacts[pending.pop()]
            new = {up for up in artifact.inputs.values() if up.split("/")[0] == artifact.dataset} - wanted
            new &= set(self.artifacts)
            wanted |= new
            pending += new
        return [key for key in self.artifacts if key in wanted]

    def partitions_def(self, key: str) -> dg.PartitionsDefinition | None:
        return self.graph.get(dg.AssetKey(key.split("/"))).partitions_def

    def op_name(self, key: str) -> str:
        """What Dagster calls the asset's step, in run configuration and events."""
        return self.definitions.get_assets_def(dg.AssetKey(key.split("/"))).op.name

    def groups(self, keys: Sequence[str]) -> list[tuple[dg.PartitionsDefinition | None, list[str]]]:
        """Keys that can be made in one run, in order: those of one partitions definition and one raw input.

        Datasets of a family (`maskterial/<D>`) are apart: the raw files of one say nothing about another's.
        """
        found: list[tuple[Any, list[str]]] = []
        place: dict[str, int] = {}
        for key in keys:
            mark = (self.partitions_def(key), key.rsplit("/", 1)[0])
            # Not before what it is made from, as a card would be in one group with a download.
            earliest = max((place[up] for up in self.artifacts[key].inputs.values() if up in place), default=0)
            alike = (n for n, (other, _) in enumerate(found) if n >= earliest and other == mark)
            place[key] = next(alike, len(found))
            if place[key] == len(found):
                found.append((mark, []))
            found[place[key]][1].append(key)
        return [(mark[0], members) for mark, members in found]

    def keys_of(self, definition: dg.PartitionsDefinition | None) -> list[str | None]:
        """All partition keys of a definition, those that the raw folder gives registered first."""
        if definition is None:
            return [None]
        if any(isinstance(part, dg.DynamicPartitionsDefinition) for part in _parts(definition)):
            self.register()
        return list(definition.get_partition_keys(dynamic_partitions_store=self.instance))

    def refused(self, definition: dg.PartitionsDefinition | None) -> list[str]:
        """Names in the raw folder that would be partition keys of a definition, but cannot be."""
        dynamic = [part for part in _parts(definition) if isinstance(part, dg.DynamicPartitionsDefinition)]
        return [name for part in dynamic for name in dynamic_partitions.discover(self.settings, part.name).refused]

    def register(self) -> dict[str, list[str]]:
        """Register the keys that the raw folder gives, once a command; the new ones, by definition."""
        return self._registered

    @cached_property
    def _registered(self) -> dict[str, list[str]]:
        # Definitions first: loading them is what tells which dynamic partitions there are.
        return dynamic_partitions.register(self.definitions and self.instance, self.settings)

    def takers(self, keys: Sequence[str], partition: str) -> list[dg.PartitionsDefinition]:
        """The definitions among those of the assets that a key which a person named belongs to.

        A dynamic one that does not know the key takes it when no other does and raw files for it are there, as for an
        archive that lacks its last part: what is wrong with them is then told by the run.
        """
        groups = [(definition, members) for definition, members in self.groups(keys) if definition is not None]
        known = [definition for definition, _ in groups if partition in self.keys_of(definition)]
        if known or not valid_key(partition):
            return known
        new = [
            definition
            for definition, members in groups
            if isinstance(definition, dg.DynamicPartitionsDefinition)
            and self.missing_raw(members[0], partition) is None
        ]
        for definition in new:
            dynamic_partitions.add(self.instance, definition.name, [partition])
        return new

    def missing_raw(
        self, key: str, partition: str | None, options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> str | None:
        """Why a partition has no raw input; None when it has some, or needs none with these options (by asset)."""
        inputs = self.artifacts[key].inputs
        if why := self.artifacts[key].not_asked((options or {}).get(key, {})):
            return why
        if inputs and set(inputs) == set(self.artifacts[key].whole_inputs) and not self.artifacts[key].reads:
            store = Store(self.settings.store)
            return None if any(map(store.published, inputs.values())) else "nothing that it is made from is published"
        needed = [self.artifacts[name] for name in self.with_inputs([key])]
        if not all(artifact.needs_raw((options or {}).get(artifact.key, {})) for artifact in needed if artifact.reads):
            return None
        for artifact in needed:
            name = artifact.key
            if artifact.reads and self.partitions_def(name) == self.partitions_def(key):
                patterns = artifact.patterns(partition)
                raw = Raw(self.settings.raw, artifact.dataset, patterns, self.settings.store)
                try:
                    found = raw.files
                except ValueError as problem:  # a key by hand that no file can be called
                    return f"{partition} is not possible here: {problem}"
                if not found:
                    return f"no {' or '.join(map(plain_pattern, patterns))} in {self.settings.raw}/{artifact.dataset}"
                if artifact.lacks is not None and (why := artifact.lacks(partition, raw)):
                    return why
        return None

    def failed(self, key: str) -> set[str | None]:
        """The partitions whose last run failed, as the instance has it."""
        definition = self.partitions_def(key)
        if definition is None:
            return set()
        asset = dg.AssetKey(key.split("/"))
        found = self.instance.get_status_by_partition(asset, self.keys_of(definition), definition) or {}
        return {partition for partition, status in found.items() if status is not None and status.value == "FAILED"}

    def check_partitions(self, keys: Sequence[str], named: Sequence[str], there: Iterable[str | None]) -> None:
        """UsageError for a named partition that is neither there, in the store, nor one of the assets'."""
        known = dict.fromkeys(there)
        if not known.keys() >= set(named):
            known |= {key: None for definition, _ in self.groups(keys) for key in self.keys_of(definition)}
        for partition in named:
            if partition not in known:
                raise no_partition(partition, known)


def no_partition(partition: str, known: Iterable[str | None]) -> UsageError:
    """The error for a partition that none of the selected assets has, with those they have."""
    keys = [key for key in known if key is not None]
    near = set(difflib.get_close_matches(partition, keys, n=12, cutoff=0.6)) or keys
    shown = ", ".join([key for key in keys if key in near][:12]) + (", ..." if len(keys) > 12 else "")
    return UsageError(f"--partition {partition}: none of the selected assets has it; known are {shown or 'none'}")


def _parts(definition: dg.PartitionsDefinition | None) -> list[dg.PartitionsDefinition | None]:
    """A definition, or its dimensions."""
    if isinstance(definition, dg.MultiPartitionsDefinition):
        return [dimension.partitions_def for dimension in definition.partitions_defs]
    return [definition]
