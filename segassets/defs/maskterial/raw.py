"""The raw folder of MaskTerial's datasets."""

import dagster as dg

raw = dg.AssetSpec(
    ["maskterial", "raw"],
    group_name="maskterial",
    description="Flake datasets as released or annotated: one folder a dataset, or Real_<dataset>.zip.",
    metadata={
        "licence": "as stated with each record; code MIT",
        "link": dg.MetadataValue.url("https://zenodo.org/records/15765514"),
        "citation": "Uslu et al., MaskTerial, Digital Discovery 2025, arXiv:2412.09333",
    },
)
