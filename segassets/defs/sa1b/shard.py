"""A shard: its index, its pictures, and the table of its masks, which everything else is made from."""

import dagster as dg

from segassets.artifact import artifact
from segassets.defs.sa1b import show
from segassets.defs.sa1b.members import SHARD, members
from segassets.defs.sa1b.partitions import SHARDS
from segassets.formats import sa1b_members
from segassets.formats.sa1b_items import INDEX_ROWS, MASK_ROWS, index_image, mask_rows
from segassets.formats.sa1b_shard import judged, without_oversized
from segassets.sources.plain_tar import plain_tar
from segassets.work.plans import Items, copy, each

raw = dg.AssetSpec(
    ["sa1b", "raw"],
    partitions_def=SHARDS,
    group_name="sa1b",
    kinds={"tar"},
    description="The tars of SA-1B as Meta publishes them, and what lies beside them: captions, evaluation data.",
    metadata={
        "licence": "SA-1B Dataset Research License: research use, no redistribution",
        "link": dg.MetadataValue.url("https://ai.meta.com/datasets/segment-anything-downloads/"),
        "citation": "Kirillov et al., Segment Anything, ICCV 2023, arXiv:2304.02643",
    },
)


@artifact("sa1b/shard_index", SHARDS, into="", reads=SHARD, rows=INDEX_ROWS, code_version="1", max_rejected=0.01)
def shard_index(raw, partition, *, decode: bool = True, allow_truncated: bool = False):
    """Where every picture and JSON lies in the tar, their sizes, and all that is wrong with them.

    The tar is read where it is: nothing is extracted, then or later. Every image is checked as a whole; one bad
    annotation rejects its image, because leaving out a mask would renumber all others.
    """
    path = SHARD.format(partition=partition)
    tar = plain_tar(raw, path)
    scan = tar.scan()
    images, findings = sa1b_members.classify(scan.members)
    images, oversized = without_oversized(images)
    findings = judged([*scan.problems, *findings, *oversized], len(images), allow_truncated, path)
    items = [
        {
            "image": f"sa_{image_id}",
            "image_id": image_id,
            "jpg": tar.part(jpg.offset, jpg.size, jpg.name),
            "annotations": tar.part(json.offset, json.size, json.name),
            "place": {
                "jpg_member": jpg.name,
                "jpg_offset": jpg.offset,
                "jpg_size": jpg.size,
                "json_member": json.name,
                "json_offset": json.offset,
                "json_size": json.size,
            },
        }
        for image_id, (jpg, json) in ((number, (pair["jpg"], pair["json"])) for number, pair in images.items())
    ]
    return each(Items(items, "image"), index_image, findings=findings, path=path, decode=decode)


@artifact("sa1b/images", SHARDS, into="sam-1b/{partition}", reads=SHARD, code_version="1")
def images(shard_index, raw):
    """`sa_N.jpg` and `sa_N.json`, byte for byte, of every image that can be used."""
    rows = members(shard_index, raw, "jpg", "json")
    return copy((row["image"], f"{row['image']}.{kind}", row[kind]) for row in rows for kind in ("jpg", "json"))


@artifact(
    "sa1b/mask_table",
    SHARDS,
    into="",
    reads=SHARD,
    rows=MASK_ROWS,
    code_version="1",
    check=show.check_ids,
    show=show.photographs,
)
def mask_table(shard_index, raw):
    """One row a mask: its run lengths, never decoded, in upstream's rank order; the source of truth for all masks.

    Rank: by the JSON's bbox[2] * bbox[3], largest first, ties in the JSON's order. `source_index` is the position in
    the JSON's `annotations`, `coco_bbox` the box of the pixels (one more in w and h than SA-1B's own).
    """
    rows = members(shard_index, raw, "json")
    items = [{"image": row["image"], "image_id": row["image_id"], "annotations": row["json"]} for row in rows]
    return each(Items(items, "image"), mask_rows)
