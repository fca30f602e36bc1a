"""Which members of a tar an SA-1B shard may hold: pairs of `sa_N.jpg` and `sa_N.json` at its root."""

from __future__ import annotations

import re
from collections.abc import Iterable

from segassets.findings import Finding, capped, error, warning
from segassets.formats.tar_index import TarMember

_SHARD_MEMBER = re.compile(r"(?:\./)?sa_(0|[1-9][0-9]{0,17})\.(jpg|json)")
_DRIVE = re.compile(r"[A-Za-z]:")


def _unsafe(name: str) -> str | None:
    """Why a member's name could lead out of a folder, or None."""
    if not name:
        return "the name is empty"
    if name.startswith("/"):
        return "the name is an absolute path"
    if "\\" in name:
        return "the name has a backslash"
    if _DRIVE.match(name):
        return "the name begins with a drive letter"
    if ".." in name.split("/"):
        return "the name has a '..' part"
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in name):
        return "the name has a control character"
    return None


def classify(members: Iterable[TarMember]) -> tuple[dict[int, dict[str, TarMember]], list[Finding]]:
    """The complete images of an SA-1B shard: `{1: {"jpg": member, "json": member}}`, by ascending id, and findings.

    Only `sa_N.jpg` and `sa_N.json` at the root, with or without `./`, belong to a shard; members come in any order.
    Codes: `unexpected_member`, `duplicate_member` (the last one wins, as with `tar x`) are warnings; `unsafe_member`,
    `missing_jpg`, `missing_json` errors. An image without its partner is in the findings only.
    Source: SA-1B specification, sections 1 and 5; golden data policies 2, 3 and 8.
    """
    images: dict[int, dict[str, TarMember]] = {}
    findings: list[Finding] = []
    for member in members:
        if why := _unsafe(member.name):
            shown = member.name.encode("unicode_escape").decode("ascii")[:200]
            findings.append(error("unsafe_member", f"{why}; the member is not read", member=shown))
            continue
        match = _SHARD_MEMBER.fullmatch(member.name)
        if not match:
            message = "only sa_N.jpg and sa_N.json at the root belong to a shard; it is ignored"
            findings.append(warning("unexpected_member", message, member=member.name))
            continue
        number, kind = int(match[1]), match[2]
        pair = images.setdefault(number, {})
        if kind in pair:
            message = f"the name comes more than once; the last one (at byte {member.offset:,}) is used"
            findings.append(warning("duplicate_member", message, member=member.name, image=f"sa_{number}"))
        pair[kind] = member
    complete = {number: images[number] for number in sorted(images) if len(images[number]) == 2}
    for number in sorted(images.keys() - complete.keys()):
        have = next(iter(images[number]))
        lacks = "json" if have == "jpg" else "jpg"
        message = f"the tar has sa_{number}.{have} but no sa_{number}.{lacks}; the image is left out"
        where = {"image": f"sa_{number}", "member": f"sa_{number}.{lacks}"}
        findings.append(error(f"missing_{lacks}", message, **where))
    return complete, capped(findings)
