"""The links file of SA-1B: which shard is behind which signed URL, and until when.

Belongs here: reading the tab-separated list that Meta hands out after its licence was accepted. Not here: fetching
(`http`). Source: SA-1B specification, section 1. Messages never hold a URL: its query is a signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from segassets.findings import Finding, error, warning

NEW_LINKS = "https://ai.meta.com/datasets/segment-anything-downloads/"
MAX_BYTES = 64 << 20

_SHARD = re.compile(r"sa_[0-9]{6}\.tar")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(slots=True)
class Links:
    """`shards`: URL by tar name, ascending; `other`: the rows that are no shards (`sa_images_ids.txt`, ...).

    `duplicates`: names with more than one row (the last one is used). `bad_lines`: numbers, from 1. `expired`: names
    whose URL is no longer valid; they are still in `shards` and `other`.
    """

    shards: dict[str, str] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    bad_lines: list[int] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def parse_links(text: bytes, now: datetime) -> Links:
    """Read a links file: a header, then `name<TAB>URL` in any order; blank lines, CRLF, a BOM and blanks as tabs pass.

    `now`: aware, or naive in UTC; compared with the URLs' expiry. Findings: `link_bad_line` (error),
    `link_duplicate` (warning), `link_expired` (warning; the download would fail).
    """
    links = Links()
    if len(text) > MAX_BYTES:
        message = f"the links file has {len(text):,} bytes, expected about half a megabyte; it is not read"
        links.findings.append(error("link_bad_line", message))
        return links
    rows: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n"), 1):
        fields = line.split()
        if not fields or fields[0] == "file_name":
            continue
        problem = _problem(fields)
        if problem:
            links.bad_lines.append(number)
            if len(links.bad_lines) <= 100:
                message = f"{problem}; expected a file name, a tab and a URL"
                links.findings.append(error("link_bad_line", message, index=number))
            continue
        name, url = fields
        if name in rows and name not in links.duplicates:
            links.duplicates.append(name)
            message = "the name has more than one link; the last one is used"
            links.findings.append(warning("link_duplicate", message, member=name, index=number))
        rows[name] = url
    for name in sorted(rows):
        (links.shards if _SHARD.fullmatch(name) else links.other)[name] = rows[name]
    _find_expired(links, now)
    return links


def _problem(fields: list[str]) -> str | None:
    if len(fields) != 2:
        return f"the line has {len(fields)} field{'s' if len(fields) > 1 else ''}"
    if not _NAME.fullmatch(fields[0]):
        return "the file name has characters that no name there has"
    try:
        parts = urlsplit(fields[1])
        if parts.scheme in ("http", "https") and parts.hostname:
            return None
    except ValueError:
        pass
    return "the second field is no http or https URL"


def expiry(url: str) -> datetime | None:
    """When a signed URL stops to work: its `oe` parameter, seconds since 1970 in hexadecimal. None when it has none."""
    try:
        value = parse_qs(urlsplit(url).query).get("oe", [""])[-1]
    except ValueError:
        return None
    if not re.fullmatch(r"[0-9A-Fa-f]{1,9}", value):
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=int(value, 16))


def _find_expired(links: Links, now: datetime) -> None:
    now = now if now.tzinfo else now.replace(tzinfo=UTC)
    for name, url in {**links.shards, **links.other}.items():
        until = expiry(url)
        if until is not None and until <= now:
            links.expired.append(name)
            message = f"the link expired at {until:%Y-%m-%d %H:%M} UTC; get a new links file at {NEW_LINKS}"
            links.findings.append(warning("link_expired", message, member=name))
