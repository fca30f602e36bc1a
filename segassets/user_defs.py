"""A user's own datasets: the `*/defs.yaml` of a folder outside the package, loaded in Dagster's own way."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass
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
    except (ComponentTreeException, ValidationError) as wrong:
        cause = wrong.__cause__ if isinstance(wrong, ComponentTreeException) else wrong
        at = _blamed(folder, str(wrong))
        told = _schema_errors(cause, at) if isinstance(cause, ValidationError) else at.located(str(cause or wrong))
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
    if module.startswith(".") or str(node.value).startswith("."):
        return  # beside the YAML: Dagster knows
    try:
        there = hasattr(importlib.import_module(module), name)
    except (ImportError, ValueError):
        there = False
    if not there:
        raise _wrong(path, node.start_mark.line, f"type: there is no component {node.value!r}")


def _wrong(path: Path, line: int, told: str) -> UsageError:
    return UsageError(f"SEGASSETS_DEFS: {path}:{line + 1}: {told}")


@dataclass(frozen=True)
class _Blamed:
    """The document of a YAML that Dagster was busy with; neither file nor document where it does not say."""

    path: Path | None = None
    document: yaml.Node | None = None

    def located(self, told: str, attribute: str = "") -> str:
        """`<file>:<line of the attribute>: <dataset>: <told>`, of that what is known and not said in it already."""
        if self.path is None or str(self.path) in told:
            return told
        attributes = _value(self.document, "attributes")
        dataset, value = _value(attributes, "dataset"), _value(attributes, attribute.split(".")[0])
        name = getattr(dataset, "value", "")
        line = (value or attributes or self.document).start_mark.line + 1
        return f"{self.path}:{line}: {f'{name}: ' if name and name not in told else ''}{told}"


def _value(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


_COMPONENT = re.compile(r"(?:component|definitions for) (?P<folder>.*)\[(?P<number>\d+)\]:")


def _blamed(folder: Path, told: str) -> _Blamed:
    """What Dagster's message begins with: `Error while loading component <folder of the YAML>[<document>]:`."""
    place = _COMPONENT.search(told.partition("\n")[0])
    path = folder / place["folder"] / "defs.yaml" if place else None
    if path is None or not path.is_file():
        return _Blamed()
    documents = list(yaml.compose_all(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
    return _Blamed(path, documents[int(place["number"])])


_PLACE = re.compile(r"attributes\.?(?P<attribute>\S*) at (?P<file>.*):(?P<line>\d+)")
_KIND = re.compile(r"\.(?:str|int|float|bool|none|(?:list|dict|tuple|union|literal)\[[^ ]*?\]+)(?=\.|$)", re.IGNORECASE)


def _schema_errors(problem: ValidationError, blamed: _Blamed) -> str:
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
        text = f"{attribute}: {message}, found {error['input']!r}"
        told[attribute] = f"{at}{text}" if at else blamed.located(text, attribute)
    return "\n".join(told.values())
