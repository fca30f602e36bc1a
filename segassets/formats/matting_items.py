"""What becomes of one matting sample, or one video, in a dataset's asset `samples`; runs in workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segassets.findings import BadItem, Finding
from segassets.formats.matting_dataset import Layout, Sample
from segassets.formats.matting_samples import frame_sizes, look
from segassets.items import File, Made

SAMPLE_ROWS = {
    "sample": "string",
    "video": "string",
    "image": "string",
    "alphas": "list<string>",
    "masks": "list<string>",
    "unmasked": "list<string>",  # alphas without a mask, which the loader leaves out
    "width": "int64",
    "height": "int64",
    "used": "bool",
}


def check_samples(
    key: str,
    samples: Sequence[Sample],
    refs: Mapping[str, Any],
    known: Sequence[Finding],
    layout: Layout,
    published: Mapping[str, str],
) -> Made:
    """One image, or all frames of one video: rows, and its files where they are published from here.

    `known`: what the names of its files have given away already; `published`: path → path below the target folder.
    Raises BadItem with all findings when one of them is an error.
    """
    findings = list(known)
    sizes: dict[str, tuple[int, int] | None] = {}
    for sample in samples:
        looked = look(sample, layout, _reader(refs))
        findings += looked.findings
        sizes[sample.image] = looked.size
    if samples and samples[0].video is not None:
        findings += frame_sizes(sizes, samples[0].video)
    if any(finding.severity == "error" for finding in findings):
        raise BadItem(*findings)
    files = [File(target, refs[path]) for path, target in published.items() if path in refs]
    return Made(files, _rows(samples, sizes), findings)


def _reader(refs: Mapping[str, Any]) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        if path not in refs:
            raise FileNotFoundError(path)
        return refs[path].read()

    return read


def _rows(samples: Sequence[Sample], sizes: Mapping[str, tuple[int, int]]) -> dict[str, list]:
    return {
        "sample": [sample.key for sample in samples],
        "video": [sample.video for sample in samples],
        "image": [sample.image for sample in samples],
        "alphas": [sample.alphas for sample in samples],
        "masks": [sample.masks for sample in samples],
        "unmasked": [sample.unmasked for sample in samples],
        "width": [sizes[sample.image][0] for sample in samples],
        "height": [sizes[sample.image][1] for sample in samples],
        "used": [sample.used for sample in samples],
    }
