"""Synthetic group videos (V-HIM2K5, V-HIM60): plans by upstream's draws, mattes, occlusion, acceptance.

Belongs here: everything that needs alphas only. A video is accepted or rejected as a whole before a single colour is
decoded; most medium and hard ones are rejected. Source: the MaGGIe specification 3.2; golden data `synth_video/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from segassets.formats.pixels import pixels_of
from segassets.formats.resample import BILINEAR, resized
from segassets.formats.synthesis import NotMade

CLIP = 30
SMALL = 1e-7
NEAR = 1e-9
#: Highest occlusion a step may have, and the lowest that the video's worst step must have.
LIMITS = {"easy": (None, None), "medium": (0.3, 0.05), "hard": (0.85, 0.5)}
#: Numbers of upstream's loops, both ends included.
NUMBERS = {
    ("train", "easy"): [(0, 499)],
    ("train", "medium"): [(500, 1499), (3500, 9499)],
    ("train", "hard"): [(1500, 3499)],
    ("test", "easy"): [(0, 50)],
    ("test", "medium"): [(29, 221)],
    ("test", "hard"): [(2, 80)],
}


@dataclass
class Clip:
    """A person's clip in the plan: its first frame, the box that is cut out, where and how large it goes."""

    start: int
    box: tuple[int, int, int, int]
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0
    ratio: float = 0.0


@dataclass
class Plan:
    """`frames` frames of `clips` over the background that begins at `background_start`."""

    frames: int
    size: tuple[int, int]
    clips: list[Clip]
    background_start: int = 0


def drawn(number: int, level: str, clips: int) -> tuple[list[int], np.random.RandomState]:
    """Places in the list of the clips of video `number`, and the generator as it stands then."""
    random = np.random.RandomState(number)
    count = random.randint(2, 5)
    count = min(count, 3) if level == "easy" else count
    return [int(k) for k in random.choice(clips, count, replace=False)], random


def draw_background(
    random: np.random.RandomState, stills: Sequence[str], videos: Sequence[str], size: Callable[[str], tuple[int, int]]
) -> str:
    """A still that is wider than high, or a video: upstream draws stills again until one is."""
    if random.rand() < 0.5:
        if not stills:
            raise NotMade("the list of backgrounds has no stills, and one was drawn")
        for _ in range(1000):
            still = stills[random.choice(len(stills))]
            wide, high = size(still)
            if wide > high:
                return still
        raise NotMade("no background still is wider than high")
    if not videos:
        raise NotMade("the list of backgrounds has no videos, and one was drawn")
    return videos[random.choice(len(videos))]


def plan(
    random: np.random.RandomState,
    level: str,
    counts: Sequence[int],
    size: tuple[int, int],
    backgrounds: int,
    boxes: Callable[[int, int, int], list[tuple[int, int, int, int] | None]],
) -> Plan:
    """All of a video's draws after its background's.

    `counts`: frames of each clip; `boxes(clip, start, frames)`: boxes of what is not black, None where all is.
    """
    frames = min(*counts, CLIP)
    clips = []
    for k, count in enumerate(counts):
        start = 0 if count == frames else int(random.randint(0, count - frames))
        clips.append(Clip(start, _union(boxes(k, start, frames))))
    _scale(clips, random, level, size)
    x = 0
    for clip in clips:
        clip.width, clip.height = (int(n * clip.ratio) for n in _extent(clip.box))
        if 0 in (clip.width, clip.height):
            raise NotMade("a person would have no pixels")
        if level != "easy":
            x += int(random.randint(0, size[0] // 2) * random.choice([-1, 1]))
        clip.x = max(min(x, size[0] - clip.width), 0)
        clip.y = size[1] - clip.height
        x = clip.x + clip.width
    start = int(random.randint(0, backgrounds - 1)) if backgrounds > 1 else 0
    return Plan(frames, size, clips, start)


def _union(boxes: list[tuple[int, int, int, int] | None]) -> tuple[int, int, int, int]:
    """A frame without anything counts as a box at the corner, as upstream has it."""
    known = [box or (0, 0, 0, 0) for box in boxes]
    union = tuple(f(box[k] for box in known) for k, f in enumerate((min, min, max, max)))
    if union[0] >= union[2] or union[1] >= union[3]:
        raise NotMade("a clip is empty in all of its frames")
    return union


def _extent(box: tuple[int, int, int, int]) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _scale(clips: list[Clip], random: np.random.RandomState, level: str, size: tuple[int, int]) -> None:
    aspects = [w / h for w, h in (_extent(clip.box) for clip in clips)]
    for clip, aspect in zip(clips, aspects, strict=True):
        w, h = _extent(clip.box)
        clip.ratio = size[0] * (aspect / sum(aspects)) / w
        if level != "easy":
            clip.ratio *= random.uniform(1, 1.5 if level == "medium" else 2)
        if clip.ratio * h > size[1]:
            clip.ratio = size[1] / h * random.uniform(0.8, 1)


@dataclass
class Mattes:
    """Of every frame and clip: the alpha as it is pasted, and the visible levels, uint8, clipped at the canvas."""

    alphas: list[list[Image.Image]]
    visible: list[list[np.ndarray]]
    occlusion: float = 0.0


def mattes(given: Plan, level: str, alpha: Callable[[int, int], Image.Image]) -> Mattes:
    """Mattes of all frames. `alpha(clip, frame)`: what of a clip's grey alpha lies in its box.

    Raises NotMade for a rejected video.
    """
    upper, lower = LIMITS[level]
    found = Mattes([], [])
    for frame in range(given.frames):
        shown: list[_Layer] = []
        pasted = []
        for k, clip in enumerate(given.clips):
            scaled = resized(alpha(k, frame), (clip.width, clip.height), BILINEAR)
            layer = _Layer(pixels_of(scaled)[: given.size[1] - clip.y, : given.size[0] - clip.x])
            occlusion = _cover(shown, given.clips, layer, k, given.size)
            found.occlusion = max(found.occlusion, occlusion)
            if upper is not None and occlusion > upper:
                raise NotMade(f"frame {frame}: occlusion {occlusion:.4f}, allowed is {upper}")
            shown.append(layer)
            pasted.append(scaled)
        found.alphas.append(pasted)
        found.visible.append([layer.levels() for layer in shown])
    if lower is not None and found.occlusion < lower:
        raise NotMade(f"highest occlusion {found.occlusion:.4f}, needed is {lower}")
    return found


class _Layer:
    """A matte in a frame: 8-bit levels, and shares as soon as somebody covers it."""

    def __init__(self, given: np.ndarray):
        self.given, self.shape = given, given.shape
        self.shares: np.ndarray | None = None
        self.sum = 0.0

    def opened(self) -> np.ndarray:
        """The shares, to be changed in place."""
        if self.shares is None:
            self.shares = self.given / 255
            self.sum = self.shares.sum()
        return self.shares

    def levels(self) -> np.ndarray:
        """Visible levels, rounded down as upstream does, which leaves whole levels as they are."""
        return self.given if self.shares is None else (self.shares * 255).astype(np.uint8)


def _cover(shown: list[_Layer], clips: list[Clip], front: _Layer, k: int, size: tuple[int, int]) -> float:
    """Take what clip `k` covers from those behind; the largest share that one of them loses."""
    worst = 0.0
    for j, layer in enumerate(shown):
        window, mine = _windows(clips[j], layer.shape, clips[k], front.shape)
        if window is None:
            continue
        behind = layer.opened()
        before, part = layer.sum, behind[window]
        covered = part * (1 - front.given[mine] / 255)
        lost, after = 0.0, 0.0
        if before > 0:
            after = before - part.sum() + covered.sum()
            lost = 1 - after / (before + SMALL)
            if any(limit is not None and abs(lost - limit) < NEAR for limits in LIMITS.values() for limit in limits):
                lost = _exactly(behind, clips[j], window, covered, size)
        behind[window] = covered
        layer.sum = after
        worst = max(worst, float(lost))
    return worst


def _windows(clip: Clip, shape: tuple[int, int], front: Clip, front_shape: tuple[int, int]):
    left, top = max(clip.x, front.x), max(clip.y, front.y)
    right = min(clip.x + shape[1], front.x + front_shape[1])
    bottom = min(clip.y + shape[0], front.y + front_shape[0])
    if right <= left or bottom <= top:
        return None, None
    return (
        (slice(top - clip.y, bottom - clip.y), slice(left - clip.x, right - clip.x)),
        (slice(top - front.y, bottom - front.y), slice(left - front.x, right - front.x)),
    )


def _exactly(behind: np.ndarray, clip: Clip, window, covered: np.ndarray, size: tuple[int, int]) -> float:
    """The lost share by sums over whole frames, whose rounding may decide."""
    whole = np.zeros((size[1], size[0]))
    place = whole[clip.y : clip.y + behind.shape[0], clip.x : clip.x + behind.shape[1]]
    place[:] = behind
    before = whole.sum()
    place[window] = covered
    return float(1 - whole.sum() / (before + SMALL))
