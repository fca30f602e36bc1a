"""Which assets can be made together: those of one dataset that have the same partitions. A job each.

What belongs here: the groups, read off the declarations, and their jobs. Not here: when they are run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

import dagster as dg

from segassets.declaration import Artifact

#: Every asset keeps the cores busy: the limit of this pool (`concurrency` in dagster.yaml) counts runs.
POOL = "cores"
#: A person's run goes first in the queue.
AUTOMATED = {"dagster/priority": "-1", "segassets/automated": "true"}


@dataclass(frozen=True)
class Group:
    """Assets of one dataset with the same partitions, inputs before what is made from them; `name` is their job's."""

    name: str
    dataset: str
    partitions: dg.PartitionsDefinition | None
    artifacts: tuple[Artifact, ...]

    @property
    def keys(self) -> list[str]:
        return [artifact.key for artifact in self.artifacts]

    @property
    def reads(self) -> bool:
        """Whether any of them is made from raw files; a card is not."""
        return any(artifact.reads for artifact in self.artifacts)

    def partition_keys(self, instance: dg.DagsterInstance) -> list[str | None]:
        """All keys that are registered, in Dagster's order."""
        if self.partitions is None:
            return [None]
        return list(self.partitions.get_partition_keys(dynamic_partitions_store=instance))


def groups(artifacts: Mapping[str, Artifact], partitions: Mapping[str, dg.PartitionsDefinition | None]) -> list[Group]:
    """The groups of all artifacts. A dataset's largest has the dataset's name, the others that of their first asset too."""
    found: list[tuple[str, dg.PartitionsDefinition | None, list[Artifact]]] = []
    for artifact in _in_order(artifacts):
        mark = artifact.key.rsplit("/", 1)[0], partitions[artifact.key]
        members = next((members for *known, members in found if tuple(known) == mark), None)
        if members is None:
            found.append((*mark, [artifact]))
        else:
            members.append(artifact)
    largest: dict[str, int] = {}
    for dataset, _, members in found:
        largest[dataset] = max(len(members), largest.get(dataset, 0))
    named: dict[str, Group] = {}
    for dataset, definition, members in found:
        main = len(members) == largest[dataset] and _job_name(dataset) not in named
        name = _job_name(dataset if main else members[0].key)
        named[name] = Group(name, dataset, definition, tuple(members))
    return list(named.values())


def _job_name(key: str) -> str:
    return re.sub(r"\W", "_", key)


def _in_order(artifacts: Mapping[str, Artifact]) -> Iterable[Artifact]:
    """Inputs first; otherwise in the order of declaration."""
    above = {key: [up for up in one.inputs.values() if up in artifacts] for key, one in artifacts.items()}
    return (artifacts[key] for key in TopologicalSorter(above).static_order())


def job(group: Group) -> dg.UnresolvedAssetJobDefinition:
    """What makes everything of the group."""
    names = ", ".join(key.rsplit("/", 1)[1] for key in group.keys)
    of = "for a partition" if group.partitions is not None else "once"
    return dg.define_asset_job(
        group.name,
        dg.AssetSelection.assets(*group.keys),
        description=f"Everything of {group.dataset} that is made {of}: {names}.",
        tags={"segassets/dataset": group.dataset.replace("/", ".")},
    )
