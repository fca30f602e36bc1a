"""Archives as they were downloaded: split PKZIP sets, raw cuts, single zips."""

from typing import Literal

import dagster as dg

from segassets.artifact import artifact
from segassets.components.matting import RESERVED
from segassets.errors import SegassetsError
from segassets.files.paths import is_plain
from segassets.files.ref import Ref
from segassets.findings import BadItem, info
from segassets.formats import split_zip
from segassets.formats.split_zip_members import (
    INDEX_ROWS,
    common_top,
    content_digest,
    index_columns,
    members_of,
    read_index,
)
from segassets.partitions import dynamic
from segassets.settings import is_remote, load
from segassets.sources.split_archive import (
    MemberBlocks,
    damaged,
    extracted,
    lookalikes,
    other_sizes,
    parts_at,
    read_archive,
    replaced_parts,
    sampled,
)
from segassets.work.plans import by_hand, each, files

#: A merge on S3 may move 0.5 % of the bytes and 11 MiB through this machine: 10 MiB for ranges too small to be copied,
#: three times the directory, and the rest for a look at members. A small archive is read whole.
SMALL_REMOTE, REMOTE_SAMPLE, REMOTE_SHARE = 3 * 2**20, 2**20, 0.005


def _archives(files):
    named = {name: split_zip.part_number(name) for name in files.names("maggie")}
    # A folder may have such a name, too; only what could be a part is asked about. A name that nothing can be asked
    # about (a backslash, no UTF-8) gives no key either, and is reported as such.
    parts = [
        part
        for name, part in named.items()
        if part is not None and (not is_plain(f"maggie/{name}") or files.stat(f"maggie/{name}") is not None)
    ]
    whole = {stem.lower() for stem, _, number in parts if number is None}
    last = {stem for stem, _, number in parts if number is None}
    # `x.z02` beside `X.zip` is a part of X that is written otherwise: its findings say so.
    stems = {stem for stem, _, _ in parts if stem in last or stem.lower() not in whole}
    return [f"{stem} (the name of a folder of segassets)" if stem in RESERVED else stem for stem in stems]


ARCHIVES = dynamic("maggie_archives", _archives)

raw = dg.AssetSpec(
    ["maggie", "raw"],
    partitions_def=ARCHIVES,
    group_name="maggie",
    kinds={"zip"},
    description="The archives of MaGGIe's datasets, in one piece or in parts.",
    metadata={
        "licence": "CC BY-NC 4.0",
        "non_commercial": True,
        "link": dg.MetadataValue.url("https://huggingface.co/datasets/chuonghm/MaGGIe-HIM"),
        "citation": "Huynh et al., MaGGIe, CVPR 2024, arXiv:2404.16035",
        "sources": "HHM50K, HIM2K, BG-20K, VideoMatte240K, VM108, CRGNN: each with terms of its own",
    },
)


@artifact(
    "maggie/archive_index",
    ARCHIVES,
    into="",
    reads=lookalikes,
    rows=INDEX_ROWS,
    code_version="2",
    where_published={"download": lambda options, raw: [("maggie/download", None)]},
)
def archive_index(raw, partition, download):
    """Every member with its size, CRC and the ranges of the parts that hold it, and all that is wrong with the parts.

    Reads the directory and some headers, no data. A structural error fails it; with `--max-rejected 1` the members
    that the error does not touch can be used.
    """
    directory, parts = read_archive(raw, partition)
    rows = (row for handle in download.values() for row in handle.records(["name", "bytes", "sha256"]))
    findings = [*other_sizes(parts, rows), *directory.findings]
    names = [part.name for part in directory.parts]
    return files(rows=index_columns(members_of(directory), names), findings=findings)


@artifact("maggie/members", ARCHIVES, into="maggie/{partition}", reads=lookalikes, code_version="3")
def members(archive_index, raw, partition):
    """The members as files, straight from the parts; every CRC checked, unsafe names refused.

    A top folder that all members share and that is named like the archive is not repeated.
    """
    if archive_index.footer.raw != raw.fingerprint():
        again = f"segassets materialize maggie/archive_index --partition {partition}"
        raise SegassetsError(
            f"maggie/members {partition}: archive_index is older than the parts, which were replaced since; "
            f"make it first: {again}"
        )
    names, found = read_index(archive_index.records())
    top = common_top(member.name for member in found)
    source = MemberBlocks(tuple(parts_at(raw, names)), [member for member in found if wanted(member)])
    return each(source, extracted, prefix=top if top == f"{partition}/" else "", archive=partition)


def wanted(member):
    """Members that become files, and those that should but may not."""
    return member.problem is not None or not member.is_folder


@artifact("maggie/merged_zip", ARCHIVES, into="maggie/merged", reads=lookalikes, code_version="3")
def merged_zip(archive_index, raw, partition, *, check_crc: Literal["auto", "always"] = "auto"):
    """One valid archive of all parts, nothing recompressed; the published `zip -F` loses members in silence.

    Every member's CRC is checked first. Where raw folder and store are both on S3, the data do not pass through this
    machine: then the CRCs of a sample are checked; those of all with `check_crc=always`, or by `maggie/members`.
    """
    directory, parts = read_archive(raw, partition)
    pieces = [_piece(parts, piece) for piece in split_zip.merge_plan(directory)]
    settings = load()
    every = members_of(directory)
    read = every
    if check_crc == "auto" and is_remote(settings.raw) and is_remote(settings.store):
        read = _affordable(every, sum(part.size for part in parts), len(directory.raw), partition)
    told = (
        f"merged on the server: the CRCs of {len(read):,} of {len(every):,} members were read; maggie/members checks "
        "all, or --set check_crc=always"
    )
    findings = [] if len(read) == len(every) else [info("crc_not_checked", told, path=f"{partition}.zip")]

    def merge(stage):
        """The plain escape: the pieces of the parts, then the new directory, into one file of the stage."""
        if bad := damaged(parts, read, settings.workers):
            raise BadItem(*bad)
        stage.concatenate(f"{partition}.zip", pieces, content=content_digest(every))
        if bad := replaced_parts(raw, parts):
            raise BadItem(*bad)

    # Warnings about the parts stand with the index.
    return by_hand(merge, findings=findings)


def _affordable(members, size, directory_size, archive):
    """The members whose CRCs are checked where the data should not be downloaded: all of a small archive, else some."""
    if size <= SMALL_REMOTE:
        return members
    return sampled(members, max(0, REMOTE_SAMPLE + int(REMOTE_SHARE * size) - 3 * directory_size), archive)


def _piece(parts, piece):
    if isinstance(piece, bytes):
        return piece
    part = parts[piece.part]
    return Ref(part.root, part.path, piece.start, piece.end - piece.start)
