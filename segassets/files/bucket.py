"""A prefix in an S3 bucket as a file system of the platform: s3fs through fsspec, with S3's own requests where fsspec
would ask once a file for what a listing or an answer says already.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, BinaryIO

from segassets.errors import SegassetsError
from segassets.files import s3_faults
from segassets.files.paths import Entry, check_relative

#: How the SDK asks. Standard retry mode backs off on 500, 503, throttling, timeouts and dropped connections.
CLIENT: dict[str, Any] = {
    "retries": {"max_attempts": 8, "mode": "standard"},
    "connect_timeout": 10,
    "max_pool_connections": 32,
}


@lru_cache(maxsize=4)
def _s3(pid: int):
    import s3fs

    # Listings are never cached: another process may have published since. Credentials, endpoint and region come
    # from the SDK's own environment.
    return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True, config_kwargs=dict(CLIENT))


LIST_PAGE = 1000
CONCURRENT = 32
ONE_REQUEST = 256 * 2**20  # larger objects are written and copied in parts
Call = tuple[str, dict[str, Any]]


def s3_code(problem: BaseException | None) -> str:
    """S3's own code of an error that s3fs has translated; empty when it is none."""
    while problem is not None:
        if code := getattr(problem, "response", {}).get("Error", {}).get("Code"):
            return str(code)
        problem = problem.__cause__
    return ""


class Bucket:
    """A prefix in an S3 bucket. Writes are whole objects, so every single write is atomic."""

    def __init__(self, root: str):
        self.root = root
        self.bucket, _, self._prefix = root.removeprefix("s3://").rstrip("/").partition("/")

    def __reduce__(self):
        return (Bucket, (self.root,))

    @property
    def fs(self):
        return _s3(os.getpid())

    def key(self, path: str) -> str:
        """The object's key in the bucket."""
        return "/".join(part for part in (self._prefix, path and check_relative(path)) if part)

    def uri(self, path: str) -> str:
        return f"s3://{self.bucket}/{self.key(path)}"

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One request about this bucket, repeated by the SDK where that may help."""
        return self._call_all([(method, arguments)])[0]

    def _call_all(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """Requests side by side; their answers in order. The first error ends it."""
        from fsspec.asyn import sync

        with self._explained():
            return sync(self.fs.loop, self._gather, calls)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of the SDK as errors that a person can act on."""
        try:
            yield
        except Exception as problem:
            if s3_code(problem) == "NoSuchBucket":
                raise SegassetsError(
                    f"there is no bucket {self.bucket} ({self.root}); make it, or correct the URL"
                ) from None
            told = s3_faults.explained(problem, self.root)
            if told is None:
                raise
            raise told from problem

    async def _gather(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        gate = asyncio.Semaphore(CONCURRENT)

        async def one(method: str, arguments: dict[str, Any]) -> dict[str, Any]:
            async with gate:
                return await self.fs._call_s3(method, Bucket=self.bucket, **arguments)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(method, arguments)) for method, arguments in calls]
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from problems.exceptions[0].__cause__
        return [task.result() for task in tasks]

    def stat(self, path: str) -> Entry | None:
        try:
            about = self.call("head_object", Key=self.key(path))
        except FileNotFoundError:
            return None
        return Entry(int(about["ContentLength"]), about["ETag"].strip('"'))

    def sizes(self, paths: Sequence[str]) -> list[int]:
        """Bytes of objects, asked for side by side. FileNotFoundError when one is not there."""
        answers = self._call_all([("head_object", {"Key": self.key(path)}) for path in paths])
        return [int(about["ContentLength"]) for about in answers]

    def _list(self, prefix: str, **how: str) -> Iterator[dict[str, Any]]:
        page = self.call("list_objects_v2", Prefix=prefix, MaxKeys=LIST_PAGE, **how)
        yield page
        while page.get("IsTruncated"):
            after = page["NextContinuationToken"]
            page = self.call("list_objects_v2", Prefix=prefix, MaxKeys=LIST_PAGE, ContinuationToken=after, **how)
            yield page

    def _below(self, folder: str) -> str:
        key = self.key(folder)
        return f"{key}/" if key else ""

    def names(self, folder: str) -> list[str]:
        prefix = self._below(folder)
        found = set()
        for page in self._list(prefix, Delimiter="/"):
            found.update(entry["Prefix"] for entry in page.get("CommonPrefixes", ()))
            found.update(entry["Key"] for entry in page.get("Contents", ()))
        return sorted({key[len(prefix) :].rstrip("/") for key in found} - {""})

    def walk(self, folder: str) -> dict[str, Entry]:
        cut = len(self._below(""))
        found = {
            entry["Key"][cut:]: Entry(int(entry["Size"]), entry["ETag"].strip('"'))
            for page in self._list(self._below(folder))
            for entry in page.get("Contents", ())
            if not entry["Key"].endswith("/")  # what consoles make to show an empty folder
        }
        return dict(sorted(found.items()))

    def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b""
        try:
            with self._explained():
                return self.fs.cat_file(f"{self.bucket}/{self.key(path)}", start=start, end=end)
        except OSError as problem:
            if s3_code(problem) in ("InvalidRange", "416"):  # nothing lies at or behind `start`
                return b""
            raise

    def get(self, path: str) -> tuple[dict[str, Any], bytes]:
        """A small object whole, with what the server says about it."""
        from fsspec.asyn import sync

        async def fetch() -> tuple[dict[str, Any], bytes]:
            answer = await self.fs._call_s3("get_object", Bucket=self.bucket, Key=self.key(path))
            async with answer["Body"] as body:
                return answer, await body.read()

        with self._explained():
            return sync(self.fs.loop, fetch)

    def open(self, path: str) -> BinaryIO:
        return self.fs.open(f"{self.bucket}/{self.key(path)}", "rb", block_size=8 * 2**20, cache_type="readahead")

    def write(self, path: str, data: bytes) -> None:
        self.write_many({path: data})

    def write_many(self, files: Mapping[str, bytes]) -> None:
        small = [
            ("put_object", {"Key": self.key(n), "Body": data}) for n, data in files.items() if len(data) <= ONE_REQUEST
        ]
        self._call_all(small)
        for name, data in files.items():
            if len(data) > ONE_REQUEST:
                with self.create(name) as out:
                    out.write(data)

    @contextlib.contextmanager
    def create(self, path: str, durable: bool = False) -> Iterator[BinaryIO]:
        """A multipart upload that is completed when the block ends well and aborted when it does not."""
        file = self.fs.open(f"{self.bucket}/{self.key(path)}", "wb", block_size=16 * 2**20)
        try:
            yield file
            file.close()
        except BaseException:
            with contextlib.suppress(Exception):
                file.discard()
            file.closed = True
            raise

    def move(self, source: str, target: str) -> None:
        """A copy on the server; the source goes when the target is there."""
        entry = self.stat(source)
        if entry is None:
            raise FileNotFoundError(self.uri(source))
        self.copy_many([(self.uri(source), target, entry.size)])
        self.delete([source])

    def copy_many(self, copies: Sequence[tuple[str, str, int]]) -> list[str]:
        """Copies on the server, side by side: (URI of the source, target, bytes). The ETags of the targets."""
        plain = [
            ("copy_object", {"Key": self.key(target), "CopySource": _copy_source(source)})
            for source, target, size in copies
            if size <= ONE_REQUEST
        ]
        answers = iter(self._call_all(plain))
        return [
            (
                next(answers)["CopyObjectResult"]["ETag"]
                if size <= ONE_REQUEST
                else self._copy_large(source, target, size)
            ).strip('"')
            for source, target, size in copies
        ]

    def _copy_large(self, source: str, target: str, size: int) -> str:
        where = {"Key": self.key(target)}
        where["UploadId"] = self.call("create_multipart_upload", **where)["UploadId"]
        part_size = max(ONE_REQUEST, -(-size // 10_000))
        try:
            starts = range(0, size, part_size)
            ranges = [f"bytes={start}-{min(start + part_size, size) - 1}" for start in starts]
            answers = self._call_all(
                [
                    (
                        "upload_part_copy",
                        {**where, "PartNumber": n, "CopySource": _copy_source(source), "CopySourceRange": part},
                    )
                    for n, part in enumerate(ranges, 1)
                ]
            )
            parts = [{"PartNumber": n, "ETag": a["CopyPartResult"]["ETag"]} for n, a in enumerate(answers, 1)]
            return self.call("complete_multipart_upload", **where, MultipartUpload={"Parts": parts})["ETag"]
        except BaseException:
            with contextlib.suppress(Exception):
                self.call("abort_multipart_upload", **where)
            raise

    def delete(self, paths: Iterable[str]) -> None:
        keys = [self.key(path) for path in paths]
        for start in range(0, len(keys), LIST_PAGE):
            objects = [{"Key": key} for key in keys[start : start + LIST_PAGE]]
            answer = self.call("delete_objects", Delete={"Objects": objects, "Quiet": True})
            if left := answer.get("Errors"):
                raise OSError(f"{self.root}: {len(left)} objects could not be deleted: {left[0]}")

    def delete_tree(self, folder: str) -> None:
        """Every object below, and the parts of uploads that a killed process has begun there."""
        self.delete(self.walk(folder))
        self.abort_uploads(self._below(folder))

    def abort_uploads(self, prefix: str) -> None:
        try:
            begun = self.call("list_multipart_uploads", Prefix=prefix).get("Uploads", ())
            for upload in begun:
                if upload["Key"].startswith(prefix):
                    self.call("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])
        except (OSError, SegassetsError):
            return  # not every user may list uploads; what is left of one is no object


def _copy_source(uri: str) -> dict[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}
