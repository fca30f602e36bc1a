"""`segassets explain`: where a published file came from, and what was made from a raw file."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow.compute as pc

from segassets.commands.catalogue import Catalogue
from segassets.commands.lineage import Lineage, reads
from segassets.commands.verify import difference
from segassets.errors import SegassetsError, Unreadable
from segassets.files.ref import files_at
from segassets.settings import is_remote
from segassets.store import manifest, names
from segassets.store.manifest import Footer
from segassets.store.store import Store

LISTED = 100  # raw files and steps that are named one by one
DEPTH = 16
READ = 1 << 30  # bytes of a file that is read to say whether it is still the published one


def explain(catalogue: Catalogue, file: str) -> dict:
    """Asset, partition, item, sources, versions, configuration and time of a published file."""
    store = Store(catalogue.settings.store)
    path = _relative(file, store.root)
    damaged: list[str] = []
    found = _published(catalogue, store, path, damaged)
    if found is None:
        raise SegassetsError("\n".join([f"{path} was not published to {store.root}: no manifest lists it", *damaged]))
    return _about(catalogue, store, *found)


def _published(catalogue: Catalogue, store: Store, path: str, damaged: list[str]) -> tuple[Footer, dict] | None:
    """Who published a file, and its row. Only manifests of what may lie there are read, and of them only a part.

    Manifests that cannot be read are told in `damaged`: another one may have the file.
    """
    for asset in store.assets():
        for partition in store.published(asset):
            if _may_hold(catalogue, asset, partition, path):
                where = names.manifest(asset, partition)
                try:
                    found = manifest.find(store.files.open(where), where, path)
                except Unreadable as problem:
                    damaged.append(str(problem))
                    continue
                if found is not None:
                    store.handle(asset, partition).settled()
                    return found
    return None


def _may_hold(catalogue: Catalogue, asset: str, partition: str | None, path: str) -> bool:
    if path.startswith(f"{names.HOME}/rows/"):
        return path.startswith(f"{names.HOME}/rows/{asset}/")
    if asset not in catalogue.artifacts:
        return True  # of a dataset whose declaration is not here
    into = catalogue.artifacts[asset].target(partition)
    return not into or path.startswith(f"{into}/")


def _about(catalogue: Catalogue, store: Store, footer: Footer, row: dict) -> dict:
    lineage = Lineage(store, catalogue.settings, footer)
    sources = _raw_sources(catalogue, store, footer, row["source"])
    files = sources or lineage.raw_files
    changed = lineage.changed()
    return {
        "file": row["path"],
        "now": _now(store, row),
        "bytes": row["bytes"],
        row["digest_kind"]: row["digest"].hex() if row["digest_kind"] == "sha256" else row["digest"].decode(),
        "asset": footer.asset,
        "partition": footer.partition,
        "item": row["item"],
        "source": row["source"],
        "raw files": [*files[:LISTED], *([f"and {len(files) - LISTED} more"] if len(files) > LISTED else [])],
        "raw as read": lineage.as_read(),
        "since then": f"changed: {', '.join(changed)}" if changed else "nothing of it has changed",
        "made from": footer.inputs,
        "configuration": footer.config,
        "code version": footer.code_version,
        "data version": footer.data_version,
        "versions": footer.versions,
        "made at": footer.created,
        "run": footer.run_id,
        "steps before": [
            {
                "asset": step.asset,
                "partition": step.partition,
                "code version": step.code_version,
                "data version": step.data_version,
                "configuration": step.config,
                "versions": step.versions,
                "made at": step.created,
                "run": step.run_id,
            }
            for step in lineage.steps[1 : LISTED + 1]
        ],
    }


def _now(store: Store, row: dict) -> str:
    """Whether the file that is there is the one that was published; what follows speaks of that one."""
    path, size = row["path"], row["bytes"]
    entry = store.files.stat(path)
    if entry is not None and entry.size == size > READ and row["digest_kind"] != "etag":
        return (
            f"of the size that was published, not read: it has more than {READ >> 30} GiB (segassets verify reads it)"
        )
    found = difference(store, entry, path, size, row["digest"], row["digest_kind"])
    return "as published" if found is None else f"{found}; this is about the file that was published"


def _raw_sources(catalogue: Catalogue, store: Store, footer: Footer, source: str | None, depth: int = 0) -> list[str]:
    """The raw files that an item's own source names, through other published files; none when it does not say."""
    found: set[str] = set()
    for name in (source or "").split(", "):
        path = name.partition("!")[0]
        if reads(footer, path):
            found.add(path)
            continue
        above = _published(catalogue, store, path, []) if path and depth < DEPTH else None
        if path and above is None and files_at(catalogue.settings.raw).stat(path) is not None:
            found.add(path)  # seen by the function itself, such as a photograph beside another dataset's labels
            continue
        further = _raw_sources(catalogue, store, above[0], above[1]["source"], depth + 1) if above else []
        if not further:
            return []  # half an answer would be a wrong one: all files of the partition are named instead
        found.update(further)
    return sorted(found)


def made_from(catalogue: Catalogue, file: str) -> list[dict]:
    """Every published partition that was made from a raw file, at first hand or through other assets."""
    store = Store(catalogue.settings.store)
    path = _relative(file, catalogue.settings.raw)
    damaged: list[str] = []
    footers = list(_footers(store, damaged))
    there = files_at(catalogue.settings.raw).stat(path) is not None
    reached = {(footer.asset, footer.partition): footer for footer in footers if reads(footer, path, exactly=not there)}
    direct = set(reached)
    grew = True
    while grew:
        grew = False
        for footer in footers:
            key = (footer.asset, footer.partition)
            if key not in reached and any(_is_input(upstream, footer, reached) for upstream in footer.inputs):
                reached[key] = footer
                grew = True
    if not reached:
        hint = "" if there else f" (and there is no such file in {catalogue.settings.raw})"
        raise SegassetsError("\n".join([f"nothing in {store.root} was made from {path}{hint}", *damaged]))
    return [
        {
            "asset": footer.asset,
            "partition": footer.partition,
            "files": footer.counts.get("files", 0),
            "files that name it": _naming(store, footer, path) if key in direct else 0,
            "published to": catalogue.artifacts[footer.asset].target(footer.partition) or ".segassets",
            "made at": footer.created,
        }
        for key, footer in reached.items()
        if footer.asset in catalogue.artifacts
        and not footer.asset.endswith("/card")  # it describes, no bytes of it are in
    ]


def _naming(store: Store, footer: Footer, path: str) -> int:
    """How many files of a partition have the raw file as their own source."""
    where = names.manifest(footer.asset, footer.partition)
    sources = manifest.read_column(store.files.open(where), where, "source")
    return pc.sum(pc.match_substring(sources.cast("string"), path)).as_py() or 0


def _is_input(upstream: str, footer: Footer, reached: dict) -> bool:
    asset, _, partition = upstream.partition(" ")
    return (asset, partition or footer.partition) in reached or (asset, None) in reached


def _footers(store: Store, damaged: list[str]) -> Iterator[Footer]:
    for asset in store.assets():
        for partition in store.published(asset):
            try:
                footer = store.footer(asset, partition)
            except Unreadable as problem:
                damaged.append(str(problem))
                continue
            if footer is not None:
                yield footer


def _relative(file: str, root: str) -> str:
    """A file below a root, given as a URL, a path from here, or relative to the root."""
    if is_remote(root):
        return file.removeprefix(root).lstrip("/")
    # The last part stays as it is: a published file may be a link to a raw one.
    folder, name = os.path.split(os.path.abspath(file))
    for top, place in ((root, folder), (os.path.realpath(root), os.path.realpath(folder))):
        if f"{place}/".startswith(top.rstrip("/") + "/"):
            return os.path.normpath(os.path.join(os.path.relpath(place, top), name))
    return os.path.normpath(file)
