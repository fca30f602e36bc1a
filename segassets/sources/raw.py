"""A dataset's raw folder: what a user downloaded. One listing a prefix, never one request a file."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Iterable
from functools import cached_property
from typing import Protocol

from segassets.files.paths import Entry, is_plain
from segassets.files.ref import Ref, files_at

_GLOB = "*?["


class Listed(Protocol):
    """What it takes to see which files there are."""

    def stat(self, path: str) -> Entry | None: ...
    def names(self, folder: str) -> list[str]: ...
    def walk(self, folder: str) -> dict[str, Entry]: ...


class Listing:
    """A root as it was at one moment: one listing a top folder, for those who ask about many partitions at once."""

    def __init__(self, root: str):
        self._files = files_at(root)
        self._tops: dict[str, tuple[dict[str, Entry], list[str]]] = {}

    def _top(self, path: str) -> tuple[dict[str, Entry], list[str]]:
        top = path.split("/", 1)[0]
        if top not in self._tops:
            found = self._files.walk(top)
            self._tops[top] = (found, sorted(found))
        return self._tops[top]

    def stat(self, path: str) -> Entry | None:
        return self._top(path)[0].get(path)

    def walk(self, folder: str) -> dict[str, Entry]:
        entries, paths = self._top(folder)
        first, end = bisect_left(paths, f"{folder}/"), bisect_left(paths, f"{folder}0")  # "0" is what follows "/"
        return {path: entries[path] for path in paths[first:end]}

    def names(self, folder: str) -> list[str]:
        """Files and folders; a folder without a file below it is not seen, as on S3."""
        cut = len(folder) + 1
        return sorted({path[cut:].split("/", 1)[0] for path in self.walk(folder)})


class Raw:
    """The files of one dataset's raw folder that an asset declares to read: nothing else is seen of it.

    `patterns` are relative to the dataset's folder; `*` also matches `/`, except in one that begins with `./`, which
    looks at the top only. One that begins with `/` is relative to the raw root, for a dataset that is made from another
    one's download as well; so are the paths it gives. `scratch` is the root below whose `.segassets/` a source may
    unpack what cannot be read in place. `listing`: a listing that somebody has made already, in place of a new one.
    """

    def __init__(self, root: str, dataset: str, patterns: Iterable[str], scratch: str, listing: Listed | None = None):
        self.root = root
        self.dataset = dataset
        self.patterns = tuple(patterns)
        self.scratch = scratch
        self._listing = listing
        self._walked: dict[str, dict[str, Entry]] = {}

    @cached_property
    def files(self) -> dict[str, Entry]:
        """Every file that a pattern names, sorted by path relative to the dataset's folder."""
        found: dict[str, Entry] = {}
        for listed in self._by_pattern.values():
            found.update(listed)
        return dict(sorted(found.items()))

    @cached_property
    def _by_pattern(self) -> dict[str, dict[str, Entry]]:
        return {pattern: self._match(pattern) for pattern in self.patterns}

    @property
    def _listed(self) -> Listed:
        return self._listing or files_at(self.root)

    def _match(self, pattern: str) -> dict[str, Entry]:
        files = self._listed
        if not any(char in pattern for char in _GLOB):
            entry = files.stat(self._below_root(pattern))
            return {pattern: entry} if entry else {}
        if pattern.startswith("./"):
            named = fnmatch.filter(files.names(self.dataset), pattern[2:])
            found = ((name, files.stat(self._below_root(name))) for name in named if is_plain(name))
            return {name: entry for name, entry in found if entry is not None}
        fixed = pattern[: min(pattern.index(char) for char in _GLOB if char in pattern)].rpartition("/")[0]
        prefix = "/" if pattern.startswith("/") else ""
        cut = 0 if prefix else len(self.dataset) + 1
        named = ((f"{prefix}{path[cut:]}", entry) for path, entry in self._walk(self._below_root(fixed)).items())
        return {path: entry for path, entry in named if fnmatch.fnmatchcase(path, pattern)}

    def _walk(self, folder: str) -> dict[str, Entry]:
        """One listing a folder, however many patterns look into it."""
        if folder not in self._walked:
            self._walked[folder] = self._listed.walk(folder)
        return self._walked[folder]

    def _below_root(self, path: str) -> str:
        if path.startswith("/"):
            return path[1:]
        return f"{self.dataset}/{path}" if path else self.dataset

    def __contains__(self, path: str) -> bool:
        return path in self.files

    @property
    def paths(self) -> list[str]:
        return list(self.files)

    def ref(self, path: str, offset: int = 0, length: int | None = None, member: str | None = None) -> Ref:
        return Ref(self.root, self._below_root(path), offset, length, member)

    def read(self, path: str) -> bytes:
        return files_at(self.root).read(self._below_root(path))

    def open(self, path: str):
        return files_at(self.root).open(self._below_root(path))

    def fingerprint(self) -> dict[str, list]:
        """For each pattern: how many files, how many bytes, and a digest of their names, sizes and times or ETags."""
        return self._marks

    @cached_property
    def _marks(self) -> dict[str, list]:
        marks = {}
        for pattern, entries in self._by_pattern.items():
            listing = [[path, entry.size, entry.version] for path, entry in entries.items()]
            digest = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:32]
            marks[pattern] = [len(listing), sum(entry.size for entry in entries.values()), digest]
        return marks


def plain_pattern(pattern: str) -> str:
    """A pattern as a person writes it: of letters in either case, or of those that it must not be, the shortest form;
    of digits any."""
    digits = pattern.removeprefix("./").replace("[0-9]*", "*")
    return re.sub(r"\[!.*?\]", "", re.sub(r"\[([^!\]])[^\]]*\]", r"\1", digits))


def matches(pattern: str, path: str) -> bool:
    """Whether a raw file is one that a declared pattern reads."""
    if pattern.startswith("./"):
        return "/" not in path and fnmatch.fnmatchcase(path, pattern[2:])
    return fnmatch.fnmatchcase(path, pattern)
