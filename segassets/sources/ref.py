"""A reference to bytes that need not be unpacked to be read: a file, or a range of one.

A worker gets references, never contents: they are small, they pickle, and each process opens the files it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from segassets.store.files import Bucket, Folder, open_root


@lru_cache(maxsize=64)
def files_at(root: str) -> Folder | Bucket:
    """The file system of a root, one object a process."""
    return open_root(root)


@dataclass(frozen=True, slots=True)
class Ref:
    """`length` bytes at `offset` of the file `path` below `root`; `length` None means the whole file.

    `label` says what the bytes are for a person: `sa_000000.tar!sa_1.json`.
    """

    root: str
    path: str
    offset: int = 0
    length: int | None = None
    member: str | None = None

    def read(self, limit: int | None = None) -> bytes:
        """The bytes, at most `limit` of them. OSError when the file is gone; EOFError when it has become shorter."""
        length = self.length if limit is None or (self.length is not None and self.length < limit) else limit
        end = None if length is None else self.offset + length
        data = files_at(self.root).read(self.path, self.offset, end)
        if self.length is not None and limit is None and len(data) != self.length:
            raise EOFError(f"{self.label}: expected {self.length} bytes at {self.offset}, found {len(data)}")
        return data

    @property
    def label(self) -> str:
        return f"{self.path}!{self.member}" if self.member else self.path
