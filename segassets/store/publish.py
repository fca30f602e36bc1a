"""Putting a finished stage into place, so that a kill at any instant leaves something that can be finished.

1. The stage's own manifest is complete. 2. A `publishing` record is written: from here on the change is rolled
forward, never back. 3. Files are moved (a folder) or copied on the server (S3), old ones removed. 4. The partition's
manifest is replaced: that is the moment of publication. 5. The record and the stage go. Every step may be repeated.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable

from segassets.errors import ForeignFile
from segassets.store import manifest, names
from segassets.store.files import Bucket, Folder
from segassets.store.locks import whoami


def by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """File names, grouped by the folder they lie in."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        grouped[folder].append(name)
    return grouped


def check_foreign(files: Folder | Bucket, paths: Iterable[str], ours: set[str], what: str) -> None:
    """Raise ForeignFile when a target path is taken by a file that this partition did not publish."""
    taken = []
    for folder, wanted in by_folder(paths).items():
        present = files.names(folder)
        if not present:
            _check_parents(files, folder, what)
        taken += [f"{folder}/{name}" for name in set(present).intersection(wanted) if f"{folder}/{name}" not in ours]
    if taken:
        first = ", ".join(sorted(taken)[:3])
        raise ForeignFile(
            f"{what}: foreign_file: {len(taken)} of the target files exist and were not written by this asset "
            f"({first}{', ...' if len(taken) > 3 else ''}); move them away or choose another store"
        )


def _check_parents(files: Folder | Bucket, folder: str, what: str) -> None:
    parts = folder.split("/")
    for depth in range(1, len(parts) + 1):
        if isinstance(files, Folder) and os.path.isfile(files.path("/".join(parts[:depth]))):
            raise ForeignFile(f"{what}: foreign_file: {'/'.join(parts[:depth])} is a file where a folder must be")


def announce(files: Folder | Bucket, asset: str, partition: str | None, stage: str, remove: list[str]) -> None:
    """Write the record after which the change will be carried out, by this run or by the next."""
    record = {"stage": stage, "files": f"{stage}/manifest.parquet", "remove": remove, **whoami()}
    files.write(names.publishing(asset, partition), json.dumps(record).encode())


def carry_out(files: Folder | Bucket, asset: str, partition: str | None) -> None:
    """Do, or finish, what a `publishing` record announces."""
    record_path = names.publishing(asset, partition)
    record = json.loads(files.read(record_path))
    stage = record["stage"]
    if files.stat(record["files"]) is not None:  # else the manifest was switched already: only the clearing is left
        data = files.read(record["files"])
        paths = manifest.decode(data)[0].column("path").to_pylist()
        if isinstance(files, Folder):
            _place_in_folder(files, stage, paths)
        else:
            _place_in_bucket(files, stage, paths)
        files.delete(record["remove"])
        _switch(files, names.manifest(asset, partition), data)
        files.delete([record["files"]])
    files.delete_tree(stage)
    files.delete([record_path])


def _switch(files: Folder | Bucket, path: str, data: bytes) -> None:
    with files.create(path, durable=True) as out:
        out.write(data)


def _place_in_folder(files: Folder, stage: str, paths: list[str]) -> None:
    """Rename whole folders where the target does not exist yet, else file by file."""
    for folder, wanted in by_folder(paths).items():
        source, target = files.path(f"{stage}/files/{folder}"), files.path(folder)
        if not os.path.isdir(source):
            continue  # placed by the run that was killed
        if not os.path.exists(target) and set(os.listdir(source)) == set(wanted):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(source, target)
            continue
        os.makedirs(target, exist_ok=True)
        for name in wanted:
            with contextlib.suppress(FileNotFoundError):
                os.replace(os.path.join(source, name), os.path.join(target, name))


def _place_in_bucket(files: Bucket, stage: str, paths: list[str]) -> None:
    for start in range(0, len(paths), 1000):
        files.copy_many([(f"{stage}/files/{path}", path) for path in paths[start : start + 1000]])
