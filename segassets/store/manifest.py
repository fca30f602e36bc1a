"""The manifest of a published partition: one Parquet object, one row a file, and who made it in the footer."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segassets.errors import Unreadable

#: Texts that many files share are held once: a partition may have a million files.
_SHARED = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # below the store's root
        ("bytes", pa.int64()),
        ("digest", pa.binary()),
        # "sha256"; "etag" where a server-side copy was never read; "crc32" (hex) of a file merged by the kernel
        ("digest_kind", _SHARED),
        ("content", pa.binary()),  # sha256 of what the file decodes to
        ("item", _SHARED),
        ("source", _SHARED),
    ]
)
_KEY = b"segassets"


@dataclass
class Footer:
    """Who made a partition, from what, with what. `inputs` are data versions; `raw` fingerprints of raw files."""

    asset: str
    partition: str | None
    code_version: str
    fingerprint: str
    data_version: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    raw: dict[str, list] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    run_id: str = ""
    rows: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    def dump(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()


def encode(files: pa.Table, footer: Footer) -> bytes:
    """The Parquet bytes of a manifest."""
    table = files.cast(SCHEMA).replace_schema_metadata({_KEY: footer.dump()})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=100_000)
    return sink.getvalue()


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Whatever Arrow says of a damaged record becomes Unreadable, with its path and what to do."""
    try:
        yield
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as problem:
        if (isinstance(problem, OSError) and problem.errno is not None) or isinstance(problem, FileNotFoundError):
            raise  # of the disk or the network
        why = str(problem).partition("\n")[0][:120]
        raise Unreadable(
            f"{path} is damaged ({why}): restore it from a backup; or move it away, and with it the files that it "
            "stood for, then make the partition again"
        ) from None


def decode(data: bytes, path: str) -> tuple[pa.Table, Footer]:
    """The files and the footer of a manifest that lies at `path`. Unreadable when it is damaged; so the others here."""
    with reading(path):
        file = pq.ParquetFile(io.BytesIO(data))
        return file.read().cast(SCHEMA), _footer(file)


def read_footer(file: BinaryIO, path: str) -> Footer:
    """Only the footer: the rows of a large manifest are not read."""
    with file, reading(path), pq.ParquetFile(file) as parquet:
        return _footer(parquet)


def read_column(file: BinaryIO, path: str, name: str) -> pa.ChunkedArray:
    """Only one column."""
    with file, reading(path), pq.ParquetFile(file) as parquet:
        return parquet.read(columns=[name])[name]


def find(file: BinaryIO, manifest: str, path: str) -> tuple[Footer, dict] | None:
    """The row of one file, with the footer; None when it is not in this manifest. A row group is looked at in turn."""
    with file, reading(manifest), pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            known = parquet.metadata.row_group(group).column(0).statistics
            if known is not None and known.has_min_max and not known.min <= path <= known.max:
                continue
            place = pc.index(parquet.read_row_group(group, columns=["path"])["path"], path).as_py()
            if place >= 0:
                return _footer(parquet), parquet.read_row_group(group).slice(place, 1).to_pylist()[0]
    return None


def _footer(file: pq.ParquetFile) -> Footer:
    return Footer(**json.loads(file.schema_arrow.metadata[_KEY]))
