"""`segassets status` and `findings`: what is published, what is missing, what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from segassets.commands.catalogue import Catalogue
from segassets.errors import Unreadable
from segassets.findings import Finding, tally
from segassets.store.store import Store


def status(catalogue: Catalogue, what: Sequence[str]) -> list[dict]:
    """One row an asset. `failed`: partitions whose last run failed; what was published before may still be there."""
    keys = catalogue.select(what) if what else list(catalogue.artifacts)
    keys.sort(key=lambda key: key.split("/")[0])  # by dataset; within one, inputs before what is made from them
    store = Store(catalogue.settings.store)
    return [_row(catalogue, store, key) for key in keys]


def _row(catalogue: Catalogue, store: Store, key: str) -> dict:
    published = set(store.published(key))
    wanted = [
        partition
        for partition in catalogue.keys_of(catalogue.partitions_def(key))
        if partition in published or catalogue.missing_raw(key, partition) is None
    ]
    failed = {partition for partition in store.findings_partitions(key) if partition not in published}
    failed |= catalogue.failed(key)
    footers = {}
    for partition in published:
        try:
            footer = store.footer(key, partition)
        except Unreadable:
            failed.add(partition)  # `verify` says which file, and what to do
        else:
            if footer is not None:
                footers[partition] = footer
    findings = {
        name: sum(footer.findings.get(name, 0) for partition, footer in footers.items() if partition not in failed)
        for name in tally([])
    }
    for partition in failed:
        with contextlib.suppress(Unreadable):
            for name, count in tally(store.findings(key, partition)).items():
                findings[name] += count
    return {
        "asset": key,
        "made": len(published),
        "missing": len(set(wanted) - published - failed),
        "failed": len(failed),
        "files": sum(footer.counts.get("files", 0) for footer in footers.values()),
        "bytes": sum(footer.counts.get("bytes", 0) for footer in footers.values()),
        **{f"{name}s": count for name, count in findings.items()},
    }


def findings(
    catalogue: Catalogue, what: Sequence[str], partitions: Sequence[str]
) -> Iterator[tuple[str, str | None, Finding]]:
    """Every finding of the last runs of the assets, errors first within a partition."""
    store = Store(catalogue.settings.store)
    order = {"error": 0, "warning": 1, "info": 2}
    keys = catalogue.select(what)
    catalogue.check_partitions(keys, partitions, (found for key in keys for found in store.findings_partitions(key)))
    for key in keys:
        for partition in store.findings_partitions(key):
            if partitions and partition not in partitions:
                continue
            for finding in sorted(store.findings(key, partition), key=lambda finding: order[finding.severity]):
                yield key, partition, finding
