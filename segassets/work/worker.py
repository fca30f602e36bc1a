"""What runs in a worker process. Imports no Dagster and nothing about datasets: the task brings its function."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # one process a core: threads of a BLAS would only get in each other's way

import contextlib
import fcntl
import logging
import multiprocessing
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segassets.findings import BadItem, error
from segassets.items import Made
from segassets.sources.ref import Ref
from segassets.store.stage import BatchWriter, Place, Summary

log = logging.getLogger("segassets.worker")


@dataclass(frozen=True)
class Task:
    """A batch: where its results go, which items, which function."""

    place: Place
    number: int
    batch: Any
    work: Callable[..., Made]
    constants: Mapping[str, Any]
    lock: str | None = None
    packed: bool = False


def watch_parent() -> None:
    """End this process as soon as its parent has ended, however that died: an orphan must not write on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True, name="watch-parent").start()


@contextlib.contextmanager
def _shared(lock: str | None) -> Iterator[None]:
    """Hold the partition's workers lock, so that the next run waits until nothing of this one writes any more."""
    if lock is None:
        yield
        return
    with open(lock, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            os._exit(1)
        yield


def run_batch(task: Task) -> Summary:
    """Make every item of a batch and commit it. One bad item never stops the others."""
    with _shared(task.lock):
        writer = BatchWriter(task.place, task.number, task.packed)
        for label, item in task.batch.load():
            try:
                made = task.work(**_resolved(item), **task.constants)
                writer.add(label, made)
            except BadItem as bad:
                writer.reject(bad.findings)
            except (EOFError, FileNotFoundError) as problem:
                writer.reject([error("unreadable", f"{problem}; was the file changed or removed?", image=label)])
            except OSError:
                raise  # a full disk or a lost store is nobody's bad input: the run fails, and can be resumed
            except Exception as problem:
                log.error("%s: %s", label, traceback.format_exc())
                text = f"{type(problem).__name__}: {problem} (a fault of segassets or of a library: please report it)"
                writer.reject([error("unexpected_error", text, image=label)])
        return writer.commit()


def _resolved(item: dict) -> dict:
    return {name: value.read() if isinstance(value, Ref) else value for name, value in item.items()}
