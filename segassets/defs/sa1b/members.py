"""References to the members of a shard's tar, by the rows of its index."""

from segassets.sources.plain_tar import plain_tar

SHARD = "{partition}.tar"


def members(shard_index, raw, *kinds):
    """The rows of a shard's index, each with references to its members: `jpg`, `json`."""
    tar = plain_tar(raw, SHARD.format(partition=shard_index.partition))
    for row in shard_index.records():
        parts = {kind: tar.part(row[f"{kind}_offset"], row[f"{kind}_size"], row[f"{kind}_member"]) for kind in kinds}
        yield {**row, **parts}
