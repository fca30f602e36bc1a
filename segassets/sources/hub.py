"""The Hugging Face hub as a source: which files a dataset repository has, with size and sha256, and fetching them.

The hub's tree API says for every large file its size and sha256 (`lfs.size`, `lfs.oid`), so nothing that was cut,
replaced by an error page, or damaged gets under its final name. Plain HTTP: no library of the hub is needed. A token
in HF_TOKEN is sent, and kept nowhere. Source: the MaGGIe specification 1.1.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests

from segassets.errors import SegassetsError
from segassets.files.folder import Folder
from segassets.files.paths import check_relative
from segassets.files.ref import files_at
from segassets.findings import BadItem, error, info
from segassets.items import Made
from segassets.sources.http import DownloadError, download, redacted

HUB = "https://huggingface.co"
TIMEOUT = (20, 60)
COPY = 16 * 2**20
MAX_PAGES = 1000
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')
_DIGEST = re.compile(r"[0-9a-f]{64}")

FILE_ROWS = {"name": "string", "bytes": "int64", "sha256": "string", "downloaded": "bool", "revision": "string"}


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. `sha256` is None for small files, of which the hub states none."""

    name: str
    size: int
    sha256: str | None


def list_files(repository: str, revision: str = "main", hub: str = HUB) -> list[HubFile]:
    """All files of a dataset repository. SegassetsError when the hub does not answer with a listing."""
    first = f"{hub}/api/datasets/{repository}/tree/{quote(revision, safe='')}?recursive=true"
    url: str | None = first
    found = []
    with requests.Session() as session:
        for _ in range(MAX_PAGES):
            answer = _get(session, url, hub)
            entries = _entries(answer, url)
            found += [_file(entry, url) for entry in entries if entry.get("type") == "file"]
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return sorted(found, key=lambda file: file.name)
            url = urljoin(url, following[1])
            if urlsplit(url).netloc != urlsplit(hub).netloc:
                raise SegassetsError(f"{redacted(first)}: the listing goes on at another host; not followed")
    raise SegassetsError(f"{redacted(first)}: the listing does not end")


def _get(session: requests.Session, url: str, hub: str) -> requests.Response:
    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token and hub.startswith("https://") else {}
    try:
        answer = session.get(url, headers=headers, timeout=TIMEOUT)
    except requests.RequestException as problem:
        raise SegassetsError(f"{redacted(url)}: the hub cannot be reached ({type(problem).__name__})") from None
    if answer.status_code != 200:
        raise SegassetsError(f"{redacted(url)}: the hub answered {answer.status_code}; is the repository's name right?")
    return answer


def _entries(answer: requests.Response, url: str) -> list[dict[str, Any]]:
    try:
        entries = answer.json()
    except ValueError:
        raise SegassetsError(f"{redacted(url)}: the hub sent something that is no listing") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SegassetsError(f"{redacted(url)}: the hub sent something that is no listing")
    return entries


def _file(entry: dict[str, Any], url: str) -> HubFile:
    large = entry.get("lfs") or {}
    try:
        name, size = check_relative(entry["path"]), int(large.get("size", entry["size"]))
        digest = large.get("oid")
        if digest is not None and not _DIGEST.fullmatch(digest.removeprefix("sha256:")):
            raise ValueError(digest)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise SegassetsError(f"{redacted(url)}: an entry of the listing is not valid ({problem})") from None
    return HubFile(name, size, digest.removeprefix("sha256:") if digest else None)


def fetch(
    name: str, size: int, sha256: str | None, repository: str, revision: str, hub: str, root: str, folder: str
) -> Made:
    """Fetch one file into `folder` below `root`, resumed, size and sha256 verified; a row about it.

    A file that is there with the right size and, where the hub states one, sha256 is left alone. On S3 it passes
    through a temporary file of this machine. Raises BadItem `download_<reason>`.
    """
    files, target = files_at(root), f"{folder}/{name}"
    row = {"name": [name], "bytes": [size], "sha256": [sha256], "downloaded": [True], "revision": [revision]}
    there = files.stat(target)
    if there is not None and there.size == size and (sha256 is None or _sha256(files, target) == sha256):
        return Made(rows=row)
    url = f"{hub}/datasets/{repository}/resolve/{quote(revision, safe='')}/{quote(name)}"
    try:
        if isinstance(files, Folder):
            got = download(url, Path(files.path(target)), expected_size=size, sha256=sha256)
        else:
            with tempfile.TemporaryDirectory(prefix="segassets-") as spool:
                got = download(url, Path(spool) / Path(name).name, expected_size=size, sha256=sha256)
                with (Path(spool) / Path(name).name).open("rb") as source, files.create(target) as out:
                    while piece := source.read(COPY):
                        out.write(piece)
    except DownloadError as problem:
        raise BadItem(error(f"download_{problem.reason}", str(problem), path=name)) from None
    row["sha256"] = [got.sha256]
    return Made(rows=row, findings=[info("download_note", note, path=name) for note in got.notes])


def _sha256(files: Any, path: str) -> str:
    import hashlib

    with files.open(path) as file:
        digest = hashlib.sha256()
        while piece := file.read(COPY):
            digest.update(piece)
    return digest.hexdigest()
