"""An artifact of ten toys without Dagster: what becomes of an item is written in a file that a test can change."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from segassets.declaration import Artifact
from segassets.findings import BadItem, error
from segassets.items import File, Made
from segassets.settings import Settings
from segassets.store.store import Store
from segassets.work.job import Job
from segassets.work.make import Outcome, prepare
from segassets.work.plans import Items, each

ASSET, KEY = "toys/blocks", "red"
ROWS = (("name", "string"), ("value", "int64"))


def block(name: str, orders: str, colour: str) -> Made:
    """A file and a row; or what the orders say: die, fail, bad, escape, wait (the first time). Every call is noted."""
    with open(f"{orders}.log", "a", encoding="utf-8") as log:
        log.write(f"{name}\n")
    lines = Path(orders).read_text().splitlines() if os.path.exists(orders) else []
    order = dict(line.split() for line in lines).get(name)
    if order == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if order == "wait" and Path(f"{orders}.log").read_text().split().count(name) == 1:
        time.sleep(300)
    if order == "fail":
        raise OSError(28, "No space left on device")
    if order == "bad":
        raise BadItem(error("broken", "it is broken", image=name))
    path = "../../escaped" if order == "escape" else f"{name}.txt"
    return Made([File(path, f"{name} {colour}".encode())], {"name": [name], "value": [len(name)]})


class Toys:
    """The raw orders, the store, and runs over them."""

    def __init__(self, folder: Path, store: str):
        self.orders = folder / "orders"
        self.settings = Settings(raw=str(folder / "raw"), store=store)
        self.store = Store(store)

    def order(self, **orders: str) -> None:
        self.orders.write_text("".join(f"{name} {what}\n" for name, what in orders.items()))
        self.made()

    def made(self) -> list[str]:
        """The items that were made since this was last asked."""
        log = self.orders.with_name("orders.log")
        names = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return sorted(names)

    def job(self, colour: str = "red", workers: int = 1, items: int = 10, engine: str = "local", **more) -> Job:
        def plan(partition: str | None, arguments: dict, options: dict) -> object:
            listed = [{"name": f"t{number}"} for number in range(items)]
            source = Items(listed, "name", batch_items=2)
            return each(source, block, orders=str(self.orders), colour=options["colour"])

        settings = self.settings.model_copy(update={"workers": workers, "engine": engine})
        return Job(_artifact(plan), KEY, settings, options={"colour": colour}, **more)

    def make(self, *arguments, **options) -> Outcome:
        job = self.job(*arguments, **options)
        with self.store.locked(ASSET, KEY) as lock:
            job.workers_lock = lock.workers_path
            outcome = prepare(job)
            outcome.publish()
        return outcome


def _artifact(plan: Callable) -> Artifact:
    return Artifact(ASSET, "toys/{partition}", "1", plan, rows=ROWS)
