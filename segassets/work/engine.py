"""The seam: where the batches of a partition are carried out, chosen by configuration.

An engine takes tasks and gives their summaries, in any order; workers write into the stage by themselves. Local
processes are the default; a Ray cluster is for what one machine is too small for. A third engine is a third file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from segassets.settings import Settings
from segassets.store.batch import Summary
from segassets.work.node import Sight
from segassets.work.worker import Task, run_batch


class Engine(Protocol):
    """`run` carries out all tasks; summaries come as they are done. `sights` gives what other machines have to see.

    Leaving the loop early cancels what has not begun. SegassetsError when a batch cannot be done, whatever happens to
    workers: what they have committed is kept.
    """

    def run(self, tasks: Sequence[Task], sights: Callable[[], Sequence[Sight]] = list) -> Iterator[Summary]: ...


class Here:
    """In this process: one batch is not worth another one, and some work holds what exists once, such as a GPU."""

    def run(self, tasks: Sequence[Task], sights: Callable[[], Sequence[Sight]] = list) -> Iterator[Summary]:
        yield from map(run_batch, tasks)


def choose(settings: Settings, tasks: Sequence[Task], serial: bool, connect: Callable[[], object] | None) -> Engine:
    """The engine for these tasks. `connect` joins a cluster in another way than by its address."""
    if serial or len(tasks) <= 1:
        return Here()
    if settings.engine == "ray":
        from segassets.work.ray_cluster import RayCluster

        return RayCluster(settings.ray_address, connect)
    from segassets.work.local import LocalProcesses

    return LocalProcesses(settings.workers) if settings.workers > 1 else Here()
