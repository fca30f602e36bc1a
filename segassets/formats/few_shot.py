"""Few-shot splits of MaskTerial datasets: which annotations are drawn, the two files of a split, what falls short.

Belongs here: the two samplers on parsed COCO documents. Not here: files, partitions, how documents are made.
k counts *anchors*, annotations drawn for a class. With semantics "images" all annotations on the anchors' images are
selected too, so that no image is half annotated; with "exact" the anchors alone.
Source of the rules: the MaskTerial specification, section 3; tools/prepare_fewshot_dataset.py of MaskTerial @9a5998c.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from segassets.findings import BadItem, Finding, error, warning
from segassets.formats import rle

SHOTS = (1, 2, 3, 5, 10)
RUNS = tuple(range(10))
UPSTREAM_SEED = 42
UPSTREAM_ORDER = ("GrapheneH", "GrapheneL", "GrapheneM", "hBN_Thin", "MoSe2", "WS2", "WSe2", "WSe2L")
"""The real datasets in the order in which one random stream runs through them."""

WITH_CLASS_FILE = "train_annotations_with_class_300.json"
AGNOSTIC_FILE = "train_annotations_300.json"

#: One row a class of a split.
SPLIT_ROWS = {
    "shot": "int32",
    "run": "int32",
    "category_id": "int32",
    "name": "string",
    "wanted": "int32",
    "available": "int32",
    "selected": "int32",
    "usable": "int32",
}

Semantics = Literal["images", "exact"]

# The contrast loader of upstream erodes every mask three times with a 3 x 3 cross and drops what has fewer pixels left.
_EROSIONS = 3
_USABLE_AREA = 200
_MAX_FINDINGS = 50


class Selection(NamedTuple):
    """Ids of the selected annotations, in the order in which they are written, and of the anchors among them."""

    annotations: list[int]
    anchors: list[int]


def check_documents(with_class: dict, agnostic: dict | None = None) -> list[Finding]:
    """What makes a split impossible, all errors: bad_document, duplicate_id, unknown_image, unknown_category, bad_rle,
    sibling_mismatch (the class-agnostic file has other annotations). At most 50 findings."""
    problem = _bad_shape(with_class) or (_bad_shape(agnostic) if agnostic is not None else None)
    if problem:
        return [error("bad_document", problem)]
    images = {image["id"] for image in with_class["images"]}
    categories = {category["id"] for category in with_class["categories"]}
    findings: list[Finding] = []
    seen: set[int] = set()
    for index, annotation in enumerate(with_class["annotations"]):
        where = {"index": index, "annotation_id": annotation["id"]}
        if annotation["id"] in seen:
            findings.append(error("duplicate_id", "this id is there twice, ids join the files", **where))
        seen.add(annotation["id"])
        if annotation["image_id"] not in images:
            findings.append(error("unknown_image", f"image {annotation['image_id']} is not in `images`", **where))
        if annotation["category_id"] not in categories:
            message = f"category {annotation['category_id']} is none of {sorted(categories)}"
            findings.append(error("unknown_category", message, **where))
        if (problem := _bad_segmentation(annotation.get("segmentation"))) is not None:
            findings.append(error("bad_rle", problem, **where))
    if agnostic is not None:
        others = [annotation["id"] for annotation in agnostic["annotations"]]
        differing = sorted(seen ^ set(others)) or sorted(key for key, n in Counter(others).items() if n > 1)
        if differing:
            message = f"{len(differing)} annotations are not once in both files ({differing[:5]}): make both again"
            findings.append(error("sibling_mismatch", message, annotation_id=differing[0]))
    return findings[:_MAX_FINDINGS]


def _bad_shape(document: object) -> str | None:
    wanted = {"images": ("id",), "annotations": ("id", "image_id", "category_id"), "categories": ("id",)}
    for key, fields in wanted.items():
        records = document.get(key) if isinstance(document, dict) else None
        if not isinstance(records, list):
            return f"no list `{key}` at the top level: a COCO annotation file is expected"
        for index, record in enumerate(records):
            if not isinstance(record, dict) or not all(type(record.get(field)) is int for field in fields):
                return f"{key}[{index}] needs whole numbers in {', '.join(fields)}"
            if key == "images" and not isinstance(record.get("file_name"), str):
                return f"images[{index}] needs a file_name"
    return None


def _bad_segmentation(segmentation: object) -> str | None:
    if not isinstance(segmentation, dict) or not isinstance(segmentation.get("counts"), (str, list)):
        return "a run-length encoding {size, counts} is required: run the conversion of polygons first"
    size = segmentation.get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        return f"size {str(size)[:40]} is not [height, width]"
    return None


def _checked(with_class: dict, agnostic: dict | None = None) -> None:
    findings = check_documents(with_class, agnostic)
    if findings:
        raise BadItem(*findings)


def _counts(annotation: dict) -> str:
    """The compressed run-length string, whichever form the file has. Raises BadItem `bad_rle`."""
    counts, size = annotation["segmentation"]["counts"], annotation["segmentation"]["size"]
    if isinstance(counts, str):
        return counts
    try:
        return rle.from_uncompressed(counts, tuple(size)).decode("ascii")
    except rle.RleError as problem:
        raise BadItem(error("bad_rle", str(problem), annotation_id=annotation["id"])) from None


def hashrank(
    with_class: dict, k: int, run: int, dataset: str, semantics: Semantics = "images", seed: str = "42"
) -> Selection:
    """The platform's own sampler: the k annotations of each class with the smallest hashes. Output in id order.

    `with_class` is the parsed with-class _300 file. Independent of other datasets and runs, of ids and of file order;
    the selection of k is within that of any larger k. Raises BadItem (see `check_documents`).
    """
    _checked(with_class)
    names = {image["id"]: image["file_name"] for image in with_class["images"]}
    keyed = []
    for annotation in with_class["annotations"]:
        what = (names[annotation["image_id"]], annotation["category_id"], _counts(annotation))
        text = "|".join(map(str, ("segassets-fewshot-v1", seed, dataset, run, *what)))
        # A file name may hold what is no valid text; it must not stop the sampler.
        keyed.append((hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), annotation["id"], annotation))
    ranked = [annotation for _, _, annotation in sorted(keyed, key=lambda item: item[:2])]
    anchors = _anchors(ranked, with_class["categories"], k)
    selected = _selected(ranked, anchors, semantics)
    return Selection(sorted(annotation["id"] for annotation in selected), sorted(anchors))


def upstream(
    with_class: dict,
    preceding: Sequence[int],
    semantics: Semantics = "images",
    shots: Sequence[int] = SHOTS,
    runs: Sequence[int] = RUNS,
) -> dict[tuple[int, int], Selection]:
    """Upstream's splits of one dataset, by (k, run); annotations in the order of its shuffled list.

    One generator, seeded once, shuffles the list of every dataset in turn, so `preceding` has the numbers of
    annotations of all datasets before this one, in order (see `preceding_lengths`): as many shuffles of lists of
    those lengths bring the generator to where it was. Raises BadItem (see `check_documents`).
    """
    _checked(with_class)
    random = np.random.RandomState(UPSTREAM_SEED)
    for length in preceding:
        dummy = np.arange(length)
        for _ in range(len(shots) * len(runs)):
            random.shuffle(dummy)
    order = np.arange(len(with_class["annotations"]))
    selections = {}
    for run in runs:
        for k in shots:
            # In place: each split continues from the permutation of the one before.
            random.shuffle(order)
            shuffled = [with_class["annotations"][index] for index in order.tolist()]
            anchors = _anchors(shuffled, with_class["categories"], k)
            selected = _selected(shuffled, anchors, semantics)
            selections[k, run] = Selection([annotation["id"] for annotation in selected], anchors)
    return selections


def preceding_lengths(dataset: str, lengths: Mapping[str, int]) -> list[int]:
    """Numbers of annotations of the datasets before this one in upstream's order.

    Raises BadItem `unknown_dataset` for a dataset that upstream has not, `missing_dataset` when one before it is not
    there: the splits cannot be reproduced without it.
    """
    if dataset not in UPSTREAM_ORDER:
        message = f"{dataset} is none of upstream's datasets ({', '.join(UPSTREAM_ORDER)}): use the sampler hashrank"
        raise BadItem(error("unknown_dataset", message))
    before = UPSTREAM_ORDER[: UPSTREAM_ORDER.index(dataset)]
    missing = [name for name in before if name not in lengths]
    if missing:
        message = f"the splits of {dataset} depend on {', '.join(missing)}: add them, or use the sampler hashrank"
        raise BadItem(error("missing_dataset", message))
    return [lengths[name] for name in before]


def _anchors(ranked: Iterable[dict], categories: Iterable[dict], k: int) -> list[int]:
    """Ids of the first k annotations of each category, by category in file order."""
    members: dict[int, list[int]] = {category["id"]: [] for category in categories}
    for annotation in ranked:
        ids = members[annotation["category_id"]]
        if len(ids) < k:
            ids.append(annotation["id"])
    return [annotation for ids in members.values() for annotation in ids]


def _selected(ranked: list[dict], anchors: list[int], semantics: Semantics) -> list[dict]:
    chosen = set(anchors)
    if semantics == "exact":
        return [annotation for annotation in ranked if annotation["id"] in chosen]
    images = {annotation["image_id"] for annotation in ranked if annotation["id"] in chosen}
    return [annotation for annotation in ranked if annotation["image_id"] in images]


def few_shot_files(
    with_class: dict, agnostic: dict, selected: Sequence[int], order: Literal["file", "id"] = "file"
) -> dict[str, bytes]:
    """The two files of a split, with the selected annotations and the images that carry them; indent 4 as upstream.

    With-class annotations are in the order of `selected`; the class-agnostic ones and the images are in file order
    (upstream), or with order="id" by id (hashrank). All else in the documents is carried through.
    Raises BadItem (see `check_documents`), KeyError for a selected id that is not there.
    """
    _checked(with_class, agnostic)
    chosen = set(selected)
    by_id = {annotation["id"]: annotation for annotation in with_class["annotations"]}
    annotations = [by_id[annotation] for annotation in selected]
    images = {annotation["image_id"] for annotation in annotations}

    def part(document: dict, annotations: list[dict]) -> bytes:
        kept = _ordered([image for image in document["images"] if image["id"] in images], order)
        return json.dumps({**document, "images": kept, "annotations": annotations}, indent=4).encode()

    others = _ordered([annotation for annotation in agnostic["annotations"] if annotation["id"] in chosen], order)
    return {WITH_CLASS_FILE: part(with_class, annotations), AGNOSTIC_FILE: part(agnostic, others)}


def _ordered(records: list[dict], order: Literal["file", "id"]) -> list[dict]:
    return sorted(records, key=lambda record: record["id"]) if order == "id" else records


def few_shot_findings(with_class: dict, selected: Iterable[int], k: int) -> list[Finding]:
    """What a split lacks, one warning a class: class_empty (no annotation at all), class_lost (none of the selected
    is left after the erosions of upstream's loader), shortfall (fewer than k available).

    Raises BadItem `bad_rle` for a mask that cannot be decoded.
    """
    chosen = set(selected)
    available = Counter(annotation["category_id"] for annotation in with_class["annotations"])
    taken, usable = Counter(), Counter()
    for annotation in with_class["annotations"]:
        if annotation["id"] in chosen:
            taken[annotation["category_id"]] += 1
            usable[annotation["category_id"]] += is_usable(annotation)
    findings = []
    for category in with_class["categories"]:
        number = category["id"]
        who = f"class {number} ({category.get('name', '?')})"
        if not available[number]:
            message = f"{who}: none available; the class stays in the list, training heads need it to have some"
            findings.append(warning("class_empty", message))
            continue
        if available[number] < k:
            message = f"{who}: {available[number]} of {k} available, {taken[number]} selected"
            findings.append(warning("shortfall", message))
        if not usable[number]:
            message = f"{who}: none of {taken[number]} selected keeps {_USABLE_AREA} pixels after {_EROSIONS} erosions"
            findings.append(warning("class_lost", f"{message}, so the loader drops them all"))
    return findings


def split_rows(with_class: dict, selected: Iterable[int], k: int, run: int) -> dict[str, list]:
    """One row a class (columns of `SPLIT_ROWS`): what there is, what was drawn, what the contrast loader keeps."""
    chosen = set(selected)
    rows = []
    for category in with_class["categories"]:
        members = [a for a in with_class["annotations"] if a["category_id"] == category["id"]]
        drawn = [annotation for annotation in members if annotation["id"] in chosen]
        usable = sum(map(is_usable, drawn))
        rows.append(
            (k, run, category["id"], category.get("name", "?"), min(k, len(members)), len(members), len(drawn), usable)
        )
    return {name: list(column) for name, column in zip(SPLIT_ROWS, zip(*rows, strict=True), strict=True)}


def is_usable(annotation: dict) -> bool:
    """Whether upstream's contrast loader keeps the annotation: 200 pixels left after three erosions by a cross.

    Raises BadItem `bad_rle`.
    """
    try:
        return _survives(_counts(annotation), tuple(annotation["segmentation"]["size"]))
    except rle.RleError as problem:
        raise BadItem(error("bad_rle", str(problem), annotation_id=annotation["id"])) from None


@lru_cache(maxsize=1 << 16)
def _survives(counts: str, size: tuple[int, int]) -> bool:
    x, y, w, h = rle.bbox(counts, size)
    if w * h < _USABLE_AREA:
        return False
    # OpenCV does not erode from the picture's edge: beyond it everything counts as set.
    window = np.pad(rle.decode(counts, size)[y : y + h, x : x + w].astype(bool), 1)
    window[0] |= y == 0
    window[-1] |= y + h == size[0]
    window[:, 0] |= x == 0
    window[:, -1] |= x + w == size[1]
    for _ in range(_EROSIONS):
        inner = window[1:-1, 1:-1] & window[:-2, 1:-1] & window[2:, 1:-1] & window[1:-1, :-2] & window[1:-1, 2:]
        window[1:-1, 1:-1] = inner
    return int(window[1:-1, 1:-1].sum()) >= _USABLE_AREA
