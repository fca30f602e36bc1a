"""Generated flakes: each image by itself, annotations that are what the picture shows, recipes that cannot be."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from segassets.formats import flake_items, flake_photos, rle, thin_film
from segassets.formats.flake_scenes import Frame, Recipe, scene

SMALL = Recipe(height=240, width=320, flakes=6.0, flake_radius=22.0, thick=2.0)
QUIET = Recipe(height=240, width=320, flakes=6.0, flake_radius=30.0, thick=0.0, shot_noise=0.0, read_noise=0.0,
               dead_pixels=0.0, blur=0.0, vignette=0.0, oxide_sd_nm=0.0)  # fmt: skip


def made(recipe, index, split="train"):
    frame = Frame("Graphene", split, index)
    rows = flake_items.instances_item(frame.name(recipe.seed), frame, recipe).rows
    return rows, flake_items.photograph_item("x.jpg", frame, recipe).files[0].data


def test_an_image_is_the_same_alone_and_after_others():
    alone = made(SMALL, 7)
    for index in (3, 1):
        made(SMALL, index)
    assert made(pickle.loads(pickle.dumps(SMALL)), 7) == alone


def test_images_splits_and_seeds_differ():
    other_seed = Recipe(**{**vars_of(SMALL), "seed": "43"})
    found = [made(SMALL, 1)[1], made(SMALL, 2)[1], made(SMALL, 1, "test")[1], made(other_seed, 1)[1]]
    assert len(set(found)) == 4
    names = [frame.name(seed) for seed in ("42", "43") for frame in (Frame("A", "train", 1), Frame("B", "train", 1))]
    assert len(set(names)) == 4


def vars_of(recipe):
    return {name: getattr(recipe, name) for name in type(recipe).__dataclass_fields__}


def test_instances_are_connected_disjoint_and_of_one_thickness():
    for index in range(6):
        seen = scene(SMALL, Frame("Graphene", "train", index))
        covered = np.zeros(SMALL.size, int)
        for layers, mask in seen.instances(SMALL.layers):
            pixels = rle.decode(mask.counts, SMALL.size) > 0
            assert mask.area == pixels.sum() >= 1 and 1 <= layers <= SMALL.layers
            assert (seen.codes[pixels] == layers).all()
            covered += pixels
        assert (covered == ((seen.codes > 0) & (seen.codes <= SMALL.layers))).all()


def test_terraces_are_steps_within_one_crystal():
    found = [scene(SMALL, Frame("Graphene", "train", index)) for index in range(8)]
    assert any(
        len(np.unique(flake.codes[flake.codes > 0])) > 1 for seen in found for flake in seen.flakes if flake.thin
    )


def test_thin_flakes_are_more_frequent_than_thick_ones():
    layers = [n for index in range(40) for n, _ in scene(SMALL, Frame("Graphene", "train", index)).instances(10)]
    counts = np.bincount(layers, minlength=11)
    assert counts[1:3].sum() > counts[3:5].sum() > counts[6:8].sum() > counts[9:11].sum() > 0


def test_the_picture_has_the_contrasts_of_the_optics():
    """Without noise, blur and spread: every pixel is the wafer times 1 + contrast, to a grey level."""
    frame = Frame("Graphene", "train", 0)
    seen = scene(QUIET, frame)
    light = flake_photos.background(QUIET, frame, frame.random("42", "photograph"), 90.0, (0.0, 0.0))
    before = light.copy()
    flake_photos.paint_flakes(QUIET, light, seen, 90.0, (0.0, 0.0))
    expected = thin_film.contrasts(QUIET.flake, range(1, 11), [90.0])[0]
    for layers in np.unique(seen.codes)[1:].tolist():
        inside = seen.codes == layers
        ratio = (light[inside] / before[inside]).mean(0) - 1
        assert np.abs(ratio - expected[layers - 1]).max() < 0.02  # thin rims scatter a little
    assert (light[seen.codes == 0] >= 0.9 * before[seen.codes == 0]).all()


def test_noise_is_that_of_the_recipe():
    flat = np.full((200, 300, 3), 100, np.float32)
    recipe = Recipe(height=200, width=300, shot_noise=0.04, read_noise=1.0, dead_pixels=0.0)
    pixels = flake_photos.recorded(recipe, flat, np.random.default_rng(1))
    assert pixels.std() == pytest.approx(np.sqrt(0.04 * 100 + 1), rel=0.03)
    assert pixels.mean() == pytest.approx(100, abs=0.05)


def test_oxide_spreads_as_the_recipe_says():
    """Wafers of a wider spread differ more in colour."""

    def spread(sd):
        recipe = Recipe(height=64, width=64, flakes=0.0, thick=0.0, oxide_sd_nm=sd, vignette=0.0)
        found = [flake_photos.photograph(recipe, Frame("G", "train", k)).reshape(-1, 3).mean(0) for k in range(12)]
        return np.std([pixel[2] / pixel[1] for pixel in found])

    assert spread(20.0) > 2 * spread(2.0)


def test_a_photograph_is_a_jpeg_of_the_stated_size():
    with Image.open(io.BytesIO(made(SMALL, 2)[1])) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (320, 240))


def test_empty_images_have_one_row_without_an_instance():
    rows, _ = made(Recipe(height=64, width=64, flakes=0.0, thick=0.0), 0)
    assert rows["category_id"] == [None] and rows["width"] == [64]


def test_sets_are_shards():
    assert Frame("G", "train", 999).set_name("42") != Frame("G", "train", 1000).set_name("42")
    assert Frame("G", "train", 0).set_name("42") == Frame("G", "train", 999).set_name("42")
    assert flake_items.frame_of("G", flake_items.source(Frame("G", "test", 12))) == Frame("G", "test", 12)
    assert flake_items.frame_of("G", "train_images/x.jpg") is None


def test_the_files_of_pretraining():
    names = flake_items.file_names("train")
    assert names["train_annotations_with_class_300_max_10.json"] == (False, 300, 10)
    assert names["train_annotations_300_max_10.json"] == (True, 300, 10)
    assert len(names) == 6


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"material": "CrI3"}, "indices"),
        ({"oxide_nm": "90"}, "oxide_nm"),
        ({"layers": 0}, "layers"),
        ({"height": 12.5}, "height: 12.5, expected a whole number"),
        ({"flakes": float("nan")}, "flakes"),
        ({"quality": True}, "quality"),
        ({"seed": 42}, "in quotes"),
        ({"indices": ((400, 2.0, 0.0), (700, 2.0, 0.0))}, "layer_nm"),
        ({"indices": ((400, 2.0), (700, 2.0)), "layer_nm": 0.7}, "three numbers"),
        ({"indices": ((500, 2.0, 0.0), (700, 2.0, 0.0)), "layer_nm": 0.7}, "400 to 700"),
        ({"indices": ((400, 2.0, -1.0), (700, 2.0, 0.0)), "layer_nm": 0.7}, "absorption"),
    ],
)
def test_recipes_that_cannot_be(said, told):
    with pytest.raises(ValueError, match=told):
        Recipe(**said)


def test_a_material_of_ones_own():
    own = Recipe(material="CrI3", layer_nm=0.66, indices=((400.0, 2.5, 0.6), (700.0, 2.3, 0.1)), height=64, width=64)
    assert flake_photos.photograph(own, Frame("CrI3", "train", 0)).shape == (64, 64, 3)
