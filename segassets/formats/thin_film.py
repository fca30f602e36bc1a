"""What colour a few atomic layers have on oxidised silicon: reflection of thin films, as a camera sees it.

Belongs here: refractive indices, the Fresnel recursion for air / flake / SiO2 / Si, microscope and camera. Not here:
shapes of flakes (`flake_scenes`), pictures (`flake_photos`).
Source of the rule: MaskTerial specification, 5.3; Blake et al., Appl. Phys. Lett. 91, 063124 (2007). Indices are
written n - ik, so that waves are damped by exp(-2i beta).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise

import numpy as np

WAVELENGTHS = np.arange(400.0, 701.0, 5.0)
"""What is summed over, nm."""

_DATA = json.loads(resources.files(__package__).joinpath("refractive_indices.json").read_bytes())
SUBSTRATE = ("SiO2", "Si")
MATERIALS = tuple(name for name in _DATA if name not in ("about", *SUBSTRATE))
"""Flakes whose indices come with the package."""


@dataclass(frozen=True)
class Material:
    """A layered crystal: height of one layer in nm, and its indices as rows (nm, n, k), wavelengths rising."""

    name: str
    height_nm: float
    table: tuple[tuple[float, float, float], ...]
    source: str = ""


@dataclass(frozen=True)
class Microscope:
    """Aperture, lamp and camera. Sensitivities are bells: (centre, standard deviation) in nm of red, green, blue."""

    aperture: float = 0.45
    lamp_kelvin: float = 3200.0
    sensitivities: tuple[tuple[float, float], ...] = ((605.0, 32.0), (535.0, 35.0), (460.0, 28.0))


def material(name: str) -> Material:
    """A material that comes with the package. KeyError for another one."""
    if name not in MATERIALS:
        raise KeyError(name)
    entry = _DATA[name]
    table = entry.get("table") or _sellmeier_table(entry["sellmeier"])
    return Material(name, entry["height_nm"], tuple(tuple(row) for row in table), entry["source"])


def source(name: str) -> str:
    """Where a material's indices were published."""
    return _DATA[name]["source"]


def _sellmeier_table(coefficients: Sequence[Sequence[float]]) -> list[tuple[float, float, float]]:
    squares = WAVELENGTHS**2
    n = np.sqrt(1 + sum(b * squares / (squares - c * c) for b, c in coefficients))
    return [(float(wavelength), float(index), 0.0) for wavelength, index in zip(WAVELENGTHS, n, strict=True)]


def indices(table: Sequence[Sequence[float]], wavelengths: np.ndarray = WAVELENGTHS) -> np.ndarray:
    """Complex indices n - ik at the wavelengths (nm), linear between the rows (nm, n, k) of a table."""
    known = np.asarray(table, np.float64)
    return np.interp(wavelengths, known[:, 0], known[:, 1]) - 1j * np.interp(wavelengths, known[:, 0], known[:, 2])


@cache
def _substrate(name: str) -> np.ndarray:
    entry = _DATA[name]
    return indices(entry.get("table") or _sellmeier_table(entry["sellmeier"]))


def reflectance(
    media: Sequence[np.ndarray | complex],
    heights: Sequence[np.ndarray | float],
    wavelengths: np.ndarray,
    sine: float = 0.0,
) -> np.ndarray:
    """Share of unpolarised light that a stack of films sends back.

    `media`: indices from above to below, films between the first and the last; `heights`: those of the films in nm.
    All broadcast with `wavelengths` (nm). `sine`: of the angle in the first medium, whose index is real.
    """
    media = [np.asarray(index, np.complex128) for index in media]
    cosines = [np.sqrt(1 - (media[0] * sine / index) ** 2) for index in media]
    total = 0.0
    for slopes in (
        [index * cosine for index, cosine in zip(media, cosines, strict=True)],  # s
        [cosine / index for index, cosine in zip(media, cosines, strict=True)],  # p
    ):
        steps = [(upper - lower) / (upper + lower) for upper, lower in pairwise(slopes)]
        found = steps[-1]
        for k in range(len(heights) - 1, -1, -1):
            beta = 2 * math.pi * media[k + 1] * cosines[k + 1] * heights[k] / wavelengths
            damped = found * np.exp(-2j * beta)
            found = (steps[k] + damped) / (1 + steps[k] * damped)
        total = total + np.abs(found) ** 2
    return total / 2


def weights(microscope: Microscope) -> np.ndarray:
    """How much each wavelength adds to red, green and blue, (3, wavelengths); each channel sums to 1, so that a
    perfect mirror is white."""
    lamp = WAVELENGTHS**-5.0 / np.expm1(1.4387769e7 / (WAVELENGTHS * microscope.lamp_kelvin))
    bells = [np.exp(-(((WAVELENGTHS - centre) / width) ** 2) / 2) for centre, width in microscope.sensitivities]
    found = np.stack(bells) * lamp
    return found / found.sum(1, keepdims=True)


def values(
    flake: Material, layers: Sequence[float], oxide_nm: Sequence[float], microscope: Microscope = Microscope()
) -> np.ndarray:
    """Camera values of so many layers on so much oxide, float64 (oxide, layers, 3): red, green, blue; 1 is a mirror.

    Averaged over the cone of light that the aperture takes in.
    """
    return _values(flake, tuple(map(float, layers)), tuple(map(float, oxide_nm)), microscope)


@lru_cache(maxsize=16)
def _values(flake: Material, layers: tuple, oxide_nm: tuple, microscope: Microscope) -> np.ndarray:
    media = [1.0, indices(flake.table), *(_substrate(name) for name in SUBSTRATE)]
    films = np.array(layers)[None, :, None] * flake.height_nm
    oxide = np.array(oxide_nm)[:, None, None]
    # Gauss' points for the mean over the disc of sin^2: the aperture is filled evenly.
    points, shares = np.polynomial.legendre.leggauss(3)
    spectrum = sum(
        share / 2 * reflectance(media, [films, oxide], WAVELENGTHS, microscope.aperture * math.sqrt((point + 1) / 2))
        for point, share in zip(points, shares, strict=True)
    )
    found = spectrum @ weights(microscope).T
    found.flags.writeable = False
    return found


def contrasts(
    flake: Material, layers: Sequence[float], oxide_nm: Sequence[float], microscope: Microscope = Microscope()
) -> np.ndarray:
    """How much darker (negative) than the bare wafer, float64 (oxide, layers, 3): value / value of no layer - 1."""
    found = values(flake, [0, *layers], oxide_nm, microscope)
    return found[:, 1:] / found[:, :1] - 1
