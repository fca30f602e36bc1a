"""What a file is that is not what it should be: told from its first bytes, for messages that people act on."""

from __future__ import annotations

import re
from html import unescape

from segassets.formats.tar_header import BLOCK, is_header

MAGIC = (
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip file"),
    (b"PK\x05\x06", "an empty zip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"(\xb5/\xfd", "a zstd file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
)


def is_gzip(first_bytes: bytes) -> bool:
    """True when the first bytes are those of a gzip file (RFC 1952: 1f 8b, method 8)."""
    return first_bytes[:3] == b"\x1f\x8b\x08"


def looks_like(head: bytes) -> str:
    """What a file seems to be, from its first few kilobytes: `an HTML page titled 'URL signature expired'`."""
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return "zeros only (a download that was allocated but never written?)"
    for magic, name in MAGIC:
        if head.startswith(magic):
            return name
    if is_header(head[:BLOCK]):
        return "a tar"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (the file itself comes with `git lfs pull`)"
    if re.match(rb"<!doctype html|<html|<head|<body", text, re.IGNORECASE):
        title = re.search(rb"<title[^>]*>([^<]{0,200})", text, re.IGNORECASE)
        return f"an HTML page titled {quoted(unescape(_text(title[1])))}" if title else "an HTML page"
    if text.startswith(b"<"):
        return f"an XML document that begins with {quoted(_text(text))}"
    if _is_text(text[:200]):
        return f"text that begins with {quoted(_text(text))}"
    return f"binary data that begins with {head[:8].hex(' ')}"


def _is_text(data: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r" for byte in data) and "�" not in data[:-3].decode("utf-8", "replace")


def _text(data: bytes) -> str:
    return data[:200].decode("utf-8", "replace")


def quoted(text: str, most: int = 80) -> str:
    """One printable line in quotation marks, cut to `most` characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return repr(line if len(line) <= most else line[: most - 3] + "...")
