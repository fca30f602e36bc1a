"""The door for Dagster: everything is loaded here, nothing is decided here."""

from pathlib import Path

import dagster as dg

from segassets import settings
from segassets.automation.build import automated
from segassets.store.io_manager import StoreIOManager
from segassets.user_defs import load_user_defs


@dg.definitions
def defs() -> dg.Definitions:
    """All datasets of the package, and those of the folder SEGASSETS_DEFS."""
    datasets = dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent), load_user_defs(settings.load().defs)
    )
    return dg.Definitions.merge(
        automated(datasets), dg.Definitions(resources={"store": StoreIOManager()}, executor=dg.in_process_executor)
    )
