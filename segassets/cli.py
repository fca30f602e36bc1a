"""The door for a terminal: reads arguments, prints what commands return. Heavy imports wait until they are needed."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from pydantic import ValidationError

from segassets import __version__
from segassets.errors import SegassetsError, UsageError, plainly


def console() -> None:
    """The console script: `main`, and then the end of the process without taking the interpreter down.

    Now and then a thread pool of a library aborts at that, and a command that has done everything would end with another
    status. Nothing is left to be done: workers end with their parent.
    """
    try:
        main()
    except SystemExit as left:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # None: it was closed by whoever called
                stream.flush()
        os._exit(left.code if isinstance(left.code, int) else 1)


def main() -> None:
    """Run a command and exit. Errors are one or a few lines on standard error; the status says which kind (0, 1, 2)."""
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # else libraries' complaints come between our messages
    sys.unraisablehook = _unraisable
    try:
        status = cli.main(standalone_mode=False, prog_name="segassets")
    except click.exceptions.Exit as left:
        status = left.exit_code
    except click.ClickException as wrong:
        wrong.show()
        status = 2
    except UsageError as wrong:
        _complain(str(wrong))
        status = 2
    except ValidationError as wrong:
        for problem in wrong.errors():
            if not problem["loc"]:
                _complain(problem["msg"].removeprefix("Value error, "))
                continue
            name = str(problem["loc"][0])
            variable = name if name.isupper() else f"SEGASSETS_{name.upper()}"
            _complain(f"{variable}: {problem['msg'].removeprefix('Value error, ')} (found {problem['input']!r})")
        status = 2
    except (SegassetsError, OSError) as problem:
        _complain(plainly(problem) if isinstance(problem, OSError) else str(problem))
        status = 1
    except (KeyboardInterrupt, click.exceptions.Abort):
        _complain("interrupted; finished batches are kept: run the same command to go on")
        status = 1
    except Exception as problem:
        _complain(_unexpected(problem))
        if _debugging():
            raise
        status = 1
    sys.exit(status or 0)


def _unexpected(problem: BaseException) -> str:
    """An error nobody foresaw, in one line. A database that is away comes wrapped by whoever gave up asking it."""
    from segassets.instance import of_database

    if said := of_database(problem):
        return f"Dagster's database did not answer: {said}. Check it, and `storage:` in dagster.yaml"
    return f"{type(problem).__name__}: {problem} (a fault of segassets: please report it; SEGASSETS_DEBUG=1)"


def _unraisable(problem) -> None:
    """An interrupt that came where Python can raise nothing (in a callback of a weak reference, say) would be printed
    and lost: it is sent again, by another thread, since here it would be lost again. Dagster's own is one, too."""
    if (
        issubclass(problem.exc_type, KeyboardInterrupt)
        or problem.exc_type.__name__ == "DagsterExecutionInterruptedError"
    ):
        again = threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGINT])
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(problem)


def _debugging() -> bool:
    return bool(os.environ.get("SEGASSETS_DEBUG"))


def _complain(text: str) -> None:
    click.echo(f"segassets: {text}", err=True)


def _catalogue():
    from segassets.commands.catalogue import Catalogue
    from segassets.settings import load

    return Catalogue(load())


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, sign, rest = value.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
        pairs[name.strip()] = rest
    return pairs


class Share(click.FloatRange):
    """A number from 0 to 1. NaN is within no limits, which click does not see."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is not in the range {self.min}<=x<={self.max}.", param, ctx)
        return number


setting = click.option("--set", "options", multiple=True, metavar="NAME=VALUE", callback=_pairs, help="An option.")
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON value instead of text.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="segassets")
def cli() -> None:
    """Segmentation datasets as assets: from raw downloads to the exact trees that training code reads."""


@cli.command()
@click.argument("what", nargs=-1, required=True)
@click.option("--partition", "partitions", multiple=True, metavar="KEY", help="Only this partition; may be repeated.")
@click.option("--max-rejected", type=Share(0, 1), metavar="SHARE", help="Share of items that may be left out.")
@setting
@click.option("--only", is_flag=True, help="Not what WHAT is made from.")
@click.option("--force", is_flag=True, help="Make it again, also when nothing changed.")
@click.option("--dry-run", is_flag=True, help="Only say what would be made.")
def materialize(what, partitions, max_rejected, options, only, force, dry_run) -> int:
    """Make WHAT (a dataset, an asset, or a Dagster asset selection) and what it needs, as far as it is not current."""
    from segassets.commands import materialize as command

    request = command.Request(what, partitions, options, max_rejected, only, force)
    failed = False
    current = 0
    with _progress():
        for event in command.shortened(command.materialize(_catalogue(), request, dry_run)):
            failed |= event.kind == "failed"
            current += event.kind == "current"
            if event.kind == "failed":
                click.echo(f"failed   {event.label}\n{_indented(event.text)}", err=True)
            elif event.kind != "current":
                click.echo(f"{event.kind:8} {event.label}{': ' + event.text if event.text else ''}")
    if current:
        click.echo(f"current  {current} partition{'s' if current != 1 else ''} of assets: nothing to do")
    return 1 if failed else 0


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


@contextmanager
def _progress() -> Iterator[None]:
    """A bar on a terminal, plain lines otherwise."""
    from segassets.work import progress

    if not sys.stderr.isatty():
        token = progress.watcher.set(_Lines())
        try:
            yield
        finally:
            progress.watcher.reset(token)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rate="")

        def show(state) -> None:
            rate = f"{state.items:,} items, {state.files:,} files"
            bar.update(task, description=state.label, total=state.total or None, completed=state.done, rate=rate)

        token = progress.watcher.set(show)
        try:
            yield
        finally:
            progress.watcher.reset(token)


class _Lines:
    """A line about a long partition every ten seconds."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def __call__(self, state) -> None:
        if state.seconds - self._said.get(state.label, 0.0) > 10:
            self._said[state.label] = state.seconds
            click.echo(f"         {state.line()}", err=True)


@cli.command()
@click.argument("what", nargs=-1)
@as_json
def status(what, as_json) -> int:
    """A table: asset, partitions made, missing, failed; files, bytes, findings."""
    from segassets.commands import status as command

    rows = command.status(_catalogue(), what)
    if as_json:
        click.echo(json.dumps(rows))
        return 0
    _table(
        rows, ["asset", "made", "missing", "failed", "files", "bytes", "errors", "warnings", "infos"], wide=["asset"]
    )
    return 0


def _table(rows: list[dict], columns: list[str], wide: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in wide else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{row[c]:,}" if isinstance(row[c], int) else str(row[c]) for c in columns))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


@cli.command()
@click.argument("what", nargs=-1, required=True)
@click.option("--partition", "partitions", multiple=True, metavar="KEY")
@as_json
def findings(what, partitions, as_json) -> int:
    """What is wrong with the items of WHAT, one line (with --json one JSON object) each."""
    from segassets.commands import status as command

    for asset, partition, finding in command.findings(_catalogue(), what, partitions):
        if as_json:
            click.echo(json.dumps({"asset": asset, "partition": partition, **finding.to_json()}))
        else:
            click.echo(f"{asset}{' ' + partition if partition else ''}: {finding}")
    return 0


@cli.command()
@click.argument("layout")
@click.argument("path", type=click.Path(path_type=Path))
@setting
@as_json
def inspect(layout, path, options, as_json) -> int:
    """Check a folder or archive that is not (yet) in the raw folder, without Dagster."""
    from segassets.commands import inspect as command

    found = command.inspect(layout, path, options)
    if as_json:
        click.echo(json.dumps({"findings": [finding.to_json() for finding in found.findings], "index": found.index}))
    else:
        for finding in found.findings:
            click.echo(str(finding))
        click.echo(found.summary)
    return 1 if any(finding.severity == "error" for finding in found.findings) else 0


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=3000, show_default=True)
@click.option("--read-only", is_flag=True, help="Look, but change nothing.")
@click.option("--no-daemon", is_flag=True, help="Schedules, sensors and the queue are another service's.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Serve the code locations of a workspace.yaml.",
)
@click.option(
    "--public-url",
    "public_urls",
    multiple=True,
    metavar="URL",
    help="Where a proxy with a login makes it reachable (https://data.example.org); may be repeated.",
)
def ui(port, read_only, no_daemon, workspace, public_urls) -> int:
    """Dagster's UI and daemon on 127.0.0.1, guarded against other sites' pages."""
    from segassets.settings import load, prepare_dagster_home
    from segassets.ui.serve import serve

    prepare_dagster_home(load())
    if workspace is None and not read_only:
        _register()
    return serve(port, read_only, workspace, daemon=not no_daemon, public_urls=public_urls)


def _register() -> None:
    """Make partitions of what lies in the raw folder. Records can be looked at without it, when it is away."""
    try:
        _catalogue().register()
    except UsageError:
        raise
    except (SegassetsError, OSError) as problem:
        told = plainly(problem) if isinstance(problem, OSError) else str(problem)
        _complain(f"the raw folder was not looked at, so that new partitions are not there yet: {told}")


@cli.command()
@click.argument("what", nargs=-1, required=True)
@click.option("--partition", "partitions", multiple=True, metavar="KEY")
def verify(what, partitions) -> int:
    """Read everything back and compare it with the manifest: missing, extra, changed files."""
    from segassets.commands import verify as command

    wrong = 0
    for line in command.verify(_catalogue(), what, partitions):
        wrong += not line.ok
        click.echo(line.text, err=not line.ok)
    return 1 if wrong else 0


@cli.command()
@click.argument("file")
@click.option("--made-from", is_flag=True, help="FILE is a raw file: what was made from it.")
@as_json
def explain(file, made_from, as_json) -> int:
    """For a published file: from which source, by which code and libraries, with which configuration, when."""
    from segassets.commands import explain as command

    about = command.made_from(_catalogue(), file) if made_from else command.explain(_catalogue(), file)
    if as_json:
        click.echo(json.dumps(about))
        return 0
    for record in about if isinstance(about, list) else [about]:
        for name, value in record.items():
            text = json.dumps(value) if isinstance(value, dict | list) else "-" if value is None else value
            click.echo(f"{name:14} {text}")
        click.echo()
    return 0


@cli.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def sample(folder) -> int:
    """Write the synthetic raw sample to FOLDER (default: the raw folder); refuses a folder with other files in it."""
    from segassets.sample import NotOurs, write
    from segassets.settings import is_remote, load

    if folder is None:
        root = load().raw
        if is_remote(root):
            raise UsageError(f"the sample is written to a folder; SEGASSETS_RAW is {root}")
        folder = Path(root)
    try:
        written = write(folder)
    except NotOurs as refused:
        raise SegassetsError(str(refused)) from None
    click.echo(f"{len(written)} sample files in {folder}")
    return 0
