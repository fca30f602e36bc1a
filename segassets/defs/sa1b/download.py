"""The links file as a source: which shards it lists, which links have expired, and downloads into the raw folder."""

import datetime
from urllib.parse import urlsplit

import dagster as dg

from segassets.artifact import artifact
from segassets.errors import Skip, UsageError
from segassets.sources import http
from segassets.sources.links import parse_links
from segassets.sources.shard_download import LINK_ROWS, fetch, only_listed
from segassets.work.plans import Items, each

raw_links = dg.AssetSpec(
    ["sa1b", "raw_links"],
    group_name="sa1b",
    description="The links file that Meta sends: a TSV of shard names and signed links that expire.",
    metadata={
        "licence": "SA-1B Dataset Research License",
        "link": dg.MetadataValue.url("https://ai.meta.com/datasets/segment-anything-downloads/"),
        "citation": "Kirillov et al., Segment Anything, ICCV 2023, arXiv:2304.02643",
    },
)


@artifact("sa1b/download", raw="raw_links", into="", reads=("./*.txt", "./*.tsv"), rows=LINK_ROWS, code_version="1")
def download(raw, *, links: str = "sa1b_links.txt", shards: str = "", md5_list: str = ""):
    """Shards named by Meta's links file, downloaded into the raw folder, resumed, their size and md5 verified.

    Links are signed and expire: get a new file from Meta when they have. Without `shards` nothing is downloaded, and
    the table says what the file lists. A tar that was downloaded is found by the sensor `new_sa1b_shards`.
    """
    if links not in raw:
        raise Skip(f"there is no {links} in the raw folder's sa1b/ (the TSV of links that Meta sends)")
    found = parse_links(raw.read(links), datetime.datetime.now(datetime.UTC))
    sums = http.md5_list(raw.read(_there(raw, md5_list))) if md5_list else {}
    wanted = _wanted(shards, found.shards)
    known = [{"name": name, "url": url} for name, url in found.shards.items()]
    for entry in known:
        entry["host"] = urlsplit(entry["url"]).hostname
        entry["expired"] = entry["name"] in found.expired
    if not wanted:
        items = [{key: entry[key] for key in ("name", "host", "expired")} for entry in known]
        return each(Items(items, "name"), only_listed, findings=found.findings)
    items = [{**entry, "md5": sums.get(entry["name"])} for entry in known if entry["name"] in wanted]
    source = Items(items, "name", batch_items=1)
    findings = [finding for finding in found.findings if finding.member in (None, *wanted)]
    return each(source, fetch, findings=findings, root=raw.root, folder=raw.dataset)


def _wanted(shards, known):
    if shards == "all":
        return set(known)
    names = {name.strip().removesuffix(".tar") + ".tar" for name in shards.split(",") if name.strip()}
    if missing := sorted(names - set(known)):
        raise UsageError(f"sa1b/download: the links file has no {', '.join(missing)}; it lists {len(known)} shards")
    return names


def _there(raw, path):
    if path not in raw:
        raise UsageError(f"sa1b/download: there is no {path} in the raw folder's sa1b/ (option md5_list)")
    return path
