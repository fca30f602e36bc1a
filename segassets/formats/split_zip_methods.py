"""The compression methods of zip members: stored data in, contents out, a bounded piece at a time whatever they say.

Source: APPNOTE 6.3.3, 4.4.5 (numbers of the methods), 5.8.8 (LZMA).
"""

from __future__ import annotations

import bz2
import importlib
import lzma
from collections.abc import Iterable, Iterator

from segassets.formats.inflate import inflater

STORED, DEFLATED, BZIP2, LZMA, ZSTD = 0, 8, 12, 14, 93
METHODS = (STORED, DEFLATED, BZIP2, LZMA, ZSTD)
PIECE = 64 * 2**20


class UnknownMethod(Exception):
    """A method that cannot be unpacked here."""


def plain_pieces(method: int, size: int, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """A member's contents from its stored data: pieces of at most 64 MiB, at most `size` bytes and one more together.

    Raises UnknownMethod, EOFError where the data end too early, and what the libraries raise for damaged data:
    INFLATE_ERRORS, OSError, ValueError.
    """
    if method == STORED:
        for piece in pieces:
            for start in range(0, len(piece), PIECE):
                yield piece[start : start + PIECE]
        return
    machine = _decompressor(method, size)
    limit = size + 1
    for piece in pieces:
        data = piece
        while (data or not _hungry(machine)) and not machine.eof and limit > 0:
            plain = machine.decompress(data, min(limit, PIECE))
            limit -= len(plain)
            data = getattr(machine, "unconsumed_tail", b"")
            if plain:
                yield plain
            elif not data:
                break
    complete = machine.eof or (method == LZMA and limit == 1)  # LZMA may have no end marker
    if not complete and size:
        raise EOFError("the compressed data end too early")


def _hungry(machine) -> bool:
    return getattr(machine, "needs_input", True)


def _decompressor(method: int, size: int):
    """An object with `decompress(data, max_length)` and `eof`."""
    if method == DEFLATED:
        return inflater()
    if method == BZIP2:
        return bz2.BZ2Decompressor()
    if method == LZMA:
        return _Lzma(size)
    if method == ZSTD:
        try:  # from Python 3.14 on
            return importlib.import_module("compression.zstd").ZstdDecompressor()
        except ImportError:
            pass
    raise UnknownMethod(f"compression method {method} cannot be unpacked by this Python: use 7-Zip for this archive")


class _Lzma:
    """LZMA as zip has it: version (2 bytes), length of the properties (2), properties, then the stream (APPNOTE 5.8.8).

    `size`: the member's, beyond which no match reaches back; a dictionary need not be larger, whatever is stated.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._head = b""
        self._machine: lzma.LZMADecompressor | None = None

    @property
    def eof(self) -> bool:
        return self._machine is not None and self._machine.eof

    @property
    def needs_input(self) -> bool:
        return self._machine is None or self._machine.needs_input

    def decompress(self, data: bytes | memoryview, limit: int) -> bytes:
        try:
            if self._machine is None:
                self._head += bytes(data)
                length = 4 + int.from_bytes(self._head[2:4], "little")
                if len(self._head) < max(length, 4):
                    return b""
                chosen = _lzma_filter(self._head[4:length], self._size)
                self._machine = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chosen])
                data, self._head = self._head[length:], b""
            return self._machine.decompress(data, limit)
        except lzma.LZMAError as problem:
            raise ValueError(str(problem)) from None


def _lzma_filter(properties: bytes, size: int) -> dict[str, int]:
    """The five bytes as the standard library wants them: (pb * 5 + lp) * 9 + lc, and the size of the dictionary."""
    if len(properties) != 5 or properties[0] >= 9 * 5 * 5:
        raise ValueError("its LZMA properties are not valid")
    rest, lc = divmod(properties[0], 9)
    pb, lp = divmod(rest, 5)
    dictionary = min(max(int.from_bytes(properties[1:], "little"), 4096), max(size, 4096))
    return {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": dictionary}
