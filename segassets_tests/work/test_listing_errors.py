"""What an error of the listing costs: an item, whatever it names; never nothing."""

from __future__ import annotations

import pytest

from segassets.declaration import Artifact
from segassets.errors import PartitionRejected
from segassets.findings import error, warning
from segassets.settings import Settings
from segassets.store.store import Store
from segassets.work.job import Job
from segassets.work.make import prepare
from segassets.work.plans import files

ROWS = (("name", "string"),)


def prepared(tmp_path, findings, tolerance):
    def plan(partition, arguments, options):
        return files(rows={"name": ["a"]}, findings=findings)

    settings = Settings(raw=str(tmp_path / "raw"), store=str(tmp_path / "store"))
    job = Job(Artifact("toys/list", "", "1", plan, rows=ROWS), "red", settings, max_rejected=tolerance)
    with Store(settings.store).locked("toys/list", "red") as lock:
        job.workers_lock = lock.workers_path
        return prepare(job)


@pytest.mark.parametrize(
    ("where", "lost"),
    [
        ([{"index": 0}, {"index": 1}], 2),
        ([{"index": 3, "path": "list.json"}, {"path": "list.json"}], 1),
        ([{"image": "a", "index": 1}, {"image": "a", "path": "b"}], 1),
        ([{}], 1),
        ([{"member": "stray.txt", "path": "all.tar"}], 0),
    ],
)
def test_an_error_of_the_listing_costs_an_item(tmp_path, where, lost):
    findings = [error("broken", f"number {k}", **place) for k, place in enumerate(where)]
    outcome = prepared(tmp_path, [*findings, warning("odd", "costs nothing")], 1.0)
    assert outcome.footer.counts["rejected"] == lost
    if lost:
        with pytest.raises(PartitionRejected, match=r"items rejected, allowed are 0\.00%"):
            prepared(tmp_path, findings, 0.0)
