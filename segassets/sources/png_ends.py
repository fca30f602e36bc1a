"""The two ends of PNG files: how large the pictures are and whether they are all there, without what lies between.

In a folder or a zip all files are looked at, a few at a time: that takes some seconds for a hundred thousand. In a
bucket every look is a request, and only an even sample has one; what the listing says, no bytes, is known of all.
The end of a zip's member is not looked at: who reads it whole has its check sum and sees it (`png_whole`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from segassets.files.bucket import Bucket
from segassets.files.ref import Ref, files_at
from segassets.findings import BadItem, Finding, error
from segassets.formats.panoptic import png_size
from segassets.formats.png_whole import ENDS, IEND
from segassets.sources.zip_members import Found, Member

SAMPLE = 64  # of what lies in a bucket
_AT_ONCE = 8

Size = tuple[int, int]


def looked_at(found: Found, names: Iterable[str], sample: int = SAMPLE) -> list[str]:
    """The names of files whose ends are read: all in a folder, at most `sample` of them, evenly, in a bucket."""
    names = list(names)
    if names and any(isinstance(files_at(root), Bucket) for root in {ref.root for ref in found.refs.values()}):
        return names[:: -(-len(names) // sample)]
    return names


def measured(found: Found, paths: Mapping[str, str]) -> tuple[dict[str, Size], list[Finding]]:
    """(height, width) by name of the PNGs that are looked at, and errors `bad_png` of all that are none, empty or cut.

    `paths`: canonical path by name; findings have the name as `image`.
    """
    sizes, findings = {}, []
    empty = [name for name, path in paths.items() if not found.sizes[path]]
    names = [name for name in looked_at(found, paths) if found.sizes[paths[name]]]
    for name, size in zip(names, _each(_whole, found, [paths[name] for name in names]), strict=True):
        if isinstance(size, str):
            findings.append(error("bad_png", size, image=name, path=found.refs[paths[name]].label))
        else:
            sizes[name] = size
    told = "the file is empty: download it again"
    findings += [error("bad_png", told, image=name, path=found.refs[paths[name]].label) for name in empty]
    return sizes, findings


def heads(found: Found, paths: Sequence[str], length: int = ENDS) -> list[bytes]:
    """The first bytes of files, by canonical path; nothing of a file that cannot be read."""
    return list(_each(lambda ref, size: _head(ref, length), found, paths))


def _each(look, found: Found, paths: Sequence[str]):
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda path: look(found.refs[path], found.sizes[path]), paths)


def _head(ref: Ref, length: int) -> bytes:
    try:
        return ref.read(length)
    except (EOFError, FileNotFoundError):
        return b""


def _whole(ref: Ref, size: int) -> Size | str:
    """(height, width), or what is wrong."""
    try:
        shape = png_size(ref.read(ENDS))
        if not isinstance(ref, Member) and IEND not in files_at(ref.root).read(ref.path, max(0, size - ENDS), size):
            return f"its {size:,} bytes have not the end of a PNG: it is cut off; download it again"
    except BadItem as bad:
        return bad.findings[0].message
    except (EOFError, FileNotFoundError) as problem:
        return f"cannot be read ({problem}): was it changed or removed?"
    return shape
