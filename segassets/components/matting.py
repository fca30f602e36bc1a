"""Matting datasets in one of MaGGIe's three layouts. A dataset is a `defs.yaml` of this type; no Python is needed.

type: segassets.components.matting.MattingDataset
attributes:
  dataset: My-Portraits        # the folder, or the archive, below maggie/ in the raw folder
  layout: image_eval           # image_train, image_eval, video
  splits: [natural, comp]
  licence: CC BY 4.0           # and link, citation: for the lineage and the dataset's card
"""

from dataclasses import replace
from typing import Literal

import dagster as dg

from segassets.artifact import artifact
from segassets.components import matting_show as show
from segassets.errors import Skip, UsageError
from segassets.findings import BadItem, error, warning
from segassets.formats.matting_dataset import Folders, Layout, clip_problem
from segassets.formats.matting_inspect import by_sample, files_of, of_no_sample, unread
from segassets.formats.matting_items import SAMPLE_ROWS, check_samples
from segassets.formats.matting_layouts import find_root, further_masks, has_split, judge, nested_roots
from segassets.formats.matting_trimaps import trimaps_of
from segassets.sources.split_archive import lookalikes
from segassets.sources.split_archive_tree import dataset_tree
from segassets.store.names import valid_key
from segassets.work.plans import Items, each

#: Names in `maggie/` of the raw folder and the store that are no dataset's, nor an archive's.
RESERVED = ("merged", "predictions", "sources", "synthetic_images", "synthetic_videos")


class MattingDataset(dg.Component, dg.Model, dg.Resolvable):
    """A dataset for MaGGIe's loaders: its splits are partitions."""

    dataset: str
    layout: Literal["image_train", "image_eval", "video"]
    splits: list[str]
    alpha_dir_name: str = ""
    mask_dir_name: str = ""
    mode: Literal["train", "test"] = "test"
    clip_length: int = 0
    clip_overlap: int = -1
    licence: str = "not stated; yours, if the dataset is your own"
    link: str = "not stated"
    citation: str = "not stated"
    #: How many images (videos) the published split has.
    counts: dict[str, int] = {}

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        for name in (self.dataset, *self.splits):
            if not valid_key(name):
                raise UsageError(f"{name!r} is no name of a dataset or split: letters, digits, '.', '_' and '-' only")
        if self.dataset in RESERVED or self.dataset.startswith("synthetic_"):
            raise UsageError(
                f"{self.dataset!r} is a folder of segassets' own in the raw folder or the store: choose another"
            )
        if not self.splits:
            raise UsageError(f"{self.dataset} has no splits: name at least one")
        if twice := sorted({split for split in self.splits if self.splits.count(split) > 1}):
            raise UsageError(f"{self.dataset}: splits: {', '.join(twice)} is there twice")
        clip = (self.clip_length or None, self.clip_overlap if self.clip_overlap != -1 else None)
        if told := clip_problem(self.mode, *clip):
            raise UsageError(f"{self.dataset}: {told}")
        splits = dg.StaticPartitionsDefinition(self.splits)
        raw = dg.AssetSpec(
            ["maggie", self.dataset, "raw"],
            partitions_def=splits,
            group_name="maggie",
            deps=[["maggie", "raw"]],
            description=f"The archive or the folder {self.dataset} in the raw folder's maggie/.",
            metadata={"licence": self.licence, "link": _linked(self.link), "citation": self.citation},
        )
        return dg.Definitions(assets=[raw, samples_asset(self, splits), trimaps_asset(self, splits)])

    def loader(self, split: str) -> Layout:
        """What the training code is configured with."""
        alphas = self.alpha_dir_name or ("pha" if self.layout == "video" else "alphas")
        return Layout(self.layout, split, alphas, self.mask_dir_name, self.mode, self.clip_length, self.clip_overlap)


def _linked(text: str):
    return dg.MetadataValue.url(text) if "://" in text else text


def _reads(dataset: str) -> tuple[str, ...]:
    return (*lookalikes(dataset), f"{dataset}/*")


def _listing(spec: MattingDataset, raw, split: str):
    """(tree below the loader's root, what the loader's own paths have before those of the tree)."""
    tree = dataset_tree(raw, spec.dataset)
    prefix, added = find_root(tree.refs, spec.loader(split), spec.dataset)
    nested = nested_roots(tree.refs, spec.loader(split), spec.dataset)
    return replace(tree.below(prefix), findings=(*tree.findings, *nested)), added


def samples_asset(spec: MattingDataset, splits: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Findings and the effective index of a split."""

    def listing(raw, split):
        tree, added = _listing(spec, raw, split)
        return {added + path: ref for path, ref in tree.refs.items()}

    @artifact(
        f"maggie/{spec.dataset}/samples",
        splits,
        into=f"maggie/{spec.dataset}",
        reads=_reads(spec.dataset),
        raw=f"{spec.dataset}/raw",
        rows=SAMPLE_ROWS,
        code_version="3",
        show=show.shown_samples("frames" if spec.layout == "video" else "images", listing),
    )
    def samples(raw, partition, *, strict_counts: bool = False):
        """Every sample with its alphas and masks, checked; and which of them the training code will really use.

        Read where it is: from the archive's parts (`maggie/members` puts its files into the store), or from the
        unpacked folder, whose files are then published here.
        """
        layout = spec.loader(partition)
        tree, added = _listing(spec, raw, partition)
        refs = {added + path: ref for path, ref in tree.refs.items()}
        judged = judge(Folders(refs, [added + path for path in tree.empty]), layout, f"maggie/{spec.dataset}")
        if not refs:
            there = f"neither {spec.dataset}.zip nor files in {spec.dataset}/"
            raise BadItem(error("missing", f"{there} in {raw.root}/maggie", path=spec.dataset))
        if not judged.samples and _has_other_split(spec, raw, partition):
            raise Skip(f"{spec.dataset} has no split {partition} here, only others")
        items, told = [], set()
        refused = {added + path: why for path, why in tree.refused.items()}
        further = {} if tree.packed else further_masks(refs, layout)
        for key, listed, known in by_sample(judged):
            read = dict.fromkeys(path for sample in listed for path in files_of(sample))
            more = [path for path in further.get(key, ()) if path not in read]
            known = [*known, *(replace(refused[path], path=path, image=key) for path in more if path in refused)]
            paths = [*read, *more]
            told.update(paths)
            items.append(
                {
                    "key": key,
                    "samples": listed,
                    "known": known,
                    "refs": {path: refs[path] for path in paths if path in refs},
                    "published": {} if tree.packed else {path: path.removeprefix(added) for path in paths},
                }
            )
        findings = [*tree.findings, *of_no_sample(judged), *unread(refused, told, layout)]
        findings += count_findings(spec, partition, len(items), strict_counts)
        size = 1 if spec.layout == "video" else 16
        return each(Items(items, "key", batch_items=size), check_samples, findings=findings, layout=layout)

    return samples


def _has_other_split(spec: MattingDataset, raw, split: str) -> bool:
    """Whether another split is there and this one is not: subsets are everyday."""
    refs = dataset_tree(raw, spec.dataset).refs
    return any(has_split(refs, spec.loader(other), spec.dataset) for other in spec.splits if other != split)


def count_findings(spec: MattingDataset, split: str, found: int, strict: bool) -> list:
    """A finding when the split has another number of images or videos than the published one."""
    expected = spec.counts.get(split)
    if expected is None or expected == found:
        return []
    say = error if strict else warning
    unit = "videos" if spec.layout == "video" else "images"
    message = f"{found:,} {unit}, the published split has {expected:,}"
    return [say("count_differs", message, path=f"maggie/{spec.dataset}")]


def trimaps_asset(spec: MattingDataset, splits: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Trimaps of all alphas of a split."""

    @artifact(
        f"maggie/{spec.dataset}/trimaps",
        splits,
        into=f"maggie/{spec.dataset}",
        reads=_reads(spec.dataset),
        raw=f"{spec.dataset}/raw",
        code_version="2",
        show=show.trimaps,
    )
    def trimaps(samples, raw, partition):
        """0 background, 1 where alpha is not constant within 25 pixels, 2 foreground: the validation's transition."""
        tree, added = _listing(spec, raw, partition)
        items, findings = [], tree.errors
        for row in samples.records(["sample", "alphas", "unmasked"]):
            paths = [*row["alphas"], *row["unmasked"]]
            gone = [path for path in paths if path.removeprefix(added) not in tree.refs]
            told = f"it was there when maggie/{spec.dataset}/samples was made, and is not now: make that again"
            findings += [error("missing", told, path=path, image=row["sample"]) for path in gone]
            if not gone:
                alphas = {path.rsplit("/", 1)[1]: tree.refs[path.removeprefix(added)] for path in paths}
                items.append({"sample": row["sample"], "alphas": alphas})
        return each(Items(items, "sample"), trimaps_of, findings=findings, split=partition)

    return trimaps
