"""Joining the pieces that the batches of a packed artifact made into one stored zip."""

from __future__ import annotations

from collections.abc import Iterator

from segassets.formats import zip_stored
from segassets.store.stage import Stage


def joined(stage: Stage) -> Iterator[bytes]:
    """The archive's bytes, a batch at a time: the members of every batch in order, then one directory."""
    place = stage.place
    packed = [summary.batch for summary in stage.batches() if summary.packed]
    lengths = []
    for number in packed:
        data = place.files.read(place.batch(number, "zip"))
        lengths.append(len(data))
        yield data
    directories = (place.files.read(place.batch(number, "directory")) for number in packed)
    yield from _blocks(zip_stored.end_records(zip(lengths, directories, strict=True)))


def _blocks(records: Iterator[bytes], size: int = 1 << 20) -> Iterator[bytes]:
    """Small records, gathered: one write each would cost more than making them."""
    block = bytearray()
    for record in records:
        block += record
        if len(block) > size:
            yield bytes(block)
            block.clear()
    yield bytes(block)
