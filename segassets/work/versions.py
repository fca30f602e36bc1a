"""Which code and libraries made something: provenance, and what all nodes of a cluster must have in common."""

from __future__ import annotations

from importlib import metadata


def library_versions() -> dict[str, str]:
    """Versions of everything that can change a pixel or a byte."""
    from segassets.formats.png import codec_versions

    found = {name: metadata.version(name) for name in ("segassets", "numpy", "pillow", "pyarrow")}
    return {**found, **codec_versions()}
