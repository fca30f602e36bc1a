"""Putting ranges of objects and literal bytes into one object by server-side copies: the data stay on S3.

Belongs here: how pieces become requests. Not here: which pieces (`formats.split_zip_merge`), a folder's files
(`joining_disk`). Rules of S3: every part of an upload but the last has 5 MiB to 5 GiB, there are at most 10,000 of
them. Source: the MaGGIe specification 1.6, the performance specification 4.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

from segassets.errors import SegassetsError
from segassets.files.bucket import Bucket
from segassets.files.ref import Ref, files_at

MIN_PART = 5 * 2**20
MAX_PART = 5 * 2**30
MAX_PARTS = 10_000
PART = 512 * 2**20
COPIES = 12


@dataclass(frozen=True)
class Copy:
    """A part that the server copies: bytes [start, end) of an object."""

    source: Ref
    start: int
    end: int


@dataclass
class Upload:
    """A part that passes through this process: literal bytes, and ranges that are too small to be copied."""

    pieces: list[bytes | Copy] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(len(p) if isinstance(p, bytes) else p.end - p.start for p in self.pieces)


def plan_parts(pieces: Iterable[bytes | Ref], part: int = PART) -> list[Copy | Upload]:
    """The parts of an upload that together are the pieces, in order; as little as possible is uploaded.

    What is too small for a part borrows from the next range. `Ref.length` must be known.
    """
    pieces = list(pieces)
    total = sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in pieces)
    part = min(max(part, MIN_PART, -(-total // (MAX_PARTS // 2))), MAX_PART // 2)
    parts: list[Copy | Upload] = []
    carry = Upload()
    for piece in pieces:
        if isinstance(piece, bytes):
            carry.pieces.append(piece)
            continue
        start, end = piece.offset, piece.offset + piece.length
        waiting = carry.size
        if 0 < waiting < MIN_PART:
            borrowed = min(end, start + MIN_PART - waiting)
            borrowed = end if end - borrowed < MIN_PART else borrowed
            carry.pieces.append(Copy(piece, start, borrowed))
            start = borrowed
        if end - start < MIN_PART and start < end:
            carry.pieces.append(Copy(piece, start, end))
            start = end
        if carry.size >= MIN_PART:
            parts.append(carry)
            carry = Upload()
        parts += _cut(piece, start, end, part)
    if carry.pieces or not parts:
        parts.append(carry)
    return parts


def _cut(source: Ref, start: int, end: int, part: int) -> Iterator[Copy]:
    """Equal ranges of at least `part` bytes: rounding their number down keeps each of them large enough."""
    if start >= end:
        return
    count = max(1, (end - start) // part)
    edges = [start + (end - start) * k // count for k in range(count + 1)]
    for first, last in pairwise(edges):
        yield Copy(source, first, last)


def merge_on_s3(
    pieces: Sequence[bytes | Ref], target: Bucket, path: str, part: int = PART, copies: int = COPIES
) -> tuple[int, str]:
    """Write the pieces as one object of a bucket by server-side copies: its size and ETag.

    The sources are guarded by their ETags. The upload is aborted when anything fails. SegassetsError when a source
    changes meanwhile or is gone.
    """
    etags = _etags(pieces)
    parts = plan_parts(pieces, part)
    where = {"Key": target.key(path)}
    where["UploadId"] = target.call("create_multipart_upload", **where)["UploadId"]
    try:
        with ThreadPoolExecutor(copies) as pool:
            jobs = [pool.submit(_send, target, where, n, one, etags) for n, one in enumerate(parts, 1)]
            try:
                sent = [job.result() for job in jobs]
            except BaseException:
                for job in jobs:
                    job.cancel()
                raise
        now = _etags(pieces)  # what was downloaded is not guarded by the server
        if changed := sorted(name for name in etags if now[name] != etags[name]):
            raise SegassetsError(f"{', '.join(changed)}: replaced while it was merged; run it again")
        listed = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(sent, 1)]
        done = target.call("complete_multipart_upload", **where, MultipartUpload={"Parts": listed})
    except BaseException:
        with contextlib.suppress(Exception):
            target.call("abort_multipart_upload", **where)
        raise
    return sum(_size(one) for one in parts), done["ETag"].strip('"')


def _size(part: Copy | Upload) -> int:
    return part.size if isinstance(part, Upload) else part.end - part.start


def _etags(pieces: Iterable[bytes | Ref]) -> dict[str, str]:
    """ETag of every object that a piece comes from."""
    found = {}
    for piece in pieces:
        if isinstance(piece, Ref) and piece.path not in found:
            entry = files_at(piece.root).stat(piece.path)
            if entry is None:
                raise SegassetsError(f"{piece.label} is gone; run it again")
            found[piece.path] = entry.version
    return found


def _send(target: Bucket, where: dict, number: int, part: Copy | Upload, etags: dict[str, str]) -> str:
    """One part; its ETag."""
    if isinstance(part, Upload):
        body = b"".join(piece if isinstance(piece, bytes) else _download(piece) for piece in part.pieces)
        return target.call("upload_part", **where, PartNumber=number, Body=body)["ETag"]
    source = files_at(part.source.root)
    try:
        answer = target.call(
            "upload_part_copy",
            **where,
            PartNumber=number,
            CopySource={"Bucket": source.bucket, "Key": source.key(part.source.path)},
            CopySourceRange=f"bytes={part.start}-{part.end - 1}",
            CopySourceIfMatch=etags[part.source.path],
        )
    except OSError as problem:
        raise SegassetsError(
            f"{part.source.label}: the server could not copy it ({problem}); run it again"
        ) from problem
    return answer["CopyPartResult"]["ETag"]


def _download(piece: Copy) -> bytes:
    data = files_at(piece.source.root).read(piece.source.path, piece.start, piece.end)
    if len(data) != piece.end - piece.start:
        raise SegassetsError(f"{piece.source.label} has become shorter; run it again")
    return data
