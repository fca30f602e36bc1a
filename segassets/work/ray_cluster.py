"""Batches on a Ray cluster (`segassets[ray]`): the second engine.

Ray carries tasks to nodes and tells when a node or a worker process is lost. What is ours: only so many batches in
flight, so that none waits in a queue of Ray's for hours; a lost batch is done again elsewhere, a few times; a node that
does not see the same store or has other versions is refused by name; nothing goes on running when the loop is left.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from segassets.errors import SegassetsError, UsageError
from segassets.store.batch import Summary
from segassets.work import node
from segassets.work.worker import Task

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Else pages of a lost node's own log come between our lines, whatever `log_to_driver` says.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "(?s).*")

log = logging.getLogger("segassets")

TRIES = 3
AHEAD = 2  # batches a core: one at work, one that is there when it is done
PROBE_SECONDS = 120
NO_CORE_SECONDS = 120
POLL_SECONDS = 5.0


class RayCluster:
    """The cluster at Ray's address, or the one that `connect` joins (a resource of dagster-ray)."""

    def __init__(self, address: str = "auto", connect: Callable[[], Any] | None = None):
        self._address = address
        self._connect = connect

    def run(self, tasks: Sequence[Task], sights: Callable[[], Sequence[node.Sight]] = list) -> Iterator[Summary]:
        ray = _ray()
        if not ray.is_initialized():
            _join(ray, self._address, self._connect)
        with node.expectation(tasks[0].place, sights()) as expected:
            _probe(ray, expected)
            yield from _Flight(ray, expected).all(tasks)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError('SEGASSETS_ENGINE=ray needs Ray: pip install "segassets[ray]"') from None
    return ray


def _join(ray: Any, address: str, connect: Callable[[], Any] | None) -> None:
    """Become a driver of the cluster. Ray takes SIGTERM for itself; whoever had it, such as Dagster, keeps it."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        if connect is not None:
            connect()
        else:
            ray.init(address=address, configure_logging=False, log_to_driver=False, namespace="segassets")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as problem:
        raise SegassetsError(
            f"there is no Ray cluster at {address!r} ({_first_line(problem)}); start one (ray start --head) and set "
            "RAY_ADDRESS, or unset SEGASSETS_ENGINE to work on this machine"
        ) from None
    finally:
        with contextlib.suppress(ValueError, TypeError):  # not the main thread, or not Python's: then it is left alone
            signal.signal(signal.SIGTERM, before)


def _first_line(problem: BaseException) -> str:
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)


def _probe(ray: Any, expected: node.Expected) -> None:
    """Ask every node whether it may take part: all that is wrong, with all of them, before any work is done."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(node.look)
    asked = {}
    for about in _nodes(ray):
        here = NodeAffinitySchedulingStrategy(about["NodeID"], soft=False)
        asked[remote.options(num_cpus=0, max_retries=0, scheduling_strategy=here).remote(expected)] = about
    if not asked:
        return  # an autoscaler may bring nodes up; each process of theirs looks for itself
    try:
        ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_SECONDS)
        problems = list(_answers(ray, asked))
    finally:
        _cancel(ray, asked)
    if problems:
        raise SegassetsError("the cluster cannot be worked with:" + "".join(f"\n  {line}" for line in problems))


def _answers(ray: Any, asked: dict) -> Iterator[str]:
    for ref, about in asked.items():
        name = f"node {about['NodeManagerAddress']}"
        try:
            host, problems = ray.get(ref, timeout=0)
            yield from (f"{name} ({host}) {problem}" for problem in problems)
        except Exception as problem:
            if about["NodeID"] not in {one["NodeID"] for one in _nodes(ray)}:
                continue  # lost since it was asked
            if isinstance(problem, ray.exceptions.GetTimeoutError):
                yield f"{name} has not answered for {PROBE_SECONDS} seconds"
            else:
                why = _cause(problem)
                yield f"{name} cannot run segassets ({type(why).__name__}: {_last_line(why)}); install it there"


def _last_line(problem: BaseException) -> str:
    return next(reversed(str(problem).strip().splitlines()), "")


def _nodes(ray: Any) -> list[dict]:
    """The nodes that can get work; a head node may be without cores."""
    return [about for about in ray.nodes() if about["Alive"] and about["Resources"].get("CPU")]


def _cause(problem: BaseException) -> BaseException:
    """What a task raised, without Ray's account of where."""
    return getattr(problem, "cause", None) or problem


class _Flight:
    """The batches that are under way."""

    def __init__(self, ray: Any, expected: node.Expected):
        self._ray = ray
        self._expected = expected
        self._remote = ray.remote(node.run_batch_here).options(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")
        self._flying: dict[Any, Task] = {}
        self._lost: Counter[int] = Counter()
        self._asked = self._seen_cores = 0.0
        self._cores = 0

    def all(self, tasks: Sequence[Task]) -> Iterator[Summary]:
        waiting = deque(tasks)
        try:
            while waiting or self._flying:
                for task in _up_to(waiting, self._room()):
                    self._flying[self._remote.remote(task, self._expected)] = task
                for task, summary in self._landed():
                    if summary is None:
                        waiting.appendleft(task)
                    else:
                        yield summary
        finally:
            _cancel(self._ray, self._flying)

    def _room(self) -> int:
        """How many more batches may fly: nodes come and go."""
        now = time.monotonic()
        if now - self._asked > POLL_SECONDS:
            self._asked = now
            self._cores = int(self._ray.cluster_resources().get("CPU", 0))
            if self._cores:
                self._seen_cores = now
            elif now - (self._seen_cores or now) > NO_CORE_SECONDS:
                raise SegassetsError(
                    f"the cluster has had no cores for {NO_CORE_SECONDS} seconds; finished batches are kept: run again "
                    "when nodes are there"
                )
            self._seen_cores = self._seen_cores or now
        return max(1, AHEAD * self._cores) - len(self._flying)

    def _landed(self) -> Iterator[tuple[Task, Summary | None]]:
        """What has come down since: a summary, or None for a batch that was lost with its node or process."""
        refs = list(self._flying)
        done, _ = self._ray.wait(refs, num_returns=1, timeout=POLL_SECONDS)
        if done:
            done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in done:
            task = self._flying.pop(ref)
            try:
                yield task, self._ray.get(ref)
            except _lost(self._ray) as problem:
                self._again(task, problem)
                yield task, None
            except self._ray.exceptions.RayTaskError as problem:
                raise _cause(problem) from None

    def _again(self, task: Task, problem: BaseException) -> None:
        self._lost[task.number] += 1
        log.warning("batch %d (%s) is done again: %s", task.number, task.batch.name, _first_line(problem))
        if self._lost[task.number] >= TRIES:
            raise SegassetsError(
                f"batch {task.number} ({task.batch.name}) has lost its worker process or node {TRIES} times (out of "
                f"memory?): {_first_line(problem)} Finished batches are kept: run again, on nodes with more memory or "
                "fewer cores"
            ) from None


def _up_to(waiting: deque, most: int) -> Iterator[Task]:
    for _ in itertools.repeat(None, min(len(waiting), max(0, most))):
        yield waiting.popleft()


def _lost(ray: Any) -> tuple[type[BaseException], ...]:
    """How Ray says that not the work has failed, but what it ran on."""
    found = ray.exceptions
    return (
        found.WorkerCrashedError,
        found.NodeDiedError,
        found.OutOfMemoryError,
        found.LocalRayletDiedError,
        found.ObjectLostError,
        found.TaskUnschedulableError,
    )


def _cancel(ray: Any, refs: Any) -> None:
    """End tasks, also those at work: when the lock is free again, none of them may write any more."""
    left = list(refs)
    with contextlib.suppress(Exception):
        _, left = ray.wait(left, num_returns=len(left), timeout=0)
    for ref in left:
        with contextlib.suppress(Exception):
            ray.cancel(ref, force=True)
    if left:
        with contextlib.suppress(Exception):
            ray.wait(left, num_returns=len(left), timeout=10)
