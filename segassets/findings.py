"""What is wrong with an input or an output: one uniform record, shown by the command line, asset checks and the UI.

Belongs here: the record, its severities, its printed form. Not here: the rules that lead to a finding (they live with
the format they speak about), nor how findings are stored (`store`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
#: Of one kind of finding, that many are listed where an input may bring any number; the rest is counted.
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or was repaired, or should be known.

    `error`: the item cannot be made right and is left out. `warning`: it is made as the reference tool makes it, or
    repaired. `info`: worth knowing. `message` says what was found, what was expected and what to do.
    The other fields say where; each is None where it does not apply.
    """

    severity: Severity
    code: str
    message: str
    path: str | None = None
    member: str | None = None
    image: str | None = None
    index: int | None = None
    annotation_id: int | None = None
    shape: int | None = None
    part: str | None = None

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity {self.severity!r} is none of {', '.join(SEVERITIES)}")

    @property
    def item(self) -> str:
        """The printed form of where: `sa_000000.tar, sa_1.json, annotation 7 (id 523353744)`."""
        places = [str(place) for place in (self.path, self.part, self.member) if place is not None]
        if self.image is not None and not any(self.image in place for place in places):
            places.append(str(self.image))
        if self.shape is not None:
            places.append(f"shape {self.shape}")
        if self.index is not None:
            places.append(f"index {self.index}")
        text = ", ".join(places)
        return f"{text} (id {self.annotation_id})" if self.annotation_id is not None else text

    def to_json(self) -> dict:
        """The contract's JSON object: all fields, and `item`."""
        return {**asdict(self), "item": self.item}

    def __str__(self) -> str:
        where = f"{self.item}: " if self.item else ""
        return f"{self.severity} {self.code}: {where}{self.message}"


def error(code: str, message: str, **where) -> Finding:
    """A finding that leaves its item out."""
    return Finding("error", code, message, **where)


def warning(code: str, message: str, **where) -> Finding:
    """A finding about an item that is made all the same."""
    return Finding("warning", code, message, **where)


def info(code: str, message: str, **where) -> Finding:
    """A finding that is only worth knowing."""
    return Finding("info", code, message, **where)


def tally(findings: Iterable[Finding]) -> dict[Severity, int]:
    """How many findings of each severity, in the order error, warning, info; all three keys are always there."""
    counts = Counter(finding.severity for finding in findings)
    return {severity: counts.get(severity, 0) for severity in SEVERITIES}


class BadItem(Exception):
    """Raised by a pure function for an item that cannot be made: carries the findings that say why."""

    def __init__(self, *findings: Finding):
        self.findings = list(findings)
        super().__init__("; ".join(str(finding) for finding in findings))


def capped(findings: list[Finding], most: int = MAX_LISTED) -> list[Finding]:
    """The findings, at most `most` of a code and severity; what was left out is counted in one more finding.

    Errors of an image are all kept, because the share of rejected images is counted from them.
    """
    kept, counts = [], Counter()
    for finding in findings:
        if finding.severity == "error" and finding.image is not None:
            kept.append(finding)
            continue
        kind = finding.severity, finding.code
        counts[kind] += 1
        if counts[kind] <= most:
            kept.append(finding)
    for (severity, code), count in counts.items():
        if count > most:
            kept.append(Finding(severity, code, f"{count - most:,} more of these are not listed"))
    return kept
