"""Making and publishing a partition without Dagster: files by name, straight into a stage."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import pytest

from segassets.files.bucket import Bucket
from segassets.findings import Finding
from segassets.items import File, Made
from segassets.store import locks
from segassets.store.batch import BatchWriter
from segassets.store.manifest import Footer
from segassets.store.store import Store

ASSET, KEY, INTO = "toys/blocks", "red", "toys/red"
ROWS = (("name", "string"),)


def publish(
    store: Store,
    contents: Mapping[str, bytes],
    *,
    asset: str = ASSET,
    key: str | None = KEY,
    into: str = INTO,
    findings: list[Finding] = (),
) -> None:
    """Make the partition of these files, as a run does: resumed when a stage is there, then published."""
    with store.locked(asset, key):
        stage = store.stage(asset, key, into, mark(contents), ROWS)
        if not stage.summaries:
            writer = BatchWriter(stage.place, 0)
            for name, data in contents.items():
                writer.add(name, Made([File(name, data)], {"name": [name]}))
            stage.add(writer.commit())
        footer = Footer(asset, key, "1", mark(contents), stage.data_version())
        store.publish(stage, footer, list(findings))


def mark(contents: Mapping[str, bytes]) -> str:
    """A fingerprint of what is to be made."""
    return repr(sorted(contents.items()))


def seen(store: Store, asset: str = ASSET, key: str | None = KEY) -> dict[str, bytes]:
    """What a reader of the platform gets: every file by its name below the target folder; rows are read, too."""
    handle = store.handle(asset, key)
    found = {path: handle.read(path) for path in handle.files["path"].to_pylist()}
    assert sorted(record["name"] for record in handle.records()) == sorted(
        name.removeprefix(f"{INTO}/") for name in found
    )
    return {name.removeprefix(f"{INTO}/"): data for name, data in found.items()}


class Killed(BaseException):
    """The process is dead: this step was not done, nor any later one."""


class Steps:
    """Counts what changes a store, and stops for ever before step number `last`."""

    def __init__(self, last: int | None = None):
        self.last = last
        self.done = 0

    def step(self) -> None:
        if self.last is not None and self.done >= self.last:
            raise Killed
        self.done += 1


CHANGING = ("replace", "rename", "unlink", "rmdir", "mkdir", "write", "link")


@contextlib.contextmanager
def steps(last: int | None = None) -> Iterator[Steps]:
    """Everything that changes a folder or a bucket passes through a counter, which may end the process."""
    counter = Steps(last)
    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGING:
            patch.setattr(os, name, _counted(counter, getattr(os, name)))
        plain = Bucket._call_all

        def call_all(self, calls):
            if any(not method.startswith(("get", "head", "list")) for method, _ in calls):
                counter.step()
            return plain(self, calls)

        patch.setattr(Bucket, "_call_all", call_all)
        me = locks.whoami()
        patch.setattr(locks, "whoami", lambda: {**me, "started": "long ago"})  # such a process has ended
        with contextlib.suppress(Killed):
            yield counter


def _counted(counter: Steps, plain):
    def call(*arguments, **named):
        counter.step()
        return plain(*arguments, **named)

    return call
