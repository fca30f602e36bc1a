"""Cards say what the manifests say; mlcroissant takes them, offline, and reads the tables that they describe."""

from __future__ import annotations

import fnmatch
import json
import shutil
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segassets.cards.facts import pattern_of
from segassets.store.store import Store
from segassets_tests.dagster.platform import SHARD_ASSETS, Platform, shard

CARD = ".segassets/cards/sa1b/croissant.json"
PAGE = ".segassets/cards/sa1b/README.md"


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("a card is validated without the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def card(platform: Platform) -> dict:
    return json.loads((platform.store / CARD).read_text())


def test_a_card_has_the_numbers_of_the_manifests(made: Platform, call):
    assert call("materialize", "sa1b/card", "--only").status == 0
    found = card(made)
    store = Store(str(made.store))
    raw = made.catalogue().graph.get(_key("sa1b/raw")).metadata
    assert (found["license"], found["citeAs"]) == (raw["licence"], raw["citation"])
    assert found["url"] == raw["link"].value
    tables = {table["name"]: [column["name"] for column in table["field"]] for table in found["recordSet"]}
    assert set(tables) >= {"sa1b/shard_index", "sa1b/mask_table"}
    assert {"image", "width", "height"} <= set(tables["sa1b/shard_index"])
    objects = {node["@id"]: node for node in found["distribution"] if node["@type"] == "cr:FileObject"}
    sets = {node["@id"]: node for node in found["distribution"] if node["@type"] == "cr:FileSet"}
    page = (made.store / PAGE).read_text()
    for name in SHARD_ASSETS:
        (partition,) = store.published(f"sa1b/{name}")
        handle = store.handle(f"sa1b/{name}", partition)
        counts = handle.footer.counts
        assert f"| `sa1b/{name}` | 1 | {counts['files']:,} | {counts['bytes']:,} | {counts['rows']:,} |" in page
        for row in handle.files.to_pylist():
            if row["path"] in objects:
                node = objects[row["path"]]
                assert (node["sha256"], node["contentSize"]) == (row["digest"].hex(), f"{row['bytes']} B")
            else:
                includes = sets[f"sa1b/{name}"]["includes"]
                assert any(fnmatch.fnmatchcase(row["path"], one) for one in _many(includes)), row["path"]


def test_mlcroissant_takes_it_and_reads_the_tables(made: Platform, call, offline):
    mlcroissant = pytest.importorskip("mlcroissant")
    assert call("materialize", "sa1b/card", "--only").status == 0
    top = made.store / "croissant.json"  # its paths are relative to the store's root
    shutil.copy(made.store / CARD, top)
    dataset = mlcroissant.Dataset(jsonld=str(top))
    assert dataset.metadata.ctx.issues.errors == set()
    assert all("datePublished" in told for told in dataset.metadata.ctx.issues.warnings)
    rows = made.published("mask_table").row_count()
    assert sum(1 for _ in dataset.records("sa1b/mask_table")) == rows > 0


def test_a_card_is_made_after_what_it_describes_and_again_only_when_that_changes(fresh: Platform, call):
    said = call("materialize", "sa1b/shard_index", "sa1b/card", "--only")
    assert said.status == 0 and "made     sa1b/card" in said.out
    before = (fresh.store / CARD).read_bytes()
    said = call("materialize", "sa1b/shard_index", "sa1b/card", "--only")
    assert "made" not in said.out
    shard(fresh.tar, first=1, images=4)
    assert "made     sa1b/card" in call("materialize", "sa1b/shard_index", "sa1b/card", "--only").out
    assert (fresh.store / CARD).read_bytes() != before
    assert not [path for path in fresh.store.iterdir() if path.name != ".segassets"], "nothing beside the trees"
    assert call("verify", "sa1b/card").status == 0
    assert json.loads(call("explain", fresh.store / CARD, "--json").out)["asset"] == "sa1b/card"


def test_a_dataset_of_which_nothing_is_published_has_none(fresh: Platform, call):
    said = call("materialize", "sa1b/card", "--only")
    assert said.status == 0 and "nothing that it is made from is published" in said.out
    assert not (fresh.store / CARD).exists()


@given(st.lists(st.text("a1.-_[]*?/ é", min_size=1, max_size=12), min_size=1, max_size=4))
def test_a_path_matches_its_own_pattern(parts):
    path = "/".join(parts)
    assert fnmatch.fnmatchcase(path, pattern_of(path))


def _many(value) -> list[str]:
    return value if isinstance(value, list) else [value]


def _key(name: str):
    import dagster as dg

    return dg.AssetKey(name.split("/"))
