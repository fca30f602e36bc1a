"""Paths below a root, and what a listing says of a file: plain, relative, and never out of the root."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_NAME_BYTES = 255
MAX_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One listed file: its size in bytes and a token that changes when its content does (mtime or ETag)."""

    size: int
    version: str


class UnsafePath(ValueError):
    """A path that is no plain relative path below its root."""


def is_plain(path: str) -> bool:
    """Whether a path read off a listing is one that a file system of the platform takes: others can only be named."""
    try:
        return bool(check_relative(path))
    except UnsafePath:
        return False


def check_relative(path: str) -> str:
    """The path itself, when it is relative, normalised and stays below its root; UnsafePath says why not."""
    if not path or path.startswith("/") or "\\" in path or _CONTROL.search(path):
        raise UnsafePath(f"{path!r} is not a plain relative path")
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise UnsafePath(f"{path!r} is not valid UTF-8") from None
    if size > MAX_KEY_BYTES:
        raise UnsafePath(f"{path[:80]!r}... is longer than {MAX_KEY_BYTES} bytes")
    for name in path.split("/"):
        if name in ("", ".", ".."):
            raise UnsafePath(f"{path!r} has the part {name!r}, which could leave the store")
        if len(name.encode()) > MAX_NAME_BYTES:
            raise UnsafePath(f"{path[:80]!r}... has a name longer than {MAX_NAME_BYTES} bytes")
    return path
