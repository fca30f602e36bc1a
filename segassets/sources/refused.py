"""Files of a dataset that are there by name and cannot be used: links that lead nowhere, names that are no paths.

They stay in the listing, so that whatever is made from it misses none of them without a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from segassets.files.paths import is_plain
from segassets.files.ref import Ref, files_at
from segassets.findings import BadItem, Finding, error
from segassets.formats.split_zip import safe_name
from segassets.formats.split_zip_members import Member

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Refused(Ref):
    """Stands where a `Ref` does; reading it raises BadItem with the finding that says `why`."""

    why: Finding = field(kw_only=True)

    def read(self, limit: int | None = None) -> bytes:
        raise BadItem(self.why)


def printable(path: str) -> str:
    r"""A name as it can be printed and stored: `caf\xe9.jpg` where bytes are no UTF-8, `\n` for a line's end."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def without_unsafe(refs: Mapping[str, Ref]) -> dict[str, Ref]:
    """The references; a name that no published file can have is refused, under the form of it that can be printed."""
    kept: dict[str, Ref] = {}
    for path, ref in refs.items():
        if is_plain(path):
            kept[path] = ref
        else:
            shown = printable(path)
            told = "its name is not UTF-8, or has a backslash, a control character or too many bytes: rename it"
            kept[shown] = Refused(ref.root, shown, why=error("unsafe_path", told, path=shown))
    return kept


def broken_links(folder: str, paths: Iterable[str]) -> dict[str, Refused]:
    """Those of the paths below a folder on disk that are symbolic links to nothing."""
    found: dict[str, Refused] = {}
    for path in paths:
        place = os.path.join(folder, path)
        if os.path.islink(place) and not os.path.exists(place):
            shown, target = printable(path), printable(os.readlink(place))
            told = f"a symbolic link to {target}, where there is nothing: get that file (such as by git annex get, dvc "
            told += "pull, a new download), or remove the link"
            found[shown] = Refused(folder, shown, why=error("unreadable", told, path=shown))
    return found


def broken_in(raw, folder: str) -> list[Finding]:
    """An error for every symbolic link to nothing in a folder of a raw folder, which its listing does not show."""
    files = files_at(raw.root)
    local = getattr(files, "path", None)
    if local is None:
        return []
    place = f"{raw.dataset}/{folder}"
    broken = broken_links(local(place), (name for name in files.names(place) if f"{folder}/{name}" not in raw))
    return [replace(ref.why, path=f"{folder}/{name}") for name, ref in broken.items()]


def members_without_path(members: Iterable[Member], archive: str) -> tuple[dict[str, Ref], list[Finding]]:
    """(members that are not unpacked, by the path they would have; findings of those that would have none)."""
    found: dict[str, Ref] = {}
    nowhere: list[Finding] = []
    for member in members:
        if member.path is not None or member.is_folder:
            continue
        shown = printable(member.name)
        why = replace(member.finding(), message=f"the member {shown}: {member.problem_text}", member=shown)
        # Archivers of Windows write backslashes between folders.
        place = safe_name(printable(member.name.replace("\\", "/")))
        if place is None or place.endswith("/"):
            nowhere.append(why)
        else:
            found[place] = Refused(archive, place, member=shown, why=why)
    return found, nowhere
