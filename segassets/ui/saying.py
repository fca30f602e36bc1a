"""What the UI and its daemon tell the person who started them."""

from __future__ import annotations

import sys


def complain(error: object, status: int) -> int:
    """One line on standard error; the exit status, for whoever returns it."""
    print(f"segassets ui: {error}", file=sys.stderr, flush=True)
    return status


def say(text: str) -> None:
    print(text, flush=True)
