"""Caption files of a shard: read in the forms people have, written in the one that ASAM's scripts read.

Belongs here: `sa_XXXXXX-blip2-caption.json` and `sa_XXXXXX-controlnet-train.json`. Not here: making captions
(`segassets.captioning`). Source: SA-1B specification, sections 2.3 and 2.4; golden data policy 9.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from segassets.findings import Finding, warning

#: A shard's captions take about 1 MB.
MAX_BYTES = 256 << 20
#: Bad lines that are listed; the rest is counted.
MAX_BAD_LINES = 100
CHUNK = 1 << 16

_IMAGE = re.compile(r"(?:\./)?sa_(0|[1-9][0-9]{0,17})(?:\.jpg)?")
_IMAGE_COLUMNS = ("img", "image", "file_name", "filename", "name")
_PROMPT_COLUMNS = ("prompt", "caption", "text")


@dataclass(slots=True)
class _Reading:
    """What has been read so far. `index` of a finding: the line, from 1."""

    known: set[int]
    captions: dict[int, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    bad_lines: int = 0

    def bad(self, line: int, why: str) -> None:
        self.bad_lines += 1
        if self.bad_lines <= MAX_BAD_LINES:
            message = f'{why}; expected {{"img": "sa_1.jpg", "prompt": "..."}}. The line is ignored'
            self.findings.append(warning("caption_bad_line", message, index=line))

    def add(self, line: int, image: object, prompt: object) -> None:
        """One caption as it stands in the file; a later one of the same image wins."""
        if not isinstance(image, str) or not isinstance(prompt, str):
            self.bad(line, "the line has no image name and prompt that are both text")
            return
        image, prompt = image.strip(), prompt.strip()
        match = _IMAGE.fullmatch(image)
        if not _is_unicode(prompt) or not _is_unicode(image):
            self.bad(line, "the text holds half of a surrogate pair, which is no character")
            return
        number = int(match[1]) if match else None
        if number not in self.known:
            shown = f"sa_{number}" if match else image[:200]
            self._warn("caption_orphan", "the shard has no such image; the caption is ignored", line, shown)
            return
        name = f"sa_{number}"
        if number in self.captions:
            self._warn("caption_duplicate", "the image has a caption already; this later one is used", line, name)
        if not prompt:
            self._warn("caption_empty", "the caption is empty; it is kept, because readers need one", line, name)
        self.captions[number] = prompt

    def _warn(self, code: str, message: str, line: int, image: str) -> None:
        self.findings.append(warning(code, message, image=image, index=line))

    def finish(self) -> tuple[dict[int, str], list[Finding]]:
        if self.bad_lines > MAX_BAD_LINES:
            message = f"{self.bad_lines - MAX_BAD_LINES:,} more lines are no captions"
            self.findings.append(warning("caption_bad_line", message))
        for number in sorted(self.known - self.captions.keys()):
            message = "the image has no caption; it gets no row, and ASAM's inversion and attack scripts stop at it"
            self.findings.append(warning("caption_missing", message, image=f"sa_{number}"))
        return {number: self.captions[number] for number in sorted(self.captions)}, self.findings


def parse(data: bytes, known_images: set[int]) -> tuple[dict[int, str], list[Finding]]:
    """Captions by image id, ascending, of the images that the shard has; and what is wrong with the file.

    Takes JSON lines (`img`, `prompt`), one JSON object `{"sa_1.jpg": "..."}`, a JSON list of such lines, or CSV with a
    header (an image and a prompt column). All findings are warnings; `index` is the line, from 1 (in a JSON object or
    list the entry): `caption_duplicate` (the later one wins), `caption_orphan`, `caption_empty` (kept),
    `caption_bad_line`, `caption_missing` (no index). Never raises for what is in `data`.
    """
    reading = _Reading(set(known_images))
    if len(data) > MAX_BYTES:
        reading.bad(1, f"the file has {len(data):,} bytes, more than {MAX_BYTES:,}, and is not read")
        return reading.finish()
    text = _decode(data)
    start = text.lstrip()[:1]
    if start in ("{", "[") and _read_json(text, reading):
        return reading.finish()
    if start not in ("{", "[") and (columns := _csv_columns(text)):
        _read_csv(text, columns, reading)
    else:
        _read_lines(text, reading)
    return reading.finish()


def _decode(data: bytes) -> str:
    """Text without a byte order mark. What is not UTF-8 becomes lone surrogates, so that its line alone is bad."""
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if data.startswith(mark):  # as Windows' own tools write
            return data.decode("utf-16", "replace")
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _read_json(text: str, reading: _Reading) -> bool:
    """One JSON value over the whole file: an object of captions or a list of lines. False when it is not that."""
    try:
        # Pairs instead of dicts, because a name that comes twice is a finding.
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return False
    if isinstance(content, _Pairs):
        if {key for key, _ in content} >= {"img", "prompt"}:
            return False  # a single line
        for entry, (image, prompt) in enumerate(content, 1):
            reading.add(entry, image, prompt)
        return True
    for entry, item in enumerate(content, 1):
        _add_object(item, entry, reading)
    return True


class _Pairs(list):
    """A JSON object as a list of (key, value)."""


def _add_object(item: object, line: int, reading: _Reading) -> None:
    if not isinstance(item, _Pairs):
        reading.bad(line, "the line is no JSON object")
        return
    content = dict(item)
    reading.add(line, content.get("img"), content.get("prompt"))


def _read_lines(text: str, reading: _Reading) -> None:
    # Not splitlines(): a caption may hold U+2028 and its like.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError) as problem:
            why = (
                "too deeply nested" if isinstance(problem, RecursionError) else getattr(problem, "msg", "a bad number")
            )
            reading.bad(number, f"the line is not JSON ({why})")
            continue
        _add_object(item, number, reading)


def _csv_columns(text: str) -> tuple[str, int, int] | None:
    """(delimiter, image column, prompt column) when the first line is such a header."""
    header = text.lstrip().split("\n", 1)[0][:1000]
    for delimiter in ",\t;":
        names = [name.strip().strip('"').lower() for name in header.split(delimiter)]
        image = next((names.index(name) for name in _IMAGE_COLUMNS if name in names), None)
        prompt = next((names.index(name) for name in _PROMPT_COLUMNS if name in names), None)
        if image is not None and prompt is not None:
            return delimiter, image, prompt
    return None


def _read_csv(text: str, columns: tuple[str, int, int], reading: _Reading) -> None:
    delimiter, image, prompt = columns
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header_seen, line = False, 0
    while True:
        first, row, problem = line + 1, [], None
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:  # a field of more than 128 KiB: a quotation mark that is never closed
            problem = error
        line = rows.line_num
        if problem is not None:
            reading.bad(first, f"the line is not CSV ({problem})")
        elif not header_seen:
            header_seen = any(cell.strip() for cell in row)
        elif any(cell.strip() for cell in row):
            cells = dict(enumerate(row))
            reading.add(first, cells.get(image), cells.get(prompt))


def write(captions: Iterable[tuple[int, str]]) -> Iterator[bytes]:
    """The caption file in pieces: `{"img": "sa_1.jpg", "prompt": "..."}` and a newline each, by ascending id.

    ASCII escapes and key order as upstream's `json.dumps`. No captions give no piece.
    """
    lines = (json.dumps({"img": f"sa_{number}.jpg", "prompt": text}) + "\n" for number, text in sorted(captions))
    return _chunks(lines)


def controlnet(rows: Iterable[dict]) -> Iterator[bytes]:
    """ControlNet's training list in pieces: rows (`sa1b.controlnet_row`) in the order given, joined by newlines.

    There is no newline at the end: byte-equal to upstream's `utils/modify_json.py`, and a blank line would stop its
    reader.
    """
    separated = (("\n" if place else "") + json.dumps(row) for place, row in enumerate(rows))
    return _chunks(separated)


def _chunks(texts: Iterable[str]) -> Iterator[bytes]:
    pieces, size = [], 0
    for text in texts:
        pieces.append(text)
        size += len(text)
        if size >= CHUNK:
            yield "".join(pieces).encode("ascii")
            pieces, size = [], 0
    if pieces:
        yield "".join(pieces).encode("ascii")
