"""A user's own datasets: the `*/defs.yaml` of a folder outside the package, loaded in Dagster's own way."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import dagster as dg
import yaml
from dagster.components.core.component_tree import ComponentTree, ComponentTreeException
from pydantic import ValidationError

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
    for path in sorted(folder.glob("**/defs.yaml")):
        _check_document(path)
    try:
        own = ComponentTree(defs_module=module, project_root=folder).build_defs()
    except ComponentTreeException as wrong:
        cause = wrong.__cause__
        told = _schema_errors(cause) if isinstance(cause, ValidationError) else str(cause or wrong)
        raise UsageError(f"SEGASSETS_DEFS: {told}") from wrong
    # Two component trees cannot be merged: what the user's has made can.
    return dg.Definitions(
        assets=own.assets,
        asset_checks=own.asset_checks,
        jobs=own.jobs,
        schedules=own.schedules,
        sensors=own.sensors,
        resources=own.resources,
    )


def refuse_twice(packaged: dg.Definitions, own: dg.Definitions) -> None:
    """UsageError for a dataset of the user's that is there already, in the package or in another of the YAMLs."""
    known = dict.fromkeys(_keys(packaged), "segassets has it already")
    for key in _keys(own):
        if key in known:
            dataset = "/".join(key.path[:-1]) or key.path[0]
            raise UsageError(f"SEGASSETS_DEFS: {dataset}: {known[key]}; give the dataset another name")
        known[key] = "two of the YAMLs declare it"


def _keys(definitions: dg.Definitions) -> list[dg.AssetKey]:
    found = []
    for asset in definitions.assets or []:
        found += asset.keys if isinstance(asset, dg.AssetsDefinition) else [asset.key]
    return found


def _check_document(path: Path) -> None:
    """What Dagster says without a file or a line, or not at all: no YAML, no type, a type that is none, a key twice."""
    try:
        documents = list(yaml.compose_all(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise _wrong(path, mark.line if mark else 0, f"no YAML: {problem.problem or problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise _wrong(path, 0, f"no YAML: {str(problem).splitlines()[0]}") from None
    if not documents:
        raise _wrong(path, 0, "it is empty: expected `type:` and `attributes:`")
    for document in documents:
        _check_keys(path, document)
        keys = {key.value: value for key, value in document.value} if isinstance(document, yaml.MappingNode) else {}
        if "type" not in keys:
            raise _wrong(path, document.start_mark.line, "no `type:`, the component that this is")
        _check_type(path, keys["type"])


def _check_keys(path: Path, node: yaml.Node) -> None:
    """UsageError for a key that is there twice: YAML would take the last one in silence."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key.value, str) and key.value in seen:
                told = f"{key.value!r} is there twice, first in line {seen[key.value] + 1}"
                raise _wrong(path, key.start_mark.line, told)
            seen[str(key.value)] = key.start_mark.line
            _check_keys(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_keys(path, value)


def _check_type(path: Path, node: yaml.Node) -> None:
    module, _, name = str(node.value).rpartition(".")
    if not module or module.startswith("."):
        return  # beside the YAML, or a short name: Dagster knows
    try:
        there = hasattr(importlib.import_module(module), name)
    except (ImportError, ValueError):
        there = False
    if not there:
        raise _wrong(path, node.start_mark.line, f"type: there is no component {node.value!r}")


def _wrong(path: Path, line: int, told: str) -> UsageError:
    return UsageError(f"SEGASSETS_DEFS: {path}:{line + 1}: {told}")


_PLACE = re.compile(r"attributes\.?(?P<attribute>\S*) at (?P<file>.*):(?P<line>\d+)")
_KIND = re.compile(r"\.(?:str|int|float|bool|none|(?:list|dict|tuple|union|literal)\[[^ ]*?\]+)(?=\.|$)", re.IGNORECASE)


def _schema_errors(problem: ValidationError) -> str:
    """One line an attribute: `<file>:<line>: <attribute>: <what is wrong>, found ...`.

    Dagster takes a template's text for everything and says of each attribute that it is no text, too: left out.
    """
    told: dict[str, str] = {}
    for error in problem.errors():
        place = _PLACE.fullmatch(str(error["loc"][0])) if len(error["loc"]) == 1 else None
        where = place["attribute"] if place else ".".join(map(str, error["loc"]))
        attribute = _KIND.sub("", where) or "attributes"
        if error["type"] == "string_type" and where.endswith(".str") and any(a.startswith(attribute) for a in told):
            continue
        at = f"{place['file']}:{place['line']}: " if place else ""
        message = "this is no attribute here" if error["type"] == "extra_forbidden" else error["msg"]
        told[attribute] = f"{at}{attribute}: {message}, found {error['input']!r}"
    return "\n".join(told.values())
