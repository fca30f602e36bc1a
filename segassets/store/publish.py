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
from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from segassets.errors import SegassetsError
from segassets.store import manifest, names
from segassets.store.files import Bucket, Folder
from segassets.store.locks import whoami

FEW_FOLDERS = 16
COPIES = 1000


def by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """File names, grouped by the folder they lie in."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        grouped[folder].append(name)
    return grouped


def below(folder: str, name: str) -> str:
    """The path of a name in a folder; "" is the root."""
    return f"{folder}/{name}" if folder else name


def foreign(files: Folder | Bucket, paths: Iterable[str], ours: set[str]) -> list[str]:
    """What lies at a target path, or is a file where a folder must be, and was not published by this partition."""
    wanted = by_folder(path for path in paths if not path.startswith(f"{names.HOME}/"))  # there all is ours
    taken = _files_for_folders(files, wanted)
    if isinstance(files, Bucket) and len(wanted) > FEW_FOLDERS:
        present = files.walk(_common_folder(wanted))  # a listing a folder would be a request a folder
        targets = (below(folder, name) for folder, names_ in wanted.items() for name in names_)
        taken += [path for path in targets if path in present]
    else:
        for folder, names_ in wanted.items():
            taken += [below(folder, name) for name in set(files.names(folder)).intersection(names_)]
    return sorted(path for path in taken if path not in ours)


def _files_for_folders(files: Folder | Bucket, folders: Iterable[str]) -> list[str]:
    if isinstance(files, Bucket):
        folders = [_common_folder(folders)]  # on S3 a file beside a folder of its name does no harm to us
    above: set[str] = set()
    for folder in folders:
        while folder and folder not in above:
            above.add(folder)
            folder = folder.rpartition("/")[0]
    if isinstance(files, Bucket):
        return [path for path in above if files.stat(path) is not None]
    return [path for path in above if os.path.isfile(files.path(path))]


def _common_folder(folders: Iterable[str]) -> str:
    folders = list(folders)
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
        table, footer = manifest.decode(files.read(staged))
        if isinstance(files, Folder):
            _place_in_folder(files, stage, table["path"].to_pylist())
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


def _place_in_folder(files: Folder, stage: str, paths: list[str]) -> None:
    """Rename whole folders where the target does not exist yet, else file by file."""
    for folder, wanted in by_folder(paths).items():
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
    paths, sizes = table["path"].to_pylist(), table["bytes"].to_pylist()
    etags: list[str] = []
    for start in range(0, len(paths), COPIES):
        confirm()
        part = zip(paths[start : start + COPIES], sizes[start : start + COPIES], strict=True)
        etags += files.copy_many([(files.uri(f"{stage}/files/{path}"), path, size) for path, size in part])
    by_etag = pc.equal(table["digest_kind"], "etag")
    if not pc.any(by_etag).as_py():
        return table
    found = pa.chunked_array([pa.array([etag.encode() for etag in etags], pa.binary())])
    column = table.schema.get_field_index("digest")
    return table.set_column(column, "digest", pc.if_else(by_etag, found, table["digest"]))
