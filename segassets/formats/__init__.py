"""File and annotation formats as pure functions: bytes and arrays in, bytes and arrays out.

Belongs here: one module a format (COCO run lengths, PNG, control images, label tables, ...), which knows only numpy and
codecs and raises a `ValueError` of its own that says what was found and what was expected. Not here: Dagster, the file
system, settings, and which dataset uses which format (those live in `defs`).
"""
