"""A dataset's files by path, wherever they are: an unpacked folder, or members of an archive that stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from segassets.findings import Finding
from segassets.formats import split_zip
from segassets.formats.split_zip_members import members_of
from segassets.sources.ref import Ref, files_at
from segassets.sources.split_archive import member_ref, read_archive


@dataclass(frozen=True)
class Tree:
    """`refs`: path → reference. `empty`: folders without files, which a bucket and most archives do not have.

    `packed`: the files are an archive's members, which `maggie/members` publishes. Members that lie in a missing or
    damaged part are among `refs`, and reading one raises BadItem: what is made from a tree never has less than the
    archive's directory names without a word.
    """

    refs: Mapping[str, Ref]
    empty: tuple[str, ...] = ()
    packed: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> list[Finding]:
        """What is missing of it, for those who come after somebody who has told the rest."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def below(self, prefix: str) -> Tree:
        """The part of it below a folder, by paths from there."""
        cut = len(prefix)
        refs = {path[cut:]: ref for path, ref in self.refs.items() if path.startswith(prefix)}
        return Tree(refs, tuple(p[cut:] for p in self.empty if p.startswith(prefix)), self.packed, self.findings)


def dataset_tree(raw, name: str) -> Tree:
    """The files of the dataset `name` in a raw folder: of its archive when that is there, else of the folder `name`."""
    parts = [path for path in raw.paths if "/" not in path and split_zip.part_number(path)]
    if any(split_zip.part_number(path)[0] == name for path in parts):
        return _packed_tree(raw, name)
    below = f"{name}/"
    refs = {path[len(below) :]: raw.ref(path) for path in raw.paths if path.startswith(below)}
    files = files_at(raw.root)
    local = getattr(files, "path", None)
    return Tree(refs, tuple(_empty_folders(Path(local(f"{raw.dataset}/{name}")))) if local else ())


def _packed_tree(raw, name: str) -> Tree:
    directory, parts = read_archive(raw, name)
    refs = {m.path: member_ref(parts, m, name) for m in members_of(directory) if m.path is not None}
    empty = tuple(entry.name.rstrip("/") for entry in directory.entries if entry.name.endswith("/"))
    return Tree(refs, empty, True, tuple(directory.findings))


def folder_tree(folder: Path) -> Tree:
    """The files below a folder on disk; what is no plain path is left out."""
    root = str(folder.absolute())
    refs = {}
    for here, _, names in os.walk(root, followlinks=True):
        for name in names:
            path = os.path.relpath(os.path.join(here, name), root)
            refs[path] = Ref(root, path)
    return Tree(refs, tuple(_empty_folders(folder)))


def _empty_folders(folder: Path) -> list[str]:
    root = str(folder)
    found = (here for here, folders, names in os.walk(root, followlinks=True) if not folders and not names)
    return [os.path.relpath(here, root) for here in found if here != root]


def reader(refs: Mapping[str, Ref]) -> Callable[[str], bytes]:
    """`read(path)`; FileNotFoundError for a path that is not there."""

    def read(path: str) -> bytes:
        if path not in refs:
            raise FileNotFoundError(path)
        return refs[path].read()

    return read
