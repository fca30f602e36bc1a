"""Contact sheets of pictures of any shape, and what becomes of a preview that cannot be made."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segassets import previews


@pytest.mark.parametrize("shape", [(40_000, 1), (1, 40_000), (5000, 1), (1, 1), (3, 5), (1024, 2048)])
def test_a_preview_stays_small_whatever_the_shape(shape):
    """A map of one column was scaled to the width of a tile, and took all memory."""
    picture = (np.arange(shape[0] * shape[1]) % 251).astype(np.uint8).reshape(shape)
    sheet = previews.contact_sheet([picture, np.zeros((4, 6, 3), np.uint8)])
    assert max(sheet.size) < 1000
    data = previews.small_png(sheet)
    assert len(data) <= previews.MAX_BYTES
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def test_a_sheet_of_any_shape_is_made_small():
    for size in ((1, 30_000), (30_000, 1)):
        with Image.open(io.BytesIO(previews.small_png(Image.new("RGB", size)))) as image:
            assert max(image.size) <= previews.MAX_SIDE and min(image.size) == 1


@pytest.mark.parametrize("problem", [MemoryError, ValueError("quantization error")])
def test_a_preview_that_cannot_be_written_costs_no_partition(monkeypatch, problem):
    def fails(image):
        raise problem

    monkeypatch.setattr(previews, "small_png", fails)
    job = SimpleNamespace(
        artifact=SimpleNamespace(show=lambda view: {"preview": Image.new("RGB", (4, 4))}),
        arguments=dict,
        label="toys/blocks red",
    )
    shown = previews._shown(SimpleNamespace(job=job, view=None))
    assert shown["preview"].startswith("none: ")
