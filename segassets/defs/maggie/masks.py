"""M-HIM2K: masks that detectors give for HIM2K's images, matched with its alphas."""

from typing import Literal

import dagster as dg

from segassets import detecting
from segassets.artifact import artifact
from segassets.defs.maggie import show
from segassets.errors import SegassetsError, Skip
from segassets.findings import BadItem, error, info, warning
from segassets.formats.matching import MASK_ROWS, masks_of_image
from segassets.formats.matching_predictions import read_predictions
from segassets.formats.matting_dataset import Layout
from segassets.formats.matting_layouts import find_root
from segassets.partitions import dynamic
from segassets.sources.split_archive import lookalikes
from segassets.sources.split_archive_tree import dataset_tree
from segassets.work.plans import Items, each

DATASET = "HIM2K_M-HIM2K"
SUBSETS = ("comp", "natural")


def _models(files):
    there = [name for name in files.names("maggie/predictions") if not name.startswith(".")]
    return [*there, *detecting.available()]


MODELS = dynamic("maggie_models", _models)
PARTITIONS = dg.MultiPartitionsDefinition({"model": MODELS, "subset": dg.StaticPartitionsDefinition(list(SUBSETS))})

predictions = dg.AssetSpec(
    ["maggie", "predictions", "raw"],
    partitions_def=PARTITIONS,
    group_name="maggie",
    description="A detector's COCO results for HIM2K: predictions/<model>/<subset>.json.",
    metadata={
        "licence": "yours: your own predictions",
        "link": dg.MetadataValue.url("https://huggingface.co/datasets/chuonghm/MaGGIe-HIM"),
        "citation": "Huynh et al., MaGGIe, CVPR 2024, arXiv:2404.16035 (M-HIM2K)",
    },
)


@artifact(
    "maggie/him2k_masks",
    PARTITIONS,
    into=f"maggie/{DATASET}",
    reads=(
        "predictions/{model}/{subset}.json",
        "predictions/{model}/{subset}_images.json",
        "predictions/{model}/images.json",
        *lookalikes(DATASET),
        f"{DATASET}/*",
    ),
    raw="predictions/raw",
    rows=MASK_ROWS,
    code_version="2",
    show=show.masks(lambda raw, subset: _listed(dataset_tree(raw, DATASET), subset)[1]),
)
def him2k_masks(
    raw,
    partition,
    *,
    fill_unmatched: bool = False,
    detector: Literal["file", "torchvision"] = "file",
    device: str = "auto",
):
    """A detector's people (score 0.7, 2 % of the image), and for every alpha the mask with an IoU above 0.7.

    One row an alpha says which mask it got and from what: `predicted`, `synthetic`, `none`. With `fill_unmatched`
    alphas without a mask get a perturbed alpha, drawn with a seed of its own. `detector=torchvision` runs the model
    that the partition is named after, and needs `pip install 'segassets[detector]'`.
    """
    model, subset = partition.split("|")
    constants = {"model": model, "subset": subset, "fill_unmatched": fill_unmatched}
    if detector == "torchvision":
        return _detected(raw, constants, device)
    path = f"predictions/{model}/{subset}.json"
    if path not in raw:
        ours = f"; {model} can be run here: --set detector=torchvision" if model in detecting.available() else ""
        raise Skip(f"there is no {path} in the raw folder's maggie/{ours}")
    beside = next((name for name in (path.replace(".json", "_images.json"), f"predictions/{model}/images.json")
                   if name in raw), None)  # fmt: skip
    by_image, told = read_predictions(raw.read(path), raw.read(beside) if beside else None, path, beside or "")
    tree = dataset_tree(raw, DATASET)
    alphas, _ = _listed(tree, subset)
    findings = [*tree.errors, *(finding for finding in told if finding.image is None or finding.image in alphas)]
    for name in sorted(set(by_image) - set(alphas)):
        findings.append(warning("orphan_prediction", "predictions for an image without alphas; left aside", image=name))
    left_out = {finding.image for finding in told}
    items = [
        {"image": name, "alphas": refs, "predictions": by_image.get(name, [])}
        for name, refs in sorted(alphas.items())
        if name not in left_out
    ]
    return each(Items(items, "image"), masks_of_image, findings=findings, **constants)


def _detected(raw, constants, device):
    """The same with the predictions of a model that runs here, in this process: it exists once."""
    try:
        library = detecting.require(constants["model"])
    except (detecting.MissingExtra, ValueError) as problem:
        raise SegassetsError(f"maggie/him2k_masks: {problem}") from None
    tree = dataset_tree(raw, DATASET)
    alphas, pictures = _listed(tree, constants["subset"])
    told = "there is no photograph of it: nothing can be detected"
    findings = [*tree.errors]
    findings += [error("missing_image", told, image=name) for name in sorted(set(alphas) - set(pictures))]
    findings.append(info("detected", f"predictions by {library}, {constants['model']}, its COCO weights"))
    items = [
        {"image": name, "picture": pictures[name], "alphas": refs}
        for name, refs in sorted(alphas.items())
        if name in pictures
    ]
    source = Items(items, "image", batch_items=8)
    return each(source, detecting.detected_masks, findings=findings, serial=True, device=device, **constants)


def _listed(tree, subset):
    """(alphas of every image: image → {file name: reference}; photographs: image → reference)."""
    prefix, _ = find_root(tree.refs, Layout("image_eval", subset), DATASET)
    alphas, pictures = {}, {}
    for path, ref in tree.refs.items():
        kind, image, name = _placed(path.removeprefix(prefix), subset) if path.startswith(prefix) else (None,) * 3
        if kind == "alphas":
            alphas.setdefault(image, {})[name] = ref
        elif kind == "images":
            pictures[image] = ref
    if not alphas:
        where = f"neither {DATASET}.zip nor {DATASET}/ in the raw folder's maggie/ has alphas/{subset}/"
        raise BadItem(error("missing", where, path=f"alphas/{subset}"))
    return alphas, pictures


def _placed(path, subset):
    """("alphas", image, file name) or ("images", image, None) of a path below the loader's root; else three Nones."""
    match path.split("/"):
        case ["alphas", found, image, name] if found == subset and name.endswith(".png"):
            return "alphas", image, name
        case ["images", found, name] if found == subset and name.endswith(".jpg"):
            return "images", name.removesuffix(".jpg"), None
    return None, None, None
