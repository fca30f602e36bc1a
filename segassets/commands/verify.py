"""`segassets verify`: read everything back and compare it with the manifests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from segassets.commands.catalogue import Catalogue
from segassets.formats.inflate import crc32
from segassets.sources.ref import Ref
from segassets.store.files import Entry, Folder
from segassets.store.publish import by_folder
from segassets.store.stage import pieces
from segassets.store.store import Store

THREADS = 16


@dataclass(frozen=True)
class Line:
    """One thing that is wrong, or a partition that is well."""

    ok: bool
    text: str


def verify(catalogue: Catalogue, what: Sequence[str], partitions: Sequence[str]) -> Iterator[Line]:
    """A line a problem, and one a partition that is as it was published."""
    store = Store(catalogue.settings.store)
    ours: dict[str, set[str]] | None = None
    keys = catalogue.select(what)
    catalogue.check_partitions(keys, partitions, (found for key in keys for found in store.published(key)))
    for key in keys:
        for partition in store.published(key):
            if partitions and partition not in partitions:
                continue
            if ours is None:
                ours = _all_ours(store)
            yield from _verify_one(store, key, partition, ours)
    if ours is None:
        yield Line(True, f"nothing of {', '.join([*what, *partitions])} is published in {store.root}")


def _verify_one(store: Store, key: str, partition: str | None, ours: dict[str, set[str]]) -> Iterator[Line]:
    handle = store.handle(key, partition)
    label = handle.label
    table = handle.all_files
    rows = list(zip(*(table[name].to_pylist() for name in ("path", "bytes", "digest", "digest_kind")), strict=True))
    bad = 0
    folders = by_folder(path for path, *_ in rows)
    listed = _listed(store, folders)
    there = None if listed is None else by_folder(listed)
    with ThreadPoolExecutor(THREADS) as pool:
        for problem in pool.map(lambda row: _problem(store, listed, *row), rows):
            if problem is not None:
                bad += 1
                yield Line(False, f"{label}: {problem}")
    for folder, wanted in folders.items():
        for name in _strangers(store, there, folder, set(wanted) | ours.get(folder, set())):
            bad += 1
            yield Line(
                False, f"{label}: extra: {folder}/{name} is in no manifest; remove it, training code may read it"
            )
    if not bad:
        yield Line(True, f"{label}: {len(rows):,} files as published")


def _listed(store: Store, folders: Iterable[str]) -> dict[str, Entry] | None:
    """All objects where the files lie, from one listing: a question for each would cost as much as reading it. None for
    a local folder, where it costs nothing."""
    if isinstance(store.files, Folder):
        return None
    common = os.path.commonpath([*folders] or [""])
    tops = [common] if common else sorted({folder.split("/", 1)[0] for folder in folders} - {""})
    return {path: entry for top in tops for path, entry in store.files.walk(top).items()}


def _strangers(store: Store, there: Mapping[str, Sequence[str]] | None, folder: str, known: set[str]) -> list[str]:
    """Files of a folder that no manifest lists. The store's top may hold a user's own files."""
    if not folder:
        return []
    if there is not None:
        return sorted(set(there.get(folder, ())) - known)
    with os.scandir(store.files.path(folder)) as scan:
        return sorted(item.name for item in scan if item.is_file() and item.name not in known)


def _problem(
    store: Store, listed: dict[str, Entry] | None, path: str, size: int, digest: bytes, kind: str
) -> str | None:
    # What lies at the store's very top is in no listing.
    entry = store.files.stat(path) if listed is None or "/" not in path else listed.get(path)
    if entry is None:
        return f"missing: {path}"
    if entry.size != size:
        return f"changed: {path} has {entry.size:,} bytes, published were {size:,}"
    if kind == "etag":
        return None if entry.version.encode() == digest else f"changed: {path} has another ETag than was published"
    found, crc = hashlib.sha256(), 0
    try:
        for piece in pieces(Ref(store.root, path, 0, size)):  # with the size that the listing says, one request
            if kind == "crc32":
                crc = crc32(piece, crc)
            else:
                found.update(piece)
    except FileNotFoundError:
        return f"missing: {path}"
    same = digest == (f"{crc:08x}".encode() if kind == "crc32" else found.digest())
    return None if same else f"changed: {path} has other content than was published"


def _all_ours(store: Store) -> dict[str, set[str]]:
    """Every published file of every asset, by folder: assets share folders."""
    paths = (
        path
        for asset in store.assets()
        for partition in store.published(asset)
        for path in store.handle(asset, partition).all_files["path"].to_pylist()
    )
    return {folder: set(names) for folder, names in by_folder(paths).items()}
