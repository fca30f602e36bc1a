"""`segassets explain`: where a published file came from, and what was made from a raw file."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow.compute as pc

from segassets.commands.catalogue import Catalogue
from segassets.errors import SegassetsError
from segassets.settings import is_remote
from segassets.sources.raw import matches
from segassets.store.manifest import Footer
from segassets.store.store import Store


def explain(catalogue: Catalogue, file: str) -> dict:
    """Asset, partition, item, sources, versions, configuration and time of a published file."""
    store = Store(catalogue.settings.store)
    path = _relative(file, store.root)
    for asset in store.assets():
        for partition in store.published(asset):
            handle = store.handle(asset, partition)
            table = handle.all_files
            row = table.filter(pc.equal(table["path"], path)).to_pylist()
            if row:
                return _about(catalogue, store, handle.footer, row[0])
    raise SegassetsError(f"{path} was not published to {store.root}: no manifest lists it")


def _about(catalogue: Catalogue, store: Store, footer: Footer, row: dict) -> dict:
    return {
        "file": row["path"],
        "bytes": row["bytes"],
        row["digest_kind"]: row["digest"].hex() if row["digest_kind"] == "sha256" else row["digest"].decode(),
        "asset": footer.asset,
        "partition": footer.partition,
        "item": row["item"],
        "source": row["source"],
        "raw files": sorted(_raw_of(catalogue, store, footer)),
        "made from": footer.inputs,
        "configuration": footer.config,
        "code version": footer.code_version,
        "data version": footer.data_version,
        "versions": footer.versions,
        "made at": footer.created,
        "run": footer.run_id,
    }


def _raw_of(catalogue: Catalogue, store: Store, footer: Footer) -> set[str]:
    """The raw files behind a partition, its own and those of everything it was made from."""
    dataset = footer.asset.split("/")[0]
    found = {f"{dataset}/{pattern}" for pattern, mark in footer.raw.items() if mark[0]}
    for upstream in footer.inputs:
        asset, _, partition = upstream.partition(" ")
        above = store.footer(asset, partition or footer.partition) or store.footer(asset, None)
        if above is not None:
            found |= _raw_of(catalogue, store, above)
    return found


def made_from(catalogue: Catalogue, file: str) -> list[dict]:
    """Every published partition that was made from a raw file, at first hand or through other assets."""
    store = Store(catalogue.settings.store)
    path = _relative(file, catalogue.settings.raw)
    dataset, _, inside = path.partition("/")
    footers = list(_footers(store))
    direct = [f for f in footers if f.asset.split("/")[0] == dataset and any(matches(p, inside) for p in f.raw)]
    reached = {(f.asset, f.partition): f for f in direct}
    grew = True
    while grew:
        grew = False
        for footer in footers:
            key = (footer.asset, footer.partition)
            if key not in reached and any(_is_input(upstream, footer, reached) for upstream in footer.inputs):
                reached[key] = footer
                grew = True
    if not reached:
        raise SegassetsError(f"nothing in {store.root} was made from {path}")
    return [
        {
            "asset": footer.asset,
            "partition": footer.partition,
            "files": footer.counts.get("files", 0),
            "published to": catalogue.artifacts[footer.asset].target(footer.partition) or ".segassets",
            "made at": footer.created,
        }
        for footer in reached.values()
        if footer.asset in catalogue.artifacts
    ]


def _is_input(upstream: str, footer: Footer, reached: dict) -> bool:
    asset, _, partition = upstream.partition(" ")
    return (asset, partition or footer.partition) in reached or (asset, None) in reached


def _footers(store: Store) -> Iterator[Footer]:
    for asset in store.assets():
        for partition in store.published(asset):
            footer = store.footer(asset, partition)
            if footer is not None:
                yield footer


def _relative(file: str, root: str) -> str:
    """A file below a root, given as a URL, a path from here, or relative to the root."""
    if is_remote(root):
        return file.removeprefix(root).lstrip("/")
    absolute = os.path.abspath(file)
    if absolute.startswith(root.rstrip("/") + "/"):
        return os.path.relpath(absolute, root)
    return os.path.normpath(file)
