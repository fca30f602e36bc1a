"""`segassets verify`: read everything back and compare it with the manifests."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

from segassets.commands.catalogue import Catalogue
from segassets.errors import SegassetsError, Unreadable, plainly
from segassets.files.folder import Folder
from segassets.files.paths import Entry
from segassets.files.ref import Ref
from segassets.formats.inflate import crc32
from segassets.store.batch import pieces
from segassets.store.publish import by_folder, by_folder_in_turn, with_parents
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


def _verify_one(store: Store, key: str, partition: str | None, ours: Mapping[str, set[str]]) -> Iterator[Line]:
    handle = store.handle(key, partition)
    label = handle.label
    table = handle.all_files
    rows = list(zip(*(table[name].to_pylist() for name in ("path", "bytes", "digest", "digest_kind")), strict=True))
    bad = 0
    folders = with_parents(by_folder(path for path, *_ in rows))
    listed = _listed(store, folders)
    held = None if listed is None else _with_folders({f: set(names) for f, names in by_folder(listed).items()})
    with ThreadPoolExecutor(THREADS) as pool:
        for problem in pool.map(lambda row: _problem(store, listed, *row), rows):
            if problem is not None:
                bad += 1
                yield Line(False, f"{label}: {problem}")
    # The top folders may hold a user's own files, and where a manifest is damaged nobody knows what belongs here.
    for folder in sorted(folder for folder in folders if "/" in folder and ours):
        try:
            names = os.listdir(store.files.path(folder)) if held is None else held.get(folder, ())
        except FileNotFoundError:
            continue  # then its files are missing, which is told
        except OSError as problem:
            bad += 1
            yield Line(False, f"{label}: {folder} cannot be listed: {plainly(problem)}")
            continue
        for name in sorted(set(names) - ours.get(folder, set())):
            bad += 1
            yield Line(
                False, f"{label}: extra: {folder}/{name} is in no manifest; remove it, training code may read it"
            )
    if not bad:
        yield Line(True, f"{label}: {len(rows):,} files as published")


def _listed(store: Store, folders: Iterable[str]) -> dict[str, Entry] | None:
    """All objects where the files lie, from a listing or two: a question for each would cost as much as reading it.
    None for a local folder, where it costs nothing."""
    if isinstance(store.files, Folder):
        return None
    deep = sorted(folder for folder in folders if "/" in folder)
    tops = [os.path.commonpath(group) for _, group in groupby(deep, lambda folder: folder.split("/", 1)[0])]
    return {path: entry for top in tops for path, entry in store.files.walk(top).items()}


def _problem(
    store: Store, listed: Mapping[str, Entry] | None, path: str, size: int, digest: bytes, kind: str
) -> str | None:
    try:
        # What lies in the top folders is in no listing.
        entry = store.files.stat(path) if listed is None or path.count("/") < 2 else listed.get(path)
        return difference(store, entry, path, size, digest, kind)
    except FileNotFoundError:
        return f"missing: {path}"
    except OSError as problem:
        return f"unreadable: {path}: {plainly(problem)}"


def difference(store: Store, entry: Entry | None, path: str, size: int, digest: bytes, kind: str) -> str | None:
    """What is otherwise with a file than its manifest says; None when nothing is. Reads it. `entry`: what is there."""
    if entry is None:
        return f"missing: {path}"
    if entry.size != size:
        return f"changed: {path} has {entry.size:,} bytes, published were {size:,}"
    if kind == "etag":
        return None if entry.version.encode() == digest else f"changed: {path} has another ETag than was published"
    found, crc = hashlib.sha256(), 0
    for piece in pieces(Ref(store.root, path, 0, size)):  # with the size that the listing says, one request
        if kind == "crc32":
            crc = crc32(piece, crc)
        else:
            found.update(piece)
    same = digest == (f"{crc:08x}".encode() if kind == "crc32" else found.digest())
    return None if same else f"changed: {path} has other content than was published"


def _all_ours(store: Store) -> tuple[dict[str, set[str]], list[tuple[str, Unreadable]]]:
    """What every folder may hold: the published files of all assets, which share folders, and the folders of these.

    And the manifests that cannot be read: while there is one nobody knows what it held, and the first is empty.
    """
    ours: dict[str, set[str]] = defaultdict(set)
    damaged = []
    for asset in store.assets():
        for partition in store.published(asset):
            handle = store.handle(asset, partition)
            try:
                for folder, names in by_folder_in_turn(handle.all_files["path"]):
                    ours[folder].update(names)
            except Unreadable as problem:
                damaged.append((handle.label, problem))
            except SegassetsError:
                continue  # told where this partition itself is verified
    return ({} if damaged else _with_folders(ours)), damaged


def _with_folders(names: dict[str, set[str]]) -> dict[str, set[str]]:
    """The names in each folder, those of the folders in it among them."""
    for folder in with_parents(list(names)):
        above, _, name = folder.rpartition("/")
        names.setdefault(above, set()).add(name)
    return names
