"""Scores of panoptic segmentation, as pure functions of ids and areas: no files, no Dagster."""
