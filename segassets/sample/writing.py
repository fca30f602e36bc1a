"""Writes the sample into a folder: every file whole or not at all, nothing twice, nothing of anybody else's touched."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Iterator

MARKER = ".segassets-sample.json"
VERSION = "5"
_TEMPORARY = ".segassets-part"


class NotOurs(Exception):
    """The folder holds files that the sample did not write."""


def write(folder: pathlib.Path) -> list[str]:
    """Write the sample below the folder and return the relative paths of its files, sorted.

    A folder that already holds this version is left as it is; an interrupted write is completed. A folder with files
    that are neither the sample's nor its marker's is refused (NotOurs).
    """
    folder = pathlib.Path(folder)
    marker = _read_marker(folder)
    if marker.get("version") == VERSION and marker.get("complete") and _all_there(folder, marker["files"]):
        return sorted(marker["files"])
    _refuse_foreign(folder, set(marker["files"]))
    folder.mkdir(parents=True, exist_ok=True)
    listed: dict[str, dict] = {}
    for made in _made():
        listed.update(
            {path: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in made.items()}
        )
        # Files are announced before they are written: after a crash they are known to be ours.
        _write_marker(folder, {**marker["files"], **listed}, complete=False)
        for path, data in made.items():
            _write_file(folder / path, data, listed[path]["sha256"])
    for path in set(marker["files"]) - set(listed):
        (folder / path).unlink(missing_ok=True)
    _remove_leftovers(folder)
    _write_marker(folder, listed, complete=True)
    return sorted(listed)


def _made() -> Iterator[dict[str, bytes]]:
    """The sample's files, part by part; the painters are imported only when something is to be painted."""
    from segassets.sample.parts import made

    return made()


def _read_marker(folder: pathlib.Path) -> dict:
    """The marker's content; an empty one where there is none or where it cannot be read."""
    try:
        marker = json.loads((folder / MARKER).read_bytes())
        files = {
            str(path): {"size": int(entry["size"]), "sha256": str(entry["sha256"])}
            for path, entry in marker["files"].items()
        }
    except (FileNotFoundError, NotADirectoryError):
        return {"files": {}}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotOurs(
            f"{folder / MARKER} cannot be read as the sample's list of files; remove the folder or name another"
        ) from None
    if any(pathlib.PurePosixPath(path).is_absolute() or ".." in pathlib.PurePosixPath(path).parts for path in files):
        raise NotOurs(f"{folder / MARKER} names files outside the folder; remove the marker or name another folder")
    return {"version": marker.get("version"), "complete": marker.get("complete") is True, "files": files}


def _write_marker(folder: pathlib.Path, files: dict[str, dict], complete: bool) -> None:
    document = {"version": VERSION, "complete": complete, "files": dict(sorted(files.items()))}
    _replace(folder / MARKER, (json.dumps(document, indent=1) + "\n").encode())


def _all_there(folder: pathlib.Path, files: dict[str, dict]) -> bool:
    """Whether every listed file is there with its size."""
    try:
        return all((folder / path).stat().st_size == entry["size"] for path, entry in files.items())
    except OSError:
        return False


def _refuse_foreign(folder: pathlib.Path, ours: set[str]) -> None:
    """Raise NotOurs when the folder is a file, or holds one that is not the sample's."""
    if folder.exists() and not folder.is_dir():
        raise NotOurs(f"{folder} is a file; name a folder, new or empty, for the sample")
    foreign = sorted(
        path for path in _walk(folder) if path not in ours and path != MARKER and not path.endswith(_TEMPORARY)
    )
    if foreign:
        first = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        raise NotOurs(
            f"{folder} holds files that the sample did not write: {first}; "
            "name a new or empty folder, or move them away"
        )


def _walk(folder: pathlib.Path) -> Iterator[str]:
    """All files below the folder, relative; links count as files and are not followed."""
    for here, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        for name in names + links:
            yield pathlib.Path(here, name).relative_to(folder).as_posix()


def _write_file(path: pathlib.Path, data: bytes, sha256: str) -> None:
    """Write a file unless it is already there with this content."""
    try:
        if path.stat().st_size == len(data) and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return
    except OSError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, data)


def _replace(path: pathlib.Path, data: bytes) -> None:
    """Put the content in place in one step."""
    part = path.with_name(f"{path.name}{_TEMPORARY}")
    part.write_bytes(data)
    os.replace(part, path)


def _remove_leftovers(folder: pathlib.Path) -> None:
    for path in _walk(folder):
        if path.endswith(_TEMPORARY):
            (folder / path).unlink(missing_ok=True)
