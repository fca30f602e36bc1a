"""Trimaps of one sample's alphas, as files; runs in workers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from segassets.formats.matting_samples import alpha_of
from segassets.formats.png import gray_png
from segassets.formats.trimap import trimap
from segassets.items import File, Made


def trimaps_of(sample: str, alphas: Mapping[str, Any], split: str) -> Made:
    """`trimaps/<split>/<sample>/<alpha name>` of every alpha: 0 background, 1 transition, 2 foreground."""
    files = []
    for name, ref in sorted(alphas.items()):
        values = trimap(alpha_of(ref, sample))
        digest = hashlib.sha256(repr(values.shape).encode() + values.tobytes()).digest()
        files.append(File(f"trimaps/{split}/{sample}/{name}", gray_png(values), digest, ref.label))
    return Made(files)
