"""Photographs of synthetic flakes: layer codes and thin-film optics to what a microscope's camera would have recorded.

Values are linear in the light, as those of MaskTerial's photographs are. Source: MaskTerial specification, 5.3 and 5.4.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

from segassets.formats import thin_film
from segassets.formats.flake_scenes import Frame, Recipe, Scene, scene

OXIDE_STEP = 0.5  # nm, as the table of contrasts
TILE = 96  # pixels
SPREAD = 5  # standard deviations of oxide that the table holds
BRIGHTEST = 205  # nobody exposes so that the wafer itself is white
SCATTERING = (0.55, 30.0)  # what an edge of so many nm takes of the light that it meets


@lru_cache(maxsize=4)
def table(recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Oxide heights (nm, every 0.5) and camera values, float64 (oxide, code, 3)."""
    reach = SPREAD * recipe.oxide_sd_nm + 4
    heights = np.arange(max(OXIDE_STEP, recipe.oxide_nm - reach), recipe.oxide_nm + reach + OXIDE_STEP, OXIDE_STEP)
    return heights, thin_film.values(recipe.flake, recipe.codes, heights, recipe.microscope)


def _at(recipe: Recipe, oxide: float) -> np.ndarray:
    """Values of every code on so much oxide, (code, 3); linear between the table's steps."""
    heights, known = table(recipe)
    place = float(np.clip((oxide - heights[0]) / OXIDE_STEP, 0, len(heights) - 1.001))
    low = int(place)
    return known[low] + (place - low) * (known[low + 1] - known[low])


def photograph(recipe: Recipe, frame: Frame) -> np.ndarray:
    """The picture of a frame, uint8 (h, w, 3)."""
    return render(recipe, frame, scene(recipe, frame))


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """As the camera writes it: JPEG without subsampling of colours, which carry the contrast."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=quality, subsampling=0)
    return sink.getvalue()


def render(recipe: Recipe, frame: Frame, seen: Scene) -> np.ndarray:
    """A scene as the camera records it: oxide, light, sharpness, dust, noise of this image; uint8 (h, w, 3)."""
    random = frame.random(recipe.seed, "photograph")
    # A wafer's oxide is even to a few tenths of a nanometre over a picture; wafers differ by much more.
    oxide = recipe.oxide_nm + recipe.oxide_sd_nm * float(np.clip(random.normal(), -SPREAD + 1, SPREAD - 1))
    tilt = random.normal(0, min(0.4, recipe.oxide_sd_nm / 5), 2)
    light = background(recipe, frame, random, oxide, tilt)
    paint_flakes(recipe, light, seen, oxide, tilt)
    _dust(light, random)
    return recorded(recipe, light, random)


def background(recipe: Recipe, frame: Frame, random, oxide: float, tilt) -> np.ndarray:
    """The bare wafer, float32 (h, w, 3): exposure and white balance of the session, uneven light, sloping oxide."""
    h, w = recipe.size
    session = frame.random(recipe.seed, "session", of=frame.shard)
    balance = np.exp(session.normal(0, 0.04, 3))
    wafer = _at(recipe, oxide)[0]
    nominal = _at(recipe, recipe.oxide_nm)[0]
    bright = session.uniform(95, 170) / float((nominal * balance).mean())
    exposure = min(bright, BRIGHTEST / float((wafer * balance).max())) * math.exp(random.normal(0, 0.02))
    x = np.linspace(-1, 1, w, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    middle, lean = random.normal(0, 0.12, 2), random.normal(0, 0.015, 2)
    far = (x - middle[0]) ** 2 * 0.7 + (y - middle[1]) ** 2 * 0.3
    even = 1 - recipe.vignette * far + lean[0] * x + lean[1] * y
    slope = (_at(recipe, oxide + OXIDE_STEP)[0] - wafer) / OXIDE_STEP / wafer  # relative change a nm
    sloping = tilt[0] * x + tilt[1] * y
    colour = (wafer * balance * exposure).astype(np.float32)
    out = np.empty((h, w, 3), np.float32)
    for channel in range(3):
        out[..., channel] = even * (colour[channel] * (1 + np.float32(slope[channel]) * sloping))
    return out


def paint_flakes(recipe: Recipe, light: np.ndarray, seen: Scene, oxide: float, tilt) -> None:
    """Multiply the wafer by 1 + contrast of the layers on the oxide under each crystal, edges as soft as the optics."""
    h, w = recipe.size
    kernel = _bell(recipe.blur)
    reach = len(kernel) // 2 + 1
    heights = np.array(recipe.codes, np.float32) * np.float32(recipe.flake.height_nm)
    for window in _tiles(seen, (h, w), reach):
        # What lies beside a tile reaches into it: it is looked at with a margin, and written without.
        outer = _grown(window, h, w, reach)
        codes = seen.codes[outer]
        y, x = ((span.start + span.stop) / 2 for span in window)
        here = oxide + tilt[0] * (2 * x / w - 1) + tilt[1] * (2 * y / h - 1)
        known = _at(recipe, here)
        ratio = (known / known[0]).astype(np.float32)[codes]
        ratio *= _rims(heights[codes])[..., None]
        soft = _blurred(ratio, kernel)
        inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(window, outer, strict=True))
        light[window] *= soft[inner]


def _rims(heights: np.ndarray) -> np.ndarray:
    """Edges scatter: thick crystals have a dark rim, steps of single layers have none. Float32 (h, w), 1 is no loss."""
    most, high = SCATTERING
    out = np.zeros_like(heights)
    for before, behind in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        step = np.abs(heights[behind] - heights[before])
        out[before] = np.maximum(out[before], step)
        out[behind] = np.maximum(out[behind], step)
    return 1 - np.float32(most) * np.minimum(out / np.float32(high), 1)


def _grown(window, h: int, w: int, by: int) -> tuple[slice, slice]:
    rows, columns = window
    return slice(max(0, rows.start - by), min(h, rows.stop + by)), slice(
        max(0, columns.start - by), min(w, columns.stop + by)
    )


def _tiles(seen: Scene, size: tuple[int, int], reach: int) -> Iterator[tuple[slice, slice]]:
    """The tiles of the picture that crystals, smeared by the optics, can reach; each once."""
    h, w = size
    reached = np.zeros((-(-h // TILE), -(-w // TILE)), bool)
    for flake in seen.flakes:
        rows, columns = _grown(flake.window, h, w, reach)
        reached[rows.start // TILE : -(-rows.stop // TILE), columns.start // TILE : -(-columns.stop // TILE)] = True
    for y, x in np.argwhere(reached).tolist():
        yield slice(y * TILE, min(h, (y + 1) * TILE)), slice(x * TILE, min(w, (x + 1) * TILE))


def _bell(sigma: float) -> np.ndarray:
    """A Gaussian's weights, float32, odd in number; [1] for none."""
    reach = math.ceil(3 * sigma)
    found = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * max(sigma, 1e-6) ** 2))
    return (found / found.sum()).astype(np.float32)


def _blurred(pixels: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A separable filter, edges repeated; (h, w, 3) float32."""
    reach = len(kernel) // 2
    if not reach:
        return pixels
    for axis in (0, 1):
        width = [(0, 0)] * 3
        width[axis] = (reach, reach)
        padded = np.pad(pixels, width, mode="edge")
        length = pixels.shape[axis]
        out = kernel[reach] * pixels
        for k in range(reach):
            first = padded[k : k + length] if axis == 0 else padded[:, k : k + length]
            last = 2 * reach - k
            second = padded[last : last + length] if axis == 0 else padded[:, last : last + length]
            out += kernel[k] * (first + second)
        pixels = out
    return pixels


def _dust(light: np.ndarray, random) -> None:
    """Grains out of focus: dark, round, soft."""
    h, w, _ = light.shape
    for _ in range(int(random.poisson(4))):
        radius = float(np.clip(random.lognormal(1.3, 0.6), 1.5, 14))
        x, y, depth = random.uniform(0, w), random.uniform(0, h), random.uniform(0.15, 0.75)
        reach = math.ceil(1.6 * radius)
        window = _grown((slice(int(y), int(y) + 1), slice(int(x), int(x) + 1)), h, w, reach)
        down = (np.arange(window[0].start, window[0].stop) - y)[:, None] / radius
        across = (np.arange(window[1].start, window[1].stop) - x)[None] / radius
        shade = depth / (1 + np.exp(12 * (np.hypot(down, across * random.uniform(0.8, 1.25)) - 0.9)))
        light[window] *= (1 - shade).astype(np.float32)[..., None]


def recorded(recipe: Recipe, light: np.ndarray, random) -> np.ndarray:
    """Shot and read noise, pixels that are dead or stuck, eight bits."""
    noise = random.standard_normal(light.shape, np.float32)
    spread = np.multiply(light, np.float32(recipe.shot_noise))
    spread += np.float32(recipe.read_noise**2)
    np.sqrt(spread, out=spread)
    noise *= spread
    noise += light
    noise += np.float32(0.5)
    pixels = np.clip(noise, 0, 255, out=noise).astype(np.uint8)
    flat = pixels.reshape(-1, 3)
    count = int(random.poisson(recipe.dead_pixels * len(flat)))
    flat[random.integers(0, len(flat), count), random.integers(0, 3, count)] = random.choice([0, 255], count)
    return pixels
