"""The environment: what is refused, and why."""

import pytest
from pydantic import ValidationError

from segassets.settings import Settings


@pytest.mark.parametrize(
    ("raw", "store"),
    [
        ("/data/raw", "/data/raw/store"),
        ("/data/store/raw", "/data/store"),
        ("/data", "/data"),
        ("s3://b/x", "s3://b/x/y"),
    ],
)
def test_raw_folder_and_store_lie_apart(raw, store):
    with pytest.raises(ValidationError, match="lies in"):
        Settings(raw=raw, store=store)


def test_alike_names_are_no_parents():
    settings = Settings(raw="/data/raw", store="/data/raw-store")
    assert (settings.raw, settings.store) == ("/data/raw", "/data/raw-store")


@pytest.mark.parametrize("root", ["s3://", "s3:///prefix", "gs://bucket", " "])
def test_a_root_is_a_folder_or_a_bucket(root):
    with pytest.raises(ValidationError):
        Settings(raw=root, store="/data/store")
