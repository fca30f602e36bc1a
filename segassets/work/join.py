"""Joining the files of several sources by key, never by position. A join is total: nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from segassets.findings import Finding, error, warning

TOLD = 100


def join(
    keys: Iterable[str], on: str, told: Mapping[str, str] | None = None, **sources: Mapping[str, Any]
) -> tuple[list[dict], list[Finding]]:
    """One item a key that every source has: `{on: key, source: value, ...}`, and what did not match.

    `told`: what to say, and to do, where a source lacks a key. Findings: `<source>_missing` (error: the item is left
    out) for a key without a value, `<source>_unexpected` (warning) for values whose key nobody lists.
    """
    keys = list(keys)
    items, findings = [], []
    for key in keys:
        lacking = [name for name, source in sources.items() if key not in source]
        findings += [
            error(f"{name}_missing", (told or {}).get(name, f"there is no {name} file for it"), image=key)
            for name in lacking
        ]
        if not lacking:
            items.append({on: key, **{name: source[key] for name, source in sources.items()}})
    known = set(keys)
    for name, source in sources.items():
        extra = sorted(key for key in source if key not in known)
        findings += [
            warning(f"{name}_unexpected", f"its {name} file is there, but no list names it; left aside", image=key)
            for key in extra[:TOLD]
        ]
        if len(extra) > TOLD:
            findings.append(warning(f"{name}_unexpected", f"{len(extra) - TOLD:,} more of these are not listed"))
    return items, findings
