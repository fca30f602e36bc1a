"""A finished stage as checks and previews see it: with the same reading methods as a published `Handle`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.parquet as pq

from segassets.store.stage import Stage


class StageView:
    """Files and rows of a stage, by the paths they will be published under."""

    def __init__(self, stage: Stage):
        self._stage = stage

    @property
    def partition(self) -> str | None:
        return self._stage.partition

    @cached_property
    def files(self) -> pa.Table:
        return self._stage.file_table()

    def read(self, path: str) -> bytes:
        return self._stage.place.files.read(self._stage.place.staged(path))

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        for summary in self._stage.batches():
            if summary.rows:
                data = self._stage.place.files.read(self._stage.place.batch(summary.batch, "rows.parquet"))
                yield pq.read_table(io.BytesIO(data), columns=columns)

    @property
    def row_groups(self) -> int:
        """How many tables `rows` gives."""
        return sum(1 for summary in self._stage.batches() if summary.rows)

    def records(self, columns: Sequence[str] | None = None) -> Iterator[dict]:
        for table in self.rows(columns):
            yield from table.to_pylist()
