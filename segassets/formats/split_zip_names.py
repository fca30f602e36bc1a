"""Names in split zips: of the parts, which give their order and say what is missing, and of members, which may be unsafe.

Source of the rules: the MaGGIe specification 1.2 and 1.4.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from segassets.findings import BadItem, Finding, error

# z01 ... z99, z100: two digits at least, and no leading zero beyond them.
_SPLIT_NAME = re.compile(
    r"(?P<stem>.+)\.(?:[zZ](?P<split>[0-9]{2}|[1-9][0-9]{2,5})|(?i:zip)(?:\.(?P<cut>[0-9]{3,6}))?)",
    re.DOTALL,
)
_HALF_DONE = re.compile(r"(?: ?\([0-9]+\)(?=\.)|\.(?:crdownload|incomplete|part|partial|download|tmp|aria2)$)")
_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_MISSING_NAMED = 20
MAX_GAPS = 1000  # that are filled, so that what is there can be read; the most parts that are known are 200


def part_number(name: str) -> tuple[str, str, int | None] | None:
    """(stem, "split" or "cut", number) of a part's name; None when the name is no part of a zip.

    The number of `X.zip` is None: it is the last part of a split zip, or the whole. `X.zip.001` is a cut with stem `X`.
    Extensions may be in upper case.
    """
    match = _SPLIT_NAME.fullmatch(name)
    if match is None or match["split"] == "00":
        return None
    if match["cut"] is not None:
        return match["stem"], "cut", int(match["cut"])
    return match["stem"], "split", int(match["split"]) if match["split"] else None


def order_parts(names: Iterable[str], absent: list[str] | None = None, archive: str | None = None) -> list[str]:
    """The parts of one archive among `names`, in the order of their numbers (z10 after z09, z100 after z99).

    With a list `absent`, missing parts before the last are put into it and stand in the result, so that the directory
    can be read all the same; `read_directory` then has to be told about them.

    `archive`: the stem that is meant; parts of other archives are left aside. Of stems that differ in upper and lower
    case only, this spelling is preferred.

    Names that are no parts are only looked at for hints (`X (1).z02`, `X.z02.crdownload`, `x.z02` beside `X.zip`).
    Raises BadItem `missing_part` with one finding a missing part that the names give away; that parts are missing at
    the end, or that one is too many, is known only to the end record. Raises BadItem `several_archives` when the parts
    have several stems.
    """
    names = list(names)
    numbered = {name: number for name in names if (number := part_number(name)) is not None}
    copies = {name for name in numbered if _HALF_DONE.search(name)}
    if len(copies) < len(numbered):  # a second download beside the first, not an archive of its own
        numbered = {name: number for name, number in numbered.items() if name not in copies}
    if archive is not None:
        numbered = {name: number for name, number in numbered.items() if number[0].lower() == archive.lower()}
    numbered = _one_spelling(numbered, archive)
    stems = sorted({(stem, style) for stem, style, _ in numbered.values()})
    if not numbered:
        if archive is not None:
            raise BadItem(*missing_parts([f"{archive}.zip"], names))
        raise BadItem(error("missing_part", f"no part of a zip (.zip, .z01, .zip.001) among {len(names)} names"))
    if len(stems) > 1:
        found = ", ".join(stem + (".zip" if style == "split" else ".zip.001") for stem, style in stems[:5])
        raise BadItem(error("several_archives", f"parts of {len(stems)} archives ({found}): give those of one"))
    (stem, style) = stems[0]
    pieces = sorted((number, name) for name, (_, _, number) in numbered.items() if number is not None)
    last = [name for name, (_, _, number) in numbered.items() if number is None]
    have = {number for number, _ in pieces}
    width = len(pieces[0][1]) - len(stem) - len(".zip.") if style == "cut" else 2
    upper = any(name.removeprefix(stem).isupper() for name in numbered)
    gaps = sorted(set(range(1, max(have, default=0) + 1)) - have)[: MAX_GAPS + 1]
    prefix = f"{stem}.zip." if style == "cut" else f"{stem}.{'Z' if upper else 'z'}"
    missing = [f"{prefix}{number:0{width}d}" for number in gaps]
    if style == "split" and not last:
        missing.append(f"{stem}.{'ZIP' if upper else 'zip'}")
    others = [name for name in names if name not in numbered]
    if missing and (absent is None or not last or len(missing) > MAX_GAPS):
        raise BadItem(*missing_parts(missing, others))
    if missing:
        absent += missing
        pieces = sorted([*pieces, *zip(gaps, missing, strict=True)])
    return [name for _, name in pieces] + last


def looks_alike(missing: str, others: Iterable[str]) -> str:
    """A hint at the name among `others` that may be the missing part under another one; empty without one."""
    look = [other for other in others if _HALF_DONE.sub("", other).lower() == missing.lower() and other != missing]
    return f"; {look[0]} looks like it: is it complete and only named otherwise?" if look else ""


def _one_spelling(
    numbered: dict[str, tuple[str, str, int | None]], archive: str | None
) -> dict[str, tuple[str, str, int | None]]:
    """Without names that differ from others in upper and lower case only: of stems `archive`, else that with most parts;
    of one part's names one."""
    counts = Counter((stem, style) for stem, style, _ in numbered.values())
    best: dict[tuple[str, str], str] = {}
    for stem, style in sorted(counts, key=lambda key: (key[0] != archive, -counts[key], key)):
        best.setdefault((stem.lower(), style), stem)
    kept: dict[tuple, str] = {}
    for name in sorted(numbered, reverse=True):  # lower case before upper case
        stem, style, number = numbered[name]
        if best[stem.lower(), style] == stem:
            kept.setdefault((stem, style, number), name)
    return {name: numbered[name] for name in kept.values()}


def missing_parts(missing: Sequence[str], others: Iterable[str] = (), known: str = "") -> list[Finding]:
    """A finding a part that is not there, with a hint at what looks like it among `others`, and at how that is `known`."""
    others = list(others)
    findings = []
    for name in missing[:_MAX_MISSING_NAMED]:
        hint = looks_alike(name, others)
        findings.append(error("missing_part", f"{name} is not there: download it and put it beside the others{hint}{known}",
                              part=name))  # fmt: skip
    if len(missing) > _MAX_MISSING_NAMED:
        findings.append(error("missing_part", "and more parts are missing"))
    return findings


def safe_name(name: str) -> str | None:
    """The member's path below the folder it is unpacked to, with `/`; None when it could lead elsewhere.

    Refused: absolute paths, drives, `..`, backslashes, control characters, empty names, parts of more than 255 bytes.
    `.` and doubled slashes are taken out; a folder keeps its final slash.
    """
    if not name or name.startswith("/") or "\\" in name or _DRIVE.match(name):
        return None
    if any(ord(character) < 32 or character == "\x7f" for character in name):
        return None
    steps = [step for step in name.split("/") if step not in ("", ".")]
    if not steps or ".." in steps or any(len(step.encode("utf-8", "surrogatepass")) > 255 for step in steps):
        return None
    return "/".join(steps) + ("/" if name.endswith("/") else "")
