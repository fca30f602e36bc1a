"""MaskTerial: flake datasets that all have the same artifacts. A dataset is a `defs.yaml` of this type."""

import json
from typing import Literal

import dagster as dg

from segassets.artifact import artifact
from segassets.findings import BadItem, error
from segassets.formats import few_shot as few
from segassets.work.plans import files

SHOTS = dg.StaticPartitionsDefinition([str(shot) for shot in few.SHOTS])
RUNS = dg.StaticPartitionsDefinition([str(run) for run in few.RUNS])
FEW_SHOT = dg.MultiPartitionsDefinition({"shot": SHOTS, "run": RUNS})


class MaskTerialDataset(dg.Component, dg.Model, dg.Resolvable):
    """A dataset of annotated flakes, by its folder's name below `maskterial/` in the raw folder."""

    dataset: str

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return dg.Definitions(assets=[few_shot_asset(self.dataset)])


def few_shot_asset(dataset: str) -> dg.AssetsDefinition:
    """The few-shot splits of a dataset: shot x run partitions, all of them one run."""
    sources = tuple(f"{dataset}/RLE_annotations/{name}" for name in (few.WITH_CLASS_FILE, few.AGNOSTIC_FILE))

    @artifact(
        f"maskterial/{dataset}/few_shot",
        FEW_SHOT,
        into=f"maskterial/{dataset}/RLE_annotations/{{shot}}_shot/run_{{run}}",
        reads=sources,
        code_version="1",
        backfill=dg.BackfillPolicy.single_run(),
    )
    def few_shot(raw, partition, *, semantics: Literal["images", "exact"] = "images"):
        """Annotations of K instances a class, the same images in the with-class and the class-agnostic file.

        Drawn by the sampler `hashrank`: independent of other datasets, of runs, and of the order of the file; the
        selection of K lies within that of any larger K.
        """
        with_class, agnostic = (_document(raw, path) for path in sources)
        run, shot = (int(part) for part in partition.split("|"))  # Dagster orders dimensions by name
        selected = few.hashrank(with_class, shot, run, dataset, semantics).annotations
        findings = few.few_shot_findings(with_class, selected, shot)
        return files(few.few_shot_files(with_class, agnostic, selected, order="id"), findings=findings)

    return few_shot


def _document(raw, path):
    """A parsed annotation file. BadItem when it is missing or is not JSON."""
    if path not in raw:
        raise BadItem(error("missing", f"there is no {path} in {raw.root}/maskterial", path=path))
    try:
        return json.loads(raw.read(path))
    except (ValueError, RecursionError) as problem:
        raise BadItem(error("bad_json", f"it cannot be read as JSON: {problem}", path=path)) from None
