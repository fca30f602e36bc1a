"""The assets that the platform does not make: what a user downloads, and what a user's model predicts."""

from __future__ import annotations

import dagster as dg


def downloads(
    dataset: str,
    partitions: dg.PartitionsDefinition | None,
    description: str,
    *,
    licence: str,
    link: str,
    citation: str,
) -> dg.AssetSpec:
    """`<dataset>/raw`: a dataset's raw folder, with its licence, where it comes from and how to cite it."""
    return dg.AssetSpec(
        [dataset, "raw"],
        partitions_def=partitions,
        group_name=dataset,
        description=description,
        metadata={"licence": licence, "link": dg.MetadataValue.url(link), "citation": citation},
    )


def part_of(
    downloaded: dg.AssetSpec, name: str, partitions: dg.PartitionsDefinition, description: str, **metadata
) -> dg.AssetSpec:
    """`<dataset>/<name>/raw`: what lies in a dataset's raw folder for one of several sets alike, with partitions of its own.

    Dagster knows one version of raw files a partition, so each set has an asset of its own that says when its files
    have changed. `metadata`: what is otherwise than the folder's licence, link and citation.
    """
    (dataset, _) = downloaded.key.path
    return dg.AssetSpec(
        [dataset, name, "raw"],
        partitions_def=partitions,
        group_name=downloaded.group_name,
        deps=[downloaded.key],
        description=description,
        metadata={**downloaded.metadata, **metadata},
    )


def predictions(
    dataset: str, partitions: dg.PartitionsDefinition, description: str, *, link: str, citation: str
) -> dg.AssetSpec:
    """`<dataset>/predictions`: what is to be scored. `link` and `citation`: the reference tool's, and the metric's."""
    return dg.AssetSpec(
        [dataset, "predictions"],
        partitions_def=partitions,
        group_name=dataset,
        description=description,
        metadata={
            "licence": "yours: your own predictions",
            "link": dg.MetadataValue.url(link),
            "citation": citation,
        },
    )
