"""The sensor that makes everything of every new shard."""

from segassets.automation.arrivals import arrivals
from segassets.defs.sa1b.partitions import SHARDS

new_sa1b_shards = arrivals(
    "new_sa1b_shards",
    SHARDS,
    "sa1b",
    "sa1b/shard_index",
    "Looks into the raw folder's sa1b/ every minute. A new tar there becomes a partition, and a run makes everything "
    "of it; at most 20 runs are started at a time. A shard whose run failed is not started again: look at its "
    "findings; it is started again when its files have changed. Put a tar there under another name (.part) and rename it when it is complete.",
)
