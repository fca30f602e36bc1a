"""The cluster that a run's batches go to, as a Dagster resource: `cluster`.

Without one, `SEGASSETS_ENGINE=ray` joins the cluster that RAY_ADDRESS names. A resource of dagster-ray in its place (in
the folder SEGASSETS_DEFS, docs/cluster.md) brings up a cluster of its own, such as `KubeRayCluster`: it is started
when the first partition needs it, and goes when the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

KEY = "cluster"


def default(given: Mapping[str, Any]) -> dict[str, Any]:
    """The resource that stands for "none of its own", where nothing else is given under its key."""
    return (
        {} if KEY in given else {KEY: dg.ResourceDefinition.none_resource("joins RAY_ADDRESS when asked for a cluster")}
    )


def joining(context: dg.AssetExecutionContext) -> Callable[[], object] | None:
    """What joins the run's own cluster, whatever of its life cycle Dagster has done already; None without one."""
    own = getattr(context.resources, KEY)
    if own is None:
        return None

    def join() -> None:
        if not own.created:
            own.create(context)
        if not own.ready:
            own.wait(context)
        own.connect(context)

    return join
