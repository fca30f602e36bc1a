"""The doors of `segassets inspect` to the matting layouts and to archives: a path in; findings, index, summary out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segassets.declaration import Option
from segassets.errors import UsageError
from segassets.findings import BadItem, Finding, tally
from segassets.formats import split_zip
from segassets.formats.matting_dataset import Folders, Layout, clip_problem
from segassets.formats.matting_inspect import KINDS, OPTIONS, inspect_samples, split_of
from segassets.formats.split_zip_members import members_of
from segassets.sources.split_archive import damaged, read_archive
from segassets.sources.split_archive_fs import archive_folder
from segassets.sources.split_archive_tree import folder_tree, reader

Inspection = tuple[list[Finding], list[Any] | None, str]


def inspect_matting(layout: str, path: Path, options: Mapping[str, str]) -> Inspection:
    """Check a folder as `maggie_image_train`, `maggie_image_eval` or `maggie_video`. UsageError for a wrong call."""
    values = _options(layout, OPTIONS[layout], options)
    if not path.is_dir():
        raise UsageError(f"{path} is no folder; expected the loader's root")
    tree = folder_tree(path)
    folders = Folders(tree.refs, tree.empty)
    values["split"] = values["split"] or split_of(layout, folders)
    if values["mode"] not in ("train", "test"):
        raise UsageError(f"--set mode={values['mode']}: train or test")
    clip = (values[name] if name in options else None for name in ("clip_length", "clip_overlap"))
    if told := clip_problem(values["mode"], *clip):
        raise UsageError(f"--set {told}")
    given = Layout(KINDS[layout], **values)
    shown, read = path.absolute().name, reader(tree.refs)
    findings, index, summary = inspect_samples(folders, given, str(path), shown, read, tree.refused)
    return [*tree.findings, *findings], index, summary


def inspect_split_zip(path: Path, options: Mapping[str, str]) -> Inspection:
    """Check an archive: PATH is its folder, or its last (or any) part. Every CRC, unless `crc=false`."""
    values = _options("split_zip", {"crc": (bool, True)}, options)
    folder, archive = _archive_at(path.absolute())
    raw = archive_folder(str(folder), archive)
    try:
        directory, parts = read_archive(raw, archive)
    except BadItem as bad:
        return bad.findings, [], f"{archive}: {bad.findings[0].message}"
    members = members_of(directory)
    findings = [*directory.findings, *split_zip.member_findings(directory)]
    broken = {finding.member for finding in findings if finding.severity == "error"}
    if values["crc"]:
        findings += [f for f in damaged(parts, members) if f.member not in broken]
    counts = ", ".join(f"{count} {severity}s" for severity, count in tally(findings).items())
    index = [[member.name, member.size, member.first_part] for member in members if not member.is_folder]
    size = sum(member.size for member in members)
    return findings, index, f"{archive}: {len(index):,} files, {size:,} bytes in {len(parts)} parts; {counts}"


def _archive_at(path: Path) -> tuple[Path, str]:
    if path.is_file():
        known = split_zip.part_number(path.name)
        if known is None:
            raise UsageError(f"{path} is not named like a part of a zip (.zip, .z01, .zip.001)")
        return path.parent, known[0]
    found = {known[0] for name in sorted(p.name for p in path.iterdir()) if (known := split_zip.part_number(name))}
    if len(found) != 1:
        told = f"parts of {', '.join(sorted(found))}: name the last part of one" if found else "no part of a zip in it"
        raise UsageError(f"{path}: {told}")
    return path, found.pop()


def _options(layout: str, known: Mapping[str, tuple[type, Any]], given: Mapping[str, str]) -> dict[str, Any]:
    if unknown := sorted(set(given) - set(known)):
        raise UsageError(f"--set {unknown[0]}: the layout {layout} has {', '.join(known)}")
    return {
        name: Option(name, kind, default).parse(given.get(name, default)) for name, (kind, default) in known.items()
    }
