"""An archive in several parts as a source: members are read straight from the parts, wherever those lie.

Belongs here: the parts of an archive in a raw folder or bucket, references to members, blocks of neighbouring members
for extraction. Not here: the format (`formats.split_zip*`), the file-system view (`sources.split_archive_fs`).
"""

from __future__ import annotations

import glob
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from segassets.files.folder import Folder
from segassets.files.ref import Ref, files_at
from segassets.findings import BadItem, Finding, error
from segassets.formats import split_zip
from segassets.formats.split_zip_members import Member, contents, data_at, stored, unpacked
from segassets.formats.split_zip_records import LOCAL
from segassets.items import File, Made

BLOCK = 16 * 2**20  # stored bytes that are read at once, and the work of one batch
CACHED = 2**20  # what is only checked stays in the processor's cache
SMALL_GAP = 1 << 16
LARGE = 96 * 2**20  # members of more bytes are unpacked piece by piece
PIECE = 8 * 2**20
UNCHECKED = ("encrypted", "unsupported_method", "missing_part")
#: Of how many parts the published sets consist (specification 1.1).
PUBLISHED_PARTS = {"I-HIM50K": 6, "V-HIM2K5": 7, "HIM2K_M-HIM2K": 1, "V-HIM60": 1}


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """One part: the file `path` below `root`, of that many bytes."""

    root: str
    path: str
    size: int

    def read(self, start: int, end: int) -> bytes:
        return files_at(self.root).read(self.path, start, end)


def lookalikes(archive: str) -> tuple[str, ...]:
    """Patterns of the files that are parts of an archive or look like some, in whatever case they are written.

    Of `X.zebra.zip` and `X (old).zip`, which are archives of their own, they see nothing.
    """
    stem = "".join(f"[{c}{c.swapcase()}]" if c.isalpha() and c.isascii() else glob.escape(c) for c in archive)
    return f"{stem}.[zZ][0-9]*", f"{stem}.[zZ][iI][pP]*", f"{stem} ([0-9]*"


def find_parts(raw, archive: str) -> list[str]:
    """Names of the files in a raw folder that are, or look like, parts of the archive."""
    return [path for path in raw.paths if "/" not in path and path.lower().startswith(archive.lower())]


def read_archive(raw, archive: str) -> tuple[split_zip.Directory, list[ArchivePart]]:
    """The directory of an archive in the raw folder, and its parts in the order of the directory's.

    Missing parts are errors among `Directory.findings`: what does not lie in them can be read all the same.
    Raises BadItem when there is no usable directory.
    """
    names, absent = find_parts(raw, archive), []
    ordered = split_zip.order_parts(names, absent, archive)
    places = {name: _part(raw, name) for name in ordered}
    parts = [split_zip.Part(name, places[name].size, places[name].read) for name in ordered]
    others = [name for name in names if name not in ordered]
    try:
        directory = split_zip.read_directory(parts, absent, PUBLISHED_PARTS.get(archive))
    except BadItem as problem:
        raise BadItem(*_hinted(problem.findings, others)) from None
    directory = directory._replace(findings=_hinted(directory.findings, others))
    return directory, [_part(raw, part.name) for part in directory.parts]


def _hinted(findings: Iterable[Finding], others: Sequence[str]) -> list[Finding]:
    """The findings, those of missing parts with a hint at the file that may be it under another name."""
    return [
        replace(f, message=f.message + split_zip.looks_alike(f.part, others))
        if f.code == "missing_part" and f.part
        else f
        for f in findings
    ]


def _part(raw, name: str) -> ArchivePart:
    if name not in raw.files:
        return ArchivePart(raw.root, name, 0)
    return ArchivePart(raw.root, raw.ref(name).path, raw.files[name].size)


def parts_at(raw, names: Sequence[str]) -> list[ArchivePart]:
    """The parts with these names."""
    return [_part(raw, name) for name in names]


def other_sizes(parts: Iterable[ArchivePart], downloaded: Iterable[dict]) -> list[Finding]:
    """An error a part that has not the size with which it was downloaded. `downloaded`: rows of `hub.FILE_ROWS`."""
    known = {row["name"]: row for row in downloaded}
    findings = []
    for part in parts:
        name = part.path.rpartition("/")[2]
        if name in known and part.size not in (0, known[name]["bytes"]):
            told = f"{part.size:,} bytes, maggie/download got {known[name]['bytes']:,} (sha256 {known[name]['sha256']})"
            again = "download it again, or the set anew: segassets materialize maggie/download --force --set sets=..."
            findings.append(error("size_or_sha_mismatch", f"{told}: {again}", part=name))
    return findings


def replaced_parts(raw, parts: Iterable[ArchivePart]) -> list[Finding]:
    """An error a part that is no longer the file that the raw folder's listing showed."""
    listed = {raw.ref(name).path: (name, entry) for name, entry in raw.files.items()}
    told = "replaced or changed while the archive was read; run it again"
    return [
        error("part_changed", told, part=listed[part.path][0])
        for part in parts
        if files_at(part.root).stat(part.path) != listed[part.path][1]
    ]


@dataclass(frozen=True, slots=True)
class MemberRef(Ref):
    """A member as a reference: reads, unpacks and checks it straight from the parts. Stands wherever a `Ref` does.

    `extents`: (path of the part, offset, length) of its slot; `described`: the member.
    """

    extents: tuple[tuple[str, int, int], ...] = ()
    described: Member | None = None

    def read(self, limit: int | None = None) -> bytes:
        """The contents, or the first `limit` bytes of them. BadItem when they are damaged, or lie in a missing part."""
        if self.described.problem is not None:
            raise BadItem(self.described.finding())
        if limit is not None and limit < self.described.size:
            out = bytearray()
            for piece in self.pieces():
                out += piece
                if len(out) >= limit:
                    return bytes(out[:limit])
        files = files_at(self.root)
        slot = b"".join(files.read(path, start, start + length) for path, start, length in self.extents)
        return contents(self.described, slot)

    def pieces(self) -> Iterator[bytes]:
        """The contents, a piece at a time; size and CRC are checked at the end."""
        if self.described.problem is not None:
            raise BadItem(self.described.finding())
        yield from unpacked(self.described, self._stored())

    def _stored(self) -> Iterator[bytes]:
        head_length = LOCAL.size + len(self.described.raw_name)
        start = data_at(self.described, b"".join(self._range(0, head_length)))
        yield from self._range(start, start + self.described.compressed_size)

    def _range(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes [start, end) of the slot, over the parts."""
        at, files = 0, files_at(self.root)
        for path, offset, length in self.extents:
            first, last = max(start, at), min(end, at + length)
            for begin in range(first, last, PIECE):
                stop = min(last, begin + PIECE)
                yield files.read(path, offset + begin - at, offset + stop - at)
            at += length


def member_ref(parts: Sequence[ArchivePart], member: Member, archive: str = "") -> MemberRef:
    """The reference to a member."""
    extents = tuple((parts[part].path, offset, length) for part, offset, length in member.extents)
    first = parts[member.extents[0][0]] if member.extents else parts[0]
    return MemberRef(
        first.root, archive or first.path, member.position, member.size, member.name, extents=extents, described=member
    )


@dataclass(frozen=True)
class MemberBlock:
    """Neighbouring members: one range a part is read for all of them, in the worker."""

    parts: tuple[ArchivePart, ...]
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """What a person may know it by."""
        return f"{self.members[0].name} to {self.members[-1].name}"

    def load(self) -> Iterator[tuple[str, dict]]:
        first = self.members[0]
        if len(self.members) == 1 and first.problem is None and max(first.compressed_size, first.size) > LARGE:
            yield from self._load_large(first)
            return
        # Those that are refused may lie anywhere, or nowhere: nothing is read for them.
        readable = [member for member in self.members if member.problem is None]
        start = min((member.position for member in readable), default=0)
        end = max((member.end for member in readable), default=0)
        data, problem = b"", None
        try:
            data = self._read(start, end)
        except FileNotFoundError as gone:
            problem = f"a part has gone since the index was made: {gone}"
        view = memoryview(data)
        for member in self.members:
            slot = view[member.position - start : member.end - start] if member.problem is None else None
            yield member.name, {"member": member, "slot": slot, "spooled": None, "problem": problem}

    def _load_large(self, member: Member) -> Iterator[tuple[str, dict]]:
        """One that is unpacked into a file first: neither its stored bytes nor its contents fit into memory."""
        with tempfile.TemporaryDirectory(prefix="segassets-") as folder:
            yield member.name, {"member": member, "slot": None, "spooled": folder, "problem": None, "parts": self.parts}

    def _read(self, start: int, end: int) -> bytes:
        base, pieces = 0, []
        for part in self.parts:
            first, last = max(start, base), min(end, base + part.size)
            if first < last:
                pieces.append(part.read(first - base, last - base))
            base += part.size
        return b"".join(pieces)


@dataclass(frozen=True)
class MemberBlocks:
    """The members of an archive as a source for `each`: a block of neighbours is a batch."""

    parts: tuple[ArchivePart, ...]
    members: Sequence[Member]

    def batches(self) -> list[MemberBlock]:
        return [MemberBlock(self.parts, tuple(block)) for block in blocks(self.members)]


def blocks(members: Iterable[Member], limit: int = BLOCK) -> Iterator[list[Member]]:
    """Members in runs of at most `limit` bytes, stored or unpacked, without large gaps; large members alone."""
    run: list[Member] = []
    stored = plain = 0
    for member in sorted(members, key=lambda member: member.position):
        size = max(member.end - member.position, 0)
        far = bool(run) and member.position - run[-1].end > SMALL_GAP
        if run and (far or stored + size > limit or plain + member.size > 2 * limit):
            yield run
            run, stored, plain = [], 0, 0
        run.append(member)
        stored, plain = stored + size, plain + member.size
    if run:
        yield run


def extracted(
    member: Member, slot, spooled: str | None, problem: str | None, prefix: str, archive: str, parts: Sequence = ()
) -> Made:
    """What becomes of a member: its file, with `prefix` taken off its path. Raises BadItem where it is damaged."""
    if problem is not None:
        raise BadItem(error("missing_part", problem, member=member.name, part=member.first_part))
    if member.problem is not None:
        raise BadItem(member.finding())
    path, source = member.path.removeprefix(prefix), f"{archive}!{member.name}"
    if spooled is None:
        return Made([File(path, contents(member, slot), source=source)])
    with (Path(spooled) / "member").open("wb") as out:
        for piece in member_ref(parts, member, archive).pieces():
            out.write(piece)
    return Made([File(path, Ref(spooled, "member"), source=source)])


def damaged(parts: Sequence[ArchivePart], members: Sequence[Member], workers: int = 1) -> list[Finding]:
    """Errors of all members whose data do not have the size and CRC that the directory states; reads every byte.

    Encrypted members and unknown methods are passed over: nobody can check them. Inflating releases the GIL.
    """
    checked = [replace(m, problem=None) for m in members if m.problem not in UNCHECKED and not m.is_folder]
    local = all(isinstance(files_at(part.root), Folder) for part in parts)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = pool.map(lambda block: list(_damaged(parts, block)), blocks(checked, CACHED if local else BLOCK))
        return [finding for findings in found for finding in findings]


def _damaged(parts: Sequence[ArchivePart], block: Sequence[Member]) -> Iterator[Finding]:
    if len(block) == 1 and max(block[0].compressed_size, block[0].size) > LARGE:
        loaded = [(block[0].name, {"member": block[0], "slot": None, "problem": None})]
    else:
        loaded = MemberBlock(tuple(parts), tuple(block)).load()
    for label, item in loaded:
        member, slot = item["member"], item["slot"]
        try:
            if item["problem"] is not None:
                raise BadItem(error("missing_part", item["problem"], member=member.name, part=member.first_part))
            read = (
                member_ref(parts, member, label).pieces() if slot is None else unpacked(member, [stored(member, slot)])
            )
            for _ in read:
                pass
        except BadItem as bad:
            yield from (finding for finding in bad.findings if finding.code != "unsupported_method")


def sampled(members: Iterable[Member], size: int, seed: str) -> list[Member]:
    """As many members as have at most `size` stored bytes together, drawn at random; the same for the same seed."""
    drawn = [member for member in members if not member.is_folder]
    random.Random(seed).shuffle(drawn)
    chosen = []
    for member in drawn:
        length = member.end - member.position
        if length <= size:
            chosen.append(member)
            size -= length
    return chosen
