"""The golden data that lies beside the project where its developers work; without it these tests are skipped."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not (SHARED / "golden").is_dir():
        pytest.skip("no golden data beside the project")
    return SHARED
