"""MaskTerial: flake datasets that all have the same artifacts. A dataset is a `defs.yaml` of one of these types."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import Any, Literal

import dagster as dg
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from segassets.components import maskterial_assets as assets
from segassets.components import maskterial_raw
from segassets.components.maskterial_download import RECORD, download_asset
from segassets.errors import UsageError
from segassets.formats.flake_items import MAX_LAYERS
from segassets.formats.flake_scenes import Recipe
from segassets.formats.maskterial import FILE_THRESHOLDS, MASK_THRESHOLD
from segassets.formats.maskterial_classes import AGNOSTIC_NAME, IGNORED, Classes, from_document
from segassets.formats.split_zip import safe_name

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
#: What changes no annotation: where downloads come from, and what only semantic masks or few-shot splits look at.
NOT_MADE_OF = {"archive", "record", "api", "mask_threshold", "seed"}


class FlakeClass(BaseModel, extra="forbid"):
    """A class of flakes. Without `name` it is "Class <id>", without `labels` its id is its label."""

    id: int = Field(ge=1, description="1, 2, ... without a gap; 0 is the background")
    name: str | None = None
    labels: list[str] | None = Field(default=None, description="labels in the annotation files that mean this class")


class At(ValueError):
    """What is wrong with a part of a value, and where in it."""

    def __init__(self, where: tuple, message: str):
        super().__init__(message)
        self.where = where


def _located(context: dg.ComponentLoadContext, problem: Any) -> str:
    """`<file>:<line>: <attribute>: <what is wrong>` of one of pydantic's errors."""
    cause = (problem.get("ctx") or {}).get("error")
    where = [*problem["loc"], *(cause.where if isinstance(cause, At) else ())]
    told = str(cause) if cause is not None else f"{problem['msg']}, found {problem['input']!r}"
    tree = context.resolution_context.source_position_tree
    position = tree.lookup_closest_and_path(["attributes", *where], trace=None)[0] if tree else None
    place = f"{position.filename}:{position.start.line}: " if position else ""
    return f"{place}{'.'.join(map(str, where)) or 'attributes'}: {told}"


class _Flakes(dg.Model):
    """What every dataset of flakes says about itself."""

    dataset: str = Field(description="its name: the folder below the raw folder, and below the store")
    classes: list[dict[str, Any]] | None = Field(
        default=None, description="id, name, labels of each class, instead of a classes.json beside the data"
    )
    layers: int | None = Field(default=None, description="without classes: class k is k layers, labelled k")
    ignore_labels: list[str] = Field(default=list(IGNORED), description="labels that are left out in silence")
    class_agnostic_name: str = AGNOSTIC_NAME
    source: Literal["auto", "labelme", "labelstudio", "instance_masks", "released"] = "auto"
    split: Literal["train", "test"] = Field(default="train", description="of a source without train/ and test/")
    rasterizer: Literal["auto", "labelme", "coco"] = Field(
        default="auto", description="how outlines become pixels; auto: as the annotation tool itself does"
    )
    thresholds: list[int] = Field(default=list(FILE_THRESHOLDS), description="annotation files of instances >= these")
    mask_threshold: int = Field(default=MASK_THRESHOLD, description="semantic masks show instances > this")
    images: dict[str, int] = Field(default={}, description="expected numbers of images, by split")
    seed: str = Field(default="42", description="of the few-shot sampler hashrank")
    archive: str | None = Field(default=None, description="the released zip; default Real_<dataset>.zip")
    record: str = Field(
        default=RECORD, description="the Zenodo record of the released zip, a version and not the concept"
    )
    api: str = Field(default="https://zenodo.org/api/records", description="where records are asked for")

    @field_validator("dataset")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"{value!r} is no name of a folder: use letters, digits, _ and -")
        return value

    @field_validator("thresholds")
    @classmethod
    def _rising(cls, value: list[int]) -> list[int]:
        if not value or value != sorted(set(value)) or value[0] < 1:
            raise ValueError(f"{value} are no areas in pixels, smallest first")
        return value

    @field_validator("images")
    @classmethod
    def _splits(cls, value: dict[str, int]) -> dict[str, int]:
        if unknown := sorted(set(value) - {"train", "test"}):
            raise ValueError(f"{unknown[0]!r} is no split: expected train, test")
        if less := [name for name, count in value.items() if count < 0]:
            raise ValueError(f"{less[0]}: {value[less[0]]} images")
        return value

    @field_validator("mask_threshold")
    @classmethod
    def _pixels(cls, value: int) -> int:
        if value < 0:
            raise ValueError(f"{value} is no area in pixels")
        return value

    @field_validator("class_agnostic_name")
    @classmethod
    def _some_name(cls, value: str) -> str:
        if not value.strip():
            raise ValueError(f"{value!r} is no name of a category")
        return value

    @field_validator("archive")
    @classmethod
    def _file_name(cls, value: str | None) -> str | None:
        if value is not None and (not value.endswith(".zip") or safe_name(value) != value or "/" in value):
            raise ValueError(f"{value!r} is no name of a zip in the raw folder")
        return value

    @field_validator("layers")
    @classmethod
    def _some(cls, value: int | None) -> int | None:
        if value is not None and not 1 <= value <= 255:
            raise ValueError(f"{value} layers: expected 1 to 255, the values of an 8-bit mask")
        return value

    @field_validator("classes")
    @classmethod
    def _classes(cls, value: list[dict] | None) -> list[dict] | None:
        for index, entry in enumerate(value or []):
            try:
                FlakeClass(**entry)
            except ValidationError as problem:
                first = problem.errors()[0]
                raise At((index, *first["loc"]), f"{first['msg']}, found {first['input']!r}") from None
        return value

    @model_validator(mode="after")
    def _consistent(self):
        try:
            self.known_classes  # noqa: B018 - raises for classes that contradict each other
        except ValueError as problem:
            raise At(("classes",), str(problem)) from None
        if self.classes and self.layers not in (None, len(self.classes)):
            raise At(("layers",), f"{self.layers} layers and {len(self.classes)} classes: say one of them")
        return self

    @classmethod
    def load(cls, attributes, context):
        """As Dagster does; errors say in which line of the YAML."""
        try:
            return super().load(attributes, context)
        except ValidationError as problem:
            told = [_located(context, error) for error in problem.errors()]
            raise UsageError("\n".join(told)) from None

    def version(self, code: str, *attributes: str) -> str:
        """The code version of an asset that is made as these attributes say, or all that annotations are made
        by: another YAML makes what is there out of date."""
        said = self.model_dump(include=set(attributes)) if attributes else self.model_dump(exclude=NOT_MADE_OF)
        plain = {name: value for name, value in said.items() if value != type(self).model_fields[name].default}
        if not plain.keys() - {"dataset"}:
            return code
        return f"{code}-{hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:10]}"

    @property
    def can_generate(self) -> bool:
        """Whether there can be pictures that nobody has taken."""
        return bool(self.rendered_as)

    @property
    def rendered_as(self) -> tuple[str, ...]:
        """The attributes that pictures are rendered by; none when there are only real ones."""
        return ()

    @property
    def known_classes(self) -> Classes | None:
        """The classes that the YAML states; None when it leaves them to `classes.json` or `layers`."""
        if self.classes is None:
            return None
        stated = [FlakeClass(**entry).model_dump(exclude_none=True) for entry in self.classes]
        names = {"ignore_labels": self.ignore_labels, "class_agnostic_name": self.class_agnostic_name}
        return from_document({"classes": stated, **names})

    @property
    def zip_name(self) -> str:
        """The released zip's name on Zenodo."""
        return self.archive or f"Real_{self.dataset}.zip"

    @property
    def zip_places(self) -> tuple[str, ...]:
        """Where in the raw folder the released zip may lie."""
        return (self.zip_name, f"{self.dataset}/{self.zip_name}")

    @property
    def reads(self) -> tuple[str, ...]:
        """Patterns of the raw files, relative to the family's folder."""
        return (f"{self.dataset}/*", self.zip_name)

    @property
    def expects_all(self) -> bool:
        """Whether a release has to have all four annotation files of a split."""
        return True


class MaskTerialDataset(_Flakes, dg.Component, dg.Resolvable):
    """Real photographs of flakes below the raw folder's `maskterial/<dataset>/`, from labelme, Label Studio, instance
    masks or a released zip, to MaskTerial's tree: images, annotations, semantic masks, sets, few-shot splits."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        made = [*assets.split_assets("maskterial", self), assets.few_shot_asset("maskterial", self)]
        return dg.Definitions(
            assets=[maskterial_raw.of_dataset("maskterial", self), *made, download_asset("maskterial", self)]
        )


class MaskTerialSynthetic(_Flakes, dg.Component, dg.Resolvable):
    """Rendered flakes, with the files that upstream's pretraining reads; imported from a released
    `Synthetic_<dataset>.zip` in the raw folder's `maskterial_synthetic/` or `maskterial/`, or (`source: generated`, or
    the run option `generate`) rendered here, as `generate` describes. There are no few-shot splits of these."""

    source: Literal["auto", "labelme", "labelstudio", "instance_masks", "released", "generated"] = "auto"
    generate: dict[str, Any] = Field(
        default={}, description="what a generated set looks like; fields of segassets.formats.flake_scenes.Recipe"
    )

    @model_validator(mode="after")
    def _renderable(self):
        """What is wrong with the recipe, unless only its material is unknown and nobody has asked for it."""
        if self.generate or self.source == "generated":
            known = {field.name for field in dataclasses.fields(Recipe)} - {"layers"}
            for name in self.generate:
                if name == "layers":
                    raise At(("generate", name), "say it as `layers` (or `classes`) of the dataset")
                if name not in known:
                    raise At(("generate", name), f"{name!r} is not known here; known are {', '.join(sorted(known))}")
            try:
                self.recipe  # noqa: B018 - raises for what cannot be rendered
            except ValueError as problem:
                name = str(problem).partition(":")[0]
                raise At(("generate", name) if name in self.generate else ("generate",), str(problem)) from None
        return self

    @property
    def rendered_as(self) -> tuple[str, ...]:
        return ("dataset", "generate")

    @property
    def recipe(self) -> Recipe:
        """What a generated set looks like. ValueError when it cannot be rendered."""
        said = dict(self.generate)
        rows = said.get("indices", [])
        if not isinstance(rows, list):
            raise ValueError("indices: expected rows of three numbers [nm, n, k]")
        said["indices"] = tuple(tuple(row) if isinstance(row, list) else row for row in rows)
        layers = len(self.classes) if self.classes else self.layers or MAX_LAYERS
        return Recipe(**{"material": self.dataset, **said, "layers": layers})

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        family = "maskterial_synthetic"
        made = [
            maskterial_raw.of_dataset(family, self),
            *assets.split_assets(family, self),
            download_asset(family, self),
        ]
        return dg.Definitions(assets=made)

    @property
    def zip_name(self) -> str:
        return self.archive or f"Synthetic_{self.dataset}.zip"

    @property
    def zip_places(self) -> tuple[str, ...]:
        return (*super().zip_places, f"/maskterial/{self.zip_name}")

    @property
    def reads(self) -> tuple[str, ...]:
        return (*super().reads, f"/maskterial/{self.zip_name}")

    @property
    def expects_all(self) -> bool:
        return False
