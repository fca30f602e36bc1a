"""Archives as they were downloaded: split PKZIP sets, raw cuts, single zips."""

import zlib

import dagster as dg

from segassets.artifact import artifact
from segassets.findings import BadItem, error
from segassets.formats import split_zip
from segassets.partitions import dynamic
from segassets.work.plans import by_hand


def _archives(files):
    numbered = [split_zip.part_number(name) for name in files.names("maggie")]
    return [part[0] for part in numbered if part is not None]


ARCHIVES = dynamic("maggie_archives", _archives)

raw = dg.AssetSpec(
    ["maggie", "raw"],
    partitions_def=ARCHIVES,
    group_name="maggie",
    kinds={"zip"},
    description="The archives of MaGGIe's datasets, in one piece or in parts.",
    metadata={
        "licence": "CC BY-NC 4.0",
        "link": dg.MetadataValue.url("https://huggingface.co/datasets/chuonghm/MaGGIe-HIM"),
        "citation": "Huynh et al., MaGGIe, CVPR 2024, arXiv:2404.16035",
    },
)


@artifact(
    "maggie/merged_zip", ARCHIVES, into="maggie/merged", reads=("{partition}.z*", "{partition}.zip.*"), code_version="1"
)
def merged_zip(raw, partition):
    """One valid archive of all parts, nothing recompressed; the published `zip -F` loses members in silence.

    The directory is read and checked before any data moves; then every member's CRC is, in the merged file.
    """
    paths = split_zip.order_parts(raw.paths)
    parts = [split_zip.Part(path, raw.files[path].size, _reader(raw, path)) for path in paths]
    directory = split_zip.read_directory(parts)
    pieces = [_piece(raw, directory, piece) for piece in split_zip.merge_plan(directory)]

    def merge(stage):
        """The plain escape: the pieces of the parts, then the new directory, into one file of the stage."""
        stage.concatenate(f"{partition}.zip", pieces)
        stage.note(damaged_members(stage.open(f"{partition}.zip"), partition))

    return by_hand(merge, findings=directory.findings)


def _reader(raw, path):
    return lambda start, end: raw.ref(path, start, end - start).read()


def _piece(raw, directory, piece):
    if isinstance(piece, bytes):
        return piece
    return raw.ref(directory.parts[piece.part].name, piece.start, piece.end - piece.start)


def damaged_members(file, archive):
    """Raise BadItem for members whose data do not have the CRC that the directory states; yields no finding else."""
    import zipfile

    bad = []
    with file, zipfile.ZipFile(file) as merged:
        for member in merged.infolist():
            if member.flag_bits & 1:
                continue  # encrypted: its CRC cannot be checked without the password
            try:
                with merged.open(member) as data:
                    while data.read(1 << 20):
                        pass
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as problem:
                bad.append(
                    error(
                        "crc", f"{problem}; download the parts it lies in again", path=archive, member=member.filename
                    )
                )
    if bad:
        raise BadItem(*bad)
    return []
