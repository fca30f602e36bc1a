"""Checks of what was made of a split: of all rows, and of the pixels of a seeded sample."""

import json

from segassets.findings import BadItem
from segassets.formats import cityscapes_checks as rules

SAMPLE = 8


def sample(view, random, ending=".png", count=SAMPLE):
    """Some of the published files, by path: (item, path), the same for the same partition."""
    rows = [
        (item, path)
        for item, path in zip(view.files["item"].to_pylist(), view.files["path"].to_pylist(), strict=True)
        if path.endswith(ending) and item
    ]
    return random.sample(rows, min(count, len(rows)))


def _of_sample(view, random, rule):
    """The findings of a rule on the bytes of sampled files."""
    findings = []
    for item, path in sample(view, random):
        try:
            findings += rule(item, view.read(path))
        except BadItem as bad:
            findings += bad.findings
    return findings


def label_maps(view, random):
    """8-bit grey with values 0 to 18 and 255 only (8 maps are looked at)."""
    return _of_sample(view, random, rules.label_map_findings)


def instance_maps(view, random):
    """16-bit grey: 0 to 18 and 255, or 1000 trainId + number of things (8 maps are looked at)."""
    return _of_sample(view, random, rules.instance_map_findings)


def _panoptic(view, random, train_ids):
    rows = {}
    findings = []
    picked = sample(view, random)
    wanted = {item for item, _ in picked}
    for row in view.records():
        segments = json.loads(row["segments"])
        findings += rules.segment_findings(row["image"], segments, train_ids, row["height"] * row["width"])
        if row["image"] in wanted:
            rows[row["image"]] = segments
    for image, path in picked:
        findings += rules.panoptic_png_findings(image, view.read(path), rows[image])
    return findings


def panoptic(view, random):
    """Ids, areas, categories and crowds of all images; 8 PNGs have these ids and areas, and PQ 100 of themselves."""
    return _panoptic(view, random, train_ids=False)


def panoptic_train_id(view, random):
    """Ids, areas, categories and crowds of all images; 8 PNGs have these ids and areas, and PQ 100 of themselves."""
    return _panoptic(view, random, train_ids=True)


def instances(view, random):
    """Every annotation's run lengths have its area and box; categories are those of the panoptic JSON's things."""
    return [
        finding
        for row in view.records()
        for finding in rules.annotation_findings(
            row["image"], json.loads(row["annotations"]), (row["height"], row["width"])
        )
    ]
