"""What runs in a worker process. Imports no Dagster and nothing about datasets: the task brings its function."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # one process a core: threads of a BLAS would only get in each other's way

import contextlib
import fcntl
import functools
import itertools
import logging
import multiprocessing
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from segassets.errors import SegassetsError
from segassets.files.bucket import Bucket
from segassets.files.paths import UnsafePath
from segassets.files.ref import Ref, files_at
from segassets.findings import BadItem, error
from segassets.items import File, Made
from segassets.store.batch import BatchWriter, Place, Summary

READ_AHEAD = 8  # items on S3, each perhaps of some megabytes
NAMED = 4  # sources of an item that are listed
READ_WHOLE = 32 * 2**20  # larger ranges are streamed

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


def run_batch(task: Task, confirm: Callable[[], None] = lambda: None) -> Summary:
    """Make every item of a batch and commit it. One bad item never stops the others.

    `confirm` raises when the stage has become another run's meanwhile: nothing counts before the commit.
    """
    with _shared(task.lock):
        writer = BatchWriter(task.place, task.number, task.packed)
        for label, origin, resolve in _ahead(task.batch.load()):
            try:
                writer.add(label, task.work(**resolve(), **task.constants), origin)
            except BadItem as bad:
                writer.reject(bad.findings)
            except (EOFError, FileNotFoundError) as problem:
                writer.reject([error("unreadable", f"{problem}; was the file changed or removed?", image=label)])
            except UnsafePath as problem:
                writer.reject([error("unsafe_path", f"{problem}; not written", image=label)])
            except (OSError, MemoryError, SegassetsError):
                raise  # a full disk, a lost store, an input that is being replaced: nobody's bad item; can be resumed
            except Exception as problem:
                log.error("%s: %s", label, traceback.format_exc())
                text = f"{type(problem).__name__}: {problem} (a fault of segassets or of a library: please report it)"
                writer.reject([error("unexpected_error", text, image=label)])
        confirm()
        return writer.commit()


def _ahead(items: Iterator[tuple[str, dict]]) -> Iterator[tuple[str, str | None, Callable[[], dict]]]:
    """Each item: its label, what it is read from, a function that gives it with its bytes read.

    What lies on S3 is read a few items ahead.
    """
    first = next(items, None)
    if first is None:
        return
    items = itertools.chain([first], items)
    if not any(_remote(value) for value in first[1].values()):
        for label, item in items:
            yield label, _origin(item), functools.partial(_resolved, item)
        return
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        waiting: deque[tuple[str, str | None, Future]] = deque()
        for label, item in items:
            waiting.append((label, _origin(item), pool.submit(_resolved, item)))
            if len(waiting) > READ_AHEAD:
                label, origin, future = waiting.popleft()
                yield label, origin, future.result
        for label, origin, future in waiting:
            yield label, origin, future.result


def _origin(item: Mapping[str, Any]) -> str | None:
    """The files, or members of archives, that an item is read from; the first few, when it is many."""
    labels = list(dict.fromkeys(_labels(item.values())))
    more = f", and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return ", ".join(labels[:NAMED]) + more if labels else None


def _labels(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, Ref):
            yield value.label
        elif isinstance(value, dict):
            yield from _labels(value.values())
        elif isinstance(value, list | tuple):
            yield from _labels(value)


def _remote(value: Any) -> bool:
    source = value.data if isinstance(value, File) else value
    return isinstance(source, Ref) and isinstance(files_at(source.root), Bucket)


def _resolved(item: dict) -> dict:
    return {name: _read(value) for name, value in item.items()}


def _read(value: Any) -> Any:
    """Bytes for a reference. A range of an object that is to be copied is read as well; it cannot be linked."""
    if isinstance(value, Ref):
        return value.read()
    if isinstance(value, File) and _remote(value) and (value.data.length or READ_WHOLE) < READ_WHOLE:
        return replace(value, data=value.data.read(), source=value.source or value.data.label)
    return value
