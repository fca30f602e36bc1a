"""The raw folder of MaskTerial's synthetic datasets."""

import dagster as dg

raw = dg.AssetSpec(
    ["maskterial_synthetic", "raw"],
    group_name="maskterial_synthetic",
    description="Rendered flakes as released: Synthetic_<material>.zip, here or in the raw folder's maskterial/.",
    metadata={
        "licence": "as stated with each record; code MIT",
        "link": dg.MetadataValue.url("https://zenodo.org/records/15765514"),
        "citation": "Uslu et al., MaskTerial, Digital Discovery 2025, arXiv:2412.09333",
    },
)
