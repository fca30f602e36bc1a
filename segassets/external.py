"""The assets that the platform does not make: what a user downloads, and what a user's model predicts."""

from __future__ import annotations

import dagster as dg


def downloads(
    dataset: str, partitions: dg.PartitionsDefinition, description: str, *, licence: str, link: str, citation: str
) -> dg.AssetSpec:
    """`<dataset>/raw`: a dataset's raw folder, with its licence, where it comes from and how to cite it."""
    return dg.AssetSpec(
        [dataset, "raw"],
        partitions_def=partitions,
        group_name=dataset,
        description=description,
        metadata={"licence": licence, "link": dg.MetadataValue.url(link), "citation": citation},
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
