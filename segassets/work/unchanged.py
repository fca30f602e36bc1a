"""Files that only change their place, whether they lie in a folder or in a zip."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segassets.findings import Finding
from segassets.items import File, Made
from segassets.sources.zip_members import Member
from segassets.work.plans import Items, copy, each


def stored_file(item: str, name: str, data: bytes) -> Made:
    """A file as it is: a member of a zip, which no link can reach."""
    return Made([File(name, data)])


def unchanged(items: Sequence[tuple], findings: Sequence[Finding] = (), stored: Callable[..., Made] = stored_file):
    """A plan for (item, name, reference): linked, copied on the server, or read out of the zip that holds them.

    `stored(item, name, data)` takes what is read out of a zip, and may refuse it.
    """
    if not any(isinstance(ref, Member) for _, _, ref in items):
        return copy(items, findings=findings)
    listed = [{"item": item, "name": name, "data": ref} for item, name, ref in items]
    return each(Items(listed, "item"), stored, findings=findings)
