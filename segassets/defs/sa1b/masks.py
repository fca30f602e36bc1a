"""Pictures made from the mask table: one PNG a mask, one control image a picture."""

from typing import Literal

from segassets.artifact import artifact
from segassets.defs.sa1b import show
from segassets.defs.sa1b.partitions import SHARDS
from segassets.formats.sa1b_items import control_file, mask_files
from segassets.work.plans import each, groups


@artifact("sa1b/masks", SHARDS, into="sam-1b", code_version="1", check=show.check_masks, show=show.masks)
def masks(mask_table, partition, *, png_depth: Literal[8, 2, 1] = 8, packing: Literal["files", "zip"] = "files"):
    """`sa_N/segmentation_J.png`: 8-bit grey, 0 and 255, J the rank; nothing else lies in a `sa_N` folder.

    `png_depth` 2 makes files 2.4 times smaller that read as 0 and 255 everywhere; 1 makes them smaller still, but
    scikit-image and `np.array(Image.open(...))` then read booleans, which silently breaks ASAM's tuning.
    `packing=zip` publishes `<shard>-masks.zip` instead of the folders: a million objects fewer on S3.
    """
    return each(
        groups(mask_table, "image", "height", "width", "source_index", "counts"),
        mask_files,
        packed=f"{partition}-masks.zip" if packing == "zip" else None,
        folder=f"{partition}/",
        depth=png_depth,
    )


@artifact("sa1b/control_images", SHARDS, into="sam-1b/{partition}", code_version="1", show=show.pictures)
def control_images(mask_table):
    """`sa_N.png` beside `sa_N.jpg`: every mask in the colour of its rank, small over large; ControlNet's source."""
    return each(groups(mask_table, "image", "height", "width", "counts"), control_file)
