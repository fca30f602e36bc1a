"""The installed command as a process of its own: killed, interrupted, quick to start; and Dagster's own commands."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

import segassets
from segassets_tests.dagster.platform import IMAGES, SHARD, Platform
from segassets_tests.dagster.web import LAUNCH, answered, asset, finished, launch, metadata, real_ui

PROJECT = Path(segassets.__file__).parents[1]
COMMAND = "import sys; from segassets.cli import console; sys.argv[0] = 'segassets'; console()"


def start(*arguments: str, code: str = COMMAND, **options) -> subprocess.Popen[str]:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **options)


@contextmanager
def waiting(platform: Platform) -> Iterator[subprocess.Popen[str]]:
    """A command whose step waits: for workers of an earlier run that are still writing."""
    lock = platform.store / ".segassets/locks/sa1b/shard_index" / f"{SHARD}.lock.workers"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        process = start("materialize", "sa1b/shard_index", "--partition", SHARD)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def runs(instance: dg.DagsterInstance) -> list[str]:
    return [run.status.value for run in instance.get_runs()]


def started(platform: Platform) -> dg.DagsterInstance:
    """The instance, as soon as a step runs in it."""
    instance, deadline = dg.DagsterInstance.get(), time.monotonic() + 60
    while not (platform.store / f".segassets/locks/sa1b/shard_index/{SHARD}.lock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return instance


def test_the_run_of_a_killed_command_is_failed_by_the_next(fresh: Platform):
    with waiting(fresh):
        instance = started(fresh)
        assert runs(instance) == ["STARTED"]
    assert runs(instance) == ["STARTED"], "nobody has told Dagster"
    status = start("status", "sa1b/masks")
    assert status.communicate()[1] == "" and status.returncode == 0
    assert runs(instance) == ["FAILURE"]


def test_an_interrupted_command_says_how_to_go_on_and_leaves_no_run_behind(fresh: Platform):
    with waiting(fresh) as interrupted:
        instance = started(fresh)
        interrupted.send_signal(signal.SIGINT)
        out, err = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 1 and "Traceback" not in out + err
    assert "interrupted" in err
    assert runs(instance) in (["FAILURE"], ["CANCELED"])


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "DagsterExecutionInterruptedError"])
def test_an_interrupt_where_python_can_raise_nothing_is_not_lost(kind):
    """It came in a callback of a weak reference once: a stack trace was printed, and the run went on."""
    code = f"""
import os, signal, sys, time, weakref
from segassets import cli
class DagsterExecutionInterruptedError(BaseException): pass
class Thing: pass
def interrupted(*_): raise {kind}
def callback(_):
    os.kill(os.getpid(), signal.SIGINT)
    print("callback")
def work(**_):
    thing = Thing()
    reference = weakref.ref(thing, callback)
    before = signal.signal(signal.SIGINT, interrupted)
    del thing
    signal.signal(signal.SIGINT, before)
    time.sleep(30)
    print("lost")
cli.cli.main = work
cli.console()
"""
    out, err = (process := start(code=code)).communicate(timeout=60)
    assert (process.returncode, out) == (1, "") and err.startswith("segassets: interrupted;"), (out, err)


def test_help_loads_nothing_heavy():
    code = "import sys; sys.argv = ['segassets', '--help']\nfrom segassets.cli import main\ntry: main()\nfinally: "
    process = start(code=code + "print(sorted(set(sys.modules) & {'dagster', 'numpy', 'pyarrow', 'PIL', 's3fs'}))")
    assert process.communicate()[0].endswith("[]\n")


def test_dagsters_own_commands_work_from_a_shell(fresh: Platform):
    fresh.catalogue().register()
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    validate = start("definitions", "validate", "-w", "workspace.yaml", code=DAGSTER, cwd=PROJECT, env=environment)
    make = start(
        *("asset", "materialize", "-m", "segassets.definitions", "--partition", SHARD),
        *("--select", "sa1b/shard_index,sa1b/mask_table"),
        code=DAGSTER,
        cwd=fresh.folder,
        env=environment,
    )
    said = "".join(make.communicate())
    assert make.returncode == 0, said
    assert fresh.published("mask_table").row_count() == IMAGES * 3
    said = "".join(validate.communicate())
    assert validate.returncode == 0, said


DAGSTER = "import sys; from dagster._cli import main; sys.argv[0] = 'dagster'; main()"


def test_a_wheel_holds_everything_and_loads_from_anywhere(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(PROJECT / "segassets", source / "segassets", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    build = subprocess.run([*pip, "-w", tmp_path, source], capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
        held = set(archive.namelist())
    wanted = {
        path.relative_to(source).as_posix()
        for kind in ("*.py", "*.toml", "*.yaml", "*.json")
        for path in (source / "segassets").rglob(kind)
    }
    assert wanted - held == set()
    code = (
        "import segassets; from segassets.definitions import defs; d = defs(); print(segassets.__file__);"
        "print(len(list(d.resolve_asset_graph().get_all_asset_keys())))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    process = start(code=code, cwd=tmp_path, env=environment)
    out, err = process.communicate()
    assert process.returncode == 0, err
    place, assets = out.split()
    assert place.startswith(str(tmp_path / "installed")) and int(assets) > 10


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the UI ends its processes through /proc")
def test_a_partition_is_materialized_in_the_real_ui(fresh: Platform):
    with real_ui() as client:

        def ask(query: str, **variables):
            return answered(client.post, query, variables)

        assert asset(ask, "sa1b/masks")["partitionKeys"] == [SHARD, "sa_000001"]
        run = launch(ask, "sa1b/shard_index", "sa1b/mask_table", partition=SHARD)
        assert finished(ask, run) == "SUCCESS"
        assert "data:image/png;base64," in metadata(ask, "sa1b/mask_table", SHARD)["preview"]["mdStr"]
        refused = client.post("/graphql", json={"query": LAUNCH}, headers={"Origin": "http://elsewhere.example"})
        assert refused.status_code == 403
