"""A file-system view of an archive in parts, for fsspec: loaders read members as files, nothing is merged or unpacked.

    fs = open_archive("/data/raw/maggie", "I-HIM50K")           # or "s3://bucket/raw/maggie"
    with fs.open("I-HIM50K/images/0.jpg") as file: ...
    fs.glob("I-HIM50K/alphas/0/*.png")

`fsspec.filesystem("splitzip", folder=..., archive=...)` gives the same once this module has been imported.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cached_property

import fsspec
from fsspec.spec import AbstractFileSystem

from segassets.findings import BadItem
from segassets.formats.split_zip_members import Member, members_of, read_index
from segassets.sources.raw import Raw
from segassets.sources.split_archive import ArchivePart, lookalikes, member_ref, parts_at, read_archive


class SplitZipFileSystem(AbstractFileSystem):
    """Read only. FileNotFoundError for what is no member.

    All members that the directory names are listed, so that a loader which lists never works on fewer unnoticed:
    opening one that is damaged, or lies in a missing part, raises OSError naming the part.
    """

    protocol = "splitzip"
    root_marker = ""
    cachable = False

    def __init__(self, folder: str = "", archive: str = "", parts: Iterable[ArchivePart] = (),
                 members: Iterable[Member] = (), **options) -> None:  # fmt: skip
        super().__init__(**options)
        self._archive = archive
        if folder:
            raw = archive_folder(folder, archive)
            directory, parts = read_archive(raw, archive)
            members = members_of(directory)
        self._parts = list(parts)
        self._members = {member.path: member for member in members if member.path is not None}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("splitzip://").strip("/")

    @cached_property
    def _folders(self) -> dict[str, dict[str, dict]]:
        """Of every folder, what lies in it, by path."""
        found: dict[str, dict[str, dict]] = {"": {}}
        for path, member in self._members.items():
            self._enter(found, path, {"name": path, "size": member.size, "type": "file", "crc": member.crc})
        return found

    @staticmethod
    def _enter(found: dict[str, dict[str, dict]], path: str, entry: dict) -> None:
        while path:
            parent = path.rpartition("/")[0]
            known = parent in found
            found.setdefault(parent, {})[path] = entry
            if known:
                return
            path, entry = parent, {"name": parent, "size": 0, "type": "directory"}

    def ls(self, path: str, detail: bool = True, **_) -> list:
        path = self._strip_protocol(path)
        if path in self._folders:
            entries = [self._folders[path][name] for name in sorted(self._folders[path])]
        else:
            entries = [self.info(path)]
        return entries if detail else [entry["name"] for entry in entries]

    def info(self, path: str, **_) -> dict:
        path = self._strip_protocol(path)
        if path in self._folders:
            return {"name": path, "size": 0, "type": "directory"}
        if path not in self._members:
            raise FileNotFoundError(f"{self._archive} has no member {path}")
        return self._folders[path.rpartition("/")[0]][path]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_) -> bytes:
        path = self._strip_protocol(path)
        if path not in self._members:
            raise FileNotFoundError(f"{self._archive} has no member {path}")
        try:
            return member_ref(self._parts, self._members[path], self._archive).read()[start:end]
        except BadItem as bad:
            raise OSError(str(bad)) from None

    def _open(self, path: str, mode: str = "rb", **_) -> io.BytesIO:
        if mode != "rb":
            raise OSError(f"{self._archive} is read only")
        return io.BytesIO(self.cat_file(path))


def archive_folder(folder: str, archive: str) -> Raw:
    """A folder (or s3://bucket/prefix) of parts as a raw folder that shows the parts of one archive."""
    root, _, name = str(folder).rstrip("/").rpartition("/")
    return Raw(root, name, lookalikes(archive), scratch=root)


def open_archive(folder: str, archive: str) -> SplitZipFileSystem:
    """The members of the archive `archive` whose parts lie in a folder. BadItem when it has no usable directory."""
    return SplitZipFileSystem(folder=folder, archive=archive)


def from_index(index, raw) -> SplitZipFileSystem:
    """The same from a published `maggie/archive_index` and its raw folder: the directory is not read again."""
    names, members = read_index(index.records())
    return SplitZipFileSystem(archive=index.partition, parts=parts_at(raw, names), members=members)


fsspec.register_implementation("splitzip", SplitZipFileSystem, clobber=True)
