"""MaskTerial's golden tree on a real S3 server."""

from pathlib import Path

import pytest

from segassets_tests.golden.maskterial_on_s3 import golden_tree_is_made

# Beside the project where its developers work, as for the golden tests.
SHARED = Path(__file__).parents[3] / "shared"

pytestmark = pytest.mark.timeout(900)


@pytest.mark.skipif(not (SHARED / "golden/maskterial").is_dir(), reason="no golden data here")
def test_the_golden_tree_on_a_real_server(s3, tmp_path):
    golden_tree_is_made(s3, SHARED, tmp_path)
