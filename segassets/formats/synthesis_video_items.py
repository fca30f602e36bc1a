"""One synthetic video as files; runs in workers. Alphas first: colours are decoded of accepted videos only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from segassets.findings import info
from segassets.formats.canvas import Canvas
from segassets.formats.memory import keep_freed_memory
from segassets.formats.pictures import PictureError, grey, jpeg, opened, png, reason, rgb, size_of
from segassets.formats.png import placed_gray_png
from segassets.formats.synthesis import NotMade
from segassets.formats.synthesis_video import Mattes, Plan, draw_background, drawn, mattes, plan
from segassets.items import File, Made

VIDEO_ROWS = {
    "id": "int64",
    "made": "bool",
    "reason": "string",
    "instances": "int64",
    "frames": "int64",
    "clips": "list<string>",
    "background": "string",
    "max_occlusion": "double",
}


class Source:
    """A clip: the frames of its colours, and those of its alphas; without them the colours are RGBA.

    An alpha is decoded once, for its box; what is not black of it is kept.
    """

    def __init__(self, colours: Sequence[Any], alphas: Sequence[Any] | None):
        self.colours, self._alphas = colours, alphas
        self.count = len(colours if alphas is None else alphas)
        self._kept: dict[int, tuple[tuple[int, int], Image.Image] | NotMade] = {}

    def alpha(self, frame: int, box: tuple[int, int, int, int]) -> Image.Image:
        """What lies in the box. `box(frame)` comes first."""
        kept = self._kept[frame]
        if isinstance(kept, NotMade):
            raise kept
        (x, y), shown = kept
        out = Image.new("L", (box[2] - box[0], box[3] - box[1]))
        out.paste(shown, (x - box[0], y - box[1]))
        return out

    def box(self, frame: int) -> tuple[int, int, int, int] | None:
        """Of what is not black; of RGBA pictures upstream looks at the luminance, not at the alpha."""
        if self._alphas is not None:
            alpha = grey(self._alphas[frame].read(), self._alphas[frame].label)
            box = alpha.getbbox()
            self._keep(frame, alpha, box)
            return box
        picture = opened(self.colours[frame].read(), self.colours[frame].label)
        if picture.mode == "RGBA":
            alpha = picture.getchannel(3)
            self._keep(frame, alpha, alpha.getbbox())
        else:
            told = f"{self.colours[frame].label} is no RGBA picture, and its clip has no alphas"
            self._kept[frame] = NotMade(told)
        return picture.convert("L").getbbox()

    def _keep(self, frame: int, alpha: Image.Image, box: tuple[int, int, int, int] | None) -> None:
        box = box or (0, 0, 1, 1)
        self._kept[frame] = (box[:2], alpha.crop(box))


def synthetic_video(
    number: int,
    clips: Sequence[tuple[str, Sequence[Any], Sequence[Any] | None]],
    folder: str,
    level: str,
    list_length: int,
    stills: Sequence[str],
    videos: Sequence[str],
    backgrounds: Mapping[str, Sequence[Any]],
    lossless: bool,
) -> Made:
    """Video `number`, below `folder`: `fgr/NNNNN/FFFFF.jpg`, `pha/NNNNN/FFFFF/KK.png`.

    Rejected ones are info findings `not_made`.

    `clips`: (name, colours, alphas or None), in the order of the draw; `backgrounds`: name → frames.
    """
    keep_freed_memory()
    names = [name for name, _, _ in clips]
    background = ""
    try:
        sources = [Source(colours, alphas) for _, colours, alphas in clips]
        random = drawn(number, level, list_length)[1]
        background = draw_background(random, stills, videos, lambda name: _size(backgrounds[name][0]))
        frames = backgrounds[background]
        size = _size(frames[0])
        given = plan(random, level, [source.count for source in sources], size, len(frames), _boxes(sources))
        found = mattes(
            given, level, lambda k, frame: sources[k].alpha(given.clips[k].start + frame, given.clips[k].box)
        )
        files = list(_frames(number, given, found, sources, frames, lossless))
    except NotMade as why:
        return _not_made(number, str(why), names, background)
    except (PictureError, ValueError) as problem:  # Pillow's: modes that it does not resize or paste
        return _not_made(number, f"upstream fails on it, too: {reason(problem)}", names, background)
    files = [replace(file, path=f"{folder}/{file.path}") for file in files]
    return Made(files, _row(number, True, None, given.frames, names, background, found.occlusion))


def _size(ref: Any) -> tuple[int, int]:
    return size_of(ref.read(), ref.label)


def _boxes(sources: Sequence[Source]):
    return lambda k, start, frames: [sources[k].box(frame) for frame in range(start, start + frames)]


def _frames(
    number: int, given: Plan, found: Mattes, sources: Sequence[Source], backgrounds: Sequence[Any], lossless: bool
) -> Iterator[File]:
    last, ready, canvas = len(backgrounds) - 1, (-1, None), Canvas()
    for frame in range(given.frames):
        wanted = min(given.background_start + frame, last)
        if ready[0] != wanted:
            ready = (wanted, rgb(backgrounds[wanted].read(), backgrounds[wanted].label))
        canvas.begin(ready[1])
        for k, clip in enumerate(given.clips):
            colours = sources[k].colours[clip.start + frame]
            canvas.paste(rgb(colours.read(), colours.label), clip.box, (clip.x, clip.y), found.alphas[frame][k])
            matte = placed_gray_png(found.visible[frame][k], clip.x, clip.y, given.size[::-1])
            yield File(f"pha/{number:05d}/{frame:05d}/{k:02d}.png", matte)
        yield File(f"fgr/{number:05d}/{frame:05d}.jpg", jpeg(canvas.picture))
        if lossless:
            yield File(f"lossless/{number:05d}/{frame:05d}.png", png(canvas.picture))


def _not_made(number: int, why: str, names: list[str], background: str) -> Made:
    finding = info("not_made", f"{why}; not made, as upstream does not", image=f"{number:05d}")
    return Made([], _row(number, False, why, 0, names, background, None), [finding])


def _row(number, made, why, frames, names, background, occlusion) -> dict[str, list]:
    values = (number, made, why, len(names) if made else 0, frames, names, background, occlusion)
    return {column: [value] for column, value in zip(VIDEO_ROWS, values, strict=True)}
