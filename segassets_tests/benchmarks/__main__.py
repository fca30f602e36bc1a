"""Runs `rows()` of every `bench_*` module beside this one and prints a table.

python -m segassets_tests.benchmarks [--quick] [part of a module's name ...]
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil

from rich.console import Console
from rich.table import Table

import segassets_tests.benchmarks as here
from segassets_tests.benchmarks.harness import Row


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m segassets_tests.benchmarks", description=here.__doc__)
    parser.add_argument("modules", nargs="*", help="only benchmark modules whose name contains one of these")
    parser.add_argument("--quick", action="store_true", help="a small corpus")
    arguments = parser.parse_args()
    names = sorted(module.name for module in pkgutil.iter_modules(here.__path__) if module.name.startswith("bench_"))
    console = Console()
    if not console.is_terminal:
        console = Console(width=220)
    for name in names:
        if not arguments.modules or any(part in name for part in arguments.modules):
            module = importlib.import_module(f"{here.__name__}.{name}")
            console.print(table(name, module.rows(quick=arguments.quick)))


def table(title: str, rows: list[Row]) -> Table:
    """Times are a unit's median processor time (user + system, children included)."""
    made = Table(title=title, title_justify="left")
    made.add_column("ours / baseline", overflow="fold")
    for heading in ("ours ms", "baseline ms", "faster", "wall ms", "wall baseline", "bytes", "of baseline's"):
        made.add_column(heading, justify="right")
    made.add_column("note", overflow="fold")
    for row in rows:
        sizes = ("", "")
        if row.bytes_ours is not None and row.bytes_baseline:
            sizes = (f"{row.bytes_ours:,.0f}", f"{row.bytes_ours / row.bytes_baseline:.2f}")
        times = (f"{t:.3f}" for t in (row.ours_ms, row.baseline_ms))
        walls = (f"{t:.3f}" for t in (row.wall_ours_ms, row.wall_baseline_ms))
        made.add_row(row.name, *times, f"{row.ratio:.1f}x", *walls, *sizes, row.note)
    return made


if __name__ == "__main__":
    main()
