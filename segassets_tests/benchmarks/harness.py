"""One row a comparison: equal results first, then both ways in turn; processor time of this process and children."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """Times in milliseconds a unit of work: medians of user + system time, and of wall time. Bytes a unit, or None."""

    name: str
    ours_ms: float
    baseline_ms: float
    ratio: float
    bytes_ours: float | None
    bytes_baseline: float | None
    wall_ours_ms: float
    wall_baseline_ms: float
    note: str = ""


def compare(
    name: str,
    ours: Callable[[], Any],
    baseline: Callable[[], Any],
    equal: Callable[[Any, Any], bool],
    *,
    rounds: int = 5,
    repeat: int = 1,
    units: int = 1,
    size: Callable[[Any], float] | None = None,
    note: str = "",
    between: Callable[[], None] = lambda: None,
) -> Row:
    """Runs `ours` (`repeat` times) and `baseline` (once) in turn, `rounds` times, and takes medians.

    equal(result of ours, result of baseline) must hold before anything is timed, or AssertionError is raised. Both
    callables do `units` units of work. size(result) is the bytes that a result holds. The ratio is the median of the
    rounds' ratios: neighbours on the machine disturb both ways of a round alike. `between` is called before each way,
    and not timed: it takes away what the one before has left to be done.
    """
    result, expected = ours(), baseline()
    if not equal(result, expected):
        raise AssertionError(f"{name}: the results differ, so their times mean nothing")
    sizes = (size(result) / units, size(expected) / units) if size else (None, None)
    del result, expected
    timed = [(_times(ours, repeat, between), _times(baseline, 1, between)) for _ in range(rounds)]
    per_unit = 1000 / units
    return Row(
        name,
        ours_ms=statistics.median(mine[0] for mine, _ in timed) * per_unit,
        baseline_ms=statistics.median(theirs[0] for _, theirs in timed) * per_unit,
        ratio=statistics.median(theirs[0] / max(mine[0], 1e-9) for mine, theirs in timed),
        bytes_ours=sizes[0],
        bytes_baseline=sizes[1],
        wall_ours_ms=statistics.median(mine[1] for mine, _ in timed) * per_unit,
        wall_baseline_ms=statistics.median(theirs[1] for _, theirs in timed) * per_unit,
        note=note,
    )


def _times(work: Callable[[], Any], repeat: int, between: Callable[[], None]) -> tuple[float, float]:
    """Processor and wall time of one call, in seconds, over `repeat` calls."""
    between()
    cpu, wall = _cpu(), time.perf_counter()
    for _ in range(repeat):
        work()
    return (_cpu() - cpu) / repeat, (time.perf_counter() - wall) / repeat


def _cpu() -> float:
    """User and system time of this process and its finished children, in seconds."""
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)
