"""Croissant 1.0 JSON-LD of a dataset (https://docs.mlcommons.org/croissant/docs/croissant-spec.html): pure.

Distribution: a FileObject with its sha256 for each of a few files, else a FileSet of globs; tables are FileSets of
Parquet files with a RecordSet. Paths are relative to the store's root. No time is in it: the same manifests give the
same bytes.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Iterator, Sequence

from segassets import __version__
from segassets.cards.facts import About, Published
from segassets.store import names

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
PARQUET = "application/x-parquet"
_TYPES = {"string": "sc:Text", "bool": "sc:Boolean", "double": "sc:Float", "float": "sc:Float"}
_LIST = re.compile(r"list<(\w+)>")


def document(about: About, published: Sequence[Published]) -> dict:
    """The JSON-LD object."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": about.name.replace("/", "-"),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": about.description,
        "license": about.licence,
        "url": about.link,
        "citeAs": about.citation,
        "version": f"{__version__}+{version(published)}",
        "distribution": [node for one in published for node in _distribution(one)],
        "recordSet": [_record_set(one) for one in published if one.is_table],
    }


def encode(card: dict) -> bytes:
    return (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode()


def version(published: Sequence[Published]) -> str:
    """A digest of the data versions of everything that the card lists."""
    listed = [[one.key, one.partitions, one.data_versions] for one in published]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:12]


def _distribution(one: Published) -> Iterator[dict]:
    if one.listed:
        for file in one.listed:
            yield {
                "@type": "cr:FileObject",
                "@id": file.path,
                "name": file.path.rpartition("/")[2],
                "description": _first_sentence(one.about),
                "contentUrl": file.path,
                "contentSize": f"{file.bytes} B",
                "encodingFormat": _format(file.path),
                "sha256": file.sha256,
            }
    elif one.patterns:
        formats = sorted({_format(pattern) for pattern in one.patterns})
        yield _file_set(one.key, _described(one), formats, one.patterns)
    if one.is_table:
        place = [f"{names.HOME}/rows/{one.key}/*.parquet"]
        yield _file_set(f"{one.key}/rows", _described(one), [PARQUET], place)


def _file_set(name: str, description: str, formats: list[str], includes: list[str]) -> dict:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": description,
        "encodingFormat": formats[0] if len(formats) == 1 else formats,
        "includes": includes[0] if len(includes) == 1 else includes,
    }


def _described(one: Published) -> str:
    size = f"{one.counts['files']:,} files, {one.counts['bytes']:,} bytes" if one.counts["files"] else ""
    rows = f"{one.counts['rows']:,} rows" if one.is_table else ""
    return f"{_first_sentence(one.about)} ({size or rows}, {len(one.partitions):,} partitions)"


def _first_sentence(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def _format(path: str) -> str:
    """The media type of a file name."""
    return mimetypes.types_map.get(f".{path.rpartition('.')[2].lower()}", "application/octet-stream")


def _record_set(one: Published) -> dict:
    return {
        "@type": "cr:RecordSet",
        "@id": one.key,
        "name": one.key,
        "description": _described(one),
        "field": [
            _field(one.key, column, *kind)
            for column, text in one.artifact.rows or ()
            if (kind := _kind(text)) is not None
        ],
    }


def _kind(text: str) -> tuple[str, bool] | None:
    """Croissant's data type of an Arrow type, and whether it is repeated; None for what Croissant 1.0 cannot say."""
    inner = _LIST.fullmatch(text)
    name = inner[1] if inner else text
    if re.fullmatch(r"u?int\d+", name):
        return "sc:Integer", bool(inner)
    return (_TYPES[name], bool(inner)) if name in _TYPES else None


def _field(table: str, column: str, kind: str, repeated: bool) -> dict:
    found = {
        "@type": "cr:Field",
        "@id": f"{table}/{column}",
        "name": column,
        "dataType": kind,
        "source": {"fileSet": {"@id": f"{table}/rows"}, "extract": {"column": column}},
    }
    return {**found, "repeated": True} if repeated else found
