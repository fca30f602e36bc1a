"""What a published partition came from, step by step down to raw files, as the manifests have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from segassets.settings import Settings
from segassets.sources.raw import Raw, matches
from segassets.store.manifest import Footer
from segassets.store.store import Store


def reads(footer: Footer, path: str, exactly: bool = False) -> bool:
    """Whether a raw file, relative to the raw root, is one that a partition was declared to read.

    `exactly`: by its own name, not by a pattern: of a file that is not there nobody knows whether it ever was.
    """
    dataset = footer.asset.split("/")[0]
    for pattern, mark in footer.raw.items():
        seen = f"/{path}" if pattern.startswith("/") else path.removeprefix(f"{dataset}/")
        if exactly and pattern.removeprefix("/").removeprefix("./") not in (seen, path):
            continue
        if mark[0] and (seen != path or pattern.startswith("/")) and matches(pattern, seen):
            return True
    return False


def from_root(footer: Footer, pattern: str) -> str:
    """A pattern as it is below the raw root."""
    return pattern[1:] if pattern.startswith("/") else f"{footer.asset.split('/')[0]}/{pattern.removeprefix('./')}"


@dataclass
class Lineage:
    """A partition and everything that it was made from."""

    store: Store
    settings: Settings
    footer: Footer
    _raws: dict[tuple, Raw] = field(default_factory=dict)

    @cached_property
    def steps(self) -> list[Footer]:
        """The partition itself, then what it was made from, each once."""
        found = {(self.footer.asset, self.footer.partition): self.footer}
        pending = [self.footer]
        while pending:
            for above in self._inputs(pending.pop()):
                key = (above.asset, above.partition)
                if key not in found:
                    found[key] = above
                    pending.append(above)
        return list(found.values())

    def _inputs(self, footer: Footer) -> Iterator[Footer]:
        for upstream in footer.inputs:
            asset, _, partition = upstream.partition(" ")
            above = self.store.footer(asset, partition or footer.partition) or self.store.footer(asset, None)
            if above is not None:
                yield above

    def _raw(self, footer: Footer) -> Raw:
        key = (footer.asset.split("/")[0], *footer.raw)
        if key not in self._raws:
            self._raws[key] = Raw(self.settings.raw, key[0], key[1:], self.settings.store)
        return self._raws[key]

    @cached_property
    def raw_files(self) -> list[str]:
        """Every raw file that a step has read, as it lies below the raw root now."""
        found = set()
        for footer in self.steps:
            if footer.raw:
                raw = self._raw(footer)
                found |= {raw.ref(path).path for path in raw.files}
        return sorted(found)

    def as_read(self) -> dict[str, dict]:
        """What was read, by pattern below the raw root: files, bytes, the digest of names, sizes and times or ETags."""
        return {
            from_root(footer, pattern): {"files": mark[0], "bytes": mark[1], "digest": mark[2]}
            for footer in self.steps
            for pattern, mark in footer.raw.items()
            if mark[0]
        }

    def changed(self) -> list[str]:
        """The patterns whose files are no longer those that were read; and inputs that were made anew since."""
        found = {
            from_root(footer, pattern)
            for footer in self.steps
            if footer.raw
            for pattern, mark in self._raw(footer).fingerprint().items()
            if mark != footer.raw[pattern]
        }
        for footer in self.steps:
            for upstream, version in footer.inputs.items():
                asset, _, partition = upstream.partition(" ")
                above = self.store.footer(asset, partition or footer.partition) or self.store.footer(asset, None)
                if above is None or above.data_version != version:
                    found.add(upstream)
        return sorted(found)
