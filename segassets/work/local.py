"""The default engine: a pool of local worker processes.

The pool is kept for the life of the process, because starting it costs more than many a small partition.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from segassets.errors import SegassetsError
from segassets.store.batch import Summary
from segassets.work.node import Sight
from segassets.work.worker import Task, run_batch, watch_parent

_pools: dict[int, ProcessPoolExecutor] = {}


class LocalProcesses:
    """As many processes as settings say, on this machine."""

    def __init__(self, workers: int):
        self.workers = workers

    def run(self, tasks: Sequence[Task], sights: Callable[[], Sequence[Sight]] = list) -> Iterator[Summary]:
        futures: list[Future] = []
        try:
            futures = _submit(tasks, self.workers)
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            _pools.pop(self.workers, None)
            raise SegassetsError(
                "a worker process was ended from outside (out of memory?); finished batches are kept: run again, "
                "with a smaller SEGASSETS_WORKERS when memory is short"
            ) from None
        finally:
            for future in futures:
                future.cancel()


def _submit(tasks: Sequence[Task], workers: int) -> list[Future]:
    """All tasks to the pool; to a new one when a worker was ended while there was nothing to do."""
    with _no_main_module():
        try:
            return [_pool(workers).submit(run_batch, task) for task in tasks]
        except BrokenProcessPool:
            _pools.pop(workers, None)
            return [_pool(workers).submit(run_batch, task) for task in tasks]


def _pool(workers: int) -> ProcessPoolExecutor:
    if workers not in _pools:
        context = multiprocessing.get_context("spawn")  # fork is unsafe beside Dagster's gRPC threads
        _pools[workers] = ProcessPoolExecutor(workers, mp_context=context, initializer=watch_parent)
    return _pools[workers]


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep spawned workers from importing the parent's main module: it may be Dagster, which costs seconds each."""
    main = sys.modules["__main__"]
    saved = {name: main.__dict__[name] for name in ("__file__", "__spec__") if name in main.__dict__}
    for name in saved:
        main.__dict__[name] = None
    main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        main.__dict__.update(saved)


@atexit.register
def _close() -> None:
    for pool in _pools.values():
        pool.shutdown(wait=False, cancel_futures=True)
