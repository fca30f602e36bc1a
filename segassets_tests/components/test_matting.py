"""A user's matting datasets: what is wrong with a YAML is told with its file, its line, and the dataset."""

import pytest

from segassets import registry
from segassets.errors import UsageError
from segassets.user_defs import load_user_defs
from segassets_tests.maggie.test_archives import write

TYPE = "type: segassets.components.matting.MattingDataset\n"
GOOD = f"{TYPE}attributes:\n  dataset: First\n  layout: video\n  splits: [a]\n"


@pytest.fixture(autouse=True)
def undeclared(monkeypatch):
    """What is declared here stays here: other tests look at all that is."""
    for name in ("_artifacts", "_definitions"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))


@pytest.mark.parametrize(
    ("yaml", "line", "told"),
    [
        ("attributes:\n  dataset: Own\n  layout: vidoe\n  splits: [a]\n", 4, "Own: layout: Input should be"),
        ("attributes:\n  dataset: Own\n  layout: video\n  splits: [a, a]\n", 3, "Own: splits: a is there twice"),
        ("attributes:\n  dataset: Own\n  layout: video\n  splits: []\n", 3, "Own has no splits"),
        ("attributes:\n  dataset: my own\n  layout: video\n  splits: [a]\n", 3, "'my own' is no name"),
        ("attributes: 3\n", 2, "attributes: Input should be an object, found 3"),
        ("", 1, "dataset: Field required"),
    ],
)
def test_a_wrong_yaml_is_told_with_file_and_dataset(tmp_path, yaml, line, told):
    write(tmp_path, {"a/defs.yaml": GOOD.encode(), "b/defs.yaml": f"{TYPE}{yaml}".encode()})
    with pytest.raises(UsageError) as caught:
        load_user_defs(tmp_path)
    assert str(caught.value).startswith(f"SEGASSETS_DEFS: {tmp_path}/b/defs.yaml:{line}: {told}")


def test_every_line_about_a_yaml_names_it(tmp_path):
    second = GOOD.replace("First", "Second").replace("video", "vidoe").replace("[a]", "x")
    write(tmp_path, {"b/defs.yaml": f"{GOOD}---\n{second}".encode()})
    with pytest.raises(UsageError) as caught:
        load_user_defs(tmp_path)
    first, other = str(caught.value).removeprefix("SEGASSETS_DEFS: ").splitlines()
    assert first.startswith(f"{tmp_path}/b/defs.yaml:10: Second: layout: ")
    assert other.startswith(f"{tmp_path}/b/defs.yaml:11: Second: splits: ")


def test_a_type_without_a_module(tmp_path):
    write(tmp_path, {"b/defs.yaml": b"type: Matting\nattributes: {}\n"})
    with pytest.raises(UsageError, match=r"b/defs\.yaml:1: type: there is no component 'Matting'"):
        load_user_defs(tmp_path)
