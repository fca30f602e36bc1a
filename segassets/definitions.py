"""The door for Dagster: everything is loaded here, nothing is decided here."""

from pathlib import Path

import dagster as dg

from segassets import cluster, settings
from segassets.automation.build import automated
from segassets.cards.assets import cards
from segassets.store.io_manager import StoreIOManager
from segassets.user_defs import load_user_defs, refuse_twice


@dg.definitions
def defs() -> dg.Definitions:
    """All datasets of the package, and those of the folder SEGASSETS_DEFS."""
    packaged = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    own = load_user_defs(settings.load().defs)
    refuse_twice(packaged, own)
    resources = {"store": StoreIOManager(), **cluster.default(own.resources or {})}
    datasets = dg.Definitions.merge(
        packaged,
        own,
        dg.Definitions(resources=resources, executor=dg.in_process_executor),
    )
    return automated(datasets, cards(datasets))
