"""Stored (uncompressed) zip archives, made in pieces that can be joined: a million members without a million objects.

Each batch makes the bytes of its members; only the central directory knows where the pieces ended up. Readers find
members through it (`zipfile`, fsspec's `zip://`). Source: APPNOTE 6.3.10, sections 4.3 and 4.5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
ENTRY = struct.Struct("<QIIH")  # offset in the piece, CRC, size, name length
VERSION, VERSION64 = 20, 45
UTF8 = 0x800
DOS_EPOCH = (0, 0x21)  # 1980-01-01 00:00: the same bytes whenever it is made
MAX32, MAX16 = 0xFFFFFFFF, 0xFFFF
FILE_MODE = 0o100644 << 16


class Writer:
    """The members of one piece, and a compact list of them for the directory."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._directory = bytearray()

    def add(self, name: str, data: bytes) -> None:
        """One member. ValueError when its name or data are too long for a plain member (64 KiB, 4 GiB)."""
        raw = name.encode()
        if len(raw) > MAX16 or len(data) >= MAX32:
            raise ValueError(f"{name[:80]}: a member of {len(data):,} bytes is too large for this archive")
        crc = zlib.crc32(data)
        self._directory += ENTRY.pack(len(self._data), crc, len(data), len(raw)) + raw
        self._data += LOCAL.pack(b"PK\3\4", VERSION, UTF8, 0, *DOS_EPOCH, crc, len(data), len(data), len(raw), 0)
        self._data += raw
        self._data += data

    def data(self) -> bytes:
        return bytes(self._data)

    def directory(self) -> bytes:
        return bytes(self._directory)


def end_records(pieces: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    """The central directory and the end records of the joined pieces: (length, directory) of each, in order."""
    base, size, count = 0, 0, 0
    for length, directory in pieces:
        for block in _central(base, directory):
            count += 1
            size += len(block)
            yield block
        base += length
    if count > MAX16 - 1 or base > MAX32 - 1 or size > MAX32 - 1:
        yield END64.pack(b"PK\6\6", END64.size - 12, VERSION64, VERSION64, 0, 0, count, count, size, base)
        yield LOCATOR.pack(b"PK\6\7", 0, base + size, 1)
    short = min(count, MAX16)
    yield END.pack(b"PK\5\6", 0, 0, short, short, min(size, MAX32), min(base, MAX32), 0)


def _central(base: int, directory: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(directory):
        offset, crc, size, length = ENTRY.unpack_from(directory, at)
        name = directory[at + ENTRY.size : at + ENTRY.size + length]
        at += ENTRY.size + length
        place = base + offset
        extra = struct.pack("<HHQ", 1, 8, place) if place >= MAX32 else b""
        yield (
            CENTRAL.pack(
                b"PK\1\2",
                (3 << 8) | (VERSION64 if extra else VERSION),
                VERSION64 if extra else VERSION,
                UTF8,
                0,
                *DOS_EPOCH,
                crc,
                size,
                size,
                length,
                len(extra),
                0,
                0,
                0,
                FILE_MODE,
                min(place, MAX32),
            )
            + name
            + extra
        )
