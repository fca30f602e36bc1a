"""The published sets as a source: MaGGIe's repository on the Hugging Face hub, downloaded into the raw folder."""

from segassets.artifact import artifact
from segassets.errors import Skip, UsageError
from segassets.formats import split_zip
from segassets.settings import load
from segassets.sources import hub as hub_source
from segassets.work.plans import Items, each

REPOSITORY = "chuonghm/MaGGIe-HIM"


@artifact("maggie/download", into="", rows=hub_source.FILE_ROWS, code_version="1", asked_by="sets")
def download(*, sets: str = "", repository: str = REPOSITORY, revision: str = "main", hub: str = hub_source.HUB):
    """The archives of `sets` (names joined by commas: I-HIM50K, V-HIM2K5, HIM2K_M-HIM2K, V-HIM60; or `all`).

    Parts in parallel, resumed, their size and sha256 verified against the hub's own tree; nothing is there under its
    final name before that. Without `sets` nothing is downloaded; `--force` looks again for what has been removed.
    CC BY-NC 4.0: non-commercial use only.
    """
    wanted = {name.strip() for name in sets.split(",") if name.strip()}
    if not wanted:
        raise Skip("nothing was asked for: --set sets=V-HIM60 (or I-HIM50K, V-HIM2K5, HIM2K_M-HIM2K, all)")
    listed = hub_source.list_files(repository, revision, hub)
    by_set = {}
    for file in listed:
        part = split_zip.part_number(file.name)
        if part is not None and "/" not in file.name:
            by_set.setdefault(part[0], []).append(file)
    if unknown := sorted(wanted - set(by_set) - {"all"}):
        raise UsageError(
            f"maggie/download: {repository} has no {', '.join(unknown)}; it has {', '.join(sorted(by_set))}"
        )
    chosen = [file for name in sorted(by_set) if name in wanted or "all" in wanted for file in by_set[name]]
    items = [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in chosen]
    given = {"repository": repository, "revision": revision, "hub": hub, "root": load().raw, "folder": "maggie"}
    return each(Items(items, "name", batch_items=1), hub_source.fetch, **given)
