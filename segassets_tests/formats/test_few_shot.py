"""Few-shot splits: the two samplers, the files, what falls short."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segassets.findings import BadItem
from segassets.formats import rle
from segassets.formats.few_shot import (
    AGNOSTIC_FILE,
    UPSTREAM_ORDER,
    WITH_CLASS_FILE,
    check_documents,
    few_shot_files,
    few_shot_findings,
    hashrank,
    is_usable,
    preceding_lengths,
    upstream,
)

GOLDEN = Path(__file__).parents[3] / "shared/golden/maskterial/expected"
golden = pytest.mark.golden
SIZE = (60, 80)


def square(side: int, x: int = 5, y: int = 5) -> dict:
    mask = np.zeros(SIZE, np.uint8)
    mask[y : y + side, x : x + side] = 1
    return {"size": list(SIZE), "counts": rle.encode(mask).decode()}


def documents(classes: list[list[int]], sides: dict[int, int] | None = None) -> tuple[dict, dict]:
    """Documents with one image for each list of classes; `sides`: side of the square of some annotation ids."""
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 60, "width": 80} for i in range(1, len(classes) + 1)]
    annotations = []
    for image, found in enumerate(classes, 1):
        for number in found:
            key = len(annotations) + 1
            segmentation = square((sides or {}).get(key, 25), x=5 + key % 20)
            annotations.append({"id": key, "image_id": image, "category_id": number, "segmentation": segmentation})
    names = [{"id": i, "name": f"Class {i}", "supercategory": f"Class {i}"} for i in range(1, 4)]
    with_class = {"images": images, "annotations": annotations, "categories": names, "info": {"year": 2024}}
    agnostic = copy.deepcopy(with_class) | {"categories": [{"id": 1, "name": "flake"}]}
    for annotation in agnostic["annotations"]:
        annotation["category_id"] = 1
    return with_class, agnostic


CLASSES = [[1, 1, 2], [2], [3, 1], [], [1, 2, 2], [3], [1], [2, 3, 3], [1, 1]]
some_classes = st.lists(st.lists(st.integers(1, 3), max_size=4), min_size=1, max_size=8)


def count(with_class: dict, ids: list[int]) -> dict[int, int]:
    of = {annotation["id"]: annotation["category_id"] for annotation in with_class["annotations"]}
    return {c["id"]: sum(of[i] == c["id"] for i in ids) for c in with_class["categories"]}


@settings(max_examples=40, deadline=None)
@given(some_classes, st.integers(0, 9))
def test_hashrank_gives_exactly_k_of_a_class_and_is_nested(classes, run):
    with_class, _ = documents(classes)
    available = count(with_class, [annotation["id"] for annotation in with_class["annotations"]])
    before: dict[str, set[int]] = {"images": set(), "exact": set()}
    for k in (1, 2, 3, 5, 10):
        exact = hashrank(with_class, k, run, "D", "exact")
        assert count(with_class, exact.annotations) == {c: min(k, n) for c, n in available.items()}
        full = hashrank(with_class, k, run, "D", "images")
        assert full.anchors == exact.anchors == exact.annotations
        assert full.annotations == sorted(full.annotations)
        images = {a["image_id"] for a in with_class["annotations"] if a["id"] in full.anchors}
        assert full.annotations == [a["id"] for a in with_class["annotations"] if a["image_id"] in images]
        for semantics, selection in (("images", full), ("exact", exact)):
            assert before[semantics] <= set(selection.annotations)
            before[semantics] = set(selection.annotations)


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_hashrank_does_not_depend_on_file_order_or_ids(random):
    with_class, _ = documents(CLASSES)
    moved = copy.deepcopy(with_class)
    new_ids = {annotation["id"]: annotation["id"] + 1000 for annotation in moved["annotations"]}
    for annotation in moved["annotations"]:
        annotation["id"] = new_ids[annotation["id"]]
    for key in ("images", "annotations", "categories"):
        random.shuffle(moved[key])
    for k in (1, 3):
        assert [new_ids[i] for i in hashrank(with_class, k, 2, "D").annotations] == hashrank(
            moved, k, 2, "D"
        ).annotations


def test_hashrank_differs_between_runs_and_datasets():
    with_class, _ = documents(CLASSES * 3)
    selections = {tuple(hashrank(with_class, 2, run, name).anchors) for run in range(5) for name in "DE"}
    assert len(selections) > 5


def test_uncompressed_run_lengths_rank_as_the_compressed_do():
    with_class, _ = documents(CLASSES)
    lists = copy.deepcopy(with_class)
    for annotation in lists["annotations"]:
        annotation["segmentation"]["counts"] = rle.to_uncompressed(annotation["segmentation"]["counts"], SIZE)
    assert hashrank(lists, 2, 0, "D") == hashrank(with_class, 2, 0, "D")


def naive_upstream(lists: list[list[dict]], which: int) -> dict[tuple[int, int], list[int]]:
    """The reference algorithm, written as its specification reads."""
    random = np.random.RandomState(42)
    result = {}
    for index, original in enumerate(lists):
        shuffled = list(original)
        for run in range(10):
            for k in (1, 2, 3, 5, 10):
                random.shuffle(shuffled)
                images = set()
                for category in (1, 2, 3):
                    members = [a for a in shuffled if a["category_id"] == category]
                    images |= {a["image_id"] for a in members[:k]}
                if index == which:
                    result[k, run] = [a["id"] for a in shuffled if a["image_id"] in images]
    return result


def test_upstream_is_one_stream_through_all_datasets():
    sets = [documents(CLASSES[i:])[0] for i in range(3)]
    lists = [with_class["annotations"] for with_class in sets]
    for which, with_class in enumerate(sets):
        found = upstream(with_class, [len(annotations) for annotations in lists[:which]])
        assert {key: selection.annotations for key, selection in found.items()} == naive_upstream(lists, which)


def test_upstream_exact_keeps_the_anchors_alone():
    with_class, _ = documents(CLASSES)
    for (k, _), selection in upstream(with_class, [], "exact").items():
        assert sorted(selection.annotations) == sorted(selection.anchors)
        assert max(count(with_class, selection.annotations).values()) <= k


def test_upstream_without_a_preceding_dataset_is_refused():
    lengths = {name: 10 + i for i, name in enumerate(UPSTREAM_ORDER)}
    assert preceding_lengths("GrapheneM", lengths) == [10, 11]
    assert preceding_lengths("GrapheneH", {}) == []
    del lengths["GrapheneL"]
    with pytest.raises(BadItem, match=r"missing_dataset.*GrapheneL"):
        preceding_lengths("hBN_Thin", lengths)
    with pytest.raises(BadItem, match="unknown_dataset"):
        preceding_lengths("Mine", lengths)


def test_files_have_the_same_annotations_and_images_and_carry_the_rest_through():
    with_class, agnostic = documents(CLASSES)
    with_class["annotations"][0]["note"] = "ü"
    selected = [13, 1, 3, 2, 11, 12]
    files = few_shot_files(with_class, agnostic, selected)
    assert list(files) == [WITH_CLASS_FILE, AGNOSTIC_FILE]
    first, second = (json.loads(data) for data in files.values())
    assert [annotation["id"] for annotation in first["annotations"]] == selected
    assert [annotation["id"] for annotation in second["annotations"]] == sorted(selected)
    assert first["images"] == second["images"] == [with_class["images"][i] for i in (0, 6, 7)]
    assert first["info"] == {"year": 2024} and first["categories"] == with_class["categories"]
    assert second["categories"] == agnostic["categories"]
    assert files[WITH_CLASS_FILE] == json.dumps(first, indent=4).encode()
    for document in (with_class, agnostic):
        document["images"].reverse()
        document["annotations"].reverse()
    assert few_shot_files(with_class, agnostic, selected, order="id") == files
    third = json.loads(few_shot_files(with_class, agnostic, selected)[AGNOSTIC_FILE])
    assert [annotation["id"] for annotation in third["annotations"]] == sorted(selected, reverse=True)


def test_a_square_of_21_pixels_survives_the_loader_and_one_of_20_does_not():
    assert is_usable({"id": 1, "segmentation": square(21)})
    assert not is_usable({"id": 1, "segmentation": square(20)})
    assert is_usable({"id": 1, "segmentation": square(20, x=0, y=0)})  # not eroded from the picture's edge
    assert not is_usable({"id": 1, "segmentation": {"size": list(SIZE), "counts": [60 * 80]}})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_usable_is_what_opencv_leaves(seed):
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(seed)
    mask = (cv2.GaussianBlur(random.random(SIZE).astype(np.float32), (0, 0), 6) > 0.5).astype(np.uint8)
    mask[: random.integers(0, 60)] = 0
    left = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), iterations=3).sum()
    annotation = {"id": 1, "segmentation": {"size": list(SIZE), "counts": rle.encode(mask).decode()}}
    assert is_usable(annotation) == (left >= 200)


def test_what_falls_short_is_said_class_by_class():
    with_class, _ = documents([[1, 1, 1], [2]], sides={4: 10})
    findings = few_shot_findings(with_class, [1, 2, 3, 4], 3)
    assert [finding.code for finding in findings] == ["shortfall", "class_lost", "class_empty"]
    assert "class 2 (Class 2): 1 of 3 available" in findings[0].message
    assert "class 3" in findings[2].message
    assert {finding.severity for finding in findings} == {"warning"}


def spoil(document: dict, path: tuple, value: object) -> dict:
    document = copy.deepcopy(document)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("images",), None, "bad_document"), (("annotations", 0), 7, "bad_document"),
        (("annotations", 0, "id"), True, "bad_document"), (("images", 0, "file_name"), 3, "bad_document"),
        (("annotations", 0, "id"), 2, "duplicate_id"), (("annotations", 0, "image_id"), 99, "unknown_image"),
        (("annotations", 0, "category_id"), 0, "unknown_category"),
        (("annotations", 0, "segmentation"), [[1, 2, 3, 4, 5, 6]], "bad_rle"),
        (("annotations", 0, "segmentation", "size"), [0, 5], "bad_rle"),
        (("annotations", 0, "segmentation", "counts"), ["x"], "bad_rle"),
        (("annotations", 0, "segmentation", "counts"), [1 << 70], "bad_rle"),
    ],
)  # fmt: skip
def test_documents_that_cannot_be_split_are_refused(path, value, code):
    with_class, agnostic = documents(CLASSES)
    with pytest.raises(BadItem) as problem:
        spoiled = spoil(with_class, path, value)
        hashrank(spoiled, 1, 0, "D")
        few_shot_files(spoiled, agnostic, [1])
    assert code in {finding.code for finding in problem.value.findings}


@pytest.mark.parametrize("counts", ["é", "~~~", "", "0000", "\0"])
def test_masks_that_cannot_be_decoded_are_refused(counts):
    with pytest.raises(BadItem, match="bad_rle"):
        is_usable({"id": 1, "segmentation": {"size": list(SIZE), "counts": counts}})


def test_the_two_files_must_speak_of_the_same_annotations():
    with_class, agnostic = documents(CLASSES)
    del agnostic["annotations"][3]
    findings = check_documents(with_class, agnostic)
    assert [(finding.code, finding.annotation_id) for finding in findings] == [("sibling_mismatch", 4)]


@pytest.fixture(scope="module")
def published() -> dict[str, tuple[dict, dict]]:
    folder = "RLE_annotations"
    return {
        name: tuple(
            json.loads((GOLDEN / name / folder / file).read_text()) for file in (WITH_CLASS_FILE, AGNOSTIC_FILE)
        )
        for name in UPSTREAM_ORDER
    }


@golden
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden data is not there")
def test_golden_upstream(published):
    expected = json.loads((GOLDEN / "fewshot_upstream.json").read_text())
    lengths = {name: len(with_class["annotations"]) for name, (with_class, _) in published.items()}
    samples = 0
    for name, (with_class, agnostic) in published.items():
        for (k, run), selection in upstream(with_class, preceding_lengths(name, lengths)).items():
            files = few_shot_files(with_class, agnostic, selection.annotations)
            first, second = (json.loads(data) for data in files.values())
            assert expected[name][f"{k}/{run}"] == {
                "with_class": [annotation["id"] for annotation in first["annotations"]],
                "class_agnostic": [annotation["id"] for annotation in second["annotations"]],
                "images": [image["id"] for image in second["images"]],
            }
            verbatim = GOLDEN / f"fewshot_upstream_samples/{name}/RLE_annotations/{k}_shot/run_{run}"
            if verbatim.is_dir():
                assert {file: (verbatim / file).read_bytes() for file in files} == files
                samples += 1
    assert samples == 4


@golden
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden data is not there")
def test_golden_hashrank(published):
    expected = json.loads((GOLDEN / "fewshot_hashrank.json").read_text())
    for name, splits in expected.items():
        with_class, agnostic = published[name]
        for key, split in splits.items():
            k, run = map(int, key.split("/"))
            selection = hashrank(with_class, k, run, name)
            assert (selection.annotations, selection.anchors) == (split["annotations"], split["anchors"])
            assert hashrank(with_class, k, run, name, "exact").annotations == split["anchors"]
        files = few_shot_files(with_class, agnostic, selection.annotations, order="id")
        assert [image["id"] for image in json.loads(files[AGNOSTIC_FILE])["images"]] == split["images"]


@golden
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden data is not there")
def test_four_of_ten_one_shot_runs_of_graphene_h_lose_a_class(published):
    with_class, _ = published["GrapheneH"]
    lost = [
        any(finding.code == "class_lost" for finding in few_shot_findings(with_class, selection.annotations, 1))
        for (k, _), selection in upstream(with_class, []).items()
        if k == 1
    ]
    assert (sum(lost), len(lost)) == (4, 10)
