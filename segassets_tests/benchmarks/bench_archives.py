"""Merging a split zip beside Info-ZIP's two ways: `zip -F` and `zip -s 0`. Left out where Info-ZIP is not installed."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from segassets.files.ref import Ref
from segassets.formats.split_zip import merge_plan
from segassets.formats.split_zip_members import members_of
from segassets.sources.split_archive import damaged, read_archive
from segassets.sources.split_archive_fs import archive_folder
from segassets.store.joining_disk import merge_on_disk
from segassets_tests.benchmarks.harness import Row, compare

MIB = 2**20


def rows(quick: bool = False) -> list[Row]:
    if shutil.which("zip") is None:
        return []
    with tempfile.TemporaryDirectory(prefix="segassets-bench-") as folder:
        return _rows(Path(folder), 60 * MIB if quick else 300 * MIB)


def _rows(folder: Path, size: int) -> list[Row]:
    raw = folder / "raw"
    _split(folder, raw, size)

    numbers = itertools.count()

    def fresh(name: str) -> Path:
        """A new file each time: giving back the old one's pages is nobody's work here."""
        return folder / f"{name}-{next(numbers)}.zip"

    def settle() -> None:
        """Nobody writes while another one's output is still on its way to the disk."""
        for left in folder.glob("*.zip"):
            left.unlink()
        os.sync()

    def ours() -> Path:
        """What the asset does with the data: read and check the directory, plan, copy by the kernel."""
        target = fresh("ours")
        directory, places = read_archive(archive_folder(str(raw), "X"), "X")
        pieces = [
            piece
            if isinstance(piece, bytes)
            else Ref(places[piece.part].root, places[piece.part].path, piece.start, piece.end - piece.start)
            for piece in merge_plan(directory)
        ]
        merge_on_disk(pieces, str(target))
        return target

    def info_zip(*how: str):
        def run() -> Path:
            target = fresh("theirs")
            command = ["zip", "-q", *how, str(raw / "X.zip"), "--out", str(target)]
            # Without a terminal it asks for missing parts for ever: nothing is asked here, and it has its time.
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
            return target

        return run

    def checked() -> Path:
        """All that the asset does: every member's CRC first."""
        raw_folder = archive_folder(str(raw), "X")
        directory, places = read_archive(raw_folder, "X")
        assert damaged(places, members_of(directory)) == []
        return ours()

    def tested() -> Path:
        """The same by Info-ZIP."""
        target = info_zip("-s", "0")()
        subprocess.run(["unzip", "-tqq", str(target)], check=True, stdin=subprocess.DEVNULL, timeout=300)
        return target

    how = {"size": lambda path: path.stat().st_size, "rounds": 5, "units": size // MIB, "between": settle}
    note = "a unit is a MiB; the merged file's CRC-32 is made on the way; members' CRCs are not read"
    found = [
        compare("merge a split zip / zip -F", ours, info_zip("-F"), same_members, note=note, **how),
        compare("merge a split zip / zip -s 0", ours, info_zip("-s", "0"), same_members, note=note, **how),
    ]
    if shutil.which("unzip"):
        note = "stored members; those that are deflated cost as much as inflating them"
        name = "merge and check every CRC / zip -s 0 and unzip -t"
        found.append(compare(name, checked, tested, same_members, note=note, **how))
        name = "merge and check every CRC / zip -s 0 alone"
        found.append(compare(name, checked, info_zip("-s", "0"), same_members, note="zip checks nothing", **how))
    return found


def _split(folder: Path, raw: Path, size: int) -> None:
    """An archive of stored members of 100 to 500 kB, in parts of a third of it."""
    source = folder / "source"
    source.mkdir()
    raw.mkdir()
    rng, done, number = random.Random(7), 0, 0
    while done < size:
        data = rng.randbytes(rng.randrange(100_000, 500_000))
        (source / f"{number:05d}.jpg").write_bytes(data)
        done, number = done + len(data), number + 1
    command = ["zip", "-q", "-0", "-r", "-s", f"{size // 3 // MIB}m", str(raw / "X.zip"), "."]
    subprocess.run(command, check=True, cwd=source, stdin=subprocess.DEVNULL, timeout=300)
    shutil.rmtree(source)


def same_members(ours: Path, theirs: Path) -> bool:
    """The same names, sizes and CRCs in both, and ours without damage."""
    listed = []
    for path in (ours, theirs):
        with zipfile.ZipFile(path) as archive:
            listed.append({m.filename: (m.CRC, m.file_size) for m in archive.infolist() if not m.is_dir()})
            damaged = archive.testzip()
            if damaged:
                raise AssertionError(f"{path.name}: {damaged} is damaged")
    return listed[0] == listed[1]
