"""Errors that a person acts on. Each message says which asset and partition, what was found, and what to do."""

from __future__ import annotations

import errno
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


class Unreadable(SegassetsError):
    """A record of the platform's own is damaged."""


class Busy(SegassetsError):
    """Another run is making the same partition."""


class NoRoom(SegassetsError):
    """The disk has no room for what is about to be written."""


class ForeignFile(SegassetsError):
    """A file that is not ours lies where an artifact's file should go."""


class Skip(SegassetsError):
    """There is nothing to make this partition from, and that is no failure; the message says what is not there."""


class PartitionRejected(SegassetsError):
    """Too many items of a partition could not be made; nothing of it was published."""

    def __init__(self, message: str, findings: Sequence[Finding] = ()):
        super().__init__(message)
        self.findings = list(findings)


_REMEDIES = {
    errno.ENOSPC: "the disk is full: make room, then run again (finished batches are kept)",
    errno.EDQUOT: "the quota is used up: make room, then run again (finished batches are kept)",
    errno.EACCES: "it may not be read or written by this user: correct its permissions, or choose another place",
    errno.EPERM: "it may not be read or written by this user: correct its permissions, or choose another place",
    errno.EROFS: "it is on a file system that is mounted read-only: choose another place",
    errno.ENOENT: "it does not exist and could not be made: correct SEGASSETS_RAW or SEGASSETS_STORE",
    errno.ENAMETOOLONG: "the name is too long for this file system: choose a store with a shorter path",
}


def plainly(problem: OSError) -> str:
    """An error of the machine as one sentence: which file, what is wrong, what to do."""
    where = f"{problem.filename}: " if problem.filename else ""
    if isinstance(problem, PermissionError) and not problem.errno:  # as the S3 client has it
        return f"{where}access was refused: check the credentials and the endpoint in the environment (AWS_...)"
    remedy = _REMEDIES.get(problem.errno or 0)
    return f"{where}{remedy}" if remedy else f"{where}{problem.strerror or problem}"
