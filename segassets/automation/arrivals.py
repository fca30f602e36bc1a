"""Sensors for what arrives in the raw folder: a new file there becomes a partition, and a run that makes it.

What belongs here: noticing new keys. Which keys a raw folder gives is `segassets.partitions`' business, and what a run
makes of them the job's.
"""

from __future__ import annotations

import json

import dagster as dg

from segassets import partitions, settings

RUNS_PER_TICK = 20
SECONDS = 60


def arrivals(
    name: str, definition: dg.DynamicPartitionsDefinition, job: dg.JobDefinition, first: str, about: str
) -> dg.SensorDefinition:
    """A sensor that registers the keys which the raw folder gives, and starts `job` once for each that is not made.

    `first`: the key of the asset that everything else is made from; where it is made, nothing is started. The cursor
    lists the keys that a run was started for: one that fails is not started again and again. Off until switched on.
    """

    @dg.sensor(name=name, job=job, minimum_interval_seconds=SECONDS, description=about)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        found = partitions.discover(settings.load(), definition.name)
        if found.refused:
            context.log.warning(f"{', '.join(found.refused)}: not possible as partition keys; rename the files")
        known = set(context.instance.get_dynamic_partitions(definition.name))
        new = [key for key in found.keys if key not in known]
        started = set(json.loads(context.cursor or "[]")).intersection(found.keys)
        made = context.instance.get_materialized_partitions(dg.AssetKey(first.split("/")))
        due = [key for key in found.keys if key not in started and key not in made]
        if not new and not due:
            return dg.SkipReason(f"nothing new among {len(found.keys)} in the raw folder")
        now = due[:RUNS_PER_TICK]
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=key, partition_key=key) for key in now],
            dynamic_partitions_requests=[definition.build_add_request(new)] if new else [],
            cursor=json.dumps(sorted(started.union(now))),
        )

    return sensor
