"""The Cityscapes rooms with raw folder and store on a real S3 server."""

import pytest

from segassets_tests.golden import cityscapes_on_s3
from segassets_tests.golden.conftest import shared  # noqa: F401

pytestmark = [pytest.mark.golden, pytest.mark.timeout(900)]


@pytest.mark.parametrize("room", ["images", "videos", "depth"])
def test_the_golden_data_on_a_real_server(shared, tmp_path, s3, room):  # noqa: F811
    getattr(cityscapes_on_s3, room)(s3, shared, tmp_path)
