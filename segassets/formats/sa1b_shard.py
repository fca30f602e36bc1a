"""Rules about a shard as a whole: which findings fail it, and what must be unique in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from segassets.findings import BadItem, Finding, capped, error, warning
from segassets.formats.sa1b import MAX_JSON_BYTES
from segassets.formats.tar_index import TarMember

#: A real picture has about 0.6 MB, a real JSON 0.06: what is hundreds of times larger is not read into memory.
LIMITS = (("jpg", "jpg_unreadable", 256 << 20), ("json", "json_corrupt", MAX_JSON_BYTES))
SHARD_ERRORS = ("tar_unreadable", "tar_empty")
TOLD_DUPLICATES = 20


def judged(problems: Sequence[Finding], images: int, allow_truncated: bool, path: str) -> list[Finding]:
    """The findings of a shard's listing, with its path; BadItem when they fail the shard as a whole.

    A truncated tar fails unless `allow_truncated`: then its complete members are used and the finding is a warning.
    A tar without a single image is `tar_empty`. Source: CONTRACT 8, golden data policies 2 and 7.
    """
    findings = [replace(finding, path=path) for finding in capped(list(problems))]
    if allow_truncated:
        findings = [_allowed(finding) for finding in findings]
    fatal = (*SHARD_ERRORS, "tar_truncated")
    failed = [finding for finding in findings if finding.severity == "error" and finding.code in fatal]
    if not failed and images == 0:
        told = (
            "no image has both its picture and its annotations; expected sa_N.jpg and sa_N.json at the top of the tar"
        )
        failed = [error("tar_empty", told, path=path)]
        findings += failed
    if failed:
        # What lies behind a cut is missing because of the cut: a thousand lines of that would hide the reason.
        consequences = ("missing_jpg", "missing_json")
        rest = [finding for finding in findings if finding not in failed and finding.code not in consequences]
        raise BadItem(*failed, *rest)
    return findings


def _allowed(finding: Finding) -> Finding:
    if finding.code != "tar_truncated":
        return finding
    return replace(finding, severity="warning", message=f"{finding.message}; allowed: what is complete is used")


def without_oversized(
    images: dict[int, dict[str, TarMember]],
) -> tuple[dict[int, dict[str, TarMember]], list[Finding]]:
    """The images whose members have a size that may be read into memory, and errors for the others."""
    kept, findings = {}, []
    for number, pair in images.items():
        problems = [
            error(
                code,
                f"the member has {pair[kind].size:,} bytes, expected at most {limit:,}; it is not read",
                image=f"sa_{number}",
                member=pair[kind].name,
            )
            for kind, code, limit in LIMITS
            if pair[kind].size > limit
        ]
        findings += problems[:1]
        if not problems:
            kept[number] = pair
    return kept, findings


def duplicate_ids(columns: Iterable[tuple[Sequence[str], np.ndarray]]) -> list[Finding]:
    """Warnings for annotation ids that two images of a shard share: `columns` are (image names, ids) piece by piece.

    Ids that come twice in one image are reported with that image already.
    """
    names: list[str] = []
    owners: list[np.ndarray] = []
    ids: list[np.ndarray] = []
    for images, numbers in columns:
        start = len(names)
        known, index = np.unique(np.asarray(images, dtype=object), return_inverse=True)
        names += list(known)
        owners.append(index + start)
        ids.append(np.asarray(numbers, np.int64))
    if not ids:
        return []
    pairs = np.unique(np.stack([np.concatenate(ids), np.concatenate(owners)], axis=1), axis=0)
    again = np.flatnonzero(pairs[1:, 0] == pairs[:-1, 0]) + 1
    findings = [
        warning(
            "duplicate_annotation_id",
            f"{names[pairs[at - 1, 1]]} has an annotation with the same id; both are kept",
            image=names[pairs[at, 1]],
            annotation_id=int(pairs[at, 0]),
        )
        for at in again[:TOLD_DUPLICATES]
    ]
    if len(again) > TOLD_DUPLICATES:
        told = f"{len(again):,} annotation ids are shared by two images; the first {TOLD_DUPLICATES} are listed"
        findings.append(warning("duplicate_annotation_id", told))
    return findings
