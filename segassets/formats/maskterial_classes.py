"""Which label is which class of a MaskTerial dataset: `classes.json`, or the same in a dataset's YAML.

A label map is always explicit. Counting labels in their order of appearance gives other classes in every split.
Source: MaskTerial specification, 2.1 and 1.1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from segassets.findings import BadItem, error

#: Labels that labelme's own tools leave out.
IGNORED = ("__ignore__", "_background_")
AGNOSTIC_NAME = "flake"


@dataclass(frozen=True)
class FlakeClass:
    """A class: `id` from 1 (0 is the background of semantic masks), its name, and the labels that mean it."""

    id: int
    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Classes:
    """All classes of a dataset, in id order."""

    classes: tuple[FlakeClass, ...]
    ignored: tuple[str, ...] = IGNORED
    agnostic_name: str = AGNOSTIC_NAME

    @cached_property
    def _by_label(self) -> dict[str, int]:
        return {label: known.id for known in self.classes for label in (known.name, *known.labels)}

    def id_of(self, label: str) -> int | None:
        """The class of a label; None when it is none."""
        return self._by_label.get(label)

    def is_ignored(self, label: str) -> bool:
        return label in self.ignored

    @property
    def ids(self) -> list[int]:
        return [known.id for known in self.classes]

    @property
    def labels(self) -> list[str]:
        """All labels that are understood, for messages."""
        return sorted({label for known in self.classes for label in known.labels})

    def categories(self) -> list[dict]:
        """COCO's `categories` of the with-class files: all of them, whether an instance is left or not."""
        return [{"id": known.id, "name": known.name, "supercategory": known.name} for known in self.classes]

    def agnostic(self) -> list[dict]:
        """COCO's `categories` of the class-agnostic file."""
        return [{"id": 1, "name": self.agnostic_name, "supercategory": self.agnostic_name}]


def layers(count: int) -> Classes:
    """The classes of a published dataset: class k is k layers; labelled "1", "1L", "Class 1"."""
    return Classes(tuple(FlakeClass(k, f"Class {k}", (str(k), f"{k}L")) for k in range(1, count + 1)))


def parse(data: bytes, path: str = "classes.json") -> Classes:
    """A `classes.json`: {"classes": [{"id", "name", "labels"}], "class_agnostic_name", "ignore_labels"}.

    BadItem `bad_classes` that says what is wrong with it.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_classes", f"it cannot be read as JSON: {problem}", path=path)) from None
    try:
        return from_document(document)
    except ValueError as problem:
        raise BadItem(error("bad_classes", str(problem), path=path)) from None


def from_document(document: object) -> Classes:
    """Classes from parsed JSON or YAML. ValueError says what is wrong."""
    if not isinstance(document, dict) or not isinstance(document.get("classes"), list) or not document["classes"]:
        raise ValueError('expected {"classes": [{"id": 1, "name": "Class 1", "labels": ["1"]}, ...]}')
    found = [_flake_class(entry, index) for index, entry in enumerate(document["classes"])]
    ignored = document.get("ignore_labels", list(IGNORED))
    if not isinstance(ignored, list) or not all(isinstance(label, str) for label in ignored):
        raise ValueError(f"ignore_labels is {ignored!r}, expected a list of labels")
    name = document.get("class_agnostic_name", AGNOSTIC_NAME)
    if not isinstance(name, str) or not name:
        raise ValueError(f"class_agnostic_name is {name!r}, expected a name")
    return checked(Classes(tuple(sorted(found, key=lambda known: known.id)), tuple(ignored), name))


def checked(classes: Classes) -> Classes:
    """The same, when ids are 1 to N and no label means two classes; ValueError otherwise."""
    ids = classes.ids
    if ids != list(range(1, len(ids) + 1)):
        told = "0 is the background, and training heads need 1 to N without a gap"
        raise ValueError(f"class ids are {ids}, expected {list(range(1, len(ids) + 1))}: {told}")
    seen: dict[str, int] = {}
    for known in classes.classes:
        for label in {known.name, *known.labels}:
            if seen.setdefault(label, known.id) != known.id:
                raise ValueError(f"the label {label!r} means class {seen[label]} and class {known.id}")
            if label in classes.ignored:
                raise ValueError(f"the label {label!r} of class {known.id} is also one of ignore_labels")
    return classes


def _flake_class(entry: object, index: int) -> FlakeClass:
    if not isinstance(entry, dict) or type(entry.get("id")) is not int:
        raise ValueError(f"classes[{index}] needs a whole number `id`")
    labels = entry.get("labels", [str(entry["id"])])
    name = entry.get("name", f"Class {entry['id']}")
    if not isinstance(name, str) or not isinstance(labels, list) or not all(isinstance(v, str) for v in labels):
        raise ValueError(f"classes[{index}] (id {entry['id']}) needs a `name` and a list `labels` of strings")
    return FlakeClass(entry["id"], name, tuple(labels))
