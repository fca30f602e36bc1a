"""Downloading one named archive into the raw folder or bucket, verified; runs in workers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from segassets.files.folder import Folder
from segassets.files.ref import files_at
from segassets.findings import BadItem, error, info
from segassets.items import Made
from segassets.sources.http import DownloadError, download

LINK_ROWS = {
    "name": "string",
    "host": "string",
    "expired": "bool",
    "downloaded": "bool",
    "bytes": "int64",
    "md5": "string",
}
COPY = 16 * 2**20


def fetch(name: str, url: str, host: str, expired: bool, md5: str | None, root: str, folder: str) -> Made:
    """Fetch `name` into `folder` below `root` unless it is there with the right md5; a row about it.

    A download that was cut goes on where it stopped. On S3 it passes through a temporary file of this machine.
    """
    files = files_at(root)
    target = f"{folder}/{name}"
    try:
        if isinstance(files, Folder):
            Path(files.path(folder)).mkdir(parents=True, exist_ok=True)
            got = download(url, Path(files.path(target)), md5=md5)
        else:
            with tempfile.TemporaryDirectory(prefix="segassets-") as spool:
                got = download(url, Path(spool) / name, md5=md5)
                with (Path(spool) / name).open("rb") as source, files.create(target) as out:
                    while piece := source.read(COPY):
                        out.write(piece)
    except DownloadError as problem:
        raise BadItem(error(f"download_{problem.reason}", str(problem), path=name)) from None
    notes = [info("download_note", note, path=name) for note in got.notes]
    return Made(rows=listed(name, host, expired, True, got.size, got.md5), findings=notes)


def listed(
    name: str, host: str, expired: bool, downloaded: bool = False, size: int | None = None, md5: str | None = None
) -> dict[str, list]:
    """The row of a link."""
    return {
        "name": [name],
        "host": [host],
        "expired": [expired],
        "downloaded": [downloaded],
        "bytes": [size],
        "md5": [md5],
    }


def only_listed(name: str, host: str, expired: bool) -> Made:
    """A link that nobody asked to download."""
    return Made(rows=listed(name, host, expired))
