"""What an artifact is, as data: its key, inputs, options, target folder and function. Knows nothing of Dagster."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from segassets.errors import UsageError

OPTION_TEXTS = {
    "allow_truncated": "make the complete members before the cut of a truncated archive",
    "batch_size": "how many pictures the captioner takes at once",
    "bbox": "also write each segment's bounding box",
    "bg_root": "folder of background pictures, below the synthesis sources",
    "captioner": "who writes captions: file, constant or blip2",
    "check_crc": "when members' CRCs are checked before a merge: auto (not where bytes do not pass through here), or always",
    "constant": "the caption that the constant captioner gives to every image",
    "count": "how many images to generate; 0: as many as the published set has",
    "decode": "decode every JPEG to find damaged ones (about 5 ms each)",
    "detector": "who finds people: file (predictions in the raw folder), or torchvision",
    "device": "where the model runs: auto, cpu, cuda, cuda:1, mps",
    "fill_unmatched": "make a mask for each alpha that no detection matches, by a seeded perturbation of the alpha",
    "flavour": "clean, or upstream: with the reference tool's quirks",
    "generate": "render the set here instead of importing a released one",
    "groups": "what becomes of group regions: void, or one crowd segment",
    "hub": "address of the hub that the download asks",
    "id_base": "id of the first annotation; 0 for parity with the reference tools",
    "ids": "segment ids: structured (category and instance), or the reference tool's random colours",
    "image_root": "folder of the foreground pictures, below the synthesis sources",
    "images_per_shard": "how many images go into one WebDataset tar",
    "invalid_names": "a list of pictures not to be used, below the synthesis sources",
    "links": "the links file, below the raw folder",
    "lossless": "also publish the composites as PNG",
    "md5_list": "a file of md5 sums, below the raw folder",
    "packing": "files, or zip: one stored zip beside the folder, readable by member",
    "png_depth": "bits a pixel of mask PNGs: 8; 2 (reads as 0 and 255 everywhere); 1 (scikit-image reads it as bool)",
    "rasterizer": "how polygons become masks: labelme (Pillow's outline included), or coco",
    "repository": "the repository on the hub",
    "revision": "its revision; a commit makes the download repeatable",
    "sampler": "hashrank, or upstream: one random stream over all published datasets",
    "seed": "seed of the reference tool's random numbers",
    "semantics": "what K counts: images (all annotations of the chosen images), or exact (K annotations a class)",
    "sets": "what to download: names joined by commas, or all; empty only lists",
    "shards": "what to download: shard names joined by commas, or all; empty only lists the links",
    "source": "where train ids come from: the official PNGs, or the polygons",
    "strict_counts": "a number of items other than the published dataset's is an error, not a warning",
}


_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Option:
    """A run option of an asset: a keyword-only parameter of its function."""

    name: str
    kind: Any
    default: Any

    @property
    def text(self) -> str:
        about = OPTION_TEXTS.get(self.name, "")
        allowed = f" ({' | '.join(map(str, get_args(self.kind)))})" if get_origin(self.kind) is Literal else ""
        return f"{about}{allowed}; default {_plain(self.default)}"

    def parse(self, value: Any) -> Any:
        """The typed value; UsageError names the option and what it may be."""
        if isinstance(value, str) and get_origin(self.kind) is Literal:
            value = next((choice for choice in get_args(self.kind) if str(choice) == value), value)
        if isinstance(value, str) and self.kind is bool:
            if value not in _BOOLEANS:
                raise UsageError(f"--set {self.name}={value}: true or false is expected; {self.text}")
            value = _BOOLEANS[value]
        if value == "" and _optional(self.kind):
            value = None
        try:
            return TypeAdapter(self.kind).validate_python(value)
        except ValidationError as wrong:
            raise UsageError(f"--set {self.name}={value}: {wrong.errors()[0]['msg']}; {self.text}") from None


def _optional(kind: Any) -> bool:
    return get_origin(kind) in (types.UnionType, typing.Union) and type(None) in get_args(kind)


def _plain(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Artifact:
    """The declaration that `segassets.artifact` turns into a Dagster asset and `work.make` carries out."""

    key: str
    into: str
    code_version: str
    make: Callable
    inputs: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] | Callable[[str], Sequence[str]] = ()
    raw: str = ""
    rows: tuple[tuple[str, str], ...] | None = None
    options: tuple[Option, ...] = ()
    max_rejected: float = 0.0
    check: Callable | None = None
    show: Callable | None = None
    lacks: Callable | None = None
    dimensions: tuple[str, ...] = ()
    whole_inputs: Mapping[str, Callable[[str], Sequence[str]] | None] = field(default_factory=dict)
    without_raw: str | None = None
    asked_by: str | None = None
    where_published: Mapping[str, Callable] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        return self.key.split("/")[0]

    def values(self, partition: str | None) -> dict[str, str]:
        """What `{...}` in paths may stand for: `partition`, or the names of the dimensions (in Dagster's order)."""
        if partition is None:
            return {}
        if self.dimensions:
            return dict(zip(sorted(self.dimensions), partition.split("|"), strict=True))
        return {"partition": partition}

    def target(self, partition: str | None) -> str:
        return self.into.format(**self.values(partition))

    def patterns(self, partition: str | None) -> tuple[str, ...]:
        if callable(self.reads):
            return tuple(self.reads(partition))
        return tuple(pattern.format(**self.values(partition)) for pattern in self.reads)

    def needs_raw(self, given: Mapping[str, Any]) -> bool:
        """Whether there is nothing to make it of without raw files, with these options."""
        return bool(self.reads) and not (self.without_raw and self.parse_options(given)[self.without_raw])

    def not_asked(self, given: Mapping[str, Any]) -> str | None:
        """How to ask for what is made only when an option asks for it; None when these options do, or none has to."""
        if self.asked_by is None or self.parse_options(given)[self.asked_by]:
            return None
        option = next(option for option in self.options if option.name == self.asked_by)
        return f"nothing was asked for: --set {option.name}=... ({option.text})"

    def parse_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options with their typed values."""
        return {o.name: o.parse(given[o.name]) if o.name in given else o.default for o in self.options}


RESERVED = ("raw", "partition")


def read_signature(function: Callable) -> tuple[list[str], tuple[Option, ...]]:
    """Positional parameters are inputs (or `raw`, `partition`); keyword-only ones are options."""
    hints = typing.get_type_hints(function, include_extras=True)  # with limits, such as those of PositiveInt
    names: list[str] = []
    options: list[Option] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            options.append(Option(name, hints.get(name, type(parameter.default)), parameter.default))
        else:
            names.append(name)
    return names, tuple(options)


def columns(rows: Mapping[str, str] | None) -> tuple[tuple[str, str], ...] | None:
    """Row columns as hashable, picklable data."""
    return tuple(rows.items()) if rows is not None else None


def patterns(reads: str | Sequence[str] | Callable) -> tuple[str, ...] | Callable:
    if callable(reads):
        return reads
    return (reads,) if isinstance(reads, str) else tuple(reads)
