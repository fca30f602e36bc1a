"""The store: published trees in place, and the platform's own records below `.segassets/`.

Belongs here: opening a stage under its lock, publishing or rejecting it, finding what is published, findings.
How a stage is filled is `work`'s business; how it is put into place is `publish`'s.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segassets.errors import ForeignFile, NoRoom, SegassetsError, Unreadable
from segassets.files.folder import Folder
from segassets.files.ref import files_at
from segassets.findings import Finding, error, tally
from segassets.store import handle, locks, manifest, names, publish
from segassets.store.batch import Place
from segassets.store.stage import Stage, stage_marker

TOLD = 100  # foreign files that are listed one by one

#: The locks that this process holds, by root and path: what publishes asks whether its lock still holds.
_held: dict[tuple[str, str], locks.FolderLock | locks.BucketLock] = {}

FINDINGS_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("severity", "code", "message", "path", "member", "image")]
    + [(name, pa.int64()) for name in ("index", "annotation_id", "shape")]
    + [("part", pa.string())]
)


class Store:
    """A folder or bucket that holds published artifacts."""

    def __init__(self, root: str):
        self.root = root

    @property
    def files(self):
        return files_at(self.root)

    def handle(self, asset: str, partition: str | None) -> handle.Handle:
        return handle.Handle(self.root, asset, partition)

    def footer(self, asset: str, partition: str | None) -> manifest.Footer | None:
        """Who made what is published now; None when nothing is, Unreadable when its manifest is damaged."""
        try:
            path = names.manifest(asset, partition)
            return manifest.read_footer(self.files.open(path), path)
        except FileNotFoundError:
            return None

    def published(self, asset: str) -> list[str | None]:
        """The partitions of an asset that have a manifest."""
        found = self.files.names(f"{names.HOME}/manifests/{asset}")
        return [names.partition_of(name.removesuffix(".parquet")) for name in found if name.endswith(".parquet")]

    def assets(self) -> list[str]:
        """Every asset that has a manifest here."""
        prefix = f"{names.HOME}/manifests/"
        paths = self.files.walk(f"{names.HOME}/manifests")
        return sorted({path.removeprefix(prefix).rsplit("/", 1)[0] for path in paths})

    @contextlib.contextmanager
    def locked(self, asset: str, partition: str | None) -> Iterator[locks.FolderLock | locks.BucketLock]:
        """Hold a partition's lock; what a killed run had announced is finished first. Busy when another run has it."""
        what = f"{asset} {partition}" if partition else asset
        path = names.lock(asset, partition)
        lock = locks.make(self.files, path, what)
        lock.acquire()
        _held[self.root, path] = lock
        try:
            if self.files.stat(names.publishing(asset, partition)) is not None:
                publish.carry_out(self.files, asset, partition, lock.confirm)
            yield lock
        finally:
            _held.pop((self.root, path), None)
            lock.release()

    def stage(
        self,
        asset: str,
        partition: str | None,
        into: str,
        fingerprint: str,
        rows: tuple[tuple[str, str], ...] | None = None,
        copy_mode: str = "auto",
    ) -> Stage:
        """The stage of a partition, with the committed batches of an interrupted run. Call it under the lock."""
        place = Place(self.root, names.stage(asset, partition), into, rows, copy_mode)
        stage = Stage(place, asset, partition, fingerprint)
        stage.open()
        return stage

    def unfinished(self, asset: str, partition: str | None) -> bool:
        """Whether a run is making the partition, or one that was killed has left its work."""
        marks = (names.publishing(asset, partition), stage_marker(names.stage(asset, partition)))
        return any(self.files.stat(mark) is not None for mark in marks)

    def clear(self, asset: str, partition: str | None) -> None:
        """Remove the stage that a killed run has left, when nobody needs it any more. Call it under the lock."""
        path = names.stage(asset, partition)
        if self.files.stat(stage_marker(path)) is not None:
            Stage(Place(self.root, path, ""), asset, partition, "").discard()

    def publish(self, stage: Stage, footer: manifest.Footer, findings: list[Finding]) -> None:
        """Put a finished stage into place. ForeignFile, or the old state, when that cannot be done."""
        asset, partition = stage.asset, stage.partition
        files = stage.file_table()
        if stage.place.rows is not None:
            row = stage.write_rows(footer.data_version)
            footer.rows = row["path"]
            files = pa.concat_tables([files, pa.Table.from_pylist([row], schema=manifest.SCHEMA)])
        # A shard has a million paths: they stay in Arrow's memory, which takes a quarter of Python's.
        paths = files["path"]
        what = f"{asset} {partition or ''}".strip()
        _check_unique(paths, what)
        old = self._old_paths(asset, partition)
        if taken := publish.foreign(self.files, paths, old):
            told = self._whose(asset.split("/")[0], taken[0])
            self.save_findings(asset, partition, [*findings, *_foreign_findings(taken, told)])
            raise ForeignFile(
                f"{what}: foreign_file: {len(taken)} of the target paths are taken by files that this asset did not "
                f"write ({', '.join(taken[:3])}{', ...' if len(taken) > 3 else ''}); nothing was published: {told}"
            )
        footer.created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        footer.findings = tally(findings)
        with self.files.create(publish.staged_manifest(stage.place.path), durable=True) as out:
            out.write(manifest.encode(files, footer))
        removed = sorted(old.filter(pc.invert(pc.is_in(old, value_set=paths))).to_pylist())
        del files, paths, old
        lock = _held.get((self.root, names.lock(asset, partition)))
        confirm = lock.confirm if lock else lambda: None
        confirm()
        self.save_findings(asset, partition, findings)
        publish.announce(self.files, asset, partition, stage.place.path, removed)
        publish.carry_out(self.files, asset, partition, confirm)

    def _whose(self, dataset: str, path: str) -> str:
        """Which partition of a dataset has published a file that stands in another one's way, and what to do."""
        for asset in (asset for asset in self.assets() if asset.split("/")[0] == dataset):
            for partition in self.published(asset):
                where = names.manifest(asset, partition)
                with contextlib.suppress(FileNotFoundError, Unreadable):
                    if manifest.find(self.files.open(where), where, path) is not None:
                        named = f" --partition '{partition}'" if partition else ""
                        return (
                            f"{asset} {partition or ''} has published them. Bring that up to date first (segassets "
                            f"materialize {asset}{named}), which takes away what its input no longer gives; where that "
                            f"is gone as a whole, delete {where} and the files, then run again"
                        )
        return "move them away or choose another store, then run again"

    def _old_paths(self, asset: str, partition: str | None) -> pa.ChunkedArray:
        try:
            path = names.manifest(asset, partition)
            return manifest.read_column(self.files.open(path), path, "path")
        except FileNotFoundError:
            return pa.chunked_array([], pa.string())

    def save_findings(self, asset: str, partition: str | None, findings: Iterable[Finding]) -> None:
        """Replace the findings of a partition: they are kept also when it failed."""
        table = pa.Table.from_pylist([asdict(finding) for finding in findings], schema=FINDINGS_SCHEMA)
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        self.files.write(names.findings(asset, partition), sink.getvalue())

    def findings(self, asset: str, partition: str | None) -> list[Finding]:
        """The findings of a partition's last run."""
        path = names.findings(asset, partition)
        try:
            data = self.files.read(path)
        except FileNotFoundError:
            return []
        with manifest.reading(path):
            return [Finding(**row) for row in handle.table_from(data).to_pylist()]

    def note_tried(self, asset: str, partition: str | None, fingerprint: str, why: str) -> None:
        """Remember that a partition could not be made of these inputs with this code: whoever makes what is missing
        without being asked does not try that again."""
        said = json.dumps({"fingerprint": fingerprint, "why": why})
        self.files.write(names.tried(asset, partition), said.encode())

    def tried(self, asset: str, partition: str | None) -> str | None:
        """The fingerprint with which a partition could not be made the last time that it could not."""
        try:
            return json.loads(self.files.read(names.tried(asset, partition)))["fingerprint"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def findings_partitions(self, asset: str) -> list[str | None]:
        """The partitions that have findings: published ones, and those that failed."""
        found = self.files.names(f"{names.HOME}/findings/{asset}")
        return [names.partition_of(name.removesuffix(".parquet")) for name in found if name.endswith(".parquet")]

    def check_room(self, files: int, size: int) -> str:
        """One line on how much is about to be written; NoRoom when the disk has no room for it."""
        needs = f"about {files:,} files, {size / 1e9:.2f} GB"
        if not isinstance(self.files, Folder):
            return f"{needs}, as objects in {self.root}"
        self.files.write_many({f"{names.HOME}/README": _README})
        free = shutil.disk_usage(self.root).free
        inodes = _free_inodes(self.root)
        if size > free or (inodes is not None and files > inodes):
            raise NoRoom(
                f"{self.root} has {free / 1e9:.2f} GB and {inodes or 'unlimited'} inodes free, "
                f"but {needs} are to be written; make room or choose another store"
            )
        return f"{needs}; {free / 1e9:.1f} GB free"


_README = b"segassets keeps its manifests, findings and work in progress here; leave it to segassets.\n"


def _free_inodes(root: str) -> int | None:
    found = os.statvfs(root)
    return found.f_favail if found.f_files else None


def _foreign_findings(taken: list[str], told: str) -> list[Finding]:
    message = f"a file that this asset did not write lies at a target path, and is never overwritten; {told}"
    findings = [error("foreign_file", message, path=path) for path in taken[:TOLD]]
    if len(taken) > TOLD:
        findings.append(error("foreign_file", f"{len(taken) - TOLD:,} more of these are not listed"))
    return findings


def _check_unique(paths: pa.ChunkedArray, what: str) -> None:
    """Two items must not make the same file, nor one a file where another one has a folder."""
    if pc.count_distinct(paths).as_py() != len(paths):
        seen: set[str] = set()
        twice = next(path for path in paths.to_pylist() if path in seen or seen.add(path))
        raise SegassetsError(f"{what}: two items make the same file {twice}")
    folders = pa.array(sorted(publish.with_parents(publish.folders_of(paths))), pa.string())
    both = folders.filter(pc.is_in(folders, value_set=paths)).to_pylist()
    if both:
        raise SegassetsError(f"{what}: {both[0]} would be a file and a folder")
