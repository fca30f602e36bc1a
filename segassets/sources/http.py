"""Downloads that are whole or not there: streamed, resumed, retried, verified, then renamed.

Belongs here: one URL into one local file. Not here: which URLs (`links`), where files go. The final name appears only
when every check has passed; until then the bytes are in `<target>.part`, with `<target>.part.json` beside it saying
which version of the file they are of. One process at a time per target: the caller sees to that.

URLs are signed, so messages hold scheme, host and path only, and no exception of `requests` is ever quoted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
import tenacity
import urllib3

from segassets.formats.file_kinds import looks_like
from segassets.sources.links import NEW_LINKS

CHUNK = 1 << 20
TIMEOUT = (20, 60)  # to connect, and without a byte, in seconds
ATTEMPTS = 6  # in a row without getting further
WINDOW, MIN_BYTES = 120, 32 << 10  # slower than that in two minutes is a connection that hangs
MAX_SIZE = 1 << 40  # where neither the caller nor the server says how much there is
RETRY_STATUS = {408, 429, 500, 502, 503, 504}
TARS = (".tar", ".tar.gz", ".tgz")

Progress = Callable[[int, int | None], None]


class DownloadError(Exception):
    """A download that failed for good. `reason`: expired, not_found, refused, content, size, hash, network, disk."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file under its final name. `notes`: what had to be discarded or started over on the way, for the user."""

    size: int
    md5: str
    sha256: str
    resumed_from: int = 0
    notes: tuple[str, ...] = ()


class _Again(Exception):
    """This attempt failed; another one may not. `wait`: what the server asked for, in seconds."""

    def __init__(self, message: str, wait: float = 0):
        super().__init__(message)
        self.wait = wait


def redacted(url: str) -> str:
    """Scheme, host and path of a URL: without user, password, and the query with its signature."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
    except ValueError:
        return "(not a URL)"


def md5_list(text: str | bytes) -> dict[str, str]:
    """md5 by file name from the lines of `md5sum`; everything else in the text is ignored."""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    lines = re.findall(r"^\ufeff?([0-9A-Fa-f]{32})[ \t]+\*?(?:\./)?([^\r\n]*[^\s])", text, re.MULTILINE)
    return {name: md5.lower() for md5, name in lines}


def download(
    url: str,
    target: Path,
    *,
    expected_size: int | None = None,
    md5: str | None = None,
    sha256: str | None = None,
    chunk: int = CHUNK,
    progress: Progress | None = None,
    session: requests.Session | None = None,
    timeout: tuple[float, float] = TIMEOUT,
    wait: tenacity.wait.wait_base | None = None,
) -> Downloaded:
    """Fetch `url` into `target` (replaced when it is there). Raises DownloadError.

    Goes on with `<target>.part` when the server still has the same version (If-Range with ETag or Last-Modified, 206
    and the right Content-Range), else starts over. Tries again, with growing pauses, on timeouts, cut connections and
    the statuses 408, 429, 500, 502, 503, 504, as long as it gets further, and up to six times where it does not.
    `progress(done, total)` after every chunk; total is None when nobody says. A `.tar` must begin like one.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError("refused", f"{redacted(url)}: only http and https are fetched")
    job = _Job(url, Path(target), expected_size, md5, sha256, chunk, progress, timeout)
    own = session is None
    job.session = requests.Session() if own else session
    try:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=lambda state: job.failures >= ATTEMPTS,
            wait=lambda state: _pause(state, wait or tenacity.wait_exponential_jitter(initial=1, max=60)),
            reraise=True,
        )
        return retrying(job.attempt)
    except _Again as problem:
        message = (
            f"{redacted(url)}: {problem}; gave up after {job.failures} attempts. What is there is kept; run it again"
        )
        raise DownloadError("network", message) from None
    except OSError as problem:
        what = problem.strerror or type(problem).__name__
        raise DownloadError("disk", f"cannot write {target}.part: {what}; what is there is kept") from None
    finally:
        if own:
            job.session.close()


def _pause(state: tenacity.RetryCallState, wait: Callable) -> float:
    asked = getattr(state.outcome.exception(), "wait", 0)
    return max(wait(state), min(asked, 300))


@dataclass(slots=True)
class _Job:
    """One download over all of its attempts."""

    url: str
    target: Path
    expected_size: int | None
    md5: str | None
    sha256: str | None
    chunk: int
    progress: Progress | None
    timeout: tuple[float, float]
    session: requests.Session | None = None
    failures: int = 0
    best: int = 0
    resumed_from: int = 0
    fresh: bool = False  # the part was begun by this call
    notes: list[str] = field(default_factory=list)

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def state(self) -> Path:
        return self.target.with_name(self.target.name + ".part.json")

    def attempt(self) -> Downloaded:
        """One request and what follows from it. Raises _Again or DownloadError."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        have, version = self._begin()
        if have and have == self.expected_size and (self.md5 or self.sha256):
            self.resumed_from = self.resumed_from or (0 if self.fresh else have)
            return self._finish(have)  # killed between the last byte and the rename
        try:
            with self._request(have, version) as response:
                total = self._receive(response, have, version)
        except (requests.exceptions.InvalidURL, requests.exceptions.TooManyRedirects):
            raise self._fail("refused", "the URL is not valid, or it redirects in a circle") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as problem:
            raise self._again(_network(problem)) from None
        return self._finish(total)

    # --- what is there already ---

    def _begin(self) -> tuple[int, dict]:
        """How many bytes of which version are there to go on with; what cannot be used is removed."""
        have = self.part.stat().st_size if self.part.exists() else 0
        version = self._read_state()
        verifiable = version.get("etag") or version.get("modified") or self.md5 or self.sha256
        if self.expected_size is not None and have > self.expected_size:
            self._discard(f"{self.part.name} had {have:,} bytes, expected {self.expected_size:,} in all")
        elif have and not verifiable:
            self._discard(f"{self.part.name} had {have:,} bytes of an unknown version")
        else:
            return have, version
        return 0, {}

    def _read_state(self) -> dict:
        try:
            content = json.loads(self.state.read_bytes()[:100_000])
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in content.items() if isinstance(v, str)} if isinstance(content, dict) else {}

    def _discard(self, why: str) -> None:
        self.notes.append(f"{why}; it was removed and the download started over")
        self._remove()

    def _remove(self) -> None:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    # --- the request ---

    def _request(self, have: int, version: dict) -> requests.Response:
        # identity: the length and the range are then those of the file.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator := version.get("etag") or version.get("modified"):
                headers["If-Range"] = validator
        return self.session.get(self.url, headers=headers, stream=True, timeout=self.timeout)

    def _receive(self, response: requests.Response, have: int, version: dict) -> int:
        """Write the body; returns the number of bytes that the file must have now."""
        status = response.status_code
        if have and status == 416 and self._is_all(response, have, version):
            return have
        if have and (status == 416 or (status == 206 and _range_of(response)[0] != have)):
            self._discard(f"the server could not go on at byte {have:,}")
            raise self._again("the server could not resume")
        if status not in (200, 206):
            raise self._refused(response)
        self._refuse_page(response.headers.get("Content-Type", ""), b"")
        resumed = status == 206 and have > 0
        if status == 206 and not resumed:
            raise self._again("the server sent a part that was not asked for")
        if have and not resumed:
            self.notes.append(f"the server would not resume at byte {have:,} (or has another version): started over")
        start = have if resumed else 0
        total = _range_of(response)[1] if resumed else _length(response)
        self._check_total(total, start)
        if not resumed:
            self._write_state(response)
        elif not self.fresh:
            self.resumed_from = self.resumed_from or start
        size = self._write(response, start, total)
        if total is not None and size != total:
            raise self._again(f"the connection ended after {size:,} of {total:,} bytes")
        return size

    def _is_all(self, response: requests.Response, have: int, version: dict) -> bool:
        """416 because nothing is left to send: the whole file is there (then its hash or size is checked)."""
        return _range_of(response)[1] == have and _same_version(response, version)

    def _check_total(self, total: int | None, start: int) -> None:
        if total is None:
            return
        if self.expected_size is not None and total != self.expected_size:
            raise self._fail("size", f"the server has {total:,} bytes, expected {self.expected_size:,}")
        free = shutil.disk_usage(self.target.parent).free
        if total - start > free:
            raise self._fail("disk", f"{total - start:,} bytes are to come, but the disk has only {free:,} free")

    def _write_state(self, response: requests.Response) -> None:
        etag = response.headers.get("ETag", "")
        # A weak ETag promises the same meaning, not the same bytes.
        state = {"etag": "" if etag.startswith("W/") else etag, "modified": response.headers.get("Last-Modified", "")}
        self.part.unlink(missing_ok=True)  # so that a kill in between cannot pair old bytes with the new version
        self.state.write_text(json.dumps({**state, "url": redacted(self.url)}))
        self.fresh, self.resumed_from = True, 0

    def _write(self, response: requests.Response, start: int, total: int | None) -> int:
        """Append the body from `start` on; returns the file's size."""
        limit = next(size for size in (self.expected_size, total, MAX_SIZE) if size is not None)
        done, began, seen = start, time.monotonic(), start
        checked = start >= 512
        with self.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            for piece in _pieces(response, self.chunk):
                done += len(piece)
                if done > limit:
                    file.close()
                    self._remove()
                    raise self._fail("size", f"the server sends more than the {limit:,} bytes expected")
                file.write(piece)
                if not checked and done >= 512:
                    file.flush()
                    self._check_head()
                    checked = True
                self._moved(done)
                if self.progress:
                    self.progress(done, total if total is not None else self.expected_size)
                if time.monotonic() - began > WINDOW:
                    if done - seen < MIN_BYTES:
                        raise self._again(f"only {done - seen:,} bytes came in {WINDOW} seconds")
                    began, seen = time.monotonic(), done
            file.flush()
            os.fsync(file.fileno())
        return done

    def _moved(self, done: int) -> None:
        """A download that gets further is not failing, however often its connection is cut."""
        if done - self.best >= CHUNK:
            self.best, self.failures = done, 0

    # --- the end ---

    def _finish(self, size: int) -> Downloaded:
        if self.expected_size is not None and size != self.expected_size:
            self._remove()
            raise self._fail("size", f"{size:,} bytes came, expected {self.expected_size:,}")
        self._check_head()
        found = _hashes(self.part, self.chunk)
        for name, wanted in (("md5", self.md5), ("sha256", self.sha256)):
            if wanted and found[name] != wanted.strip().lower():
                self._wrong_hash(name, found[name], wanted)
        os.replace(self.part, self.target)
        self.state.unlink(missing_ok=True)
        return Downloaded(size, found["md5"], found["sha256"], self.resumed_from, tuple(self.notes))

    def _wrong_hash(self, name: str, found: str, wanted: str) -> None:
        message = f"{name} is {found}, expected {wanted}"
        if self.resumed_from:
            # The first bytes are from an earlier run and may be the wrong ones: once more from the start.
            self._discard(f"{self.part.name}: {message}")
            self.resumed_from, self.best = 0, 0
            raise self._again(message)
        self._remove()
        raise self._fail("hash", f"{message}; the download was discarded: the file changed, or was damaged on the way")

    def _check_head(self) -> None:
        with self.part.open("rb") as file:
            head = file.read(4096)
        self._refuse_page("", head)
        if self.target.name.lower().endswith(TARS):
            kind = looks_like(head)
            if kind not in ("a tar", "a gzip file"):
                self._remove()
                raise self._fail("content", f"this is no tar but {kind}")

    def _refuse_page(self, content_type: str, head: bytes) -> None:
        """An expired link is often answered by a page with status 200."""
        if self.target.suffix.lower() in (".html", ".htm"):
            return
        kind = looks_like(head)
        if content_type.split(";")[0].strip().lower() in ("text/html", "application/xhtml+xml"):
            raise self._expired("the server sent an HTML page instead of the file")
        if kind.startswith("an HTML page"):
            self._remove()
            raise self._expired(f"the server sent {kind} instead of the file")

    # --- saying no ---

    def _refused(self, response: requests.Response) -> Exception:
        status = response.status_code
        if status in RETRY_STATUS:
            return self._again(f"the server answered {status}", _retry_after(response))
        if status in (403, 410):
            return self._expired(f"the server answered {status}")
        reason = "not_found" if status == 404 else "refused"
        return self._fail(reason, f"the server answered {status} {(response.reason or '')[:60]}".rstrip())

    def _expired(self, why: str) -> DownloadError:
        return self._fail(
            "expired",
            f"{why}: the link has probably expired. SA-1B's links are signed and end after some days; get a new links "
            f"file at {NEW_LINKS} (other datasets: at the page where the link came from) and run it again",
        )

    def _fail(self, reason: str, message: str) -> DownloadError:
        notes = "".join(f". Before that: {note}" for note in self.notes)
        return DownloadError(reason, f"{redacted(self.url)}: {message}{notes}")

    def _again(self, message: str, wait: float = 0) -> _Again:
        self.failures += 1
        return _Again(message, wait)


def _pieces(response: requests.Response, chunk: int):
    """The body as it comes. `read1` returns what is there, so that a connection that drips can be noticed."""
    raw = response.raw
    read = getattr(raw, "read1", None) or raw.read
    while piece := read(chunk, decode_content=False):
        yield piece


def _length(response: requests.Response) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if re.fullmatch(r"\d{1,15}", value) and "Transfer-Encoding" not in response.headers else None


def _range_of(response: requests.Response) -> tuple[int | None, int | None]:
    """(first byte, size of the whole) from Content-Range: `bytes 100-199/200`, `bytes */200`; None where not said."""
    value = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes\s+(?:(\d{1,15})-\d{1,15}|\*)/(?:(\d{1,15})|\*)", value.strip())
    return tuple(int(group) if group else None for group in match.groups()) if match else (None, None)


def _same_version(response: requests.Response, version: dict) -> bool:
    pairs = (
        (response.headers.get("ETag"), version.get("etag")),
        (response.headers.get("Last-Modified"), version.get("modified")),
    )
    return all(now == then for now, then in pairs if now and then)


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if re.fullmatch(r"\d{1,6}", value) else 0


def _network(problem: Exception) -> str:
    """What went wrong, without the URL that such exceptions quote."""
    kinds = (
        (requests.exceptions.SSLError, "the TLS certificate or connection is not valid"),
        (requests.exceptions.ProxyError, "the proxy cannot be reached"),
        (requests.exceptions.ConnectTimeout, "no connection in time"),
        (requests.exceptions.Timeout, "no answer in time"),
        (urllib3.exceptions.ReadTimeoutError, "no byte came in time"),
        (requests.exceptions.ConnectionError, "the server cannot be reached, or it closed the connection"),
    )
    return next((text for kind, text in kinds if isinstance(problem, kind)), "the connection was cut")


def _hashes(path: Path, chunk: int) -> dict[str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(chunk):
            md5.update(block)
            sha256.update(block)
    return {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}
