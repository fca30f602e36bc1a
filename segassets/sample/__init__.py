"""The synthetic raw sample: small downloads of several datasets, made by our own code, for the demo and the tests."""

from segassets.sample.writing import MARKER, VERSION, NotOurs, write

__all__ = ["MARKER", "VERSION", "NotOurs", "write"]
