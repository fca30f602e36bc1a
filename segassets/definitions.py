"""The door for Dagster: everything is loaded here, nothing is decided here."""

from pathlib import Path

import dagster as dg

from segassets.store.io_manager import StoreIOManager


@dg.definitions
def defs() -> dg.Definitions:
    """All datasets of the package, and those of the folder SEGASSETS_DEFS."""
    own = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(
        own,
        dg.Definitions(resources={"store": StoreIOManager()}, executor=dg.in_process_executor),
    )
