"""What the UI shows of a partition: small contact sheets with overlays, tables of findings, numbers as numbers."""

from __future__ import annotations

import base64
import io
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
from PIL import Image

from segassets.findings import Finding, tally
from segassets.store.manifest import Footer
from segassets.work.make import Outcome

log = logging.getLogger("segassets")

MAX_BYTES = 48_000
MAX_SIDE = 4000  # pixels of a preview
MAX_FINDINGS = 50
MAX_INPUTS = 50


def metadata(outcome: Outcome) -> dict[str, Any]:
    """Dagster metadata of a made (or unchanged) partition: counts, speed, version, where it is, and what it shows."""
    footer, job = outcome.footer, outcome.job
    counts = {name: count for name, count in footer.counts.items() if name != "rows" or count}
    seconds = footer.numbers.get("seconds", 0.0)
    found: dict[str, Any] = {
        **counts,
        **{f"{name}s": count for name, count in tally(outcome.findings).items()},
        "seconds": seconds,
        "items per second": round(counts.get("items", 0) / max(seconds, 1e-3), 1),
        "dagster/uri": job.store.files.uri(job.artifact.target(job.partition) or ".segassets"),
        "unchanged": outcome.unchanged,
        "provenance": dg.MetadataValue.json(provenance(footer)),
    }
    if footer.counts.get("rows"):
        found["dagster/partition_row_count"] = footer.counts["rows"]
    # What can be looked at comes first: the UI shows metadata in this order.
    return {**_shown(outcome), **findings_table(outcome.findings), **found}


def provenance(footer: Footer) -> dict[str, Any]:
    """From what, by which code and libraries, with which configuration; down to raw files: `segassets explain`."""
    raw = {pattern: {"files": mark[0], "bytes": mark[1], "digest": mark[2]} for pattern, mark in footer.raw.items()}
    made_from = dict(list(footer.inputs.items())[:MAX_INPUTS])
    if len(footer.inputs) > MAX_INPUTS:
        made_from["..."] = f"{len(footer.inputs) - MAX_INPUTS} more; segassets explain lists them"
    return {
        "raw files": {pattern: about for pattern, about in raw.items() if about["files"]},
        "made from": made_from,
        "configuration": footer.config,
        "code version": footer.code_version,
        "versions": footer.versions,
    }


def _shown(outcome: Outcome) -> dict[str, Any]:
    """What the artifact itself wants to show. A preview that fails is logged: it must not cost the partition."""
    show = outcome.job.artifact.show
    if show is None:
        return {}
    try:
        return {name: _value(value) for name, value in show(outcome.view, **outcome.job.arguments()).items()}
    except Exception as problem:
        log.warning("%s: no preview: %s: %s", outcome.job.label, type(problem).__name__, problem)
        return {"preview": f"none: {type(problem).__name__}: {problem}"}


def _value(value: Any) -> Any:
    if isinstance(value, Image.Image):
        return dg.MetadataValue.md(f"![preview](data:image/png;base64,{base64.b64encode(small_png(value)).decode()})")
    if isinstance(value, Mapping):
        return dg.MetadataValue.json(dict(value))
    return value


def findings_table(findings: Sequence[Finding]) -> dict[str, Any]:
    """The first findings, errors first, as a table; the rest by the command line."""
    if not findings:
        return {}
    order = {"error": 0, "warning": 1, "info": 2}
    first = sorted(findings, key=lambda finding: order[finding.severity])[:MAX_FINDINGS]
    records = [
        dg.TableRecord({"severity": f.severity, "code": f.code, "item": f.item, "message": f.message}) for f in first
    ]
    title = "findings" if len(findings) <= MAX_FINDINGS else f"findings (first {MAX_FINDINGS} of {len(findings)})"
    return {title: dg.MetadataValue.table(records)}


def small_png(image: Image.Image, limit: int = MAX_BYTES) -> bytes:
    """PNG bytes of at most `limit`: a palette, then fewer pixels, until it fits. It lives in the event log."""
    image = image.convert("RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    while True:
        sink = io.BytesIO()
        image.quantize(128, method=Image.Quantize.FASTOCTREE).save(sink, "PNG", optimize=True)
        if sink.tell() <= limit or max(image.size) < 64:
            return sink.getvalue()
        image.thumbnail((max(image.size) * 4 // 5,) * 2, Image.Resampling.LANCZOS)


def contact_sheet(pictures: Sequence[np.ndarray], width: int = 200, columns: int = 4, gap: int = 4) -> Image.Image:
    """Pictures (uint8, h x w or h x w x 3) side by side, each scaled to the same width at most, on a dark ground."""
    tiles = [_tile(picture, width) for picture in pictures]
    columns = max(1, min(columns, len(tiles)))
    lines = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in line) for line in lines]
    size = (columns * (width + gap) + gap, sum(heights) + gap * (len(lines) + 1))
    sheet = Image.new("RGB", size if tiles else (width, 40), (24, 24, 28))
    top = gap
    for line, height in zip(lines, heights, strict=True):
        for place, tile in enumerate(line):
            sheet.paste(tile, (gap + place * (width + gap), top))
        top += height + gap
    return sheet


def _tile(picture: np.ndarray, width: int) -> Image.Image:
    """The picture at this width; narrower when it would be more than three times as high."""
    image = Image.fromarray(picture).convert("RGB")
    scale = min(width / image.width, 3 * width / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)


def colours(count: int) -> np.ndarray:
    """`count` distinct colours, uint8 (count, 3): hues a golden angle apart, so that neighbours differ."""
    hues = np.mod(np.arange(count) * (math.sqrt(5) - 1) / 2, 1.0)
    ramp = np.abs(np.mod(hues[:, None] * 6 + np.array([0, 4, 2]), 6) - 3) - 1
    return (55 + 200 * np.clip(ramp, 0, 1)).astype(np.uint8)


def paint(index: np.ndarray, count: int) -> np.ndarray:
    """Indices (h x w, below `count`) as colours, uint8 (h, w, 3)."""
    return colours(count)[index]


def overlay(photograph: np.ndarray, ids: np.ndarray, strength: float = 0.55) -> np.ndarray:
    """A photograph (uint8 h x w x 3) with segments (ids, h x w; 0 is none) in colour, their outlines dark."""
    known, index = np.unique(ids, return_inverse=True)
    palette = colours(len(known))
    if len(known) and known[0] == 0:
        palette = np.vstack([np.zeros((1, 3), np.uint8), colours(len(known) - 1)])
    painted = palette[index.reshape(ids.shape)]
    mixed = photograph.astype(np.float32) * (1 - strength) + painted * strength
    out = np.where((ids != 0)[..., None], mixed, photograph).astype(np.uint8)
    edge = np.zeros(ids.shape, bool)
    edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edge[1:] |= ids[1:] != ids[:-1]
    out[edge] = (20, 20, 20)
    return out


def markdown(text: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(text)


def histogram(values: np.ndarray, edges: Sequence[int]) -> dg.MarkdownMetadataValue:
    """How many values lie between the edges, as bars in a table."""
    counts, _ = np.histogram(values, edges)
    most = max(1, int(counts.max()))
    lines = ["| from | count | |", "| ---: | ---: | :--- |"]
    lines += [
        f"| {edge:,} | {count:,} | {'█' * math.ceil(24 * count / most)} |"
        for edge, count in zip(edges[:-1], counts.tolist(), strict=True)
    ]
    return markdown("\n".join(lines))
