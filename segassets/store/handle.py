"""What a downstream asset gets of an upstream one: a light handle that reads what is asked for, when it is."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segassets.errors import BeingPublished, NotPublished, SegassetsError, Unreadable
from segassets.files.ref import Ref, files_at
from segassets.store import manifest, names


@dataclass(frozen=True)
class Handle:
    """A published partition of an asset: its manifest, read lazily, and its files and rows."""

    root: str
    asset: str
    partition: str | None

    @property
    def label(self) -> str:
        return f"{self.asset} {self.partition}" if self.partition else self.asset

    def settled(self) -> None:
        """BeingPublished while files are being put into place: they are of this manifest, or of the next."""
        if files_at(self.root).stat(names.publishing(self.asset, self.partition)) is not None:
            raise BeingPublished(
                f"{self.label} is being published; try again in a moment (if its run was killed, "
                f"run: segassets materialize {self.asset})"
            )

    @cached_property
    def _manifest(self) -> tuple[pa.Table, manifest.Footer]:
        self.settled()
        try:
            path = names.manifest(self.asset, self.partition)
            return manifest.decode(files_at(self.root).read(path), path)
        except FileNotFoundError:
            hint = f" --partition '{self.partition}'" if self.partition else ""
            raise NotPublished(
                f"{self.label} has not been made; run: segassets materialize {self.asset}{hint}"
            ) from None

    @property
    def footer(self) -> manifest.Footer:
        return self._manifest[1]

    @property
    def data_version(self) -> str:
        return self.footer.data_version

    @property
    def all_files(self) -> pa.Table:
        """One row a published file, the rows file among them."""
        return self._manifest[0]

    @property
    def files(self) -> pa.Table:
        """One row a published file (`store.manifest.SCHEMA`), the rows file left out."""
        table = self._manifest[0]
        if self.footer.rows is None:
            return table
        return table.filter(pc.not_equal(table["path"], self.footer.rows))

    @cached_property
    def paths(self) -> dict[str, str]:
        """Published path of each item's file (the last one, where an item has several)."""
        table = self.files
        return dict(zip(table["item"].to_pylist(), table["path"].to_pylist(), strict=True))

    @cached_property
    def _digests(self) -> dict[str, bytes]:
        table = self._manifest[0].filter(pc.equal(self._manifest[0]["digest_kind"], "sha256"))
        return dict(zip(table["path"].to_pylist(), table["digest"].to_pylist(), strict=True))

    def ref(self, path: str) -> Ref:
        """A reference to a published file, which gives the bytes of this version or BeingPublished."""
        return Ref(self.root, path, digest=self._digests.get(path))

    def read(self, path: str) -> bytes:
        """A published file's bytes; BeingPublished when they are no longer those of this manifest."""
        try:
            return self.ref(path).read()
        except FileNotFoundError:
            raise self.ref(path).replaced() from None

    @cached_property
    def _rows_path(self) -> str:
        if self.footer.rows is None:
            raise NotPublished(f"{self.label} publishes no rows")
        return self.footer.rows

    @contextlib.contextmanager
    def _open_rows(self) -> Iterator[pq.ParquetFile]:
        """The rows file. Its name holds the data version, so another version is never read in its stead."""
        path = self._rows_path
        try:
            with files_at(self.root).open(path) as file, manifest.reading(path), pq.ParquetFile(file) as rows:
                yield rows
        except FileNotFoundError:
            raise self._lost(path) from None

    def _lost(self, path: str) -> SegassetsError:
        """Why the rows file is not there: another version was published, or somebody has removed it."""
        try:
            now = Handle(self.root, self.asset, self.partition).footer.rows
        except SegassetsError as problem:
            return problem
        if now != path:
            return BeingPublished(f"{self.label} was replaced while it was read; try again")
        hint = f" --partition '{self.partition}'" if self.partition else ""
        return Unreadable(f"{self.label}: {path} is gone; run: segassets materialize {self.asset}{hint} --only")

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in item order, a table a row group: memory stays at one group."""
        with self._open_rows() as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=columns)

    def records(self, columns: Sequence[str] | None = None) -> Iterator[dict]:
        """The rows one by one, as dictionaries."""
        for table in self.rows(columns):
            yield from table.to_pylist()

    @cached_property
    def row_groups(self) -> int:
        with self._open_rows() as file:
            return file.num_row_groups

    def row_group(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        with self._open_rows() as file:
            return file.read_row_group(number, columns=columns)

    def row_count(self) -> int:
        with self._open_rows() as file:
            return file.metadata.num_rows

    def __getstate__(self):
        # What was read stays behind, but for which rows they are: a worker must not read those of a later version.
        return {
            name: self.__dict__[name] for name in ("root", "asset", "partition", "_rows_path") if name in vars(self)
        }


def table_from(data: bytes) -> pa.Table:
    """A small Parquet object as a table."""
    return pq.read_table(io.BytesIO(data))
