"""CRC-32 and raw deflate by the fastest library there is: isal where it is installed, else zlib.

isal's CRC is six times as fast as zlib's, and its inflate half as fast again on compressed pictures.
"""

from __future__ import annotations

import zlib

try:
    from isal import isal_zlib as _fast
except ImportError:  # pragma: no cover - the tests compare both
    _fast = zlib

crc32 = _fast.crc32
#: What damaged data raise.
INFLATE_ERRORS = (zlib.error, _fast.error)


def inflater(library=_fast):
    """An object with `decompress(data, max_length)`, `unconsumed_tail` and `eof`, for deflate without a header."""
    return library.decompressobj(-15)
