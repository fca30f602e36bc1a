"""Dynamic partitions: which keys a raw folder gives, and registering them with Dagster."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dagster as dg

from segassets.files.ref import files_at
from segassets.settings import Settings
from segassets.store.names import valid_key

ATTEMPTS = 5
Find = Callable[[object], list[str]]


@dataclass(frozen=True)
class Found:
    """Keys that files of the raw folder give, and names that cannot be keys."""

    keys: list[str]
    refused: list[str]


_finders: dict[str, Find] = {}


def dynamic(name: str, find: Find) -> dg.DynamicPartitionsDefinition:
    """A dynamic partitions definition whose keys `find(files)` reads off a listing of the raw folder."""
    _finders[name] = find
    return dg.DynamicPartitionsDefinition(name=name)


def discover(settings: Settings, name: str, listing: object | None = None) -> Found:
    """The keys that lie in the raw folder now, or did when `listing` was made; names from files are checked before."""
    names = sorted(set(_finders[name](listing or files_at(settings.raw))))
    return Found([key for key in names if valid_key(key)], [key for key in names if not valid_key(key)])


def register(instance: dg.DagsterInstance, settings: Settings, listing: object | None = None) -> dict[str, list[str]]:
    """Register all keys that the raw folder gives; the new ones, by definition."""
    added = {}
    for name in _finders:
        added[name] = add(instance, name, discover(settings, name, listing).keys)
    return added


def add(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> list[str]:
    """Register the keys that are not yet; which those were. Another process may be doing the same at this moment."""
    for attempt in range(ATTEMPTS):
        known = set(instance.get_dynamic_partitions(name))
        new = [key for key in keys if key not in known]
        try:
            if new:
                instance.add_dynamic_partitions(name, new)
            return new
        except Exception as problem:  # each database has its own for a row that is there already
            if not re.search("unique|duplicate", str(problem), re.IGNORECASE) or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt has returned or raised")
