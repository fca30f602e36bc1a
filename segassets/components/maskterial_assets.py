"""The assets of one MaskTerial dataset, made of its declaration: the same five for every dataset and every source."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from typing import Literal

import dagster as dg

from segassets.artifact import artifact
from segassets.components import maskterial_generate as rendered
from segassets.components import maskterial_release as release
from segassets.components import maskterial_show as show
from segassets.components import maskterial_sources as sources
from segassets.components.maskterial_raw import PARTITIONS
from segassets.errors import Skip
from segassets.findings import BadItem, error, info, warning
from segassets.formats import few_shot as few
from segassets.formats import maskterial, maskterial_items
from segassets.items import File
from segassets.store.handle import Handle
from segassets.work.plans import Items, each, files, groups

SHOTS = dg.StaticPartitionsDefinition([str(shot) for shot in few.SHOTS])
RUNS = dg.StaticPartitionsDefinition([str(run) for run in few.RUNS])
FEW_SHOT = dg.MultiPartitionsDefinition({"shot": SHOTS, "run": RUNS})

Rasterizer = Literal["auto", "labelme", "coco"]


def split_assets(top: str, declared) -> list[dg.AssetsDefinition]:
    """Annotations, images, semantic masks and sets of a dataset below `top`."""
    first = synthetic_annotations_asset if declared.can_generate else annotations_asset
    return [make(top, declared) for make in (first, images_asset, semantic_masks_asset, meta_data_asset)]


def listing(
    raw, declared, split: str, rasterizer: str = "auto", asset: str | None = None
) -> tuple[sources.Listing, list]:
    """The images of a split from whichever source there is, and findings about the classes. `asset`: whose stage takes
    what has to be inflated; without, images are only listed."""
    found = release.find(raw, declared)
    kind = sources.kind_of(raw, declared.dataset, declared.source, found)
    if kind == "released":
        return release.list_released(found, split, declared, asset), []
    classes, findings = sources.classes_of(raw, declared.dataset, declared.known_classes, declared.layers)
    if kind == "labelme":
        return sources.list_labelme(raw, declared.dataset, split, classes, rasterizer), findings
    list_ = sources.list_label_studio if kind == "labelstudio" else sources.list_instance_masks
    return list_(raw, declared.dataset, split, declared.split, classes), findings


def annotations_asset(top: str, declared) -> dg.AssetsDefinition:
    """Everything begins here: the images that can be used, and their instances."""

    @artifact(
        f"{top}/{declared.dataset}/annotations",
        PARTITIONS,
        into=f"{top}/{declared.dataset}/RLE_annotations",
        reads=declared.reads,
        raw=f"{declared.dataset}/raw",
        rows=maskterial.ROWS,
        code_version=declared.version("1"),
        check=partial(show.check_annotations, declared),
        show=partial(show.annotations, declared),
    )
    def annotations(raw, partition, *, rasterizer: Rasterizer = declared.rasterizer, strict_counts: bool = False):
        """Four annotation files a split, ids from 1 and kept across all of them; one row an instance.

        `_full` has every instance of at least one pixel, `_200` and `_300` those of at least so many, the file without
        `with_class` those of `_300` as one class. Every image of the split is in every file. Outlines are drawn as
        labelme does (labelme) or as pycocotools does (Label Studio) unless `rasterizer` says otherwise.
        """
        return annotated(raw, declared, partition, rasterizer, strict_counts)

    return annotations


def synthetic_annotations_asset(top: str, declared) -> dg.AssetsDefinition:
    """As `annotations_asset`, or generated when that is asked for."""

    @artifact(
        f"{top}/{declared.dataset}/annotations",
        PARTITIONS,
        into=f"{top}/{declared.dataset}/RLE_annotations",
        reads=declared.reads,
        raw=f"{declared.dataset}/raw",
        rows=maskterial.ROWS,
        code_version=declared.version("1"),
        check=partial(show.check_annotations, declared),
        show=partial(show.annotations, declared),
        without_raw="generate",
    )
    def annotations(
        raw,
        partition,
        *,
        generate: bool = declared.source == sources.GENERATED,
        count: int = 0,
        rasterizer: Rasterizer = declared.rasterizer,
        strict_counts: bool = False,
    ):
        """Annotation files of a released synthetic set; with `generate`, of a set that is rendered here instead.

        Generated flakes are terraced crystals on oxidised silicon, coloured by the optics of thin films; `count`
        images of them, as many as the published set has unless it is said. The files are those of a real dataset, and
        the two that end in `_max_10`, which upstream's pretraining reads. Every image hangs on the seed, the split and
        its number alone.
        """
        if generate:
            return rendered.annotations(declared, partition, count)
        return annotated(raw, declared, partition, rasterizer, strict_counts)

    return annotations


def annotated(raw, declared, split: str, rasterizer: str, strict_counts: bool):
    """The plan of a split's annotations from what lies in the raw folder."""
    listed, findings = listing(raw, declared, split, rasterizer, f"{raw.dataset}/{declared.dataset}/annotations")
    findings += listed.findings + counted(declared, split, len(listed.items), strict_counts)
    leaking = leaks(raw, declared, listed, split)
    lost = {finding.image for finding in leaking if finding.severity == "error"}
    kept = [item for item in listed.items if item["image"].rpartition(".")[0] not in lost]
    folds = listed.folds or annotation_folds(raw, declared, split, listed.agnostic)
    return each(Items(kept, "image"), listed.work, findings=findings + leaking, folds=folds, **listed.constants)


def _paths(listed: sources.Listing) -> dict[str, str]:
    return {item["image"]: item["source"] for item in listed.items}


def leaks(raw, declared, listed: sources.Listing, split: str) -> list:
    """Images of this split that are in the other one as well."""
    others = other_images(raw, declared, split)
    if listed.release is not None:
        return sources.leaks(_paths(listed), others, split, listed.release.size, listed.release.digest)
    look = partial(sources.raw_size, raw), partial(sources.raw_digest, raw)
    return sources.leaks(_paths(listed), others, split, *look)


def other_images(raw, declared, split: str) -> dict[str, str]:
    """The images of the other split, for the check of leakage; none when it cannot be listed."""
    other = next(name for name in sources.SPLITS if name != split)
    try:
        return _paths(listing(raw, declared, other)[0])
    except (Skip, BadItem):
        return {}


def annotation_folds(raw, declared, split: str, agnostic: bool) -> dict:
    """The annotation files as folds of the rows."""
    classes, _ = sources.classes_of(raw, declared.dataset, declared.known_classes, declared.layers)
    names = maskterial.agnostic_names if agnostic else maskterial.threshold_names
    return {
        name: partial(
            maskterial.annotation_pieces,
            categories=classes.agnostic() if plain else classes.categories(),
            agnostic=plain,
            least=least,
        )
        for name, (plain, least) in names(split, declared.thresholds).items()
    }


def counted(declared, split: str, found: int, strict: bool) -> list:
    """Whether the split has as many images as the published dataset. BadItem when that is asked to be strict."""
    expected = declared.images.get(split)
    if expected is None or expected == found:
        return []
    told = f"{split} has {found:,} images, the published {declared.dataset} has {expected:,}"
    if strict:
        raise BadItem(error("count_differs", told))
    return [warning("count_differs", told)]


def images_asset(top: str, declared) -> dg.AssetsDefinition:
    @artifact(
        f"{top}/{declared.dataset}/images",
        PARTITIONS,
        into=f"{top}/{declared.dataset}/{{partition}}_images",
        reads=declared.reads,
        raw=f"{declared.dataset}/raw",
        code_version=declared.version("1", "source", "classes", "layers", *declared.rendered_as),
        show=show.images,
    )
    def images(annotations, raw, partition):
        """The photographs, byte for byte, under their UUIDs; those that the annotation files list and no other."""
        rows = show.first_rows(annotations)
        if rendered.is_generated(annotations):
            return rendered.photographs(declared, rows)
        found = release.find(raw, declared)
        return each(Items([_image_item(raw, found, row) for row in rows], "image"), maskterial_items.image_item)

    return images


def _image_item(raw, found, row) -> dict:
    name, source = row["image"], row["source"]
    if "#" in source:
        return {"image": name, "embedded": raw.ref(source.partition("#")[0])}
    if found is not None and source in found.members:
        if found.place.archive is not None:
            return {"image": name, "place": found.place, "member": source}
        return {"image": name, "file": File(name, found.place.ref(source))}
    if not maskterial.is_copied(source[source.rfind(".") :]):
        return {"image": name, "other": raw.ref(source)}
    return {"image": name, "file": File(name, raw.ref(source))}


def semantic_masks_asset(top: str, declared) -> dg.AssetsDefinition:
    @artifact(
        f"{top}/{declared.dataset}/semantic_masks",
        PARTITIONS,
        into=f"{top}/{declared.dataset}/{{partition}}_semantic_masks",
        reads=declared.reads,
        raw=f"{declared.dataset}/raw",
        code_version=declared.version("1", "source", "mask_threshold"),
        show=show.semantic_masks,
    )
    def semantic_masks(annotations, raw, partition):
        """Class of every pixel, 0 is the background; 8-bit grey, as OpenCV and upstream's loader read it.

        Painted from the full file: instances of more than 200 pixels, in ascending order of their ids, later ones over
        earlier ones. Released masks are published as they are when they equal that painting.
        """
        found = None if rendered.is_generated(annotations) else release.find(raw, declared)
        if show.is_agnostic(annotations, partition):
            return files(findings=[info("no_classes", "instances without classes: there is nothing to paint")])
        if found is not None and sources.kind_of(raw, declared.dataset, declared.source, found) == "released":
            return release.list_masks(found, partition, annotations, declared)
        source = groups(annotations, "image", "height", "width", "category_id", "counts", "area")
        return each(source, maskterial_items.semantic_item, more_than=declared.mask_threshold)

    return semantic_masks


def meta_data_asset(top: str, declared) -> dg.AssetsDefinition:
    @artifact(
        f"{top}/{declared.dataset}/meta_data",
        PARTITIONS,
        into=f"{top}/{declared.dataset}/meta_data",
        reads=declared.reads,
        raw=f"{declared.dataset}/raw",
        code_version=declared.version("1", "source"),
    )
    def meta_data(annotations, raw, partition):
        """Which exfoliation run each image was taken in: set name → ["<uuid>.png", ...]."""
        generated = rendered.is_generated(annotations)
        found = None if generated else release.find(raw, declared)
        if found is not None and sources.kind_of(raw, declared.dataset, declared.source, found) == "released":
            return release.meta_data(found, partition, annotations)
        name = f"{partition}_set_name_to_uuid.json"
        return files(
            {name: maskterial.set_file(annotations.records(["image", "set"]))},
            findings=[] if generated else shared_sets(raw, declared, partition),
        )

    return meta_data


def shared_sets(raw, declared, split: str) -> list:
    """Sets that give images to both splits: upstream promises different runs for training and test."""
    try:
        mine, theirs = (
            {item.get("set_name") for item in listing(raw, declared, name)[0].items} for name in sources.SPLITS
        )
    except (Skip, BadItem):
        return []
    told = "this set has images in train and in test: they were taken in one run, so the test says less"
    return [
        warning("shared_set", f"{name}: {told}", part=name) for name in sorted((mine & theirs) - {sources.NO_SET, None})
    ]


def few_shot_asset(top: str, declared) -> dg.AssetsDefinition:
    """The few-shot splits of a dataset: shot x run partitions, all of them one run."""
    dataset = declared.dataset

    @artifact(
        f"{top}/{dataset}/few_shot",
        FEW_SHOT,
        into=f"{top}/{dataset}/RLE_annotations/{{shot}}_shot/run_{{run}}",
        reads=declared.reads,
        rows=few.SPLIT_ROWS,
        code_version=declared.version("2", "source", "seed"),
        inputs={"annotations": f"{top}/{dataset}/annotations"},
        whole_inputs={"annotations": lambda partition: ()},  # of those only the training split, below
        where_published={"trained": partial(looked_at, top, declared)},
        backfill=dg.BackfillPolicy.single_run(),
        show=show.few_shot,
    )
    def few_shot(
        annotations,
        raw,
        partition,
        trained,
        *,
        sampler: Literal["hashrank", "upstream"] = "hashrank",
        semantics: Literal["images", "exact"] = "images",
    ):
        """Annotations of K instances a class, the same images in the with-class and the class-agnostic file.

        `hashrank` is independent of other datasets, of runs and of the order of the file, and the selection of K lies
        within that of any larger K. `upstream` replays upstream's single random stream, which runs through all eight
        published datasets: those before this one have to be there. With `images` all annotations of the chosen images
        are kept, so that no image is half annotated; with `exact` K a class, and some images are.
        """
        train = trained_on(trained, f"{top}/{dataset}/annotations")
        with_class, agnostic = documents(train.root, train.asset, train.data_version)
        run, shot = (int(part) for part in partition.split("|"))  # Dagster orders dimensions by name
        if sampler == "upstream":
            lengths = tuple(few.preceding_lengths(dataset, _lengths(trained)))
            selected = replay(train.root, train.asset, train.data_version, lengths, semantics)[shot, run].annotations
        else:
            selected = few.hashrank(with_class, shot, run, dataset, semantics, declared.seed).annotations
        findings = few.few_shot_findings(with_class, selected, shot)
        findings += agreement(raw, declared, train, trained, shot, run)
        made = few.few_shot_files(with_class, agnostic, selected, order="file" if sampler == "upstream" else "id")
        return files(made, rows=few.split_rows(with_class, selected, shot, run), findings=findings)

    return few_shot


def looked_at(top: str, declared, options, raw) -> list[tuple[str, str]]:
    """The training annotations that few-shot splits hang on: the dataset's own, and for a replay of upstream's stream
    (asked for, or to compare a release with) those of all published datasets before it."""
    names = [declared.dataset]
    if declared.dataset in few.UPSTREAM_ORDER and (options.get("sampler") == "upstream" or _released(raw, declared)):
        names += few.UPSTREAM_ORDER[: few.UPSTREAM_ORDER.index(declared.dataset)]
    return [(f"{top}/{name}/annotations", "train") for name in names]


def _released(raw, declared) -> bool:
    try:
        return release.find(raw, declared) is not None
    except BadItem:
        return False  # told where it is read


def trained_on(trained, asset: str):
    """The handle of the training annotations. Skip when they are not made, or have no classes."""
    train = trained.get((asset, "train"))
    if train is None:
        raise Skip(f"{asset} train has not been made")
    if not any(path.endswith(f"/{few.WITH_CLASS_FILE}") for path in train.files["path"].to_pylist()):
        raise Skip(f"{train.label} has no {few.WITH_CLASS_FILE}: splits need classes, and 300 among the thresholds")
    return train


@lru_cache(maxsize=8)
def documents(root: str, asset: str, version: str) -> tuple[dict, dict]:
    """The with-class and the class-agnostic _300 file of the training split, parsed once for fifty splits."""
    train = Handle(root, asset, "train")
    paths = {path.rsplit("/", 1)[-1]: path for path in train.files["path"].to_pylist()}
    return json.loads(train.read(paths[few.WITH_CLASS_FILE])), json.loads(train.read(paths[few.AGNOSTIC_FILE]))


@lru_cache(maxsize=8)
def replay(root: str, asset: str, version: str, lengths: tuple[int, ...], semantics: few.Semantics) -> dict:
    """All fifty splits of upstream's stream."""
    with_class, _ = documents(root, asset, version)
    return few.upstream(with_class, lengths, semantics)


def _lengths(trained) -> dict[str, int]:
    """Numbers of _300 training annotations by dataset, of those that are published and have classes."""
    found = {}
    for (asset, _), handle in trained.items():
        try:
            with_class, _ = documents(handle.root, handle.asset, handle.data_version)
        except KeyError:
            continue
        found[asset.split("/")[-2]] = len(with_class["annotations"])
    return found


def agreement(raw, declared, train, trained, shot: int, run: int) -> list:
    """Whether the released file of a split holds what a replay of upstream's sampler draws; nothing without a release.

    Nobody knows whether the release was made by the published script: this says so.
    """
    found = release.find(raw, declared)
    if found is None:
        return []
    released = found.few_shot_ids(shot, run)
    if released is None:
        return [warning("few_shot_missing", f"the release has no {shot}_shot/run_{run}")]
    try:
        lengths = tuple(few.preceding_lengths(declared.dataset, _lengths(trained)))
    except BadItem as bad:
        return [info("few_shot_not_compared", f"the released split is not compared: {bad.findings[0].message}")]
    drawn = replay(train.root, train.asset, train.data_version, lengths, "images")[shot, run].annotations
    if set(drawn) == released:
        return [info("few_shot_agrees", "the released split holds what a replay of upstream's sampler draws")]
    both = len(released & set(drawn))
    told = f"the released split has {len(released)} annotations, a replay {len(drawn)}; {both} are in both"
    return [warning("few_shot_differs", told)]
