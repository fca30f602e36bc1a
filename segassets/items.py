"""What a pure function makes of one item: files, rows, findings.

These records are all that `formats` (which make them) and `work` and `store` (which carry them) share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segassets.findings import Finding


@dataclass(frozen=True, slots=True)
class File:
    """One file of an artifact.

    `path` is relative to the artifact's target folder. `data` is its bytes, or a `sources.Ref` when it is a copy.
    `content` is the digest of what the file decodes to (pixels, records), so that another compression of the same
    pixels is the same version; None means that the bytes themselves are the content. `source` says what it was
    made from, for `explain`.
    """

    path: str
    data: Any
    content: bytes | None = None
    source: str | None = None


@dataclass(slots=True)
class Made:
    """What became of one item. `rows` are columns of equal length; an item may have none, one or many rows."""

    files: list[File] = field(default_factory=list)
    rows: Mapping[str, list] | None = None
    findings: list[Finding] = field(default_factory=list)
