"""What synthesis reads: text files of names, one a line, and the frames of clips beside their alphas.

Source: the MaGGIe specification 3.1 and 3.2.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

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


def unlike_frames(frames: Sequence[str], alphas: Sequence[str]) -> str | None:
    """How the names of a clip's frames and alphas differ, which upstream takes in pairs by their order; else None.

    Frames and alphas that are as many, and have no name in common, are named by two rules: nothing is missing.
    """
    stems, masks = ([posixpath.splitext(name)[0] for name in names] for names in (frames, alphas))
    missing, extra = sorted(set(stems) - set(masks)), sorted(set(masks) - set(stems))
    if stems == masks or (len(stems) == len(masks) and len(missing) == len(set(stems))):
        return None
    told = [f"{len(frames)} frames, {len(alphas)} alphas"]
    for what, names in (("alpha of", missing), ("frame of the alpha", extra)):
        if names:
            told.append(f"no {what} {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}")
    return ", ".join(told)
