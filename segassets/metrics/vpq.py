"""Video panoptic quality: panoptic quality of tubes, over windows of one to four labelled frames.

Every frame's overlaps are counted once; a window is their sum. Source: Kim et al., Video Panoptic Segmentation, 2020;
mcahny/vps eval_vpq.py; the Cityscapes-VPS specification 3. Clips are grouped by their number, not by six.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segassets.metrics import pq
from segassets.metrics.pq import Overlaps, Tally, Truth

#: Length of a window in labelled frames → its name upstream, in frames of the video.
WINDOWS = {1: 0, 2: 5, 3: 10, 4: 15}
#: Group of categories → its name in `vpq-final.txt`.
GROUPS = {"All": "vpq_all", "Things": "vpq_thing", "Stuff": "vpq_stuff"}


@dataclass(frozen=True)
class Frame:
    """A labelled frame: its overlaps, and what the ids are."""

    overlaps: Overlaps
    truth: Mapping[int, Truth]
    predicted: Mapping[int, int]


def clip_tallies(frames: Sequence[Frame]) -> dict[int, dict[int, Tally]]:
    """By window length and category, over all windows of a clip. `frames` in temporal order."""
    return {length: pq.total(_windows(frames, length)) for length in WINDOWS}


def _windows(frames: Sequence[Frame], length: int):
    for start in range(len(frames) - length + 1):
        yield _window(frames[start : start + length])


def _window(frames: Sequence[Frame]) -> dict[int, Tally]:
    """One window: a tube has the category of its first frame in it."""
    found: Counter = Counter()
    truth: dict[int, Truth] = {}
    predicted: dict[int, int] = {}
    for frame in frames:
        found.update(frame.overlaps)
        truth = {**frame.truth, **truth}
        predicted = {**frame.predicted, **predicted}
    return pq.tallies(found, truth, predicted)


def stats(found: Mapping[int, Mapping[int, Tally]], things: Mapping[int, bool]) -> dict:
    """All numbers as one JSON object: per window every category and the averages, and VPQ, their mean, in percent."""
    windows = {
        str(length): {
            "k": WINDOWS[length],
            "per_class": pq.per_class(by_category, things),
            **pq.averages(by_category, things),
        }
        for length, by_category in found.items()
    }
    return {"per_window": windows, "final": {group: _mean(windows.values(), group) for group in GROUPS}}


def _mean(windows, group: str) -> float | None:
    values = [window[group]["pq"] for window in windows]
    return None if any(value is None for value in values) or not values else 100 * sum(values) / len(values)


def window_text(window: Mapping) -> str:
    """`vpq-<k>.txt` as upstream prints it: percentages with one decimal."""
    lines = ["=" * 48, f"{'':10s}| {'PQ':>5s}  {'SQ':>5s}  {'RQ':>5s} {'N':>4s}", "-" * 38]
    for name in GROUPS:
        group = window[name]
        lines.append(
            f"{name:10s}| {_percent(group, 'pq')}  {_percent(group, 'sq')}  {_percent(group, 'rq')} {group['n']:5d}"
        )
    lines.append(f"IDX | {'PQ':>5s} {'SQ':>5s} {'RQ':>5s} {'IoU':>6s} {'TP':>7s} {'FP':>7s} {'FN':>7s}")
    for category, row in window["per_class"].items():
        scores = " ".join(_percent(row, name) for name in ("pq", "sq", "rq"))
        lines.append(f"{category:>4s} | {scores} {row['iou']:6.1f} {row['tp']:7d} {row['fp']:7d} {row['fn']:7d}")
    return "\n".join(lines) + "\n"


def _percent(row: Mapping, name: str) -> str:
    return f"{'nan':>5s}" if row[name] is None else f"{100 * row[name]:5.1f}"


def final_text(result: Mapping) -> str:
    """`vpq-final.txt`: three lines, percent with four decimals."""
    final = result["final"]
    shown = {key: "nan" if final[group] is None else f"{final[group]:.4f}" for group, key in GROUPS.items()}
    return "".join(f"{key}:{value}\n" for key, value in shown.items())
