"""isal's CRC and inflate beside zlib's."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segassets.formats.inflate import INFLATE_ERRORS, crc32, inflater


@given(st.binary(max_size=5000), st.integers(1, 6000))
def test_both_inflate_alike_piece_by_piece(plain, limit):
    machine = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = machine.compress(plain) + machine.flush()
    assert crc32(plain) == zlib.crc32(plain)
    for one in (inflater(), inflater(zlib)):
        out, rest = b"", data
        while not one.eof:
            piece = one.decompress(rest, limit)
            assert len(piece) <= limit
            out, rest = out + piece, one.unconsumed_tail
            assert piece or rest or one.eof
        assert out == plain


def test_damage_is_an_error_that_is_known():
    plain = random.Random(1).randbytes(1000) * 5
    machine = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = bytearray(machine.compress(plain) + machine.flush())
    data[:4] = b"\xff\xff\xff\xff"
    for one in (inflater(), inflater(zlib)):
        with pytest.raises(INFLATE_ERRORS):
            one.decompress(bytes(data), 10_000)
