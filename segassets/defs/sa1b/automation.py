"""A job that makes everything of a shard, and a sensor that starts it for every new one."""

import dagster as dg

from segassets.automation.arrivals import arrivals
from segassets.defs.sa1b.partitions import SHARDS

# The tuning manifest is made of a shard, too, but for every adversarial run: it has other partitions.
sa1b = dg.define_asset_job(
    "sa1b",
    dg.AssetSelection.assets("sa1b/shard_index").downstream() - dg.AssetSelection.assets("sa1b/tuning_manifest"),
    description="Everything that is made of a shard: index, pictures, masks, control images, captions, training files.",
)

new_sa1b_shards = arrivals(
    "new_sa1b_shards",
    SHARDS,
    sa1b,
    "sa1b/shard_index",
    "Looks into the raw folder's sa1b/ every minute. A new tar there becomes a partition, and a run makes everything "
    "of it; at most 20 runs are started at a time. A shard whose run failed is not started again: look at its "
    "findings, then materialize it. Put a tar there under another name (.part) and rename it when it is complete.",
)
