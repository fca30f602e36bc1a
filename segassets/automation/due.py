"""What is missing or stale, for those who make it without being asked: the schedule `fill_missing`, and its runs.

The store is asked, not Dagster's records: a partition is due when what it is made from is there and what is published
was not made from just that, by the code of today. What could not be made is due again when its inputs or the code have
changed, and not before. Nothing is read but listings and footers of manifests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from segassets.automation.groups import Group
from segassets.declaration import Artifact
from segassets.errors import BeingPublished, NotPublished, Unreadable, UsageError
from segassets.files.paths import Entry
from segassets.settings import Settings
from segassets.sources.raw import Listing, Raw
from segassets.store import manifest, names
from segassets.store.store import Store
from segassets.work.job import Job, Whole
from segassets.work.make import fingerprint, input_versions

THREADS = 16
REMEMBERED = 100_000

#: Footers that were read, by root and path, as long as the listing says that they are the same: reading is a request.
_footers: dict[tuple[str, str], tuple[Entry, manifest.Footer]] = {}


@dataclass(frozen=True)
class Known:
    """All that a fingerprint needs of an input."""

    data_version: str


class Look:
    """The raw folder and the store at one moment."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.store = Store(settings.store)
        self.listing = Listing(settings.raw)
        self._last_raw: tuple[Any, Any] = None, None

    @cached_property
    def _manifests(self) -> dict[str, Entry]:
        return self.store.files.walk(f"{names.HOME}/manifests")

    @cached_property
    def _tried(self) -> dict[str, Entry]:
        return self.store.files.walk(f"{names.HOME}/tried")

    def partitions(self, asset: str) -> list[str | None]:
        """The partitions of an asset that are published."""
        return self._partitions.get(f"{names.HOME}/manifests/{asset}", [])

    @cached_property
    def _partitions(self) -> dict[str, list[str | None]]:
        found: dict[str, list[str | None]] = {}
        for path in sorted(self._manifests):
            folder, _, name = path.rpartition("/")
            found.setdefault(folder, []).append(names.partition_of(name.removesuffix(".parquet")))
        return found

    def footer(self, asset: str, partition: str | None) -> manifest.Footer | None:
        """Who made what is published; None when nothing is."""
        path = names.manifest(asset, partition)
        entry = self._manifests.get(path)
        if entry is None:
            return None
        place = (self.store.root, path)
        known = _footers.get(place)
        if known is None or known[0] != entry:
            try:
                found = self.store.footer(asset, partition)
            except Unreadable:  # the run that wants to make it again says so, once
                return None
            if found is None:
                return None
            if len(_footers) >= REMEMBERED:
                _footers.clear()
            known = _footers[place] = (entry, found)
        return known[1]

    def tried(self, asset: str, partition: str | None) -> str | None:
        """The fingerprint with which it could not be made."""
        return self.store.tried(asset, partition) if names.tried(asset, partition) in self._tried else None

    def read_ahead(self, wanted: Sequence[tuple[str, str | None]]) -> None:
        """Read many footers side by side."""
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda one: self.footer(*one), wanted))

    def _raw(self, dataset: str, patterns: tuple[str, ...]) -> Raw:
        """The raw files of some patterns: the same for many partitions, where these do not stand in them."""
        key = dataset, patterns
        if key != self._last_raw[0]:
            self._last_raw = key, Raw(self.settings.raw, dataset, patterns, self.settings.store, self.listing)
        return self._last_raw[1]

    def job(self, artifact: Artifact, partition: str | None) -> Job:
        """What would make it now: with the options with which it was made, where it was."""
        footer = self.footer(artifact.key, partition)
        job = Job(artifact, partition, self.settings, options=options(artifact, footer), handles={})
        job.raw = self._raw(artifact.dataset, artifact.patterns(partition))
        known: dict[str, Known | WholeNow] = {}
        for name, key in artifact.inputs.items():
            if name in artifact.whole_inputs:
                known[name] = WholeNow(self, key)
            elif (above := self.footer(key, partition)) is not None:
                known[name] = Known(above.data_version)
        job.handles = known
        return job


class WholeNow(Whole):
    """All partitions of an input, by what the look remembers of them."""

    def __init__(self, look: Look, asset: str):
        super().__init__(look.store, asset)
        self._look = look

    def _read_version(self, partition: str | None) -> str:
        footer = self._look.footer(self.asset, partition)
        return footer.data_version if footer is not None else super()._read_version(partition)

    @property
    def partitions(self) -> list[str | None]:
        return self._look.partitions(self.asset)


def options(artifact: Artifact, footer: manifest.Footer | None) -> dict:
    """The options with which something was published, as far as there still are such; else the usual ones."""
    if footer is not None:
        kept = {option.name: footer.config[option.name] for option in artifact.options if option.name in footer.config}
        try:
            return artifact.parse_options(kept)
        except UsageError:
            pass
    return artifact.parse_options({})


def due(group: Group, partition: str | None, look: Look) -> list[str]:
    """The assets of the group that have to be made for a partition, in making order."""
    wanted: list[str] = []
    absent: set[str] = set()
    for artifact in group.artifacts:
        above = {key for name, key in artifact.inputs.items() if name not in artifact.whole_inputs}
        if above & absent or not _has_input(artifact, partition, look):
            verdict = "absent"
        elif above.intersection(wanted):
            verdict = "due"
        else:
            verdict = _verdict(artifact, partition, look)
        if verdict == "due":
            wanted.append(artifact.key)
        elif verdict == "absent":
            absent.add(artifact.key)
    return wanted


def missing(artifact: Artifact, partition: str | None, look: Look) -> bool:
    """Whether nothing is published, and what it is made from is there and has not failed as it is."""
    if look.footer(artifact.key, partition) is not None:
        return False
    return _has_input(artifact, partition, look) and _verdict(artifact, partition, look) == "due"


def _has_input(artifact: Artifact, partition: str | None, look: Look) -> bool:
    """Whether it is made from something, that is there, and nobody has to ask for it by name."""
    if not artifact.reads:
        return set(artifact.inputs) > set(artifact.whole_inputs) or any(map(look.partitions, artifact.inputs.values()))
    try:
        raw = look.job(artifact, partition).raw
    except ValueError:  # a key by hand that no file can be called
        return False
    return bool(raw.files) and not (artifact.lacks and artifact.lacks(partition, raw))


def _verdict(artifact: Artifact, partition: str | None, look: Look) -> str:
    """`due`, `kept` (what is published is right, or cannot be made better), `absent`."""
    footer = look.footer(artifact.key, partition)
    job = look.job(artifact, partition)
    try:
        mark = fingerprint(job, input_versions(job), job.raw.fingerprint() if artifact.reads else {})
    except (NotPublished, BeingPublished, Unreadable):
        return "kept" if footer is not None else "absent"
    if footer is not None and footer.fingerprint == mark:
        return "kept"
    if look.tried(artifact.key, partition) == mark:
        return "kept" if footer is not None else "absent"
    return "due"


def ranges(keys: Sequence[str | None], wanted: set[str | None], longest: int) -> Iterator[list[str | None]]:
    """The wanted keys, in pieces that lie side by side in `keys`, each of at most `longest`."""
    piece: list[str | None] = []
    for key in keys:
        if key in wanted and len(piece) < longest:
            piece.append(key)
            continue
        if piece:
            yield piece
        piece = [key] if key in wanted else []
    if piece:
        yield piece
