"""Putting a finished stage into place, so that a kill at any instant leaves something that can be finished.

1. The stage's own manifest is complete. 2. A `publishing` record is written: from here on the change is rolled
forward, never back. 3. Files are moved (a folder) or copied on the server (S3), old ones removed. 4. The stage's
manifest becomes the partition's: that is the moment of publication. 5. The stage and the record go. Every step may be
repeated.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from segassets.errors import SegassetsError
from segassets.files.bucket import Bucket
from segassets.files.folder import Folder
from segassets.store import manifest, names
from segassets.store.locks import whoami

FEW_FOLDERS = 16
COPIES = 1000
AT_ONCE = 65_536


def by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """File names, grouped by the folder they lie in."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        grouped[folder].append(name)
    return grouped


def by_folder_in_turn(paths: pa.ChunkedArray) -> Iterator[tuple[str, list[str]]]:
    """(folder, file names), a part of the paths at a time: a folder comes again when its files lie far apart."""
    for start in range(0, len(paths), AT_ONCE):
        yield from by_folder(paths.slice(start, AT_ONCE).to_pylist()).items()


def folders_of(paths: pa.ChunkedArray) -> set[str]:
    """The folders that the paths lie in; "" is the root."""
    return {folder for folder, _ in by_folder_in_turn(paths)}


def with_parents(folders: Iterable[str]) -> set[str]:
    """The folders and all above them, but for the root."""
    above: set[str] = set()
    for folder in folders:
        while folder and folder not in above:
            above.add(folder)
            folder = folder.rpartition("/")[0]
    return above


def below(folder: str, name: str) -> str:
    """The path of a name in a folder; "" is the root."""
    return f"{folder}/{name}" if folder else name


def foreign(files: Folder | Bucket, paths: pa.ChunkedArray, ours: pa.ChunkedArray) -> list[str]:
    """What lies at a target path, or is a file where a folder must be, and was not published by this partition.

    A folder at the path of a file is never ours, whatever was published there.
    """
    paths = paths.filter(pc.invert(pc.starts_with(paths, f"{names.HOME}/")))  # there all is ours
    folders = folders_of(paths)
    taken, blocked = _files_for_folders(files, folders), []
    if isinstance(files, Bucket) and len(folders) > FEW_FOLDERS:
        present = files.walk(_common_folder(folders))  # a listing a folder would be a request a folder
        taken += paths.filter(pc.is_in(paths, value_set=pa.array(list(present), pa.string()))).to_pylist()
    else:
        for folder, wanted in by_folder_in_turn(paths):
            taken += [below(folder, name) for name in set(files.names(folder)).intersection(wanted)]
            if isinstance(files, Folder):
                blocked += [below(folder, name) for name in set(files.folders(folder)).intersection(wanted)]
    found = pa.array(taken, pa.string())
    return sorted({*found.filter(pc.invert(pc.is_in(found, value_set=ours))).to_pylist(), *blocked})


def _files_for_folders(files: Folder | Bucket, folders: set[str]) -> list[str]:
    if isinstance(files, Folder):
        return [path for path in with_parents(folders) if os.path.isfile(files.path(path))]
    # On S3 a file beside a folder of its name does no harm to us.
    return [path for path in with_parents([_common_folder(folders)]) if files.stat(path) is not None]


def _common_folder(folders: set[str]) -> str:
    return os.path.commonpath(folders) if folders and all(folders) else ""


def announce(files: Folder | Bucket, asset: str, partition: str | None, stage: str, remove: list[str]) -> None:
    """Write the record after which the change will be carried out, by this run or by the next."""
    record = {"stage": stage, "files": staged_manifest(stage), "remove": remove, **whoami()}
    draft = f"{stage}/publishing.json"  # written in the stage, so that a kill leaves no half of it elsewhere
    with files.create(draft, durable=True) as out:
        out.write(json.dumps(record).encode())
    files.move(draft, names.publishing(asset, partition))


def staged_manifest(stage: str) -> str:
    return f"{stage}/manifest.parquet"


def carry_out(
    files: Folder | Bucket, asset: str, partition: str | None, confirm: Callable[[], None] = lambda: None
) -> None:
    """Do, or finish, what a `publishing` record announces. `confirm` raises when the lock was lost."""
    record_path = names.publishing(asset, partition)
    record = json.loads(files.read(record_path))
    stage, staged = record["stage"], record["files"]
    if files.stat(staged) is not None:  # else it was switched already: only the clearing is left
        table, footer = manifest.decode(files.read(staged), staged)
        if isinstance(files, Folder):
            _place_in_folder(files, stage, table["path"])
        else:
            placed = _place_in_bucket(files, stage, table, confirm)
            if placed is not table:
                files.write(staged, manifest.encode(placed, footer))
        del table
        files.delete(record["remove"])
        confirm()
        files.move(staged, names.manifest(asset, partition))
    files.delete_tree(stage)
    files.delete([record_path])


def _place_in_folder(files: Folder, stage: str, paths: pa.ChunkedArray) -> None:
    """Rename whole folders where the target does not exist yet, else file by file."""
    for folder, wanted in by_folder_in_turn(paths):
        source = below(f"{stage}/files", folder) if folder else f"{stage}/files"
        if folder and _rename_folder(files.path(source), files.path(folder), wanted):
            continue
        for name in wanted:
            try:
                files.move(f"{source}/{name}", below(folder, name))
            except FileNotFoundError:
                if not os.path.lexists(files.path(below(folder, name))):  # else placed by the run that was killed
                    raise SegassetsError(
                        f"{below(folder, name)} cannot be published: it is gone from {files.path(stage)}; remove that "
                        f"folder and its record below {names.HOME}/publishing, then make the partition again (--force)"
                    ) from None


def _rename_folder(source: str, target: str, wanted: list[str]) -> bool:
    """Whether all of a folder could be renamed at once."""
    try:
        if os.path.lexists(target) or set(os.listdir(source)) != set(wanted):
            return False
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(source, target)
    except OSError:
        return False  # placed before the kill, made meanwhile by another run, or on another disk
    return True


def _place_in_bucket(files: Bucket, stage: str, table: pa.Table, confirm: Callable[[], None]) -> pa.Table:
    """Copy on the server; ETags that a copy has changed are put into the manifest."""
    etags: list[str] = []
    for start in range(0, len(table), COPIES):
        confirm()
        rows = table.slice(start, COPIES)
        part = zip(rows["path"].to_pylist(), rows["bytes"].to_pylist(), strict=True)
        etags += files.copy_many([(files.uri(f"{stage}/files/{path}"), path, size) for path, size in part])
    by_etag = pc.equal(table["digest_kind"], "etag")
    if not pc.any(by_etag).as_py():
        return table
    found = pa.chunked_array([pa.array([etag.encode() for etag in etags], pa.binary())])
    column = table.schema.get_field_index("digest")
    return table.set_column(column, "digest", pc.if_else(by_etag, found, table["digest"]))
