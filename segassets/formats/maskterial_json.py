"""COCO annotation files of any size, read once from a stream: the records of the top-level lists, and where they lie.

A released synthetic set has a million annotations in hundreds of megabytes; loaded whole they are gigabytes of
objects. Here memory stays at one buffer. Places are byte offsets, so that a record can be read again by range.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from segassets.findings import BadItem, error

BUFFER = 1 << 20
MAX_RECORD = 64 << 20
_SPACE = " \t\n\r"


class Record(NamedTuple):
    """`value` under `key` at the top level, or (with an index) an element of the list that is there."""

    key: str
    index: int | None
    value: Any
    start: int
    stop: int


class _Buffer:
    """The stream as text of one character a byte, so that positions are byte offsets."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self.text = ""
        self.at = 0
        self.base = 0
        self.ended = False

    def more(self) -> bool:
        """Drop what was read and take in another piece; False at the end."""
        piece = self._stream.read(max(BUFFER, len(self.text) - self.at))
        self.ended = not piece
        self.base += self.at
        self.text = self.text[self.at :] + piece.decode("latin-1")
        self.at = 0
        if len(self.text) > MAX_RECORD + 2 * BUFFER:
            raise BadItem(error("bad_json", f"a record of more than {MAX_RECORD >> 20} MiB at byte {self.base:,}"))
        return not self.ended

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def expect(self, allowed: str) -> str:
        """Take the next character, which is one of these."""
        found = self.peek()
        if not found or found not in allowed:
            what = repr(found) if found else "the end of the file"
            told = f"byte {self.base + self.at:,}: {what}, expected {' or '.join(allowed)}: damaged or cut"
            raise BadItem(error("bad_json", told))
        self.at += 1
        return found

    def value(self) -> tuple[Any, int, int]:
        """The next JSON value, and where it begins and stops."""
        self.peek()
        while True:
            try:
                value, stop = self._decoder.raw_decode(self.text, self.at)
            except ValueError as problem:
                if self.ended or not self.more():
                    told = f"byte {self.base + self.at:,}: {str(problem).split(':')[0]}: damaged or cut"
                    raise BadItem(error("bad_json", told)) from None
                continue
            except RecursionError:
                raise BadItem(error("bad_json", "nested too deeply")) from None
            if stop == len(self.text) and not self.ended and self.more():
                continue  # a number may go on
            start = self.at
            if not self.text.isascii():
                value = json.loads(self.text[start:stop].encode("latin-1"))
            self.at = stop
            return value, self.base + start, self.base + stop


def records(stream: BinaryIO) -> Iterator[Record]:
    """Everything at the top level of a JSON object; lists element by element. BadItem `bad_json`."""
    buffer = _Buffer(stream)
    if buffer.peek() == "\xef":
        raise BadItem(error("bad_json", "it begins with a byte order mark: save it as plain UTF-8"))
    buffer.expect("{")
    if buffer.peek() == "}":
        return
    while True:
        key, _, _ = buffer.value()
        if not isinstance(key, str):
            raise BadItem(error("bad_json", f"a key is {str(key)[:40]!r}, expected a string"))
        buffer.expect(":")
        if buffer.peek() == "[":
            yield from _elements(buffer, key)
        else:
            yield Record(key, None, *buffer.value())
        if buffer.expect(",}") == "}":
            break
    if buffer.peek():
        raise BadItem(error("bad_json", f"byte {buffer.base + buffer.at:,}: data behind the end"))


def _elements(buffer: _Buffer, key: str) -> Iterator[Record]:
    buffer.expect("[")
    if buffer.peek() == "]":
        buffer.at += 1
        yield Record(key, -1, None, 0, 0)  # the list is there, and empty
        return
    index = 0
    while True:
        yield Record(key, index, *buffer.value())
        index += 1
        if buffer.expect(",]") == "]":
            return
