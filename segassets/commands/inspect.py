"""`segassets inspect`: check what is not (yet) in the raw folder, without Dagster and without a store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from segassets.declaration import Option
from segassets.errors import UsageError
from segassets.files.paths import UnsafePath
from segassets.findings import BadItem, Finding, tally
from segassets.formats import sa1b_members
from segassets.formats.sa1b_items import index_image
from segassets.formats.sa1b_shard import judged, without_oversized
from segassets.sources.plain_tar import plain_tar
from segassets.sources.raw import Raw


@dataclass
class Inspected:
    """Findings, and for layouts of samples the index of those that training code will use: None where it would raise."""

    findings: list[Finding] = field(default_factory=list)
    index: list[Any] | None = field(default_factory=list)
    summary: str = ""


def inspect(layout: str, path: Path, options: Mapping[str, str]) -> Inspected:
    """Check `path` as `layout`. UsageError for an unknown layout, option or path."""
    if layout not in LAYOUTS:
        raise UsageError(f"there is no layout {layout!r}; there are {', '.join(LAYOUTS)}")
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if not (path.is_file() or path.is_dir()):  # opening a pipe would wait for ever
        raise UsageError(f"{path} is neither a file nor a folder: name the one that holds the data")
    try:
        return LAYOUTS[layout](path, options)
    except UnsafePath as problem:
        raise UsageError(f"{path} cannot be read ({problem}): rename it, or inspect a copy") from None


def _sa1b_shard(path: Path, options: Mapping[str, str]) -> Inspected:
    """A shard's tar, as `sa1b/shard_index` checks it."""
    known = {"decode": Option("decode", bool, True), "allow_truncated": Option("allow_truncated", bool, False)}
    if unknown := sorted(set(options) - set(known)):
        raise UsageError(f"--set {unknown[0]}: the layout sa1b_shard has {', '.join(known)}")
    values = {name: option.parse(options.get(name, option.default)) for name, option in known.items()}
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected a shard's tar, such as sa_000000.tar")
    absolute = path.absolute()
    found = Inspected()
    images: dict = {}
    with tempfile.TemporaryDirectory(prefix="segassets-") as scratch:
        raw = Raw(str(absolute.parent.parent), absolute.parent.name, [absolute.name], scratch)
        try:
            tar = plain_tar(raw, absolute.name)
            scan = tar.scan()
            images, findings = sa1b_members.classify(scan.members)
            images, oversized = without_oversized(images)
            problems = [*scan.problems, *findings, *oversized]
            found.findings = judged(problems, len(images), values["allow_truncated"], absolute.name)
        except BadItem as bad:
            found.findings = [replace(finding, path=absolute.name) for finding in bad.findings]
        usable = sum(
            _inspect_image(found, tar, image_id, pair, absolute.name, values["decode"])
            for image_id, pair in images.items()
        )
    counts = tally(found.findings)
    told = ", ".join(f"{count} {severity}s" for severity, count in counts.items())
    found.summary = f"{len(images):,} images in {absolute.name}, {usable:,} usable; {told}"
    return found


def _inspect_image(found: Inspected, tar, image_id: int, pair: dict, path: str, decode: bool) -> bool:
    jpg, annotations = (tar.part(pair[kind].offset, pair[kind].size, pair[kind].name) for kind in ("jpg", "json"))
    place = {f"{kind}_{name}": None for kind in ("jpg", "json") for name in ("offset", "size")}
    place |= {"jpg_member": pair["jpg"].name, "json_member": pair["json"].name}
    try:
        made = index_image(f"sa_{image_id}", image_id, jpg.read(), annotations.read(), place, path, decode)
    except BadItem as bad:
        found.findings += bad.findings
        return False
    found.findings += made.findings
    return made.rows is not None


def _matting(layout: str, path: Path, options: Mapping[str, str]) -> Inspected:
    """One of the three matting layouts, and what its loader will use."""
    from segassets.sources.split_archive_inspect import inspect_matting

    return Inspected(*inspect_matting(layout, path, options))


def _split_zip(path: Path, options: Mapping[str, str]) -> Inspected:
    """An archive in one piece or in parts."""
    from segassets.sources.split_archive_inspect import inspect_split_zip

    return Inspected(*inspect_split_zip(path, options))


def _flakes(layout: str, path: Path, options: Mapping[str, str]) -> Inspected:
    """A MaskTerial tree, or the labelme files that one is made from."""
    from segassets.components import maskterial_inspect

    check = getattr(maskterial_inspect, f"inspect_{layout}")
    findings = check(path, options)
    told = ", ".join(f"{count} {severity}s" for severity, count in tally(findings).items())
    return Inspected(findings, [], f"{path}: {told}")


LAYOUTS: dict[str, Callable[[Path, Mapping[str, str]], Inspected]] = {
    "sa1b_shard": _sa1b_shard,
    "split_zip": _split_zip,
    **{name: partial(_matting, name) for name in ("maggie_image_train", "maggie_image_eval", "maggie_video")},
    **{name: partial(_flakes, name) for name in ("maskterial", "labelme")},
}
