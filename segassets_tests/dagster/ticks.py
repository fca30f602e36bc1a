"""Ticks as the daemon makes them: of schedules and sensors, with their cursors, and of the runs that they ask for."""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Sequence

import dagster as dg

from segassets.automation import due
from segassets.definitions import defs
from segassets_tests.dagster.platform import Platform

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@functools.cache
def _loaded() -> tuple[dg.Definitions, dg.RepositoryDefinition]:
    """The definitions know nothing of raw folder, store or home: once a session is enough."""
    found = defs()
    return found, found.get_repository_def()


class Automation:
    """The schedules and sensors of a platform, all of them switched on."""

    def __init__(self, platform: Platform):
        self.catalogue = platform.catalogue()
        self.catalogue.__dict__["definitions"], self.repository = _loaded()
        self.catalogue.register()
        self.cursors: dict[str, str | None] = {}
        self.said: str | None = None
        self.keys: set[str] = set()
        self._night = itertools.count(1)
        due._footers.clear()

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.catalogue.instance

    def night(self) -> list[dg.RunRequest]:
        """The runs that the nightly schedule asks for."""
        at = datetime.datetime(2030, 1, 1, 2, tzinfo=datetime.UTC) + datetime.timedelta(days=next(self._night))
        context = dg.build_schedule_context(self.instance, at, repository_def=self.repository)
        found = self.repository.get_schedule_def("fill_missing").evaluate_tick(context)
        self.said = found.skip_message
        return self._new(found.run_requests)

    def tick(self, name: str) -> list[dg.RunRequest]:
        """The runs that a sensor asks for; what it observes and registers is recorded."""
        known = {"instance_ref": self.instance.get_ref(), "repository_def": self.repository}
        with dg.build_sensor_context(self.instance, self.cursors.get(name), **known) as context:
            found = self.repository.get_sensor_def(name).evaluate_tick(context)
        for request in found.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        for event in found.asset_events:
            self.instance.report_runless_asset_event(event)
        self.observed = [(event.asset_key.to_user_string(), event.partition) for event in found.asset_events]
        self.cursors[name] = found.cursor
        self.said = found.skip_message
        return self._new(found.run_requests)

    def _new(self, requests: Sequence[dg.RunRequest] | None) -> list[dg.RunRequest]:
        """Without those whose key had a run before, as the daemon does it."""
        found = [request for request in requests or () if request.run_key not in self.keys]
        self.keys |= {request.run_key for request in found if request.run_key}
        return found

    def carry_out(self, requests: Sequence[dg.RunRequest], job: str = "fill_range") -> list:
        """The runs, one after the other."""
        return [
            self.catalogue.definitions.resolve_job_def(request.job_name or job).execute_in_process(
                run_config={**request.run_config, **QUIET},
                tags=request.tags,
                partition_key=request.partition_key,
                instance=self.instance,
                raise_on_error=False,
            )
            for request in requests
        ]


def ranges(requests: Sequence[dg.RunRequest]) -> list[tuple[str, list[str], list[str]]]:
    """What runs of `fill_range` are about: the group, the assets by their last names, the partitions."""
    configs = [request.run_config["ops"]["fill"]["config"] for request in requests]
    return [
        (config["group"], [key.rsplit("/", 1)[1] for key in config["assets"]], config.get("partitions", []))
        for config in configs
    ]
