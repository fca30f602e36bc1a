"""What a matting dataset in one of the three layouts consists of: its folders, its samples, what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from segassets.findings import Finding

Kind = Literal["image_train", "image_eval", "video"]
CLIPS = {"test": (3, 2), "train": (8, 7)}  # clip length, overlap
MAX_INSTANCES = 10


@dataclass(frozen=True)
class Layout:
    """What a loader is configured with; the names are the loaders' own."""

    kind: Kind
    split: str
    alpha_dir_name: str = "alphas"
    mask_dir_name: str = ""
    mode: Literal["train", "test"] = "test"
    clip_length: int = 0
    clip_overlap: int = -1

    @property
    def clip(self) -> tuple[int, int]:
        """Frames a clip, frames from one clip's start to the next one's."""
        length, overlap = CLIPS[self.mode]
        length = self.clip_length or length
        overlap = self.clip_overlap if self.clip_overlap >= 0 else (length - 1 if self.clip_length else overlap)
        return length, max(1, length - overlap)

    @property
    def uses_masks(self) -> bool:
        return bool(self.mask_dir_name) and (
            self.kind == "image_eval" or (self.kind == "video" and self.mode == "test")
        )


def clip_problem(mode: str, length: int | None, overlap: int | None) -> str | None:
    """What is wrong with a clip's length and overlap, where they are given."""
    usual = CLIPS[mode][0]
    if length is not None and length < 1:
        return f"clip_length={length}: a clip has at least one frame"
    if overlap is not None and not 0 <= overlap < (length or usual):
        return f"clip_overlap={overlap}: 0 to {(length or usual) - 1} frames, of a clip of {length or usual}"
    return None


@dataclass
class Sample:
    """An image, or a frame of a video, with its alphas and masks, in the loader's order. `used`: by the loader.

    `unmasked`: alphas that the loader leaves out because they have no mask; they belong to the dataset all the same.
    """

    key: str
    image: str
    alphas: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    video: str | None = None
    used: bool = True
    unmasked: list[str] = field(default_factory=list)


@dataclass
class Judged:
    """`index`: the loader's own list, None where its constructor raises. A finding of a sample has its key as `image`:
    an image's stem, a video's name."""

    samples: list[Sample] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    index: list | None = field(default_factory=list)


class Folders:
    """A listing by folder: `files(folder)` and `folders(folder)` give names, sorted by code point as the loaders do."""

    def __init__(self, paths: Iterable[str], empty: Iterable[str] = ()):
        self._files: dict[str, list[str]] = defaultdict(list)
        self._folders: dict[str, set[str]] = defaultdict(set)
        for path in paths:
            folder, _, name = path.rpartition("/")
            self._files[folder].append(name)
            self._enter(folder)
        for folder in empty:
            self._enter(folder)

    def _enter(self, folder: str) -> None:
        while folder:
            parent, _, name = folder.rpartition("/")
            if name in self._folders[parent]:
                return
            self._folders[parent].add(name)
            folder = parent

    def files(self, folder: str) -> list[str]:
        return sorted(self._files.get(folder, ()))

    def folders(self, folder: str) -> list[str]:
        return sorted(self._folders.get(folder, ()))

    def listdir(self, folder: str) -> list[str]:
        """Files and folders together, as os.listdir sees them."""
        return sorted([*self._files.get(folder, ()), *self._folders.get(folder, ())])

    def has(self, folder: str) -> bool:
        """Whether it is a folder, be it an empty one."""
        if not folder:
            return True
        parent, _, name = folder.rpartition("/")
        return name in self._folders.get(parent, ())
