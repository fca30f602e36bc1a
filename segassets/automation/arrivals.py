"""Sensors for what arrives in the raw folder: a new file there becomes a partition, and a run that makes it.

What belongs here: noticing new keys and new datasets. Which keys a raw folder gives is `segassets.partitions`'
business, and what a run makes of them the job's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import dagster as dg

from segassets import partitions, settings
from segassets.automation import filling, observe
from segassets.automation.due import Look, due, missing, ranges
from segassets.automation.groups import AUTOMATED, Group
from segassets.registry import readers, registry
from segassets.sources.raw import Raw

RUNS_PER_TICK = 20
SECONDS = 60
NAMED, NAME = 10, 60  # refused names that are shown, and their length
NEW_DATASETS = "new_datasets"

#: The dynamic partitions that have a sensor of their own.
_watched: set[str] = set()


def arrivals(
    name: str, definition: dg.DynamicPartitionsDefinition, job: str, first: str, about: str
) -> dg.SensorDefinition:
    """A sensor that registers the keys which the raw folder gives, and starts `job` once for each that is not made.

    `first`: the key of the asset that everything else is made from; where the store has it, or has noted that it cannot
    be made from just these files, nothing is started: neither needs Dagster's own records. The cursor
    holds for each key what its raw files looked like at the last tick and when a run was started: one that fails is not
    started again before they have changed, and have then stayed as they are for a tick. Off until switched on.
    """
    _watched.add(definition.name)

    @dg.sensor(name=name, job_name=job, minimum_interval_seconds=SECONDS, description=about)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        look = Look(settings.load())
        found = partitions.discover(look.settings, definition.name, look.listing)
        if found.refused:
            context.log.warning(f"{_shown(found.refused)}: not possible as partition keys; rename the files")
        registered = set(context.instance.get_dynamic_partitions(definition.name))
        new = [key for key in found.keys if key not in registered]
        before = _cursor(context)
        after: dict[str, list[str]] = {}
        requests: list[dg.RunRequest] = []
        for key in found.keys:
            if look.footer(first, key) is not None:
                continue
            version = _version(look, first, key)
            seen, started = before.get(key, ["", ""])
            if not missing(registry()[first], key, look):
                started = version  # whoever has tried
            due = started != version and (not started or seen == version)
            if due and len(requests) < RUNS_PER_TICK:
                requests.append(dg.RunRequest(run_key=f"{key} {version}", partition_key=key, tags=AUTOMATED))
                started = version
            after[key] = [version, started]
        add = [definition.build_add_request(new)] if new else []
        told = None if requests or new else dg.SkipReason(f"nothing new among {len(found.keys)} in the raw folder")
        return dg.SensorResult(
            run_requests=requests, dynamic_partitions_requests=add, cursor=json.dumps(after), skip_reason=told
        )

    return sensor


def _cursor(context: dg.SensorEvaluationContext) -> dict:
    """What the last tick noted; nothing when that was another version of the sensor."""
    found = json.loads(context.cursor or "{}")
    return found if isinstance(found, dict) else {}


def _version(look: Look, first: str, key: str) -> str:
    """What the raw files of a partition look like."""
    raw = Raw(look.settings.raw, first.split("/")[0], readers(first, key), look.settings.store, look.listing)
    return observe.look_at(raw)[0][:16]


def _shown(names: Sequence[str]) -> str:
    """Some names of files as they may stand in a line of a log, whatever they hold."""
    shown = ", ".join(repr(name[:NAME]) + ("..." if len(name) > NAME else "") for name in names[:NAMED])
    return shown + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


_ABOUT = (
    "Looks at all raw folders every minute. Registers the new keys that they give, and where raw files of a dataset or "
    "split have arrived of which nothing was made, and have not changed for a minute, starts a run over them; at most "
    f"{RUNS_PER_TICK} at a time. What could not be made is not started again until its files change."
)


def new_datasets(groups: Sequence[Group], job: dg.JobDefinition) -> dg.SensorDefinition:
    """The sensor for everything that has none of its own. The cursor holds, for each group of assets, what its raw files
    looked like at the last tick, and how many runs were started for just that. Off until switched on."""
    mine = [group for group in groups if getattr(group.partitions, "name", None) not in _watched and group.reads]

    @dg.sensor(name=NEW_DATASETS, job=job, minimum_interval_seconds=SECONDS, description=_ABOUT)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        look = Look(settings.load())
        partitions.register(context.instance, look.settings, look.listing)
        before = _cursor(context)
        after: dict[str, list] = {}
        requests: list[dg.RunRequest] = []
        for group in mine:
            keys = group.partition_keys(context.instance)
            busy = set(filling.under_way(context.instance, group, keys))
            new = {key: assets for key in keys if key not in busy and (assets := _of_nothing(group, key, look))}
            if not new:
                continue
            state = _state(group, new, look)
            known, started = before.get(group.name, ["", 0])
            started = started if known == state else 0
            if known == state:
                pieces = list(ranges(keys, set(new), filling.PARTITIONS_PER_RUN))
                now = pieces[started : started + RUNS_PER_TICK - len(requests)]
                requests += [filling.request(group, piece, new, f"{state} {piece[0]}") for piece in now]
                started += len(now)
            after[group.name] = [state, started]
        if not requests:
            waiting = [name for name, (_, started) in after.items() if not started]
            said = f"waiting until {', '.join(waiting)} are complete" if waiting else "nothing new in the raw folders"
            if after == before:
                return dg.SkipReason(said)
            return dg.SensorResult(skip_reason=dg.SkipReason(said), cursor=json.dumps(after))
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(after))

    return sensor


def _of_nothing(group: Group, partition: str | None, look: Look) -> list[str]:
    """What is due of a partition of which nothing has been made."""
    if any(look.footer(key, partition) is not None for key in group.keys):
        return []
    return due(group, partition, look)


def _state(group: Group, new: dict[str | None, list[str]], look: Look) -> str:
    """A digest of the raw files that the new partitions are made from."""
    marks = [
        look.job(artifact, partition).raw.fingerprint()
        for partition, assets in new.items()
        for artifact in group.artifacts
        if artifact.key in assets and artifact.reads
    ]
    return hashlib.sha256(json.dumps([list(new), marks]).encode()).hexdigest()[:16]
