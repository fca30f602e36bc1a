"""MaskTerial's golden tree with raw folder and store in a bucket."""

import pytest

from segassets_tests.golden.maskterial_on_s3 import golden_tree_is_made
from segassets_tests.store.fixtures import s3, s3_server  # noqa: F401

pytestmark = [pytest.mark.golden, pytest.mark.timeout(900)]


def test_the_golden_tree_in_a_bucket(shared, tmp_path, s3):  # noqa: F811
    golden_tree_is_made(s3, shared, tmp_path)
