"""What lies in a store, to be compared with what should."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

from segassets.files.folder import Folder
from segassets.store.names import HOME
from segassets.store.store import Store

#: What differs between two runs that make the same; raw files have times in a folder and ETags on S3.
OF_THE_RUN = ("created", "run_id", "numbers", "fingerprint", "raw")


def contents(files) -> dict[str, str]:
    """Digests of all files outside of the platform's own folder."""
    return {
        path: hashlib.sha256(files.read(path)).hexdigest() for path in files.walk("") if path.split("/", 1)[0] != HOME
    }


def published(store: Store) -> dict[str, str]:
    """Digests of the published trees and of the rows beside them."""
    rows = {path: hashlib.sha256(store.files.read(path)).hexdigest() for path in store.files.walk(f"{HOME}/rows")}
    return contents(store.files) | rows


def manifests(store: Store) -> dict[tuple[str, str | None], tuple]:
    """Every manifest: its rows, and what its footer says that is not of the single run."""
    found = {}
    for asset in store.assets():
        for partition in store.published(asset):
            handle = store.handle(asset, partition)
            footer = {name: value for name, value in asdict(handle.footer).items() if name not in OF_THE_RUN}
            found[asset, partition] = (handle.all_files.to_pylist(), footer)
    return found


def leftovers(store: Store) -> list[str]:
    """What a finished run must not leave: stages, records of publishing, half-written files."""
    listed = [path for path in store.files.walk("") if path.endswith(".partial")]
    for kind in ("stages", "publishing"):
        listed += store.files.walk(f"{HOME}/{kind}")
    if isinstance(store.files, Folder):
        listed += [f"{HOME}/stages/{name}" for name in store.files.names(f"{HOME}/stages")]
    return sorted(listed)
