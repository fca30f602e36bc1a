"""A batch of a partition's work: what became of its items, written into the stage and committed all or nothing.

Workers write straight into the stage and return only a summary. A batch is committed by one small JSON object, written
last; what has none is done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from segassets.errors import SegassetsError
from segassets.files.bucket import Bucket
from segassets.files.folder import Folder
from segassets.files.paths import UnsafePath, check_relative
from segassets.files.ref import Ref, files_at
from segassets.findings import Finding
from segassets.formats import zip_stored
from segassets.items import File, Made
from segassets.store import copying, joining, joining_disk, manifest, names

FLUSH_BYTES = 64 * 2**20
COPY_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Place:
    """Where a stage is and what its files are called: small, and picklable for workers."""

    root: str
    path: str
    into: str
    rows: tuple[tuple[str, str], ...] | None = None
    copy_mode: str = "auto"

    @property
    def files(self):
        return files_at(self.root)

    def target(self, name: str) -> str:
        """The published path of an artifact's file; UnsafePath when it would leave the store or enter our own part."""
        path = check_relative(f"{self.into}/{name}" if self.into else name)
        if path.split("/", 1)[0] == names.HOME and not self.into.startswith(f"{names.HOME}/"):
            raise UnsafePath(f"{path!r} lies in the platform's own folder")
        return path

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


@dataclass(frozen=True, slots=True)
class _ServerCopy:
    """A whole object that the server copies when the batch is committed: its ETag is known then."""

    source: Ref


class BatchWriter:
    """Takes what became of a batch's items and commits it at the end, all or nothing."""

    def __init__(self, place: Place, number: int, packed: bool = False):
        self._place = place
        self._pack = zip_stored.Writer() if packed else None
        self._summary = Summary(number)
        self._contents: list[tuple[str, bytes | int]] = []  # a number: the row whose digest is not known yet
        self._listed: dict[str, list] = {name: [] for name in manifest.SCHEMA.names}
        self._copies: list[tuple[int, Ref]] = []
        self._rows: list[pa.Table] = []
        self._waiting: dict[str, bytes] = {}
        self._waiting_bytes = 0

    def add(self, item: str, made: Made, origin: str | None = None) -> None:
        """Everything that was made of one item, or nothing: an item that raises on the way leaves no trace.

        `origin`: what the item was read from, for files that do not say it themselves.
        """
        targets = [self._place.target(file.path) for file in made.files]
        table = pa.table(dict(made.rows), schema=row_schema(self._place.rows)) if made.rows is not None else None
        stored = [self._store(target, file) for target, file in zip(targets, made.files, strict=True)]
        for target, file, (size, digest) in zip(targets, made.files, stored, strict=True):
            if digest is None:
                self._pack.add(file.path, file.data)
                self._summary.packed += 1
                self._contents.append((target, file.content or hashlib.sha256(file.data).digest()))
                continue
            source = file.source or (file.data.label if isinstance(file.data, Ref) else origin)
            self._list(target, size, digest, file.content, item, source)
        if table is not None:
            self._summary.rows += table.num_rows
            self._rows.append(table)
        self._summary.items += 1
        self._summary.findings += made.findings

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

    def _store(self, target: str, file: File) -> tuple[int, bytes | _ServerCopy | None]:
        """Size and digest of a file that is in the stage now, or will be; None for one that goes into the zip."""
        if not isinstance(file.data, Ref):
            if self._pack is not None:
                return len(file.data), None
            self._write(target, file.data)
            return len(file.data), hashlib.sha256(file.data).digest()
        source, here = file.data, self._place.files
        there = files_at(source.root)
        if isinstance(here, Folder) and isinstance(there, Folder):
            return copying.bring(here, self._place.staged(target), source, self._place.copy_mode)
        whole = source.offset == 0 and source.length is None and source.digest is None
        if whole and isinstance(here, Bucket) and isinstance(there, Bucket):
            return 0, _ServerCopy(source)
        return self._write_stream(target, pieces(source))

    def _list(
        self,
        target: str,
        size: int,
        digest: bytes | _ServerCopy,
        content: bytes | None,
        item: str | None,
        source: str | None,
        kind: str = "sha256",
    ) -> None:
        number = self._summary.files
        if isinstance(digest, _ServerCopy):
            self._copies.append((number, digest.source))
            kind, digest = "etag", b""
        self._contents.append((target, content or digest or number))
        for name, value in zip(
            manifest.SCHEMA.names, (target, size, digest, kind, content or digest, item, source), strict=True
        ):
            self._listed[name].append(value)
        self._summary.files += 1
        self._summary.bytes += size

    def add_stream(self, name: str, stream: Iterator[bytes]) -> None:
        """One file from a stream of pieces, hashed on the way; memory stays at one piece."""
        target = self._place.target(name)
        size, digest = self._write_stream(target, stream)
        self._list(target, size, digest, None, None, None)

    def concatenate(self, name: str, parts: Iterable[bytes | Ref], content: bytes | None = None) -> None:
        """One file from literal bytes and ranges of other files, in order, with as little reading as can be.

        From folder to folder by one write, with a CRC-32 as digest; from S3 to S3 by server-side copies, with an ETag.
        `content`: digest of what the file holds, when it is known; it makes the data version the same everywhere.
        """
        parts, target = list(parts), self._place.target(name)
        here, staged = self._place.files, self._place.staged(target)
        kinds = {type(files_at(part.root)) for part in parts if isinstance(part, Ref)} | {type(here)}
        if kinds == {Folder}:
            path = here.path(staged)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            size, crc = joining_disk.merge_on_disk(parts, path)
            kind, digest = "crc32", f"{crc:08x}".encode()
        elif kinds == {Bucket}:
            size, etag = joining.merge_on_s3(parts, here, staged)
            kind, digest = "etag", etag.encode()
        else:
            read = (piece for part in parts for piece in ([part] if isinstance(part, bytes) else pieces(part)))
            (size, digest), kind = self._write_stream(target, read), "sha256"
        self._list(target, size, digest, content, None, None, kind)

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

    def _copy_on_server(self) -> None:
        """Copy whole objects within S3; their digest is the ETag, because nobody has read them."""
        if not self._copies:
            return
        raw = files_at(self._copies[0][1].root)  # the items of a batch come from one root
        uris = [raw.uri(source.path) for _, source in self._copies]
        targets = [self._place.staged(self._listed["path"][number]) for number, _ in self._copies]
        try:
            sizes = raw.sizes([source.path for _, source in self._copies])
            etags = self._place.files.copy_many(list(zip(uris, targets, sizes, strict=True)))
        except FileNotFoundError:
            raise SegassetsError(f"an object below {uris[0].rpartition('/')[0]} has gone; run again") from None
        for (number, _), size, etag in zip(self._copies, sizes, etags, strict=True):
            self._listed["bytes"][number] = size
            self._listed["digest"][number] = etag.encode()
            self._listed["content"][number] = self._listed["content"][number] or etag.encode()
            self._summary.bytes += size

    def _content(self) -> hashlib._Hash:
        digest = hashlib.sha256()
        for target, content in self._contents:
            known = self._listed["content"][content] if isinstance(content, int) else content
            digest.update(target.encode() + b"\0" + known)
        return digest

    def commit(self) -> Summary:
        """Write the batch's lists, then the one object that makes it count."""
        self._flush()
        self._copy_on_server()
        content = self._content()
        files, number = self._place.files, self._summary.batch
        if self._pack is not None:
            files.write(self._place.batch(number, "zip"), self._pack.data())
            files.write(self._place.batch(number, "directory"), self._pack.directory())
        if self._summary.files:
            table = pa.table(self._listed, schema=manifest.SCHEMA)
            files.write(self._place.batch(number, "files.parquet"), _parquet(table))
        if self._rows:
            table = pa.concat_tables(self._rows).combine_chunks()
            content.update(_table_digest(table))
            files.write(self._place.batch(number, "rows.parquet"), _parquet(table))
        self._summary.content = content.hexdigest()
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
    digest = hashlib.sha256()
    for start in range(0, length, size):
        end = min(start + size, length)
        piece = files.read(source.path, source.offset + start, source.offset + end)
        if len(piece) != end - start:
            raise EOFError(f"{source.label}: expected {length} bytes, found {start + len(piece)}")
        if source.digest is not None:
            digest.update(piece)
        yield piece
    if source.digest not in (None, digest.digest()):
        raise source.replaced()


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
