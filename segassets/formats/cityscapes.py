"""Cityscapes: names of images, the table of labels, and trainId maps of the official PNGs by table.

Belongs here: what one value or one name means. Not here: polygons (`cityscapes_polygons`), panoptic PNGs and JSON
(`cityscapes_panoptic`), instance JSON (`cityscapes_instances`), files and folders.
Source of the rules: cityscapesScripts, helpers/labels.py and preparation; the specification 2.1 to 2.3.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import NamedTuple

import numpy as np

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats.label_map import Runs, Segments, joined

_TABLE = json.loads(resources.files(__package__).joinpath("cityscapes_labels.json").read_bytes())

COUNTS: dict[str, int] = _TABLE["counts"]
"""Images of each split of the published dataset."""


class Label(NamedTuple):
    """One row of the table. `id` is the value in labelIds, `train_id` 0..18 or 255 (-1 for licence plates)."""

    name: str
    id: int
    train_id: int
    category: str
    has_instances: bool
    ignored: bool
    color: tuple[int, int, int]


LABELS = [Label(**{**record, "color": tuple(record["color"])}) for record in _TABLE["labels"]]
BY_ID = {label.id: label for label in LABELS}
BY_NAME = {label.name: label for label in LABELS}
EVALUATED = [label for label in LABELS if not label.ignored]
THINGS = [label for label in EVALUATED if label.has_instances]

VOID = 255
FIRST_INSTANCE = 1000
LAST_ID = max(BY_ID)
LAST_NUMBER = FIRST_INSTANCE - 1  # of an instance of a label

CITY = r"(?:[A-Za-z0-9]|[^\x00-\x7f])(?:[\w-]|[^\x00-\x7f]){0,63}"
"""What stands before the two numbers of a name: letters of any script, digits, `_` and `-`, with or without accents."""

_NAME = re.compile(rf"({CITY})_([0-9]{{6}})_([0-9]{{6}})")
_EXAMPLES = 5


class ImageName(NamedTuple):
    """An image of Cityscapes: `city`, and `core` = `<city>_<sequence>_<frame>`, the id in panoptic JSON."""

    city: str
    core: str

    @classmethod
    def parse(cls, core: str) -> ImageName:
        """Raises BadItem `unknown_name`."""
        match = _NAME.fullmatch(core)
        if match is None:
            message = (
                "not the name of a Cityscapes image, expected <city>_<sequence>_<frame> as in aachen_000000_000019"
            )
            raise BadItem(error("unknown_name", message, image=core[:200]))
        return cls(match[1], core)

    def gt(self, kind: str) -> str:
        """`<city>/<core>_gtFine_<kind>`, below gtFine/<split>/."""
        return f"{self.city}/{self.core}_gtFine_{kind}"

    @property
    def photograph(self) -> str:
        """`<city>/<core>_leftImg8bit.png`, below leftImg8bit/<split>/."""
        return f"{self.city}/{self.core}_leftImg8bit.png"


def image_of(path: str, ending: str) -> str | None:
    """The image that a file `.../<core><ending>` belongs to; None when the name is another."""
    name = path.rsplit("/", 1)[-1]
    core = name.removesuffix(ending)
    return core if core != name and _NAME.fullmatch(core) else None


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """trainId of every labelIds value, trainId value of every instanceIds value, and which of the latter are known."""
    label = np.full(256, VOID, np.uint8)
    instance = np.full(1 << 16, VOID, np.uint16)
    known = np.zeros(1 << 16, bool)
    for value, row in BY_ID.items():
        if value < 0:
            continue
        label[value] = instance[value] = row.train_id
        known[value] = True
        if row.has_instances:
            numbers = np.arange(FIRST_INSTANCE)
            known[value * FIRST_INSTANCE + numbers] = True
            if row.train_id != VOID:
                instance[value * FIRST_INSTANCE + numbers] = row.train_id * FIRST_INSTANCE + numbers
    return label, instance, known


TRAIN_ID, INSTANCE_TRAIN_ID, KNOWN_INSTANCE = _tables()


def label_of(value: int) -> int:
    """The label id of an instanceIds value: itself below 1000, else its thousands."""
    return value if value < FIRST_INSTANCE else value // FIRST_INSTANCE


def label_train_ids(label_ids: np.ndarray) -> np.ndarray:
    """trainId of every labelIds value, uint8 of the same shape: 0..18, 255 ignored. `label_ids`: uint8.

    Pixels or, much cheaper, the values of runs. Raises BadItem `unknown_label` for values that are no label.
    """
    if label_ids.size and int(label_ids.max()) > LAST_ID:
        values = np.unique(label_ids)
        raise BadItem(_unknown(values[values > LAST_ID], f"0 to {LAST_ID}"))
    return TRAIN_ID.take(label_ids)


def instance_train_ids(instance_ids: np.ndarray) -> np.ndarray:
    """uint16 of the same shape: trainId, or 1000 trainId + number for instances; 255 ignored; groups are bare trainIds.

    `instance_ids`: uint16, pixels or the values of runs. Raises BadItem `unknown_label`.
    """
    if not KNOWN_INSTANCE.take(instance_ids).all():
        check_instance_values(np.unique(instance_ids))
    return INSTANCE_TRAIN_ID.take(instance_ids)


def check_instance_values(values: np.ndarray) -> None:
    """Raises BadItem `unknown_label` for values of instanceIds that no label has."""
    bad = values[~KNOWN_INSTANCE[values]]
    if bad.size:
        raise BadItem(_unknown(bad, f"0 to {LAST_ID}, or 1000 id + number for ids with instances"))


def _unknown(values: np.ndarray, expected: str) -> Finding:
    shown = ", ".join(map(str, values[:_EXAMPLES].tolist())) + (", ..." if values.size > _EXAMPLES else "")
    return error("unknown_label", f"{values.size} values are no label ({shown}); {expected} are expected")


def number_findings(found: Segments) -> list[Finding]:
    """Warning `many_instances`: 999 is the last number of a label, and the value after it is there as well."""
    values = set(found.values.tolist())
    full = sorted(v for v in values if v >= FIRST_INSTANCE and v % FIRST_INSTANCE == LAST_NUMBER and v + 1 in values)
    if not full:
        return []
    shown = ", ".join(f"{v + 1} follows instance {LAST_NUMBER} of {BY_ID[label_of(v)].name}" for v in full)
    told = f"{shown}: perhaps a thousandth one that has run into the next class; look at the polygons"
    return [warning("many_instances", told)]


def disagreement(label_ids: np.ndarray | Runs, instance_ids: np.ndarray | Runs) -> list[Finding]:
    """Error `maps_disagree` when instanceIds are not of the same labels as labelIds (uint8 and uint16, maps or runs)."""
    if label_ids.shape != instance_ids.shape:
        shapes = f"{label_ids.shape[::-1]} and {instance_ids.shape[::-1]} pixels"
        return [error("size_differs", f"labelIds and instanceIds have {shapes}: get both again")]
    _, lengths, labels, values = joined(label_ids, instance_ids)
    wrong = int(lengths[np.where(values < FIRST_INSTANCE, values, values // FIRST_INSTANCE) != labels].sum())
    if not wrong:
        return []
    message = f"{wrong} of {lengths.sum()} pixels have another label in instanceIds than in labelIds"
    return [error("maps_disagree", f"{message}: the two files are not of one download; get both again")]
