"""A reference to bytes that need not be unpacked to be read: a file, or a range of one.

A worker gets references, never contents: they are small, they pickle, and each process opens the files it needs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from segassets.errors import BeingPublished
from segassets.files.bucket import Bucket
from segassets.files.folder import Folder
from segassets.files.roots import open_root


@lru_cache(maxsize=64)
def files_at(root: str) -> Folder | Bucket:
    """The file system of a root, one object a process."""
    return open_root(root)


@dataclass(frozen=True, slots=True)
class Ref:
    """`length` bytes at `offset` of the file `path` below `root`; `length` None means the whole file.

    `label` says what the bytes are for a person: `sa_000000.tar!sa_1.json`; `shown` is the path to say in it when the
    bytes lie in a copy that only we know. `digest`, the sha256 of a published file,
    keeps a reader of one version from getting bytes of the next.
    """

    root: str
    path: str
    offset: int = 0
    length: int | None = None
    member: str | None = None
    digest: bytes | None = None
    shown: str | None = None

    def read(self, limit: int | None = None) -> bytes:
        """The bytes, at most `limit` of them. OSError when the file is gone; EOFError when it has become shorter.

        BeingPublished when it is no longer the published file that was meant.
        """
        length = self.length if limit is None or (self.length is not None and self.length < limit) else limit
        end = None if length is None else self.offset + length
        try:
            data = files_at(self.root).read(self.path, self.offset, end)
        except FileNotFoundError:
            if self.digest is None:
                raise
            raise self.replaced() from None
        if self.digest is not None and limit is None and hashlib.sha256(data).digest() != self.digest:
            raise self.replaced()
        if self.length is not None and limit is None and len(data) != self.length:
            raise EOFError(f"{self.label}: expected {self.length} bytes at {self.offset}, found {len(data)}")
        return data

    def replaced(self) -> BeingPublished:
        return BeingPublished(
            f"{self.label} is missing or is not what was published: it is being replaced, or was changed by hand; "
            "try again, and run segassets verify when that does not help"
        )

    @property
    def label(self) -> str:
        path = self.shown or self.path
        return f"{path}!{self.member}" if self.member else path
