"""`segassets materialize`: make what is missing or out of date, through Dagster, in the instance that the UI shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import dagster as dg

from segassets import reporting
from segassets.commands.catalogue import Catalogue, no_partition
from segassets.errors import UsageError
from segassets.instance import shortly
from segassets.runs import process_tag
from segassets.work.job import Job
from segassets.work.make import is_current


@dataclass(frozen=True)
class Request:
    """What a person asked for."""

    what: Sequence[str]
    partitions: Sequence[str] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    max_rejected: float | None = None
    only: bool = False
    force: bool = False


@dataclass(frozen=True)
class Event:
    """Something to tell: `kind` is made, current, skipped, failed or planned."""

    kind: str
    asset: str
    partition: str | None
    text: str = ""

    @property
    def label(self) -> str:
        return f"{self.asset} {self.partition}" if self.partition else self.asset


@dataclass
class Step:
    """One run: some assets of one dataset, of one partition or of a range."""

    assets: list[str]
    partitions: list[str | None]


def materialize(catalogue: Catalogue, request: Request, dry_run: bool = False) -> Iterator[Event]:
    """Make it, telling what happens. UsageError when the call is wrong."""
    chosen = catalogue.select(request.what)
    keys = chosen if request.only else catalogue.with_inputs(chosen)
    options = _options(catalogue, keys, request.options)
    named = _named(catalogue, keys, request.partitions)
    for definition, members in catalogue.groups(keys):
        wanted, skipped = _partitions(catalogue, definition, members, named, options)
        yield from skipped
        forced = set(chosen) if request.force else set()
        for step in _steps(catalogue, members, wanted):
            yield from _run_step(catalogue, request, step, options, forced, dry_run)


def shortened(events: Iterable[Event], most: int = 5) -> Iterator[Event]:
    """The events, but of many alike in a row (one asset, one kind) only the first, and how many more there were."""
    alike: tuple[str, str] | None = None
    count = hidden = 0
    for event in chain(events, [None]):
        kind = (event.kind, event.asset) if event is not None else None
        if kind != alike:
            if alike is not None and hidden:
                yield Event(*alike, None, f"and {hidden} more partitions")
            alike, count, hidden = kind, 0, 0
        count += 1
        if event is not None and (count <= most or event.kind in ("failed", "current")):
            yield event
        else:
            hidden += 1


def _options(catalogue: Catalogue, keys: Sequence[str], given: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Typed options by asset; every one goes to every selected asset that has it."""
    by_asset: dict[str, dict[str, Any]] = {key: {} for key in keys}
    for name, value in given.items():
        takers = [key for key in keys if any(option.name == name for option in catalogue.artifacts[key].options)]
        if not takers:
            known = sorted({option.name for key in keys for option in catalogue.artifacts[key].options})
            raise UsageError(f"--set {name}: no selected asset has this option; they have {', '.join(known) or 'none'}")
        for key in takers:
            option = next(option for option in catalogue.artifacts[key].options if option.name == name)
            by_asset[key][name] = option.parse(value)
    return by_asset


def _named(
    catalogue: Catalogue, keys: Sequence[str], partitions: Sequence[str]
) -> dict[str, list[dg.PartitionsDefinition]]:
    """The partitions that a person named, each with the definitions that it belongs to. UsageError for one of none."""
    named = {}
    for partition in partitions:
        named[partition] = catalogue.takers(keys, partition)
        if not named[partition]:
            definitions = [definition for definition, _ in catalogue.groups(keys)]
            raise no_partition(partition, (key for definition in definitions for key in catalogue.keys_of(definition)))
    return named


def _partitions(
    catalogue: Catalogue,
    definition: dg.PartitionsDefinition | None,
    members: list[str],
    named: Mapping[str, Sequence[dg.PartitionsDefinition]],
    options: Mapping[str, Mapping[str, Any]],
) -> tuple[list[str | None], list[Event]]:
    """The partitions to make, and those skipped with the reason."""
    if named:
        fitting = [partition for partition, takers in named.items() if definition in takers]
        if not fitting:
            told = f"has no partition {', '.join(named)}"
            return [], [Event("skipped", key, None, told) for key in members]
        return list(fitting), []
    dataset = members[0].split("/")[0]
    told = "cannot be a partition's key (letters, digits, '.', '_' and '-', a letter or digit first): rename what it is from"
    refused = [Event("skipped", dataset, repr(name), told) for name in catalogue.refused(definition)]
    if not catalogue.keys_of(definition):
        told = f"nothing in {catalogue.settings.raw} gives a partition"
        return [], [*refused, *(Event("skipped", key, None, told) for key in members)]
    wanted: list[str | None] = []
    skipped: list[Event] = []
    for partition in catalogue.keys_of(definition):
        reason = catalogue.missing_raw(members[0], partition, options)
        if reason is None:
            wanted.append(partition)
        else:
            skipped.append(Event("skipped", dataset, partition, f"{reason} ({', '.join(members)})"))
    return wanted, [*refused, *_fewer(skipped)]


NAMED = 30


def _fewer(skipped: list[Event]) -> list[Event]:
    """Thirty lines of the same say less than one."""
    if len(skipped) <= 3:
        return skipped
    first = skipped[0]
    keys = ", ".join(str(event.partition) for event in skipped[:NAMED])
    keys += f" and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
    return [Event("skipped", first.asset, None, f"{len(skipped)} partitions without raw input: {keys}; {first.text}")]


def _steps(catalogue: Catalogue, members: list[str], wanted: list[str | None]) -> Iterator[Step]:
    """One run a partition, except for assets that take a range in one run."""
    ranged = [key for key in members if _takes_ranges(catalogue, key)]
    single = [key for key in members if key not in ranged]
    for partition in wanted:
        if single:
            yield Step(single, [partition])
    for key in ranged:
        if wanted:
            yield Step([key], list(wanted))


def _takes_ranges(catalogue: Catalogue, key: str) -> bool:
    policy = catalogue.graph.get(dg.AssetKey(key.split("/"))).backfill_policy
    return policy is not None and policy.policy_type.value == "SINGLE_RUN"


def _job(catalogue: Catalogue, request: Request, key: str, partition: str | None, options: dict, force: bool) -> Job:
    artifact = catalogue.artifacts[key]
    return Job(
        artifact,
        partition,
        catalogue.settings,
        options=artifact.parse_options(options[key]),
        max_rejected=request.max_rejected,
        force=force,
    )


def _stale(
    catalogue: Catalogue, request: Request, step: Step, options: dict, forced: set[str]
) -> tuple[list[str], list[str | None]]:
    """The assets and partitions of a step that have to be made: those that are not current, and what follows them."""
    assets: list[str] = []
    partitions: list[str | None] = []
    listings: dict = {}
    for partition in step.partitions:
        due: set[str] = set()
        for key in step.assets:
            job = _job(catalogue, request, key, partition, options, key in forced).share_listing(listings)
            follows = bool(due.intersection(job.artifact.inputs.values()))
            if follows or not is_current(job) or not _recorded(catalogue, job):
                due.add(key)
        if due:
            partitions.append(partition)
            assets = [key for key in step.assets if key in due or key in assets]
    return assets, partitions


def _recorded(catalogue: Catalogue, job: Job) -> bool:
    """Whether the instance knows the published version: a new DAGSTER_HOME has to be told."""
    records = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(job.artifact.key.split("/")), asset_partitions=[job.partition] if job.partition else None
    )
    found = catalogue.instance.fetch_materializations(records, limit=1).records
    if not found or found[0].asset_materialization is None:
        return False
    footer = job.store.footer(job.artifact.key, job.partition)
    version = (found[0].asset_materialization.tags or {}).get("dagster/data_version")
    return footer is not None and version == footer.data_version


def _run_step(
    catalogue: Catalogue, request: Request, step: Step, options: dict, forced: set[str], dry_run: bool
) -> Iterator[Event]:
    assets, partitions = _stale(catalogue, request, step, options, forced)
    for key in step.assets:
        current = [partition for partition in step.partitions if key not in assets or partition not in partitions]
        for partition in current:
            yield Event("current", key, partition)
    if dry_run:
        for key in assets:
            for partition in partitions:
                yield Event("planned", key, partition)
        return
    if request.partitions or len(partitions) <= 1:
        chunks = [[partition] for partition in partitions]  # a range would take in partitions that nobody named
    else:
        chunks = [partitions]
    for chunk in chunks:
        for event in _run(catalogue, request, assets, chunk, options, forced):
            if event.partition is None or event.partition in chunk:  # a range spans partitions without input, too
                yield event


def _run(
    catalogue: Catalogue, request: Request, assets: list[str], keys: list[str | None], options: dict, forced: set[str]
) -> Iterator[Event]:
    asset_keys = [dg.AssetKey(key.split("/")) for key in assets]
    ops = {
        catalogue.op_name(key): {
            "config": {**options[key], "max_rejected": request.max_rejected, "force": key in forced}
        }
        for key in assets
    }
    skipped: list[tuple[str, str | None, str]] = []
    token = reporting.skipped.set(skipped)
    try:
        result = catalogue.job.execute_in_process(
            asset_selection=asset_keys,
            partition_key=keys[0] if len(keys) == 1 else None,
            tags={**process_tag(), **({} if len(keys) == 1 else _range_tags(keys))},
            instance=catalogue.instance,
            run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    finally:
        reporting.skipped.reset(token)
    if any(_is_interrupt(event.step_failure_data) for event in result.all_events if event.is_step_failure):
        raise KeyboardInterrupt  # Dagster takes it for the failure of one step, and the next partition would be made
    yield from _report(catalogue, result, assets, keys, skipped)


def _range_tags(keys: list[str | None]) -> dict[str, str]:
    return {
        "dagster/asset_partition_range_start": str(keys[0]),
        "dagster/asset_partition_range_end": str(keys[-1]),
    }


def _report(
    catalogue: Catalogue, result, assets: list[str], keys: list[str | None], skipped: list[tuple[str, str | None, str]]
) -> Iterator[Event]:
    by_step = {catalogue.op_name(asset): asset for asset in assets}
    done: set[str] = set()
    for event in result.get_asset_materialization_events():
        made = event.materialization
        asset = made.asset_key.to_user_string()
        done.add(asset)
        values = {name: value.value for name, value in made.metadata.items()}
        kind = "current" if values.get("unchanged") else "made"
        yield Event(kind, asset, made.partition, _sum(values))
    failed = False
    for event in result.all_events:
        if event.is_step_failure:
            failed = True
            asset = by_step.get(event.step_key, event.step_key)
            done.add(asset)
            yield Event("failed", asset, keys[0] if len(keys) == 1 else None, _why(event.step_failure_data))
    if not result.success and not failed:
        failed = True
        for asset in (asset for asset in assets if asset not in done):
            done.add(asset)
            yield Event("failed", asset, keys[0] if len(keys) == 1 else None, _why_not_run(result))
    for asset, partition, reason in skipped:
        done.add(asset)
        yield Event("skipped", asset, partition, reason)
    for asset in assets:
        if asset not in done:
            told = "not tried, because what it is made from failed" if failed else "what it is made from was skipped"
            yield Event("skipped", asset, keys[0] if len(keys) == 1 else None, told)


def _is_interrupt(data) -> bool:
    return data.error is not None and data.error.cls_name == "DagsterExecutionInterruptedError"


def _why(data) -> str:
    if getattr(data, "user_failure_data", None) is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return (error.message if error is not None else "unknown").strip()


def _why_not_run(result) -> str:
    """Why a run failed though no step of it did: it could not begin, or not be recorded."""
    ended = [event.job_failure_data for event in result.all_events if event.is_job_failure]
    told = [shortly(_why(data)) for data in ended if data is not None and data.error is not None]
    return "; ".join(told) or "the run ended before its steps: see it in the UI"


def _sum(values: Mapping[str, Any]) -> str:
    parts = [f"{values.get('files', 0):,} files" if values.get("files") else f"{values.get('items', 0):,} items"]
    if values.get("bytes"):
        parts.append(f"{values['bytes'] / 1e6:,.1f} MB")
    parts.append(f"{values.get('seconds', 0):.1f} s")
    told = [f"{values[name]} {name}" for name in ("errors", "warnings", "infos") if values.get(name)]
    return ", ".join(parts) + (f"; findings: {', '.join(told)}" if told else "")
