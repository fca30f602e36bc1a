"""The IO manager through which every asset's result is stored and loaded. It never pickles anything.

Storing publishes what the step has staged; loading gives a lazy handle on what is published.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from segassets import settings
from segassets.errors import SegassetsError, plainly
from segassets.store.handle import Handle
from segassets.store.store import Store


class StoreIOManager(dg.IOManager):
    """Publishes outcomes and opens handles. Its root comes from the environment and from nowhere else, so that no
    launch dialog can redirect it."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        try:
            obj.publish()
        except SegassetsError as problem:  # such as a foreign file: a message for people, not a traceback
            raise dg.Failure(str(problem), allow_retries=False) from None
        except OSError as problem:
            where = "/".join(
                [*context.asset_key.path, *(context.asset_partition_keys if context.has_asset_partitions else [])]
            )
            raise dg.Failure(f"{where}: {plainly(problem)}") from problem

    def load_input(self, context: dg.InputContext) -> Handle | dict[str, Handle]:
        store = Store(settings.load().store)
        asset = "/".join(context.asset_key.path)
        if not context.has_asset_partitions:
            return store.handle(asset, None)
        handles = {key: store.handle(asset, key) for key in context.asset_partition_keys}
        return next(iter(handles.values())) if len(handles) == 1 else handles
