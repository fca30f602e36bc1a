"""Thin films: textbook optics, and the contrasts that the MaskTerial specification (5.3) states for graphene."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segassets.formats import thin_film
from segassets.formats.thin_film import Material, Microscope, contrasts, material, reflectance, values

LIGHT = thin_film.WAVELENGTHS
#: Graphite's index as Blake et al. took it for graphene: the probe of the specification.
PROBE = Material("probe", 0.335, ((400.0, 2.6, 1.3), (700.0, 2.6, 1.3)))


def test_one_surface_is_fresnels():
    assert np.allclose(reflectance([1.0, 1.5], [], LIGHT), 0.04)


def test_a_surface_at_brewsters_angle_sends_back_half_of_what_s_light_does():
    angle = np.arctan(1.5)
    s_only = ((np.cos(angle) - 1.5 * np.cos(np.arcsin(np.sin(angle) / 1.5))) / (
        np.cos(angle) + 1.5 * np.cos(np.arcsin(np.sin(angle) / 1.5)))) ** 2  # fmt: skip
    assert np.allclose(reflectance([1.0, 1.5], [], LIGHT, np.sin(angle)), s_only / 2)


def test_a_quarter_wave_of_the_right_index_sends_nothing_back():
    index = np.sqrt(1.5)
    dark = reflectance([1.0, index, 1.5], [550 / 4 / index], LIGHT)
    assert dark[LIGHT == 550] == pytest.approx(0, abs=1e-12)
    assert dark.max() > 0.002


def test_a_film_of_no_height_is_none():
    bare = reflectance([1.0, 1.46, 4.0 - 0.03j], [90.0], LIGHT)
    assert np.allclose(reflectance([1.0, 2.6 - 1.3j, 1.46, 4.0 - 0.03j], [0.0, 90.0], LIGHT), bare)


def test_what_is_opaque_hides_what_is_below():
    on_oxide = reflectance([1.0, 2.6 - 1.3j, 1.46, 4.0 - 0.03j], [5000.0, 90.0], LIGHT)
    assert np.allclose(on_oxide, reflectance([1.0, 2.6 - 1.3j], [], LIGHT))


@given(n=st.floats(1.1, 6), k=st.floats(0, 4), film=st.floats(0, 500), oxide=st.floats(0, 500), sine=st.floats(0, 0.95))
def test_no_stack_sends_back_more_than_it_gets(n, k, film, oxide, sine):
    found = reflectance([1.0, n - 1j * k, 1.46, 4.1 - 0.03j], [film, oxide], LIGHT, sine)
    assert (found >= 0).all() and (found <= 1 + 1e-9).all()


def test_the_probe_of_the_specification():
    """90 nm of oxide; contrasts in blue, green, red of one and of four layers, as the specification has them. Its lamp
    and sensitivities are not said: hence the tolerance, an eighth of the strongest contrast."""
    found = contrasts(PROBE, [1, 4], [90.0])[0, :, ::-1]
    assert np.abs(found[0] - [-0.09, -0.14, -0.11]).max() < 0.02
    assert np.abs(found[1] - [-0.29, -0.46, -0.40]).max() < 0.06


def test_measured_graphene_has_the_contrasts_that_upstream_fitted():
    found = contrasts(material("Graphene"), [1, 4], [90.0])[0, :, ::-1]
    assert np.abs(found[0] - [-0.07, -0.14, -0.14]).max() < 0.025
    assert np.abs(found[1] - [-0.27, -0.47, -0.44]).max() < 0.025


def test_graphene_is_darkest_in_green_on_90_nm_and_darker_with_every_layer():
    found = contrasts(material("Graphene"), range(1, 11), [90.0])[0]
    assert (np.diff(found[:, 1]) < 0).all()
    assert (found[:4, 1] < found[:4, 2]).all()


def test_a_known_monolayer_can_be_seen_where_it_is_known_to_be_seen():
    """Graphene is visible on 90 and on 280 nm, and hardly on 150 nm (Blake et al., at 550 nm)."""
    green = Microscope(aperture=0.0, sensitivities=((550.0, 4.0),) * 3)
    seen, hidden, again = contrasts(PROBE, [1], [90.0, 150.0, 280.0], green)[:, 0, 1]
    assert seen < -0.1 and again < -0.06 and abs(hidden) < 0.03


def test_the_bare_wafer_is_violet():
    """90 nm of oxide look violet: as the published photographs, most blue, least green."""
    red, green, blue = values(material("Graphene"), [0], [90.0])[0, 0]
    assert blue > 1.2 * red > 1.2 * green


@pytest.mark.parametrize("name", thin_film.MATERIALS)
def test_every_table_is_whole(name):
    known = material(name)
    wavelengths = [row[0] for row in known.table]
    assert wavelengths == sorted(set(wavelengths)) and wavelengths[0] <= 401 and wavelengths[-1] >= 700
    assert 0.3 < known.height_nm < 0.7 and "doi" in known.source
    assert np.abs(contrasts(known, [1], [90.0])).max() < 0.7


def test_an_unknown_material():
    with pytest.raises(KeyError):
        material("CrI3")


def test_each_channel_is_white_for_a_mirror():
    assert np.allclose(thin_film.weights(Microscope()).sum(1), 1)
