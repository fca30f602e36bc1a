"""The text files that synthesis reads: names, one a line. Source: the MaGGIe specification 3.1 and 3.2."""

from __future__ import annotations

import posixpath

from segassets.findings import BadItem, error


def read_list(data: bytes, path: str) -> list[str]:
    """The lines that are not blank, without blanks around them; a byte order mark and CRLF do not matter.

    Raises BadItem `not_utf8` with the number of the first line that is none.
    """
    lines = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            lines.append(line.decode("utf-8").strip())
        except UnicodeDecodeError as problem:
            told = f"line {number} is not UTF-8 ({line[problem.start : problem.start + 8]!r}): save the list as UTF-8"
            raise BadItem(error("not_utf8", told, path=path)) from None
    return [line for line in lines if line]


def plain_path(name: str) -> str:
    """A path as listings have it: no `./`, no doubled or final slashes."""
    return posixpath.normpath(name)
