"""The raw folders of MaskTerial's two families, and what lies in them for each dataset."""

import dagster as dg

from segassets import external
from segassets.components.maskterial_sources import SPLITS

PARTITIONS = dg.StaticPartitionsDefinition(list(SPLITS))
FAMILIES = {
    "maskterial": "Flake datasets as released or annotated: one folder a dataset, or Real_<dataset>.zip.",
    "maskterial_synthetic": "Rendered flakes as released: Synthetic_<material>.zip, here or in the raw folder's maskterial/.",
}


def folder(family: str) -> dg.AssetSpec:
    """`<family>/raw`: the folder with all datasets of the family."""
    return external.downloads(
        family,
        None,
        FAMILIES[family],
        licence="as stated with each record; code MIT",
        link="https://zenodo.org/records/15765514",
        citation="Uslu et al., MaskTerial, Digital Discovery 2025, arXiv:2412.09333",
    )


def of_dataset(family: str, declared) -> dg.AssetSpec:
    """`<family>/<dataset>/raw`: the files of one dataset, by split."""
    about = f"{declared.dataset} in the raw folder's {family}/: {', '.join(declared.reads)}."
    return external.part_of(folder(family), declared.dataset, PARTITIONS, about)
