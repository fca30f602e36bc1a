"""The environment, read once per door, typed. Nothing else in the project looks at `os.environ`.

Belongs here: which variable means what, defaults, and making paths absolute. Credentials do not pass through here:
the S3 client reads its own variables.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

CopyMode = Literal["auto", "reflink", "hardlink", "copy"]


def is_remote(root: str) -> bool:
    """Whether a root is a URL of another store than the local file system."""
    return "://" in root and not root.startswith("file://")


class Settings(BaseSettings):
    """Where things are and how much of the machine to use."""

    model_config = SettingsConfigDict(env_prefix="SEGASSETS_", extra="ignore")

    raw: str = Field("data/raw", description="the downloads: a folder or s3://bucket/prefix")
    store: str = Field("data/store", description="published artifacts: a folder or s3://bucket/prefix")
    defs: Path | None = Field(None, description="a further folder of */defs.yaml: a user's own datasets")
    copy_mode: CopyMode = Field("auto", validation_alias="SEGASSETS_COPY", description="how unchanged files get in")
    workers: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, le=1024)
    engine: Literal["local", "ray"] = Field("local", description="where batches are carried out: here, or on a cluster")
    ray_address: str = Field("auto", validation_alias="RAY_ADDRESS", description="Ray's own variable: the cluster")
    dagster_home: Path = Field(Path(".dagster_home"), validation_alias="DAGSTER_HOME")

    @field_validator("raw", "store")
    @classmethod
    def _absolute_root(cls, root: str) -> str:
        if not root.strip():
            raise ValueError("is empty; give a folder or s3://bucket/prefix")
        if is_remote(root):
            if not root.startswith("s3://") or root.startswith("s3:///") or root == "s3://":
                raise ValueError(f"{root!r} is neither a folder nor s3://bucket/prefix")
            return root.rstrip("/")
        path = str(Path(root.removeprefix("file://")).expanduser().absolute())
        plain = os.path.normpath(path)
        # `link/..` is not where it seems: then the path stays as it was written.
        return plain if os.path.realpath(plain) == os.path.realpath(path) else path

    @model_validator(mode="after")
    def _roots_apart(self) -> Self:
        """Only downloads write below the raw root, and nothing but published trees lies in the store."""
        raw, store = (
            root.rstrip("/") if is_remote(root) else os.path.realpath(root) for root in (self.raw, self.store)
        )
        if f"{store}/".startswith(f"{raw}/"):
            raise ValueError(
                f"SEGASSETS_STORE ({self.store}) lies in SEGASSETS_RAW ({self.raw}); give it another place"
            )
        if f"{raw}/".startswith(f"{store}/"):
            raise ValueError(
                f"SEGASSETS_RAW ({self.raw}) lies in SEGASSETS_STORE ({self.store}); give it another place"
            )
        return self

    @field_validator("ray_address")
    @classmethod
    def _some_cluster(cls, address: str) -> str:
        return address.strip() or "auto"

    @field_validator("defs", "dagster_home")
    @classmethod
    def _absolute_path(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path is not None else None


def load() -> Settings:
    """The settings of this process, from the environment. Raises pydantic's ValidationError naming each bad variable."""
    return Settings()


_INSTANCE_DEFAULTS = """\
# Written by segassets; yours to change. Storage is SQLite in this folder unless you configure another.
telemetry:
  enabled: false
nux:
  enabled: false

# One machine is not overrun: a run uses all cores by itself, a second one only overlaps reading and writing. Of runs
# that nobody asked for (schedules, sensors) one at a time: the other place is for a person.
concurrency:
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - {key: segassets/automated, limit: 1}
  pools:
    default_limit: 2
    granularity: run

# A failed asset is not made again by itself: bad input stays bad.
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false

retention:
  sensor:
    purge_after_days: {skipped: 7, failure: 30, success: 90}

freshness:
  enabled: true
"""


def prepare_dagster_home(settings: Settings) -> Path:
    """Make DAGSTER_HOME absolute and existing, with a `dagster.yaml` if it has none. Dagster refuses relative ones."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_INSTANCE_DEFAULTS, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    return home
