"""Which picture belongs to which ground truth in ASAM's evaluation sets, and in its adversarial runs.

Belongs here: pairing, counting masks as ASAM's loaders would make them, and what is wrong with the pairs. Not here:
listing folders. Source: SA-1B specification, sections 3 and 4; the table beside this file. Upstream replaces suffix and
folder anywhere in the absolute path and walks folders in disk order; here a suffix is only a suffix, paths are relative
to the data root, and everything is sorted.
"""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np
from PIL import Image

from segassets.findings import Finding, error, info, warning

Read = Callable[[str], bytes]

#: What is opened at most; the largest sets have photographs of 25 million pixels.
MAX_PIXELS = 89_478_485
#: LVIS has 192 MB.
MAX_JSON_BYTES = 1 << 29

DATASETS: dict[str, dict] = json.loads((files(__package__) / "asam_eval_datasets.json").read_text("utf-8"))["datasets"]


class _Unreadable(Exception):
    """A picture or an annotation file that cannot be used; the message says why."""


@dataclass(slots=True)
class _Report:
    """The rows of one manifest and their problems, which are findings as well."""

    items: list[dict] = field(default_factory=list)
    problems: list[dict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def problem(self, make, code: str, message: str, image: str | None = None, gt: str | None = None) -> None:
        self.problems.append({"code": code, "image": image, "gt": gt, "message": message})
        self.findings.append(make(code, message, image=image, path=gt))


def folders(key: str) -> list[str]:
    """What the set is made from, relative to the data root: folders end with `/`, the rest are files."""
    dataset = _dataset(key)
    found = [dataset["im_dir"] + "/"]
    for other in (dataset.get("gt_dir", dataset["im_dir"]) + "/", dataset.get("annotation_file")):
        if other and not any(other.startswith(folder) for folder in found):
            found.append(other)
    return found


def manifest(key: str, paths: Collection[str], read: Read) -> tuple[dict, list[Finding]]:
    """The manifest of one evaluation set: `{"present", "name", "kind", "items", "problems"}`, and findings.

    `paths`: all files below `folders(key)` (more does no harm), relative to the data root, with `/`. `read` gives a
    file's bytes. An item is `{"image", "gt", "masks"}`, without `gt` where one annotation file is for all. A set of
    which nothing is there is `{"present": False}`. Errors leave their item out: `gt_missing`, `image_missing`,
    `gt_unreadable`, `image_unreadable`, `size_mismatch`, `no_masks`; the warning `gt_empty` does not. KeyError for a
    key that is not in the table.
    """
    dataset = _dataset(key)
    places = tuple(folders(key))
    known = {path for path in paths if path.startswith(places) and not _is_hidden(path)}
    if not known:
        return {"present": False}, []
    report = _Report()
    if "annotation_file" in dataset:
        _by_annotation_file(dataset, known, read, report)
    elif dataset["kind"] == "mask_dir":
        _by_mask_folder(dataset, known, read, report)
    else:
        _by_suffix(dataset, known, read, report)
    head = {"present": True, "name": dataset["name"], "kind": dataset["kind"]}
    return {**head, "items": report.items, "problems": report.problems}, report.findings


def _dataset(key: str) -> dict:
    if key not in DATASETS:
        raise KeyError(f"{key!r} is no evaluation set; known are {', '.join(DATASETS)}")
    return DATASETS[key]


def _is_hidden(path: str) -> bool:
    """`._x.jpg` and `.DS_Store` of macOS are no data."""
    return path.rsplit("/", 1)[-1].startswith(".")


# --- one ground truth a picture ---------------------------------------------------------------------------------------


def _by_suffix(dataset: dict, known: set[str], read: Read, report: _Report) -> None:
    used = set()
    for image in sorted(path for path in known if _is_image(dataset, path)):
        gt = _ground_truth(dataset, image)
        used.add(gt)
        if gt not in known:
            report.problem(error, "gt_missing", f"no ground truth; expected {gt}", image, gt)
        elif (masks := _count_pair(dataset, image, gt, read, report)) is not None:
            report.items.append({"image": image, "gt": gt, "masks": masks})
    if lonely := _lonely(dataset, known - used):
        # Everyday: VOC's ground truths also cover training pictures. So it is no problem of any item.
        message = f"{len(lonely):,} ground truths have no picture, the first is {lonely[0]}"
        report.findings.append(info("image_missing", message, path=lonely[0]))


def _is_image(dataset: dict, path: str) -> bool:
    inside = path.startswith(dataset["im_dir"] + "/") and path.endswith(dataset["im_ext"])
    return inside and dataset.get("skip_if_path_contains", "\0") not in path


def _lonely(dataset: dict, unused: set[str]) -> list[str]:
    ending, folder = dataset["gt_ext"], dataset["gt_dir"] + "/"
    if dataset["gt_dir"] == dataset["im_dir"] and dataset["im_ext"].endswith(ending):
        return []
    skipped = dataset.get("skip_if_path_contains", "\0")
    return sorted(path for path in unused if path.startswith(folder) and path.endswith(ending) and skipped not in path)


def _ground_truth(dataset: dict, image: str) -> str:
    """The ground truth's path: folder for folder and suffix for suffix; DRAM also changes one folder's name."""
    inside = image[len(dataset["im_dir"]) : len(image) - len(dataset["im_ext"])]
    if "replace" in dataset:
        old, new = dataset["replace"]
        inside = "/".join(new if part == old else part for part in inside.split("/"))
    return dataset["gt_dir"] + inside + dataset["gt_ext"]


def _count_pair(dataset: dict, image: str, gt: str, read: Read, report: _Report) -> int | None:
    """How many masks the pair gives; None and a problem when it cannot be used."""
    try:
        pixels = _pixels(read, gt)
    except _Unreadable as why:
        report.problem(error, "gt_unreadable", f"the ground truth cannot be read: {why}", image, gt)
        return None
    if not _same_size(image, gt, (pixels.shape[1], pixels.shape[0]), read, report):
        return None
    masks = _count_masks(dataset["kind"], pixels, dataset.get("exclude", []))
    if not masks:
        least = "no value above 128" if dataset["kind"] == "binary" else "nothing but background"
        report.problem(warning, "gt_empty", f"the ground truth has {least}, so there is nothing to find", image, gt)
    return masks


def _same_size(image: str, gt: str, gt_size: tuple[int, int], read: Read, report: _Report) -> bool:
    size = _image_size(image, gt, read, report)
    return size is not None and _agree(image, size, gt, gt_size, report)


def _image_size(image: str, gt: str, read: Read, report: _Report) -> tuple[int, int] | None:
    try:
        return _size(read, image)
    except _Unreadable as why:
        report.problem(error, "image_unreadable", f"the picture cannot be read: {why}", image, gt)
        return None


def _agree(image: str, size: tuple[int, int], gt: str, gt_size: tuple[int, int], report: _Report) -> bool:
    if size != gt_size:
        message = f"the picture has {size[0]} x {size[1]} pixels (w x h), the ground truth {gt_size[0]} x {gt_size[1]}"
        report.problem(error, "size_mismatch", message[:300], image, gt)
    return size == gt_size


def _count_masks(kind: str, pixels: np.ndarray, exclude: list) -> int:
    """Masks in a ground truth of shape (h, w) or (h, w, 3), by the rule of ASAM's loader for its kind."""
    if kind == "rgb_unique":
        rgb = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
        # Upstream shifts in uint8, which NumPy 2 refuses.
        values = np.unique(rgb.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32))
        return len(set(values.tolist()) - {r + 256 * g + 65536 * b for r, g, b in exclude})
    first = pixels if pixels.ndim == 2 else pixels[:, :, 0]
    if kind == "gray_unique":
        return len(set(np.unique(first).tolist()) - set(exclude))
    return int(bool((first > 128).any()))


# --- a folder of masks a picture --------------------------------------------------------------------------------------


def _by_mask_folder(dataset: dict, known: set[str], read: Read, report: _Report) -> None:
    """`<id>/images/*.png` and `<id>/masks/*.png` (Data Science Bowl 2018)."""
    of_folder: dict[str, list[str]] = {}
    images = []
    for path in sorted(known):
        folder, _, name = path.rpartition("/")
        if folder.endswith("/masks") and name.endswith(dataset["gt_ext"]):
            of_folder.setdefault(folder, []).append(path)
        elif folder.endswith("/images") and name.endswith(dataset["im_ext"]):
            images.append(path)
    used = set()
    for image in images:
        folder = image.rsplit("/", 2)[0] + "/masks"
        used.add(folder)
        masks = of_folder.get(folder, [])
        if not masks:
            report.problem(error, "no_masks", f"no mask lies in {folder}", image, folder)
        elif (size := _image_size(image, folder, read, report)) is not None:
            usable = [_mask_is_usable(image, size, mask, read, report) for mask in masks]
            if all(usable):
                report.items.append({"image": image, "gt": folder, "masks": len(masks)})
    for folder in sorted(of_folder.keys() - used):
        message = f"{len(of_folder[folder])} masks have no picture in the images folder beside them"
        report.problem(error, "image_missing", message, None, folder)


def _mask_is_usable(image: str, size: tuple[int, int], mask: str, read: Read, report: _Report) -> bool:
    try:
        pixels = _pixels(read, mask)
    except _Unreadable as why:
        report.problem(error, "gt_unreadable", f"the mask cannot be read: {why}", image, mask)
        return False
    if not pixels.any():
        report.problem(warning, "gt_empty", "the mask has no pixel that is set", image, mask)
    return _agree(image, size, mask, (pixels.shape[1], pixels.shape[0]), report)


# --- one annotation file for all --------------------------------------------------------------------------------------


def _by_annotation_file(dataset: dict, known: set[str], read: Read, report: _Report) -> None:
    """COCO and LVIS: pictures without annotations are dropped, as upstream does."""
    source = dataset["annotation_file"]
    if source not in known:
        report.problem(error, "gt_missing", f"no annotation file; expected {source}", None, source)
        return
    try:
        images, masks = _read_coco(read(source))
    except _Unreadable as why:
        report.problem(error, "gt_unreadable", f"the annotation file cannot be read: {why}", None, source)
        return
    for number, record in images.items():
        name, size = _file_name(dataset["kind"], record), (record.get("width"), record.get("height"))
        if not masks[number]:
            continue
        path = f"{dataset['im_dir']}/{name}"
        if name is None:
            report.problem(error, "gt_unreadable", f"image {number} has no usable file name", None, source)
        elif path in known:
            if None in size or _same_size(path, source, size, read, report):
                report.items.append({"image": path, "masks": masks[number]})
        elif dataset["kind"] != "lvis":  # LVIS' validation pictures come from two splits; upstream takes those there
            report.problem(
                error, "image_missing", f"the picture of {masks[number]} annotations is not there", path, source
            )
    report.items.sort(key=lambda item: item["image"])
    if not images:
        report.problem(error, "no_masks", "the annotation file lists no picture", None, source)


def _file_name(kind: str, record: dict) -> str | None:
    """The picture's path below the image folder; LVIS only has it at the end of `coco_url`."""
    name = record.get("coco_url" if kind == "lvis" else "file_name")
    if not isinstance(name, str) or not name:
        return None
    return name.rsplit("/", 1)[-1] if kind == "lvis" else name.removeprefix("./")


def _read_coco(data: bytes) -> tuple[dict[int, dict], Counter]:
    """`images` by id, and the number of annotations of each. Raises _Unreadable."""
    images: dict[int, dict] = {}
    masks: Counter = Counter()
    try:
        if len(data) > MAX_JSON_BYTES:
            raise _Unreadable(f"{len(data):,} bytes are more than {MAX_JSON_BYTES:,}")
        for key, item in _elements(data.decode("utf-8-sig"), {"images", "annotations"}):
            number = item.get("id" if key == "images" else "image_id") if isinstance(item, dict) else None
            if type(number) not in (int, str):
                raise _Unreadable(f"an element of {key} has no id of a picture")
            if key == "images":
                images[number] = {name: item.get(name) for name in ("file_name", "coco_url", "width", "height")}
            else:
                masks[number] += 1
    except (ValueError, RecursionError) as problem:
        raise _Unreadable(f"it is not JSON ({str(problem)[:200]})") from None
    return images, masks


_BLANK = re.compile(r"[ \t\r\n]*")


def _elements(text: str, wanted: set[str]) -> Iterator[tuple[str, object]]:
    """(key, element) of the arrays under the `wanted` keys of a JSON object, one at a time.

    LVIS' file has 192 MB; as Python objects at once it would take more than a gigabyte.
    """
    decode = json.JSONDecoder().raw_decode
    after = lambda position: _BLANK.match(text, position).end()  # noqa: E731

    def expect(position: int, chars: str) -> tuple[str, int]:
        position = after(position)
        char = text[position : position + 1]
        if not char or char not in chars:
            raise json.JSONDecodeError(f"expected one of {chars}", text[position : position + 40], 0)
        return char, after(position + 1)

    _, position = expect(0, "{")
    if text[position : position + 1] == "}":
        return
    char = ","
    while char == ",":
        key, position = decode(text, position)
        if not isinstance(key, str):
            raise json.JSONDecodeError("expected a name in quotation marks", str(key)[:40], 0)
        _, position = expect(position, ":")
        if key not in wanted or text[position : position + 1] != "[":
            _, position = decode(text, position)
        else:
            position = after(position + 1)
            inner = "]" if text[position : position + 1] == "]" else ","
            position += inner == "]"
            while inner == ",":
                element, position = decode(text, position)
                yield key, element
                inner, position = expect(position, ",]")
        char, position = expect(position, ",}")


# --- pictures ---------------------------------------------------------------------------------------------------------


def _open(read: Read, path: str) -> Image.Image:
    data = read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "BMP", "TIFF", "GIF"])
        except OSError:
            raise _Unreadable("it is no picture") from None
        except Exception as problem:  # a decompression bomb, damaged headers
            raise _Unreadable(str(problem)[:200] or type(problem).__name__) from None
    if image.width * image.height > MAX_PIXELS:
        raise _Unreadable(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
    return image


def _size(read: Read, path: str) -> tuple[int, int]:
    """(width, height) in the header."""
    return _open(read, path).size


def _pixels(read: Read, path: str) -> np.ndarray:
    """A ground truth as skimage, which ASAM uses, reads it: (h, w), or (h, w, 3) for colours and palettes."""
    image = _open(read, path)
    try:
        if image.mode in ("P", "RGBA", "CMYK", "PA"):
            image = image.convert("RGB")
        image.load()
        pixels = np.asarray(image)
    except Exception as problem:
        raise _Unreadable(str(problem)[:200] or type(problem).__name__) from None
    return (
        pixels[:, :, :3]
        if pixels.ndim == 3 and pixels.shape[2] >= 3
        else pixels
        if pixels.ndim == 2
        else pixels[:, :, 0]
    )


# --- adversarial runs -------------------------------------------------------------------------------------------------


def tuning_manifest(
    run: str, adv_paths: Collection[str], read: Read, masks_per_image: dict[int, int], shard: str
) -> tuple[dict, list[Finding]]:
    """What ASAM's tuning reads of one adversarial run: `{"run", "rows", "problems"}`, rows by image id.

    `adv_paths`: the files of the run's folder (`adv/sa_1.jpg`, `record/sa_1.txt`, ...), relative to it; `read` gives
    their bytes. `masks_per_image`: masks by image id of `shard` (`sa_000000`). A row is `{"image", "gt", "masks",
    "adv_size" [w, h], "worst_iou"}`. Errors: `gt_missing` (no mask folder for the picture), `image_unreadable`;
    warnings: `record_missing`, `record_unreadable` (`worst_iou` is then null), `size_mismatch` (not square; upstream's
    scale jitter takes squares only), `duplicate_image` (old runs wrote .png; the .jpg is used).
    """
    report = _Report()
    known = set(adv_paths)
    for number, image in _adversarial_images(known, report):
        gt = f"{shard}/sa_{number}"
        masks = masks_per_image.get(number, 0)
        if not masks:
            report.problem(error, "gt_missing", f"{gt} has no masks, so the picture cannot be used", image, gt)
            continue
        try:
            size = _size(read, image)
        except _Unreadable as why:
            report.problem(error, "image_unreadable", f"the picture cannot be read: {why}", image, gt)
            continue
        if size[0] != size[1]:
            report.problem(
                warning, "size_mismatch", f"the picture has {size[0]} x {size[1]} pixels, no square", image, gt
            )
        worst = _worst_iou(f"record/sa_{number}.txt", image, known, read, report)
        row = {"image": image, "gt": gt, "masks": masks, "adv_size": list(size), "worst_iou": worst}
        report.items.append(row)
    return {"run": run, "rows": report.items, "problems": report.problems}, report.findings


def _adversarial_images(known: set[str], report: _Report) -> list[tuple[int, str]]:
    """(image id, path) in the order of the ids."""
    images: dict[int, str] = {}
    for path in sorted(known):  # .jpg before .png
        match = re.fullmatch(r"adv/sa_(0|[1-9][0-9]{0,17})\.(jpg|png)", path)
        if match is None and re.fullmatch(r"adv/[^/]*\.(jpg|jpeg|png)", path, re.IGNORECASE):
            told = "its name is not sa_N.jpg or sa_N.png, so that nobody knows its masks; it is not used"
            report.problem(warning, "unexpected_file", told, path)
        if match and images.setdefault(int(match[1]), path) != path:
            report.problem(warning, "duplicate_image", "there is a .jpg as well, which is used", path)
    return sorted(images.items())


def _worst_iou(path: str, image: str, known: set[str], read: Read, report: _Report) -> float | None:
    if path not in known:
        report.problem(warning, "record_missing", f"{path} is not there; worst_iou is unknown", image)
        return None
    text = read(path)[:1000].decode("utf-8", "replace").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        report.problem(warning, "record_unreadable", f"{path} holds {text[:40]!r}, expected one number", image)
        return None
    return value
