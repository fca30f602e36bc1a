"""The zlib streams of PNGs through zlib-ng, and through the standard library where it is not installed.

Same streams in, same bytes out of `decompressobj`, whichever is there; what is compressed differs in its bytes. Level 2
of zlib-ng is as small as Pillow's default on label maps and takes a tenth of the time.
"""

from __future__ import annotations

import zlib

try:
    from zlib_ng import zlib_ng as _ng
except ImportError:  # pragma: no cover - the tests take the other way through use_ng
    _ng = None

error = (zlib.error,) if _ng is None else (zlib.error, _ng.error)


def compress(raw) -> bytes:
    """A zlib stream of label maps, filtered: small, at the speed of memory."""
    return zlib.compress(raw, 6) if _ng is None else _ng.compress(raw, 2)


def decompressobj():
    """A decompressor with the interface of the standard library's."""
    return (_ng or zlib).decompressobj()


def version() -> str:
    """What decides the bytes that `compress` writes."""
    if _ng is None:
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
    return f"zlib-ng {_ng.ZLIBNG_VERSION}"


def use_ng(module) -> object:
    """For tests: work with this module of zlib-ng, or with the standard library when it is None."""
    global _ng
    previous, _ng = _ng, module
    return previous
