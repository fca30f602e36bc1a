"""Running the command line as a user does: a process of its own, its own store, its own Dagster home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from segassets.store.store import Store

#: Variables that would let a test see the tester's own data or credentials.
_PRIVATE = ("SEGASSETS_", "DAGSTER_", "AWS_")


@dataclass
class Place:
    """A raw folder (or bucket), a store and a Dagster home of one test."""

    raw: str
    store: str
    home: str
    environment: dict[str, str]

    @classmethod
    def below(cls, folder: Path, raw: str | Path | None = None, **environment: str) -> Place:
        """Everything in `folder`; `raw` elsewhere when given."""
        return cls(str(raw or folder / "raw"), str(folder / "store"), str(folder / "home"), environment)

    def environ(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
        paths = {"SEGASSETS_RAW": self.raw, "SEGASSETS_STORE": self.store, "DAGSTER_HOME": self.home}
        return {**clean, **paths, "SEGASSETS_WORKERS": "2", **self.environment}

    def run(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess:
        """`segassets ...`; the exit status is checked unless `status` is None."""
        done = subprocess.run(
            [sys.executable, "-c", "from segassets.cli import console; console()", *arguments],
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=280,
        )
        if status is not None:
            assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *arguments: str) -> subprocess.Popen:
        """`segassets ...`, not waited for; what it says is read by `communicate`."""
        return subprocess.Popen(
            [sys.executable, "-c", "from segassets.cli import console; console()", *arguments],
            env=self.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def findings(self, what: str) -> list[dict]:
        """The findings of an asset or a dataset."""
        lines = self.run("findings", what, "--json").stdout.splitlines()
        return [json.loads(line) for line in lines]

    @property
    def published(self) -> Store:
        return Store(self.store)
