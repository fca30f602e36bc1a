"""M-HIM2K: masks that detectors give for HIM2K's images, matched with its alphas."""

import dagster as dg

from segassets.artifact import artifact
from segassets.errors import Skip
from segassets.findings import BadItem, error, warning
from segassets.formats.matching import MASK_ROWS, masks_of_image, matching_findings, read_predictions
from segassets.formats.matting_layouts import Layout, find_root
from segassets.partitions import dynamic
from segassets.sources.split_archive_tree import dataset_tree
from segassets.work.plans import Items, each

DATASET = "HIM2K_M-HIM2K"
SUBSETS = ("comp", "natural")


def _models(files):
    return files.names("maggie/predictions")


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


def _show(view, **_):
    return matching_findings(list(view.records()))


@artifact(
    "maggie/him2k_masks",
    PARTITIONS,
    into=f"maggie/{DATASET}",
    reads=(
        "predictions/{model}/{subset}.json",
        "predictions/{model}/{subset}_images.json",
        "predictions/{model}/images.json",
        f"{DATASET}.z*",
        f"{DATASET}/*",
    ),
    raw="predictions/raw",
    rows=MASK_ROWS,
    code_version="1",
    show=_show,
)
def him2k_masks(raw, partition, *, fill_unmatched: bool = False):
    """A detector's people (score 0.7, 2 % of the image), and for every alpha the mask with an IoU above 0.7.

    One row an alpha says which mask it got and from what: `predicted`, `synthetic`, `none`. With `fill_unmatched`
    alphas without a mask get a perturbed alpha, drawn with a seed of its own.
    """
    model, subset = partition.split("|")
    path = f"predictions/{model}/{subset}.json"
    if path not in raw:
        raise Skip(f"there is no {path} in the raw folder's maggie/")
    beside = next((name for name in (path.replace(".json", "_images.json"), f"predictions/{model}/images.json")
                   if name in raw), None)  # fmt: skip
    by_image, findings = read_predictions(raw.read(path), raw.read(beside) if beside else None, path)
    alphas = _alphas(raw, subset)
    if not alphas:
        where = f"neither {DATASET}.zip nor {DATASET}/ in the raw folder's maggie/ has alphas/{subset}/"
        raise BadItem(error("missing", where, path=f"alphas/{subset}"))
    for name in sorted(set(by_image) - set(alphas)):
        findings.append(warning("orphan_prediction", "predictions for an image without alphas; left aside", image=name))
    items = [
        {"image": name, "alphas": refs, "predictions": by_image.get(name, [])} for name, refs in sorted(alphas.items())
    ]
    return each(
        Items(items, "image"),
        masks_of_image,
        findings=findings,
        model=model,
        subset=subset,
        fill_unmatched=fill_unmatched,
    )


def _alphas(raw, subset):
    """Alphas of every image: image → {file name: reference}."""
    tree = dataset_tree(raw, DATASET)
    wanted = Layout("image_eval", subset)
    prefix, _ = find_root(tree.refs, wanted, DATASET)
    below = f"{prefix}alphas/{subset}/"
    found = {}
    for path, ref in tree.refs.items():
        image, slash, name = path.removeprefix(below).partition("/")
        if path.startswith(below) and slash and "/" not in name and name.endswith(".png"):
            found.setdefault(image, {})[name] = ref
    return found
