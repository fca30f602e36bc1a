"""The stage of a partition: work in progress that survives a kill, batch by batch.

A batch is committed by one small JSON object, written last; what has none is done again. Workers write straight into
the stage and return only a summary. Nothing here is visible to readers: `publish` moves a finished stage into place.

Layout below `.segassets/stages/<asset>/<partition>/`:
`stage.json` (the fingerprint this work is for), `batches/000012.{json,files.parquet,rows.parquet}`,
`files/<path as published>`, `manifest.parquet` (present when the stage is complete).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from segassets.findings import Finding
from segassets.formats import zip_stored
from segassets.items import File, Made
from segassets.sources.ref import Ref, files_at
from segassets.store import manifest, names
from segassets.store.files import check_relative

FLUSH_BYTES = 64 * 2**20
COPY_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Place:
    """Where a stage is and what its files are called: small, and picklable for workers."""

    root: str
    path: str
    into: str
    rows: tuple[tuple[str, str], ...] | None = None

    @property
    def files(self):
        return files_at(self.root)

    def target(self, name: str) -> str:
        """The published path of an artifact's file."""
        return check_relative(f"{self.into}/{name}" if self.into else name)

    def staged(self, target: str) -> str:
        return f"{self.path}/files/{target}"

    def batch(self, number: int, kind: str) -> str:
        return f"{self.path}/batches/{number:06d}.{kind}"


@dataclass
class Summary:
    """What a batch came to. `content` is the digest of all that it made, in item order."""

    batch: int
    items: int = 0
    rejected: int = 0
    files: int = 0
    bytes: int = 0
    rows: int = 0
    packed: int = 0
    content: str = ""
    findings: list[Finding] = field(default_factory=list)

    def dump(self) -> bytes:
        return json.dumps({**asdict(self), "findings": [asdict(f) for f in self.findings]}).encode()

    @classmethod
    def load(cls, data: bytes) -> Summary:
        fields = json.loads(data)
        return cls(**{**fields, "findings": [Finding(**f) for f in fields["findings"]]})


def row_schema(columns: tuple[tuple[str, str], ...]) -> pa.Schema:
    """A schema from names and Arrow type names; `list<T>` and `list<list<T>>` are understood."""

    def arrow(name: str) -> pa.DataType:
        if name.startswith("list<"):
            return pa.list_(arrow(name[5:-1]))
        return pa.type_for_alias(name)

    return pa.schema([(column, arrow(kind)) for column, kind in columns])


class BatchWriter:
    """Takes what became of a batch's items and commits it at the end, all or nothing."""

    def __init__(self, place: Place, number: int, packed: bool = False):
        self._place = place
        self._pack = zip_stored.Writer() if packed else None
        self._summary = Summary(number)
        self._content = hashlib.sha256()
        self._listed: dict[str, list] = {name: [] for name in manifest.SCHEMA.names}
        self._rows: list[pa.Table] = []
        self._waiting: dict[str, bytes] = {}
        self._waiting_bytes = 0

    def add(self, item: str, made: Made) -> None:
        """Everything that was made of one item."""
        self._summary.items += 1
        self._summary.findings += made.findings
        for file in made.files:
            self._add_file(item, file)
        if made.rows is not None:
            self._add_rows(made.rows)

    def add_all(self, made: Made) -> None:
        """A whole partition at once: every row is an item, or all of it is one."""
        self.add("", made)
        self._summary.items = self._summary.rows or 1

    def reject(self, findings: list[Finding]) -> None:
        """An item that cannot be made, and why."""
        self._summary.items += 1
        self._summary.rejected += 1
        self._summary.findings += findings

    def note(self, findings: list[Finding]) -> None:
        """Findings about no single item."""
        self._summary.findings += findings

    def _add_file(self, item: str, file: File) -> None:
        target = self._place.target(file.path)
        source = file.source
        if isinstance(file.data, Ref):
            size, digest = self._write_stream(target, pieces(file.data))
            source = source or file.data.label
        elif self._pack is not None:
            self._pack.add(file.path, file.data)
            self._summary.packed += 1
            self._content.update(target.encode() + b"\0" + (file.content or hashlib.sha256(file.data).digest()))
            return
        else:
            size, digest = len(file.data), hashlib.sha256(file.data).digest()
            self._write(target, file.data)
        self._list(target, size, digest, file.content or digest, item, source)

    def _list(self, target: str, size: int, digest: bytes, content: bytes, item: str | None, source: str | None):
        row = (target, size, digest, "sha256", content, item, source)
        for name, value in zip(manifest.SCHEMA.names, row, strict=True):
            self._listed[name].append(value)
        self._summary.files += 1
        self._summary.bytes += size
        self._content.update(target.encode() + b"\0" + content)

    def add_stream(self, name: str, stream: Iterator[bytes]) -> None:
        """One file from a stream of pieces, hashed on the way; memory stays at one piece."""
        target = self._place.target(name)
        size, digest = self._write_stream(target, stream)
        self._list(target, size, digest, digest, None, None)

    def concatenate(self, name: str, parts: Iterable[bytes | Ref]) -> None:
        """One file from literal bytes and ranges of other files, in order."""
        self.add_stream(
            name, (piece for part in parts for piece in ([part] if isinstance(part, bytes) else pieces(part)))
        )

    def open(self, name: str) -> BinaryIO:
        """Read back a file that this batch has written."""
        return self._place.files.open(self._place.staged(self._place.target(name)))

    def _write(self, target: str, data: bytes) -> None:
        self._waiting[self._place.staged(target)] = data
        self._waiting_bytes += len(data)
        if self._waiting_bytes > FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._place.files.write_many(self._waiting)
        self._waiting, self._waiting_bytes = {}, 0

    def _write_stream(self, target: str, stream: Iterator[bytes]) -> tuple[int, bytes]:
        digest, size = hashlib.sha256(), 0
        with self._place.files.create(self._place.staged(target)) as out:
            for piece in stream:
                digest.update(piece)
                size += len(piece)
                out.write(piece)
        return size, digest.digest()

    def _add_rows(self, columns: Mapping[str, list]) -> None:
        table = pa.table(dict(columns), schema=row_schema(self._place.rows))
        self._summary.rows += table.num_rows
        self._rows.append(table)

    def commit(self) -> Summary:
        """Write the batch's lists, then the one object that makes it count."""
        self._flush()
        files, number = self._place.files, self._summary.batch
        if self._pack is not None:
            files.write(self._place.batch(number, "zip"), self._pack.data())
            files.write(self._place.batch(number, "directory"), self._pack.directory())
        if self._summary.files:
            table = pa.table(self._listed, schema=manifest.SCHEMA)
            files.write(self._place.batch(number, "files.parquet"), _parquet(table))
        if self._rows:
            table = pa.concat_tables(self._rows).combine_chunks()
            self._content.update(_table_digest(table))
            files.write(self._place.batch(number, "rows.parquet"), _parquet(table))
        self._summary.content = self._content.hexdigest()
        files.write(self._place.batch(number, "json"), self._summary.dump())
        return self._summary


def pieces(source: Ref, size: int = COPY_BYTES) -> Iterator[bytes]:
    """The bytes of a reference, a piece at a time; EOFError when the file is shorter than the reference says."""
    files = files_at(source.root)
    length = source.length
    if length is None:
        entry = files.stat(source.path)
        if entry is None:
            raise FileNotFoundError(source.label)
        length = entry.size - source.offset
    for start in range(0, length, size):
        end = min(start + size, length)
        piece = files.read(source.path, source.offset + start, source.offset + end)
        if len(piece) != end - start:
            raise EOFError(f"{source.label}: expected {length} bytes, found {start + len(piece)}")
        yield piece


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=1 << 30)
    return sink.getvalue()


def _table_digest(table: pa.Table) -> bytes:
    """A digest of a table's values, whatever their compression."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return hashlib.sha256(sink.getvalue()).digest()


class Stage:
    """A partition's work in progress. Make one through `Store.stage`, under its lock."""

    def __init__(self, place: Place, asset: str, partition: str | None, fingerprint: str):
        self.place = place
        self.asset = asset
        self.partition = partition
        self.fingerprint = fingerprint
        self.summaries: dict[int, Summary] = {}

    def open(self) -> None:
        """Keep the committed batches of an interrupted run with the same fingerprint; clear away any other work."""
        files = self.place.files
        marker = f"{self.place.path}/stage.json"
        if files.stat(marker) is not None:
            if json.loads(files.read(marker)).get("fingerprint") == self.fingerprint:
                self._load_batches()
                return
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
        self.place.files.delete_tree(self.place.path)
        self.summaries.clear()

    def data_version(self) -> str:
        """The digest of all that was made: equal results have equal versions, however often they are made."""
        digest = hashlib.sha256()
        for summary in self.batches():
            digest.update(bytes.fromhex(summary.content))
        return digest.hexdigest()[:32]

    def file_table(self) -> pa.Table:
        """All staged files, in item order."""
        tables = [
            pq.read_table(io.BytesIO(self.place.files.read(self.place.batch(summary.batch, "files.parquet"))))
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
