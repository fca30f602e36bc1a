"""The templates below `deploy/`, as tests use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


def template(name: str) -> dict[str, Any]:
    """A template of `dagster.yaml`."""
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def install(config: dict[str, Any], home: Path) -> Path:
    """Write a configuration where Dagster looks for it."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return home
