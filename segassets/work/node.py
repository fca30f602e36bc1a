"""What a node of a cluster has to have in common with the process that sends it work; runs there. No Dagster, no Ray.

The same code, the same libraries (they decide pixels and bytes), the same store and the same raw files. A node that
lacks one of these would not fail: it would make other files, or write them where nobody looks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from segassets import __version__
from segassets.errors import SegassetsError
from segassets.files.folder import Folder
from segassets.files.ref import files_at
from segassets.store.batch import Place, Summary
from segassets.work.versions import library_versions
from segassets.work.worker import Task, run_batch


@dataclass(frozen=True)
class Sight:
    """A file as the sender sees it."""

    root: str
    path: str
    size: int


@dataclass(frozen=True)
class Expected:
    """What the sender has: versions, a mark that it has put into the store, some raw files."""

    versions: tuple[tuple[str, str], ...]
    root: str
    mark: str
    token: str
    sights: tuple[Sight, ...] = ()


class UnfitNode(SegassetsError):
    """A node that may not be given work; the message has a line for each reason."""


@lru_cache(maxsize=1)
def versions() -> tuple[tuple[str, str], ...]:
    """Everything that decides what comes out, and a digest of our own code, which may be a checkout."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), **library_versions(), "code": _code()}
    return tuple(sorted({**found, "segassets": __version__}.items()))


def _code() -> str:
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".json", ".yaml"):
            digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def expectation(place: Place, sights: Sequence[Sight]) -> Iterator[Expected]:
    """What nodes have to see, with a mark in the stage that is there as long as the stage is this run's."""
    token = os.urandom(16).hex()
    mark = f"{place.path}/cluster/{token}"
    place.files.write(mark, token.encode())
    try:
        yield Expected(versions(), place.root, mark, token, tuple(sights))
    finally:
        place.files.delete([mark])


def differences(expected: Expected) -> list[str]:
    """Why this machine may not take part; empty when it may."""
    return [*_other_versions(expected), *_unseen_store(expected), *_unseen_raw(expected)]


def _other_versions(expected: Expected) -> Iterator[str]:
    there, here = dict(expected.versions), dict(versions())
    apart = [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]
    if apart:
        told = ", ".join(f"{name} {here.get(name, 'none')} instead of {there.get(name, 'none')}" for name in apart)
        yield f"has {told}; install the same version of segassets and its libraries everywhere"


def _unseen_store(expected: Expected) -> Iterator[str]:
    remedy = "the store has to be one place for all nodes: a shared folder mounted at the same path, or s3://"
    try:
        if files_at(expected.root).read(expected.mark) != expected.token.encode():
            yield f"sees another store at {expected.root}; {remedy}"
    except FileNotFoundError:
        yield f"does not see the store {expected.root}; {remedy}"
    except Exception as problem:
        yield f"cannot read the store {expected.root} ({type(problem).__name__}: {problem}); {remedy}"
    else:
        folder = os.path.dirname(os.path.join(expected.root, expected.mark))
        if isinstance(files_at(expected.root), Folder) and not os.access(folder, os.W_OK | os.X_OK):
            yield f"may not write into the store {expected.root}; correct its permissions there"


def _unseen_raw(expected: Expected) -> Iterator[str]:
    remedy = "the raw folder has to be one place for all nodes as well"
    for sight in expected.sights:
        try:
            entry = files_at(sight.root).stat(sight.path)
        except Exception as problem:
            yield f"cannot read {sight.root}/{sight.path} ({type(problem).__name__}: {problem}); {remedy}"
            return
        if entry is None or entry.size != sight.size:
            found = "does not see" if entry is None else f"sees {entry.size:,} bytes, not {sight.size:,}, in"
            yield f"{found} {sight.root}/{sight.path}; {remedy}"
            return


def look(expected: Expected) -> tuple[str, list[str]]:
    """This machine's name, and why it may not take part."""
    return socket.gethostname(), differences(expected)


@lru_cache(maxsize=64)
def _admitted(expected: Expected) -> None:
    """Once a worker process: nodes may join while the work goes on."""
    if problems := differences(expected):
        raise UnfitNode("\n".join(f"{socket.gethostname()}: {problem}" for problem in problems))


def run_batch_here(task: Task, expected: Expected) -> Summary:
    """`run_batch` on a node of a cluster, which may be another machine than the sender's."""
    _admitted(expected)
    files = task.place.files
    if not isinstance(files, Folder):
        task = replace(task, lock=None)  # the lock of workers is a file of the sender's machine

    def confirm() -> None:
        """A worker outlives its killed sender for a moment: it must not commit into a stage that is for other work."""
        if files.stat(expected.mark) is None:
            raise SegassetsError("the run that this batch belonged to has ended")

    return run_batch(task, confirm)
