"""Dagster's instance of DAGSTER_HOME, opened for a command or for the UI; what is wrong with it in one line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator

from dagster import DagsterInstance

from segassets.errors import SegassetsError, UsageError

# Another host's process may be creating the tables of a common database: they will be there in a moment.
CREATION_SECONDS = 0.5
ATTEMPTS = 10
_UNSET = re.compile(r'environment variable "([^"]+)" which is not set')


def opened() -> DagsterInstance:
    """The instance. UsageError when there is none: a relative DAGSTER_HOME, a faulty dagster.yaml, a variable that it
    names and nobody has set; SegassetsError when its database is away."""
    for attempt in range(ATTEMPTS):
        try:
            with _alone():
                instance = DagsterInstance.get()
            instance.compute_log_manager  # noqa: B018 - made late, and then it is the run that cannot start
            return instance
        except Exception as problem:  # Dagster, YAML, SQLAlchemy and the drivers raise many kinds
            if "already exists" in str(problem) and attempt < ATTEMPTS - 1:
                time.sleep(CREATION_SECONDS)
                continue
            kind = SegassetsError if of_database(problem) else UsageError
            raise kind(f"Dagster's instance cannot be opened: {_reason(problem)}.") from problem
    raise AssertionError("the last attempt has returned or raised")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One process at a time: two that create the same SQLite tables can leave them in a state that neither opens."""
    with contextlib.ExitStack() as stack:
        # Without such a folder, or a right to write there, Dagster says what is wrong, or nothing has to be created.
        with contextlib.suppress(OSError):
            lock = stack.enter_context(open(os.path.join(os.environ.get("DAGSTER_HOME", ""), ".opening"), "w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _reason(problem: Exception) -> str:
    if said := next((said for one in _causes(problem) if (said := _unset(str(one)))), None):
        return said
    if database := of_database(problem):
        return f"its database did not answer: {database}. Check it, and `storage:` in dagster.yaml"
    mark = getattr(problem, "problem_mark", None)
    if mark is not None:
        return (
            f"dagster.yaml, line {mark.line + 1}: {getattr(problem, 'problem', None) or 'this is no YAML'}: correct it"
        )
    first = str(problem).strip().partition("\n")[0].rstrip(" .:") or type(problem).__name__
    return f"{first}. DAGSTER_HOME must name a folder, and dagster.yaml in it be as Dagster's documentation has it"


def shortly(text: str) -> str:
    """The line that matters of what Dagster says when a run cannot begin."""
    return _unset(text) or text.strip().partition("\n")[0]


def of_database(problem: BaseException | None) -> str | None:
    """What a database has said, however often its error has been wrapped; None when it is no error of one."""
    for one in _causes(problem):
        # Only what SQLAlchemy raises has both: the statement it was about, and the driver's own error.
        if hasattr(one, "statement") and isinstance(getattr(one, "orig", None), Exception):
            return " ".join(str(one.orig).split())
    return None


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def _unset(text: str) -> str | None:
    found = _UNSET.search(text)
    return found and f"dagster.yaml takes a value from the environment variable {found[1]}, which is not set: set it"
