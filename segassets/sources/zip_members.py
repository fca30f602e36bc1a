"""Members of zips as references: read by the archive's directory, only those that are needed, nothing unpacked.

A download may lie in the raw folder unpacked or zipped, under any top folder, and as a zip within a zip. `find` gives
one view of all of them. A zip inside a zip that is compressed again is unpacked once, into the store's work area.
Split archives have a reader of their own (`formats.split_zip`).
"""

from __future__ import annotations

import fnmatch
import hashlib
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from segassets.files.paths import Entry
from segassets.files.ref import Ref, files_at
from segassets.findings import BadItem, Finding, error, info, warning
from segassets.sources.raw import Raw
from segassets.store import names

_LOCAL = struct.Struct("<4s5H3I2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 0x1
_SLACK = 512  # an extra field in the local header that the directory does not have; mostly a few bytes
_HEAD_SLACK = 1024  # packed bytes beyond those wanted: codes of a deflated block come first
_LIMIT = 1 << 30  # no picture or list is larger; a directory that says so is wrong, or a bomb
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Member(Ref):
    """A zip's member: `offset` is that of its local header, `length` that of the packed data."""

    method: int = _STORED
    size: int = 0
    crc: int = 0

    #: What a copy plan cannot move as it is.
    packed = True

    def read(self, limit: int | None = None) -> bytes:
        """The member's data, or the first `limit` bytes. EOFError when they are not what the directory says."""
        if limit is not None:
            return self._begin(limit)
        data = self._unpacked(self._stored(self.length), None)
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise EOFError(f"{self.label}: its data do not have the CRC of the archive's directory")
        return data

    def _begin(self, limit: int) -> bytes:
        """The first bytes, from as little of the packed data as gives them."""
        packed = min(self.length, limit + _HEAD_SLACK)
        data = self._unpacked(self._stored(packed), limit)
        if len(data) < min(limit, self.size) and packed < self.length:
            data = self._unpacked(self._stored(self.length), limit)
        return data[:limit]

    def _stored(self, length: int) -> bytes:
        """The first `length` bytes of the packed data."""
        files = files_at(self.root)
        guess = _LOCAL.size + len((self.member or "").encode()) + _SLACK + length
        block = files.read(self.path, self.offset, self.offset + guess)
        if len(block) < _LOCAL.size or block[:4] != b"PK\3\4":
            raise EOFError(f"{self.label}: there is no member where the archive's directory says")
        name, extra = struct.unpack_from("<2H", block, 26)
        start = _LOCAL.size + name + extra
        if len(block) < start + length:
            block += files.read(self.path, self.offset + len(block), self.offset + start + length)
        if len(block) < start + length:
            raise EOFError(f"{self.label}: the archive ends before the member does")
        return block[start : start + length]

    def _unpacked(self, data: bytes, limit: int | None) -> bytes:
        if self.method == _STORED:
            return data
        try:
            return zlib.decompressobj(-15).decompress(data, limit or self.size + 1)
        except zlib.error as problem:
            raise EOFError(f"{self.label}: {problem}") from None


@dataclass
class Found:
    """Files by their canonical path, whatever holds them, their bytes, and what is odd about where they lie."""

    refs: dict[str, Ref] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def below(self, folder: str) -> dict[str, Ref]:
        """The files of a folder, by canonical path, sorted."""
        return {path: ref for path, ref in sorted(self.refs.items()) if path.startswith(folder)}

    @property
    def copyable(self) -> bool:
        """Whether all of them are plain files, which a copy plan can link."""
        return not any(isinstance(ref, Member) for ref in self.refs.values())


def find(raw: Raw, *patterns: str) -> Found:
    """Files whose path ends in one of `patterns` (`gtFine/train/*`), in folders and zips, at any top folder.

    The canonical path begins with the pattern's first folder. A file is taken from a folder rather than from a zip,
    and from the shortest path. Findings: taken_from_zip (info), several_copies (warning).
    Raises BadItem `bad_zip` for an archive that cannot be read.
    """
    found: dict[str, tuple[tuple, str, Ref, int]] = {}
    double: dict[str, list[str]] = {}
    for path, ref, size in _everything(raw):
        canonical = _canonical(f"/{path}", patterns)
        if canonical is None:
            continue
        label = ref.label
        rank = (isinstance(ref, Member), path.count("/"), path)
        if canonical in found:
            if isinstance(ref, Member) == isinstance(found[canonical][2], Member):
                double.setdefault(canonical, [found[canonical][1]]).append(label)
            if rank > found[canonical][0]:
                continue
        found[canonical] = (rank, label, ref, size)
    refs = {canonical: ref for canonical, (_, _, ref, _) in found.items()}
    findings = _where_findings(refs, double)
    if aside := [path for path in raw.files if _is_zip(path) and _of_macos(path)]:
        told = f"{', '.join(aside[:_EXAMPLES])}: macOS's notes about a file, no archive; left aside"
        findings.append(warning("foreign_files", told))
    sizes = {canonical: size for canonical, (_, _, _, size) in found.items()}
    return Found(refs, sizes, findings)


def _canonical(path: str, patterns: Iterable[str]) -> str | None:
    """The part of `/a/b/gtFine/train/x` that a pattern `gtFine/train/*` names."""
    for pattern in patterns:
        folder, wild, _ = pattern.partition("*")
        start = path.find(f"/{folder}") if wild and folder else -1
        if start >= 0 and fnmatch.fnmatchcase(path[start + 1 :], pattern):
            return path[start + 1 :]
        if not wild and path.endswith(f"/{pattern}"):
            return pattern
    return None


def _where_findings(refs: dict[str, Ref], double: dict[str, list[str]]) -> list[Finding]:
    findings = []
    zipped = sorted({ref.path for ref in refs.values() if isinstance(ref, Member)})
    if zipped:
        count = sum(isinstance(ref, Member) for ref in refs.values())
        findings.append(info("taken_from_zip", f"{count} of {len(refs)} files are read out of {', '.join(zipped)}"))
    if double:
        shown = "; ".join(" and ".join(places) for places in list(double.values())[:_EXAMPLES])
        message = f"{len(double)} files are there more than once ({shown}): that of the shortest path is taken"
        findings.append(warning("several_copies", message))
    return findings


def _everything(raw: Raw) -> Iterator[tuple[str, Ref, int]]:
    for path, entry in raw.files.items():
        if _is_zip(path):
            if _of_macos(path):
                continue
            yield from ((inside, member, member.size) for inside, member in _members(raw, path))
        else:
            yield path.lstrip("/"), raw.ref(path), entry.size


def _is_zip(path: str) -> bool:
    return path.lower().endswith(".zip")


def _of_macos(path: str) -> bool:
    """An AppleDouble file: its name, or its folder's, is made from that of another one."""
    *folders, name = path.split("/")
    return name.startswith("._") or "__MACOSX" in folders


def _members(raw: Raw, path: str) -> Iterator[tuple[str, Member]]:
    """The members of a zip, and of zips within it; nothing for the members of a split archive's part."""
    whole = raw.ref(path)
    top = path.lstrip("/").rpartition("/")[0]
    for member in _directory(whole, path):
        if _is_zip(member.member) and not _of_macos(member.member):
            inner = _inner(raw, member)
            for deeper in _directory(inner, member.label):
                yield f"{top}/{member.member.rpartition('/')[0]}/{deeper.member}", deeper
        else:
            yield f"{top}/{member.member}", member


def _directory(archive: Ref, label: str) -> tuple[Member, ...]:
    """The members that an archive's directory lists; read once as long as the archive stays the same."""
    return _read_directory(archive, label, files_at(archive.root).stat(archive.path))


@lru_cache(maxsize=8)
def _read_directory(archive: Ref, label: str, version: Entry | None) -> tuple[Member, ...]:
    try:
        with files_at(archive.root).open(archive.path) as stream, zipfile.ZipFile(stream) as listing:
            entries = listing.infolist()
    except (zipfile.BadZipFile, EOFError, struct.error, ValueError, NotImplementedError) as problem:
        message = f"it cannot be read as a zip ({problem}); is the download complete?"
        raise BadItem(error("bad_zip", message, path=label)) from None
    members = []
    for entry in entries:
        if entry.is_dir() or entry.filename.startswith("__MACOSX/"):
            continue
        wrong = _refused(entry)
        if wrong:
            raise BadItem(error("bad_zip", wrong, path=label, member=entry.filename[:300]))
        where = {"offset": entry.header_offset, "length": entry.compress_size, "member": entry.filename}
        how = {"method": entry.compress_type, "size": entry.file_size, "crc": entry.CRC}
        members.append(Member(archive.root, archive.path, **where, **how))
    return tuple(members)


def _refused(entry: zipfile.ZipInfo) -> str | None:
    parts = entry.filename.split("/")
    if entry.filename.startswith(("/", "\\")) or ".." in parts or "\\" in entry.filename:
        return "a member's path leads out of the archive"
    if entry.flag_bits & _ENCRYPTED:
        return "a member is encrypted"
    if entry.compress_type not in (_STORED, _DEFLATED):
        return f"a member has the compression method {entry.compress_type}, stored or deflated are expected"
    if entry.file_size > _LIMIT and not entry.filename.lower().endswith(".zip"):
        return f"a member says it has {entry.file_size:,} bytes"
    return None


def _inner(raw: Raw, member: Member) -> Ref:
    """A zip within a zip as a file of its own: unpacked once into the work area, under a name of its content."""
    token = hashlib.sha256(f"{member.label} {member.size} {member.crc}".encode()).hexdigest()[:24]
    target = f"{names.HOME}/unpacked/{token}.zip"
    files = files_at(raw.scratch)
    if files.stat(target) is None:
        try:
            with (
                files_at(member.root).open(member.path) as source,
                zipfile.ZipFile(source) as archive,
                archive.open(member.member) as data,
                files.create(target) as out,
            ):
                shutil.copyfileobj(data, out, 1 << 20)
        except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError) as problem:
            message = f"the zip within it cannot be unpacked ({problem}): is the download complete? get it again"
            raise BadItem(error("bad_zip", message, path=member.path, member=member.member[:300])) from None
    return Ref(raw.scratch, target)
