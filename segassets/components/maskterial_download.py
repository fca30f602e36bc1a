"""The released zip of a dataset from its Zenodo record: asked for once, verified, resumed, never by surprise."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
import requests

from segassets import settings
from segassets.artifact import artifact
from segassets.errors import Skip
from segassets.files.folder import Folder
from segassets.files.ref import files_at
from segassets.findings import BadItem, error, info, warning
from segassets.items import Made
from segassets.sources import http
from segassets.work.plans import Items, each

RECORD = "15765514"
ROWS = {
    "name": "string",
    "url": "string",
    "bytes": "int64",
    "md5": "string",
    "record": "string",
    "version": "string",
    "licence": "string",
}
TIMEOUT = (20, 60)
COPY = 16 * 2**20
_MD5 = re.compile(r"(?:md5:)?([0-9a-f]{32})")


def download_asset(top: str, declared) -> dg.AssetsDefinition:
    """The download of a dataset's zip into the raw folder's `maskterial/`."""

    @artifact(
        f"{top}/{declared.dataset}/download",
        into="",
        rows=ROWS,
        code_version="1",
        show=show,
        asked_by="fetch",
    )
    def download(*, fetch: bool = False, record: str = declared.record):
        """The released zip, downloaded into the raw folder from the pinned Zenodo record, size and md5 verified.

        Nothing is downloaded unless `fetch` is true: the archives have gigabytes. A cut download goes on where it
        stopped. What is there with the right md5 is not fetched again.
        """
        if not fetch:
            raise Skip(f"{declared.zip_name} of Zenodo record {record} is downloaded with --set fetch=true")
        entry = resolve(f"{declared.api}/{record}", declared.zip_name, record)
        root = settings.load().raw  # not a raw file that is read: its absence is what this asset is for
        found = [info("licence", f"the record states the licence {entry['licence'] or '(none)'}; read it before use")]
        return each(Items([entry], "name", batch_items=1), fetched, findings=found, root=root, folder=top)

    return download


def resolve(url: str, name: str, record: str) -> dict[str, Any]:
    """What a record says of one of its files: name, url, size, md5, version, licence. BadItem `record_*`.

    Both forms of Zenodo's answer are read: `key` with `md5:<hex>`, and `filename` with the bare sum.
    """
    document = _asked(url)
    files = document.get("files")
    if not isinstance(files, list):
        raise BadItem(error("record_unreadable", f"{http.redacted(url)}: no list of files in the answer", path=name))
    names = {str(entry.get("key") or entry.get("filename")): entry for entry in files if isinstance(entry, dict)}
    if name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise BadItem(error("record_lacks_file", f"record {record} has no {name}; its files are {known}", path=name))
    entry = names[name]
    md5 = _MD5.fullmatch(str(entry.get("checksum", "")).lower())
    size = entry.get("size", entry.get("filesize"))
    if md5 is None or type(size) is not int or size <= 0:
        told = f"record {record} states checksum {entry.get('checksum')!r} and size {size!r}: nothing to verify with"
        raise BadItem(error("record_unreadable", told, path=name))
    links = entry.get("links") if isinstance(entry.get("links"), dict) else {}
    where = links.get("self") or links.get("download")
    if not isinstance(where, str):
        raise BadItem(error("record_unreadable", f"record {record} has no link to {name}", path=name))
    about = document.get("metadata") if isinstance(document.get("metadata"), dict) else {}
    licence = about.get("license")
    licence = licence.get("id") if isinstance(licence, dict) else licence
    version = about.get("version") or document.get("revision")
    return {
        "name": name,
        "url": where,
        "size": size,
        "md5": md5[1],
        "record": str(document.get("id", record)),
        "version": None if version is None else str(version),
        "licence": None if licence is None else str(licence),
    }


def _asked(url: str) -> dict:
    """The record as JSON. BadItem `record_unreachable`, `record_unreadable`."""
    shown = http.redacted(url)
    try:
        answer = requests.get(url, timeout=TIMEOUT, headers={"Accept": "application/json"})
    except requests.RequestException as problem:
        told = f"{shown} cannot be reached ({type(problem).__name__}); try again later"
        raise BadItem(error("record_unreachable", told)) from None
    if answer.status_code != 200:
        raise BadItem(error("record_unreachable", f"{shown} answers {answer.status_code}; is the record id right?"))
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise BadItem(error("record_unreadable", f"{shown} answers no JSON object"))
    return document


def fetched(
    name: str,
    url: str,
    size: int,
    md5: str,
    record: str,
    version: str | None,
    licence: str | None,
    root: str,
    folder: str,
) -> Made:
    """Fetch one file into the raw folder or bucket; its row. BadItem `download_*`; runs in a worker."""
    files = files_at(root)
    findings = []
    try:
        if isinstance(files, Folder):
            target = Path(files.path(f"{folder}/{name}"))
            target.parent.mkdir(parents=True, exist_ok=True)
            if not _has(target, size, md5):
                got = http.download(url, target, expected_size=size, md5=md5)
                findings = [info("download_note", note, path=name) for note in got.notes]
        else:
            _into_bucket(files, url, f"{folder}/{name}", size, md5)
    except http.DownloadError as problem:
        raise BadItem(error(f"download_{problem.reason}", str(problem), path=name)) from None
    row = {"name": name, "url": http.redacted(url), "bytes": size, "md5": md5, "record": record}
    row |= {"version": version, "licence": licence}
    if licence is None:
        findings.append(warning("no_licence", "the record states no licence", path=name))
    return Made(rows={column: [row[column]] for column in ROWS}, findings=findings)


def _has(target: Path, size: int, md5: str) -> bool:
    if not target.is_file() or target.stat().st_size != size:
        return False
    with target.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest() == md5


def _into_bucket(files, url: str, target: str, size: int, md5: str) -> None:
    with tempfile.TemporaryDirectory(prefix="segassets-") as spool:
        local = Path(spool) / "download"
        http.download(url, local, expected_size=size, md5=md5)
        with local.open("rb") as source, files.create(target) as out:
            while piece := source.read(COPY):
                out.write(piece)


def show(view):
    """What the record says: licence, md5, version."""
    row = next(iter(view.records()))
    return {name: row[name] for name in ("record", "licence", "md5", "version") if row[name] is not None}
