"""A user's own datasets: the `*/defs.yaml` of a folder outside the package, loaded in Dagster's own way."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import dagster as dg
from dagster.components.core.component_tree import ComponentTree, ComponentTreeException

from segassets.errors import UsageError

MODULE = "segassets_user_defs"


def load_user_defs(folder: Path | None) -> dg.Definitions:
    """The definitions below `folder`; none without one. UsageError when it is not a folder, and, with file and line,
    when a YAML is wrong."""
    if folder is None:
        return dg.Definitions()
    if not folder.is_dir():
        raise UsageError(f"SEGASSETS_DEFS: {folder} is not a folder")
    # Dagster loads components relative to a module: this one exists only to say where the folder is.
    module = ModuleType(MODULE, __doc__)
    module.__file__ = str(folder / "__init__.py")
    module.__path__ = [str(folder)]
    sys.modules[MODULE] = module
    try:
        own = ComponentTree(defs_module=module, project_root=folder).build_defs()
    except ComponentTreeException as wrong:
        raise UsageError(f"SEGASSETS_DEFS: {wrong.__cause__ or wrong}") from wrong
    # Two component trees cannot be merged: what the user's has made can.
    return dg.Definitions(
        assets=own.assets,
        asset_checks=own.asset_checks,
        jobs=own.jobs,
        schedules=own.schedules,
        sensors=own.sensors,
        resources=own.resources,
    )
