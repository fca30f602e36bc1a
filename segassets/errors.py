"""Errors that a person acts on. Each message says which asset and partition, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from segassets.findings import Finding


class SegassetsError(Exception):
    """Base of all errors that are shown as a message, without a traceback."""


class UsageError(SegassetsError):
    """The call itself is wrong (exit status 2)."""


class NotPublished(SegassetsError):
    """A partition that something needs has no manifest."""


class BeingPublished(SegassetsError):
    """A partition is being replaced right now, or was while it was read."""


class Busy(SegassetsError):
    """Another run is making the same partition."""


class ForeignFile(SegassetsError):
    """A file that is not ours lies where an artifact's file should go."""


class Skip(SegassetsError):
    """There is nothing to make this partition from, and that is no failure; the message says what is not there."""


class PartitionRejected(SegassetsError):
    """Too many items of a partition could not be made; nothing of it was published."""

    def __init__(self, message: str, findings: Sequence[Finding] = ()):
        super().__init__(message)
        self.findings = list(findings)
