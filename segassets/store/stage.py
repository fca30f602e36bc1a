"""The stage of a partition: work in progress that survives a kill, batch by batch (`batch`).

Nothing here is visible to readers: `publish` moves a finished stage into place.

Layout below `.segassets/stages/<asset>/<partition>/`:
`stage.json` (the fingerprint this work is for), `batches/000012.{json,files.parquet,rows.parquet}`,
`files/<path as published>`, `manifest.parquet` (present when the stage is complete).
"""

from __future__ import annotations

import hashlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq

from segassets.store import manifest, names
from segassets.store.batch import Place, Summary, row_schema


def stage_marker(path: str) -> str:
    """What says for which fingerprint a stage is."""
    return f"{path}/stage.json"


class Stage:
    """A partition's work in progress. Make one through `Store.stage`, under its lock."""

    def __init__(self, place: Place, asset: str, partition: str | None, fingerprint: str):
        self.place = place
        self.asset = asset
        self.partition = partition
        self.fingerprint = fingerprint
        self.summaries: dict[int, Summary] = {}
        self._table: tuple[tuple[int, ...], pa.Table] | None = None

    def open(self) -> None:
        """Keep the committed batches of an interrupted run with the same fingerprint; clear away any other work."""
        files = self.place.files
        marker = stage_marker(self.place.path)
        try:
            if json.loads(files.read(marker)).get("fingerprint") == self.fingerprint:
                self._load_batches()
                return
        except (FileNotFoundError, ValueError):
            pass
        self.discard()
        files.write(marker, json.dumps({"fingerprint": self.fingerprint}).encode())

    def _load_batches(self) -> None:
        folder = f"{self.place.path}/batches"
        for name in self.place.files.names(folder):
            if name.endswith(".json"):
                summary = Summary.load(self.place.files.read(f"{folder}/{name}"))
                self.summaries[summary.batch] = summary

    def add(self, summary: Summary) -> None:
        self.summaries[summary.batch] = summary

    def batches(self) -> list[Summary]:
        return [self.summaries[number] for number in sorted(self.summaries)]

    def discard(self) -> None:
        """Remove it all, the marker first: what a kill leaves of it must not be taken for work to go on with."""
        self.place.files.delete([stage_marker(self.place.path)])
        self.place.files.delete_tree(self.place.path)
        self.summaries.clear()

    def data_version(self) -> str:
        """The digest of all that was made: equal results have equal versions, however often they are made."""
        digest = hashlib.sha256()
        for summary in self.batches():
            digest.update(bytes.fromhex(summary.content))
        return digest.hexdigest()[:32]

    def file_table(self) -> pa.Table:
        """All staged files, in item order; read once, when the stage is complete."""
        marks = tuple(summary.batch for summary in self.batches())
        if self._table is None or self._table[0] != marks:
            self._table = (marks, self._read_file_table())
        return self._table[1]

    def _read_file_table(self) -> pa.Table:
        tables = [
            pq.read_table(io.BytesIO(self.place.files.read(self.place.batch(summary.batch, "files.parquet")))).cast(
                manifest.SCHEMA
            )
            for summary in self.batches()
            if summary.files
        ]
        return pa.concat_tables(tables) if tables else manifest.SCHEMA.empty_table()

    def write_rows(self, data_version: str) -> dict:
        """Join the batches' rows into one Parquet file, a row group a batch, in bounded memory; its manifest row."""
        target = names.rows(self.asset, self.partition, data_version)
        digest = hashlib.sha256()
        with self.place.files.create(self.place.staged(target)) as out:
            sink = _Hashing(out, digest)
            with pq.ParquetWriter(sink, row_schema(self.place.rows), compression="zstd") as writer:
                for summary in self.batches():
                    if summary.rows:
                        data = self.place.files.read(self.place.batch(summary.batch, "rows.parquet"))
                        writer.write_table(pq.read_table(io.BytesIO(data)), row_group_size=1 << 30)
        return {
            "path": target,
            "bytes": sink.written,
            "digest": digest.digest(),
            "digest_kind": "sha256",
            "content": bytes.fromhex(data_version),
            "item": None,
            "source": None,
        }


class _Hashing(io.RawIOBase):
    """A sink that hashes what passes through it."""

    def __init__(self, out, digest):
        super().__init__()
        self._out, self._digest, self.written = out, digest, 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        data = bytes(data)
        self._digest.update(data)
        self.written += len(data)
        self._out.write(data)
        return len(data)

    def tell(self) -> int:
        return self.written
