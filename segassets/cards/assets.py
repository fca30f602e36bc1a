"""The asset `<dataset>/card` of every dataset that is loaded, a user's own among them.

It stands at the door because nothing else knows all datasets; a room need not do anything for it. A card lies below
`.segassets/cards/`: nothing but the published files lies in the trees themselves.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import dagster as dg

from segassets.artifact import artifact
from segassets.cards import croissant
from segassets.cards.facts import About, gather
from segassets.cards.page import page
from segassets.declaration import Artifact
from segassets.errors import Skip
from segassets.registry import registry
from segassets.settings import load
from segassets.store import names
from segassets.store.store import Store
from segassets.work.plans import files

CARD = "card"
NO_ARTIFACT = (CARD, "download")  # a download's files are in the raw folder


def cards(definitions: dg.Definitions) -> list[dg.AssetsDefinition]:
    """A card for each dataset among the definitions."""
    # Not resolved by Dagster: sensors name jobs that are made only when all assets are known.
    listed = (asset.specs if isinstance(asset, dg.AssetsDefinition) else [asset] for asset in definitions.assets or ())
    specs = {spec.key.to_user_string(): spec for specs in listed for spec in specs if isinstance(spec, dg.AssetSpec)}
    by_dataset: dict[str, list[Artifact]] = {}
    for key, declared in registry().items():
        dataset, _, name = key.rpartition("/")
        if key in specs and name not in NO_ARTIFACT:
            by_dataset.setdefault(dataset, []).append(declared)
    return [_card(dataset, members, specs) for dataset, members in by_dataset.items()]


def _about(dataset: str, members: Sequence[Artifact], specs: Mapping[str, dg.AssetSpec]) -> About:
    named = [f"{dataset}/raw", *(member.raw for member in members)]
    raw = next((specs[key] for key in named if key in specs), None)
    said = {name: str(getattr(value, "value", value)) for name, value in (raw.metadata if raw else {}).items()}
    text = (raw.description if raw else None) or dataset
    return About(dataset, text, *(said.get(name, "not stated") for name in ("licence", "link", "citation")))


def _card(dataset: str, members: Sequence[Artifact], specs: Mapping[str, dg.AssetSpec]) -> dg.AssetsDefinition:
    inputs = {member.key.rpartition("/")[2].replace("-", "_"): member.key for member in members}

    def show(view, **_):
        readme = next(path for path in view.files["path"].to_pylist() if path.endswith(".md"))
        return {"card": dg.MetadataValue.md(view.read(readme).decode())}

    @artifact(
        f"{dataset}/{CARD}",
        into=f"{names.HOME}/cards/{dataset}",
        code_version=f"1.{_declared(dataset, members, specs)}",
        inputs=inputs,
        whole_inputs=list(inputs),
        show=show,
    )
    def card():
        """What is published of the dataset: a page for people and Croissant JSON-LD for machines.

        Licence, source, citation; every asset with its files, sizes and findings; the tables with their columns. All of
        it is read off the declarations and the manifests.
        """
        store = Store(load().store)
        found = list(_published(store, members, specs))
        if not found:
            raise Skip(f"nothing of {dataset} is published")
        about = _about(dataset, members, specs)
        written = croissant.encode(croissant.document(about, found))
        return files({"croissant.json": written, "README.md": page(about, found).encode()})

    return card


def _declared(dataset: str, members: Sequence[Artifact], specs: Mapping[str, dg.AssetSpec]) -> str:
    """A digest of everything on a card that is not read off manifests: another text is another card."""
    listed = [[member.key, member.into, member.rows, specs[member.key].description] for member in members]
    text = json.dumps([asdict(_about(dataset, members, specs)), listed])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _published(store: Store, members: Sequence[Artifact], specs: Mapping[str, dg.AssetSpec]) -> Iterator:
    for member in members:
        found = gather(store, member, specs[member.key].description or "")
        if found.counts["files"] or found.counts["rows"]:
            yield found
