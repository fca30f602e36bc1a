"""The Cityscapes rooms on the stand-in for S3: the same trees as in a folder, by the golden data's comparisons."""

import pytest

from segassets_tests.golden import cityscapes_on_s3
from segassets_tests.store.fixtures import s3, s3_server  # noqa: F401

pytestmark = [pytest.mark.golden, pytest.mark.timeout(900)]


@pytest.mark.parametrize("room", ["images", "videos", "depth"])
def test_the_golden_data_on_s3(shared, tmp_path, s3, room):  # noqa: F811
    getattr(cityscapes_on_s3, room)(s3, shared, tmp_path)
