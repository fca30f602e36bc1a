"""What is declared: every artifact, and the Dagster asset that was made of it. Rooms declare, everything else asks."""

from collections.abc import Mapping

import dagster as dg

from segassets.declaration import Artifact

_artifacts: dict[str, Artifact] = {}
_definitions: dict[str, dg.AssetsDefinition] = {}


def declare(artifact: Artifact, definition: dg.AssetsDefinition) -> None:
    _artifacts[artifact.key] = artifact
    _definitions[artifact.key] = definition


def registry() -> Mapping[str, Artifact]:
    """Every declared artifact, by key, in the order of declaration."""
    return _artifacts


def readers(key: str, partition: str | None) -> tuple[str, ...]:
    """The patterns of all raw files that an artifact, or another one of the same raw asset and partitions, reads."""
    raw, partitions = _artifacts[key].raw, _definitions[key].partitions_def
    patterns = (
        pattern
        for other, declared in _artifacts.items()
        if declared.raw == raw and _definitions[other].partitions_def == partitions
        for pattern in declared.patterns(partition)
    )
    return tuple(sorted(set(patterns)))
