from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from segassets.cli import main
from segassets_tests.dagster.platform import fresh, made, made_once  # noqa: F401


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def planned(self) -> set[str]:
        """The assets and partitions that a dry run would make."""
        return {line.split(maxsplit=1)[1] for line in self.lines if line.startswith("planned")}


@pytest.fixture
def call(capfd, monkeypatch) -> Callable[..., Said]:
    """The `segassets` command in this process: as from a shell, but for the time that it takes to start."""

    def call(*arguments: object, **environment: object) -> Said:
        capfd.readouterr()
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, str(value))
            patch.setattr(sys, "argv", ["segassets", *map(str, arguments)])
            with pytest.raises(SystemExit) as left:
                main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Said(left.value.code, out, err)

    return call
