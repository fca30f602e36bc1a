"""`segassets verify`: read everything back and compare it with the manifests."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from segassets.commands.catalogue import Catalogue
from segassets.errors import SegassetsError, Unreadable, plainly
from segassets.formats.inflate import crc32
from segassets.sources.ref import Ref
from segassets.store.files import Entry, Folder
from segassets.store.publish import by_folder, by_folder_in_turn, with_parents
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
                ours, damaged = _all_ours(store)
                yield from (Line(False, f"{label}: {why}; extra files are not looked for") for label, why in damaged)
            try:
                yield from _verify_one(store, key, partition, ours)
            except Unreadable:
                pass  # told above
            except SegassetsError as problem:
                yield Line(False, f"{store.handle(key, partition).label}: {problem}")
    if ours is None:
        yield Line(True, f"nothing of {', '.join([*what, *partitions])} is published in {store.root}")


def _verify_one(store: Store, key: str, partition: str | None, ours: dict[str, set[str]]) -> Iterator[Line]:
    handle = store.handle(key, partition)
    label = handle.label
    table = handle.all_files
    rows = list(zip(*(table[name].to_pylist() for name in ("path", "bytes", "digest", "digest_kind")), strict=True))
    bad = 0
    listed = _listed(store, by_folder(path for path, *_ in rows))
    there = by_folder(listed or ())
    with ThreadPoolExecutor(THREADS) as pool:
        for problem in pool.map(lambda row: _problem(store, listed, *row), rows):
            if problem is not None:
                bad += 1
                yield Line(False, f"{label}: {problem}")
    for folder in sorted(with_parents(by_folder(path for path, *_ in rows))):
        try:
            strangers = _strangers(store, there, folder, ours.get(folder, set()))
        except OSError as problem:
            strangers = []
            bad += 1
            yield Line(False, f"{label}: {folder} cannot be listed: {plainly(problem)}")
        for name in strangers:
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
    tops = sorted({"/".join(folder.split("/")[:2]) for folder in folders} - {""})
    return {path: entry for top in tops for path, entry in store.files.walk(top).items()}


def _strangers(store: Store, there: Mapping[str, Sequence[str]], folder: str, known: set[str]) -> list[str]:
    """What lies in a folder and no manifest lists, links and folders too. The top folders may hold a user's own.

    `known` is empty where it is not known what may lie there.
    """
    if "/" not in folder or not known:
        return []
    if isinstance(store.files, Folder):
        return sorted(name for name in os.listdir(store.files.path(folder)) if name not in known)
    return sorted(set(there.get(folder, ())) - known)


def _problem(
    store: Store, listed: dict[str, Entry] | None, path: str, size: int, digest: bytes, kind: str
) -> str | None:
    try:
        return _difference(store, listed, path, size, digest, kind)
    except OSError as problem:
        return f"unreadable: {path}: {plainly(problem)}"


def _difference(
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
    for piece in pieces(Ref(store.root, path, 0, size)):
        if kind == "crc32":
            crc = crc32(piece, crc)
        else:
            found.update(piece)
    same = digest == (f"{crc:08x}".encode() if kind == "crc32" else found.digest())
    return None if same else f"changed: {path} has other content than was published"


def _all_ours(store: Store) -> tuple[dict[str, set[str]], list[tuple[str, Unreadable]]]:
    """What every folder may hold: the published files of all assets, which share folders, and the folders of these.

    And the manifests that cannot be read: while there is one nobody knows what it held, so no folder is judged.
    """
    ours: dict[str, set[str]] = defaultdict(set)
    damaged = []
    for asset in store.assets():
        for partition in store.published(asset):
            handle = store.handle(asset, partition)
            try:
                for folder, held in by_folder_in_turn(handle.all_files["path"]):
                    ours[folder].update(held)
            except Unreadable as problem:
                damaged.append((handle.label, problem))
            except SegassetsError:
                continue  # told where this partition itself is verified
    for folder in with_parents(list(ours)):
        above, _, name = folder.rpartition("/")
        ours[above].add(name)
    return ({} if damaged else ours), damaged
