"""Merging from one bucket into another, on the stand-in server; `s3/test_maggie.py` has the same on a real one."""

import pytest

from segassets_tests.sources import merging
from segassets_tests.store.fixtures import s3, s3_server  # noqa: F401

pytestmark = pytest.mark.timeout(300)


def test_the_data_stay_on_the_server(s3, tmp_path):  # noqa: F811
    merging.check_that_the_data_stay_on_the_server(s3, tmp_path)


def test_nothing_is_left_of_a_merge_that_fails(s3, tmp_path):  # noqa: F811
    merging.check_that_nothing_is_left_of_a_merge_that_fails(s3, tmp_path)


def test_damage_is_found(s3, tmp_path):  # noqa: F811
    merging.check_that_damage_is_found(s3, tmp_path)
