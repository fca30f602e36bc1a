"""Video panoptic quality: windows, tubes, texts; the golden submission with crowds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segassets.formats.cityscapes_vps import CATEGORIES
from segassets.formats.panoptic import read_ids
from segassets.metrics import pq, vpq
from segassets.metrics.pq import Tally, Truth
from segassets.metrics.vpq import Frame

GOLDEN = Path(__file__).parents[3] / "shared/golden/cityscapes_vps"
THINGS = {record["id"]: bool(record["isthing"]) for record in CATEGORIES}


def frame(truth, predicted, category=11):
    ids = np.array([truth]), np.array([predicted])
    return Frame(pq.overlaps(*ids), {t: Truth(category, False) for t in truth}, dict.fromkeys(predicted, category))


def test_a_clip_has_six_five_four_and_three_windows():
    found = vpq.clip_tallies([frame([1, 1], [1, 1])] * 6)
    assert {length: tallies[11] for length, tallies in found.items()} == {
        t: Tally(7.0 - t, 7 - t) for t in (1, 2, 3, 4)
    }


def test_an_id_that_changes_costs_only_the_longer_windows():
    found = vpq.clip_tallies([frame([1, 1], [1, 1]), frame([1, 1], [2, 2])])
    assert found[1][11] == Tally(2.0, 2)
    assert found[2][11] == Tally(0.0, 0, 2, 1)  # two halves: neither is more than a half
    assert found[3] == {}


def test_a_tube_has_the_category_of_its_first_frame():
    found = vpq.clip_tallies([frame([1], [1], 11), frame([1], [1], 12)])
    assert found[2] == {11: Tally(1.0, 1)}


def test_no_frame_no_score():
    result = vpq.stats({length: {} for length in vpq.WINDOWS}, THINGS)
    assert result["final"] == {"All": None, "Things": None, "Stuff": None}
    assert vpq.final_text(result) == "vpq_all:nan\nvpq_thing:nan\nvpq_stuff:nan\n"
    assert "nan" in vpq.window_text(result["per_window"]["1"])


@pytest.mark.golden
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden data is not there")
def test_a_submission_with_crowds_is_scored_as_upstream_does():
    folder = GOLDEN / "vpq/crowd"
    truth = json.loads((folder / "expected/panoptic_gt_val_city_vps.json").read_text())
    predicted = json.loads((folder / "pred.json").read_text())["annotations"]
    clips: dict[str, list[Frame]] = {}
    for wanted, given in zip(truth["annotations"], predicted, strict=True):
        ids = read_ids((folder / "expected/panoptic_video" / wanted["file_name"]).read_bytes())
        found = read_ids((folder / f"pan_pred/{wanted['image_id']}.png").read_bytes())
        of = {segment["id"]: segment["category_id"] for segment in given["segments_info"]}
        made = Frame(pq.overlaps(ids, found), pq.truth_of(wanted["segments_info"]), of)
        clips.setdefault(wanted["image_id"][:4], []).append(made)
    parts = [vpq.clip_tallies(frames) for frames in clips.values()]
    result = vpq.stats({length: pq.total(part[length] for part in parts) for length in vpq.WINDOWS}, THINGS)
    expected = json.loads((folder / "expected/vpq_stats.json").read_text())
    assert result["final"] == pytest.approx(expected["final"], abs=1e-9)
    for length, window in expected["per_window"].items():
        for category, scores in window["per_class"].items():
            assert result["per_window"][length]["per_class"][category] == pytest.approx(scores, abs=1e-9)
        text = (folder / f"expected/vpq-{window['k']}.txt").read_text()
        assert vpq.window_text(result["per_window"][length]) == text
    assert vpq.final_text(result) == (folder / "expected/vpq-final.txt").read_text()
