"""The readable page of a dataset's card: Markdown, the same facts as the Croissant file. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from segassets.cards import croissant
from segassets.cards.facts import About, Published

SHOWN = 12  # library versions


def page(about: About, published: Sequence[Published]) -> str:
    """The whole page."""
    return "\n".join(_lines(about, published)) + "\n"


def _lines(about: About, published: Sequence[Published]) -> Iterator[str]:
    yield from (f"# {about.name}", "", about.description, "")
    yield from ("| | |", "| --- | --- |", f"| Licence | {about.licence} |", f"| Source | <{about.link}> |")
    yield from (f"| Citation | {about.citation} |", f"| Version | `{croissant.version(published)}` |", "")
    yield from ("## What is published", "")
    yield "| asset | partitions | files | bytes | rows | findings | where |"
    yield "| --- | ---: | ---: | ---: | ---: | --- | --- |"
    for one in published:
        yield _row(one)
    yield ""
    for one in published:
        yield f"* `{one.key}`: {' '.join(one.about.split(chr(10) * 2)[0].split())}"
    libraries: dict[str, str] = {}
    for one in published:
        libraries.update(one.libraries)
    shown = ", ".join(f"{name} {version}" for name, version in sorted(libraries.items())[:SHOWN])
    yield from ("", "## How it was made", "", f"With {shown}.", "")
    yield "`segassets explain FILE` says of any of these files from which raw files it was made, by which versions, with"
    yield "which configuration and when; `segassets verify` whether it is as it was published."
    yield from (
        "",
        "`croissant.json` beside this page says the same to machines. Its paths are relative to the store's",
    )
    yield "root: to load the dataset with `mlcroissant`, copy it there."


def _row(one: Published) -> str:
    told = ", ".join(f"{one.findings[name]} {name}s" for name in ("error", "warning", "info") if one.findings[name])
    numbers = (len(one.partitions), one.counts["files"], one.counts["bytes"], one.counts["rows"])
    where = one.artifact.into or ".segassets"
    return f"| `{one.key}` | " + " | ".join(f"{number:,}" for number in numbers) + f" | {told} | `{where}` |"
