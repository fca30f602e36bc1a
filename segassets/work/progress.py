"""Progress of a partition: a bar on a terminal, a line now and then in a log; never a row a file in Dagster's events."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LOG_SECONDS = 10.0


@dataclass
class Progress:
    """Counts what is done. `say` gets a line at most every ten seconds; `watcher`, when set, gets every change."""

    label: str
    say: Callable[[str], None] = lambda line: None
    total: int = 0
    done: int = 0
    items: int = 0
    files: int = 0
    bytes: int = 0
    started: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)

    def begin(self, total: int) -> None:
        self.total = total
        self._tell()

    def add(self, items: int, files: int, size: int) -> None:
        self.done += 1
        self.items += items
        self.files += files
        self.bytes += size
        self._tell()
        if time.monotonic() - self._said > LOG_SECONDS:
            self._said = time.monotonic()
            self.say(self.line())

    def line(self) -> str:
        rate = self.items / max(self.seconds, 1e-6)
        return (
            f"{self.label}: batch {self.done} of {self.total}, {self.items:,} items ({rate:,.0f} a second), "
            f"{self.files:,} files, {self.bytes / 1e6:,.1f} MB"
        )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def _tell(self) -> None:
        if (watch := watcher.get()) is not None:
            watch(self)


watcher: contextvars.ContextVar[Callable[[Progress], None] | None] = contextvars.ContextVar("watcher", default=None)
