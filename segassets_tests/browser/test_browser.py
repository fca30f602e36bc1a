"""What a person does in the UI: make a partition, look at it, start a backfill, switch a sensor and a schedule on and off."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

SHARD = "sa_000000"
MUTATION = """mutation { addDynamicPartition(
    repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "segassets"},
    partitionsDefName: "sa1b_shards", partitionKey: "evil") { __typename } }"""

pytestmark = pytest.mark.timeout(300)


def test_a_partition_is_made_and_looked_at(page, picture):
    from playwright.sync_api import expect

    page.goto(f"/assets/sa1b/masks?view=partitions&partition={SHARD}")
    expect(page.get_by_text("Missing (2)")).to_be_visible()
    page.get_by_role("button", name="Materialize…").click()
    expect(page.get_by_role("dialog")).to_contain_text(SHARD)
    picture("materialize")
    page.get_by_role("button", name="Launch 1 run").click()
    expect(page.get_by_text("Materialized (1)")).to_be_visible()

    # The contact sheet is behind a link of the partition's page.
    page.reload()
    show = page.get_by_text("Show Markdown").first
    expect(show).to_be_visible()
    picture("masks")
    show.click()
    shown = page.get_by_role("dialog").locator("img[src^='data:image/']")
    expect(shown).to_be_visible()
    # It has pixels: neither a sanitizer nor a policy of the page kept it out.
    assert min(shown.evaluate("image => [image.naturalWidth, image.naturalHeight]")) > 50
    picture("preview")

    # Numbers of the asset can be plotted over time.
    page.goto("/assets/sa1b/masks?view=overview")
    page.get_by_text("Plots", exact=True).click()
    expect(page.locator("canvas").first).to_be_visible()
    picture("plots")

    page.goto("/assets/sa1b/masks?view=checks")
    expect(page.get_by_text("findings").first).to_be_visible()
    expect(page.get_by_text(re.compile("Passed|passed|Succeeded")).first).to_be_visible()
    picture("checks")


def test_findings_and_lineage(page, picture):
    from playwright.sync_api import expect

    page.goto(f"/assets/sa1b/captions?view=partitions&partition={SHARD}")
    row = page.get_by_role("row").filter(has_text="caption_missing")
    expect(row.last).to_contain_text("the image has no caption")
    expect(page.get_by_text("caption_orphan").first).to_be_visible()
    picture("findings")

    page.goto("/assets/sa1b/masks?view=lineage&lineageScope=upstream&lineageDepth=3")
    for name in ("masks", "mask_table", "shard_index"):
        expect(page.get_by_text(name, exact=True).last).to_be_visible()
    expect(page.get_by_text("Loading...")).to_have_count(0)
    picture("lineage")


def test_a_backfill_a_sensor_and_a_schedule(page, picture):
    from playwright.sync_api import expect

    page.goto("/assets/sa1b/images?view=partitions")
    expect(page.get_by_text("Missing (2)")).to_be_visible()
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Missing", exact=True).click()
    expect(dialog).to_contain_text("2 partitions")
    dialog.get_by_role("button", name=re.compile("Launch")).click()
    expect(dialog).to_have_count(0)

    # The daemon looks for new backfills twice a minute: time for a sensor, and for the nightly schedule.
    switched(page, "new_sa1b_shards", picture)
    switched(page, "fill_missing", picture)

    # This page does not follow runs that it did not start itself.
    made = page.get_by_text("Materialized (2)")
    for _ in range(20):
        page.goto("/assets/sa1b/images?view=partitions")
        page.get_by_text(re.compile(r"Materialized \(\d\)")).wait_for()
        page.wait_for_timeout(5000)
        if made.is_visible():
            break
    expect(made).to_be_visible()
    page.goto("/runs")
    picture("backfill")


def switched(page, name: str, picture) -> None:
    """Switch a sensor or schedule on and off again, each time as the server then has it."""
    from playwright.sync_api import expect

    page.goto("/automation")
    expect(page.get_by_text(name, exact=True)).to_be_visible()
    switch = page.get_by_text(name, exact=True).locator("xpath=ancestor::*[.//input[@type='checkbox']][2]")
    switch = switch.locator("input[type=checkbox]").last
    assert not switch.is_checked(), f"{name} has to be off until somebody starts it"
    for wanted in (True, False):
        for _ in range(10):  # a click on a page that is still being drawn is lost
            switch.evaluate("box => box.click()")
            page.wait_for_timeout(3000)
            if switch.is_checked() == wanted:
                break
        expect(switch).to_be_checked(checked=wanted)
        page.reload()
        expect(page.get_by_text(name, exact=True)).to_be_visible()
        expect(switch).to_be_checked(checked=wanted)
        if wanted:
            picture("automation")


def test_another_sites_page_cannot_do_it(page, ui):
    """A foreign page in the same browser: the guard refuses its requests, so that nothing is launched."""
    page.route("http://foreign.example/", lambda route: route.fulfill(body="<p>hello</p>", content_type="text/html"))
    page.goto("http://foreign.example/")
    ask = "([address, options]) => fetch(address, options).then(() => 'answered', () => 'refused')"
    address = f"{ui}/graphql?query={quote(MUTATION)}"
    for options in ({"method": "POST", "headers": {"content-type": "text/plain"}}, {}):
        page.evaluate(ask, [address, {**options, "mode": "no-cors"}])
    assert (
        page.evaluate(ask, [address, {"method": "POST", "headers": {"content-type": "application/json"}}]) == "refused"
    )
    page.goto("/assets/sa1b/masks?view=partitions")
    page.get_by_text(SHARD).first.wait_for()
    assert page.get_by_text("evil").count() == 0
