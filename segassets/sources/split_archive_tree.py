"""A dataset's files by path, wherever they are: an unpacked folder, or members of an archive that stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segassets.files.ref import Ref, files_at
from segassets.findings import Finding, warning
from segassets.formats import split_zip
from segassets.formats.split_zip_members import members_of
from segassets.sources.refused import Refused, broken_links, members_without_path, printable, without_unsafe
from segassets.sources.split_archive import member_ref, read_archive


@dataclass(frozen=True)
class Tree:
    """`refs`: path → reference. `empty`: folders without files, which a bucket and most archives do not have.

    `packed`: the files are an archive's members, which `maggie/members` publishes. Members that lie in a missing or
    damaged part are among `refs`, and reading one raises BadItem: what is made from a tree never has less than the
    archive's directory names without a word. The same holds for files that cannot be used (`Refused`).
    """

    refs: Mapping[str, Ref]
    empty: tuple[str, ...] = ()
    packed: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> list[Finding]:
        """What is missing of it, for those who come after somebody who has told the rest."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def refused(self) -> dict[str, Finding]:
        """Path → why it cannot be read."""
        return {path: ref.why for path, ref in self.refs.items() if isinstance(ref, Refused)}

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
    local = getattr(files_at(raw.root), "path", None)
    if local is None:
        return Tree(without_unsafe(refs))
    folder = local(f"{raw.dataset}/{name}")
    paths, empty, odd = _walk(folder)
    broken = broken_links(folder, (path for path in paths if path not in refs))
    return Tree({**without_unsafe(refs), **broken}, tuple(empty), findings=tuple(_left_aside(name, odd)))


def _packed_tree(raw, name: str) -> Tree:
    directory, parts = read_archive(raw, name)
    members = members_of(directory)
    refs = {m.path: member_ref(parts, m, name) for m in members if m.path is not None}
    refused, nowhere = members_without_path(members, name)
    empty = tuple(entry.name.rstrip("/") for entry in directory.entries if entry.name.endswith("/"))
    return Tree({**refs, **refused}, empty, True, (*directory.findings, *nowhere))


def folder_tree(folder: Path) -> Tree:
    """The files below a folder on disk."""
    root = str(folder.absolute())
    paths, empty, odd = _walk(root)
    refs = without_unsafe({path: Ref(root, path) for path in paths})
    return Tree({**refs, **broken_links(root, paths)}, tuple(empty), findings=tuple(_left_aside("", odd)))


_TOLD = {
    "symlink_loop": "a link to a folder that it lies in, which never ends: not entered; remove it",
    "special_file": "a pipe, a socket or a device, which is no file of a dataset: not read; remove it",
}


def _left_aside(name: str, odd: Mapping[str, str]) -> Iterator[Finding]:
    for path, code in odd.items():
        yield warning(code, _TOLD[code], path=f"{name}/{path}" if name else path)


def _walk(root: str) -> tuple[list[str], list[str], dict[str, str]]:
    """(files, empty folders, code by path of what is neither) below a folder on disk; links are followed.

    A link back to a folder that it lies in has no end. Opening a pipe would wait for ever.
    """
    files: list[str] = []
    empty: list[str] = []
    odd: dict[str, str] = {}
    pending: list[tuple[str, frozenset]] = [("", frozenset())]
    while pending:
        here, above = pending.pop()
        path = os.path.join(root, here)
        if not os.path.isdir(path):
            continue
        about = os.stat(path)
        known = above | {(about.st_dev, about.st_ino)}
        if len(known) == len(above):
            odd[here] = "symlink_loop"
            continue
        before = len(files) + len(pending)
        with os.scandir(path) as scan:
            for item in scan:
                name = f"{here}/{item.name}" if here else item.name
                if _is_folder(item):
                    pending.append((name, known))
                elif _is_special(item):
                    odd[name] = "special_file"
                else:
                    files.append(name)
        if here and len(files) + len(pending) == before:
            empty.append(here)
    odd = {printable(path): code for path, code in sorted(odd.items())}
    return sorted(files), sorted(map(printable, empty)), odd


def _is_folder(item: os.DirEntry) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False


def _is_special(item: os.DirEntry) -> bool:
    """Whether it can be reached and is no file; a link that leads nowhere is told by whoever reads it."""
    try:
        return not item.is_file() and os.path.exists(item.path)
    except OSError:
        return False


def reader(refs: Mapping[str, Ref]) -> Callable[[str], bytes]:
    """`read(path)`; FileNotFoundError for a path that is not there."""

    def read(path: str) -> bytes:
        if path not in refs:
            raise FileNotFoundError(path)
        return refs[path].read()

    return read
