"""MaGGIe with raw folder and store on a real S3 server: merges that move no data, and all of the golden data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segassets_tests.golden import test_maggie as golden_maggie
from segassets_tests.golden.conftest import SHARED
from segassets_tests.running import Place
from segassets_tests.s3.test_real_s3 import place, upload
from segassets_tests.sources import merging
from segassets_tests.store.s3 import S3

pytestmark = pytest.mark.timeout(1800)  # a server and thousands of objects on the cores that everything else has
LEVELS = ("easy", "medium", "hard")


def test_the_data_of_a_merge_stay_on_the_server(s3, tmp_path):
    merging.check_that_the_data_stay_on_the_server(s3, tmp_path)


def test_nothing_is_left_of_a_merge_that_fails(s3, tmp_path):
    merging.check_that_nothing_is_left_of_a_merge_that_fails(s3, tmp_path)


def test_damage_is_found(s3, tmp_path):
    merging.check_that_damage_is_found(s3, tmp_path)


@pytest.fixture
def golden() -> Path:
    if not (SHARED / "golden").is_dir():
        pytest.skip("no golden data beside the project")
    return SHARED / "golden/maggie"


class Fetched(Place):
    """A place on S3 whose published files are compared in a folder."""

    @classmethod
    def of(cls, s3: S3, remote: Place, folder: Path) -> Fetched:
        client = s3.client

        def fetch(key: str) -> None:
            target = folder / key.removeprefix("store/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(client.get_object(Bucket=s3.bucket, Key=key)["Body"].read())

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(fetch, s3.keys("store/maggie/")))
        made = cls(remote.raw, remote.store, remote.home, remote.environment)
        made.at = remote.published
        made.store = str(folder)
        return made

    @property
    def published(self):
        return self.at


@pytest.mark.golden
def test_golden_archives(s3, golden, tmp_path):
    golden_maggie.lay_archives(golden, tmp_path / "raw/maggie")
    upload(s3, tmp_path / "raw")
    remote = place(s3, tmp_path)
    remote.run("materialize", "maggie/members", "maggie/merged_zip", status=1)
    golden_maggie.test_archives_that_are_broken_are_refused_with_code_and_part(remote)
    fetched = Fetched.of(s3, remote, tmp_path / "fetched")
    for case in set(golden_maggie.CASES) - set(golden_maggie.BROKEN):
        golden_maggie.test_merged_and_extracted(fetched, golden, SHARED, case)
    golden_maggie.test_extents_of_the_index_hold_header_and_data(fetched, golden)
    remote.run("verify", "maggie")
    assert s3.uploads() == []


@pytest.mark.golden
def test_golden_masks_trimaps_and_synthesis(s3, golden, tmp_path):
    defs = golden_maggie.lay_derived(golden, tmp_path)
    upload(s3, tmp_path / "raw")
    remote = place(s3, tmp_path)
    remote.environment["SEGASSETS_DEFS"] = defs
    golden_maggie.make_derived(remote)
    fetched = Fetched.of(s3, remote, tmp_path / "fetched")
    golden_maggie.test_masks_and_what_they_come_from(fetched, golden)
    golden_maggie.test_trimaps_of_an_own_dataset(fetched, golden)
    golden_maggie.test_synthetic_images(fetched, golden)
    for level in LEVELS:
        golden_maggie.test_synthetic_videos(fetched, golden, level)
    golden_maggie.test_derived_data_read_back(remote)
