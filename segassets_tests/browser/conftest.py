"""A real `segassets ui` over a small sample, and headless Chromium to look at it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segassets.sample import sa1b
from segassets.ui.ending import descendants
from segassets_tests.running import Place

# Debian's name and others'.
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",  # tests run as root in containers, where Chromium's sandbox does not start; it sees only our UI
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
# Generous, since the tests share their cores with others.
WAIT_MS = 120_000
READY = "sa1b/mask_table", "sa1b/captions"


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser's program."""
    pytest.importorskip("playwright", reason="no Playwright (pip install playwright)")
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium (apt-get install -y --no-install-recommends chromium fonts-dejavu-core)")


@pytest.fixture(scope="module")
def ui(chromium, tmp_path_factory) -> Iterator[str]:
    """The address of a UI over SA-1B's sample; what masks and captions are made from is there, masks are not."""
    folder = tmp_path_factory.mktemp("browser")
    for path, data in sa1b.files():
        target = folder / "raw" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    place = Place.below(folder)
    place.run("materialize", *READY)
    command = [sys.executable, "-c", "from segassets.cli import console; console()", "ui", "--port", "0"]
    process = subprocess.Popen(
        command, env=place.environ(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = ""
    try:
        for line in iter(process.stdout.readline, ""):
            said += line
            if address := re.search(r"UI on (http://127\.0\.0\.1:\d+)", line):
                yield address[1]
                break
        else:
            raise AssertionError(f"the UI ended before it answered:\n{said}")
    finally:
        children = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.stdout.close()


@pytest.fixture
def page(chromium, ui) -> Iterator:
    """A page of a fresh browser; it fails the test when the UI asks anybody but our server."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    foreign: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(base_url=ui, viewport={"width": 1400, "height": 900})
        page.set_default_timeout(WAIT_MS)
        page.route(lambda url: not url.startswith((ui, "data:", "blob:")), lambda route: _refuse(route, foreign))
        yield page
        browser.close()
    assert not foreign, f"the UI asks other servers: {foreign}"


def _refuse(route, foreign: list[str]) -> None:
    foreign.append(route.request.url)
    route.abort()


@pytest.fixture
def picture(page) -> Callable[[str], None]:
    """Write what the page shows to `$SEGASSETS_SCREENSHOTS/<name>.png`: so the README's pictures are made."""
    folder = os.environ.get("SEGASSETS_SCREENSHOTS")

    def take(name: str) -> None:
        if folder:
            page.wait_for_timeout(1000)  # fonts, and what fades in
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder, f"{name}.png"))

    return take
