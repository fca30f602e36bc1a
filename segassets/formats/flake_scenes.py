"""Where flakes lie on a synthetic micrograph, and how many layers each has: geometry, no colours.

Belongs here: what a synthetic set is made of (`Recipe`), outlines, terraces, instances. Not here: optics (`thin_film`),
pictures (`flake_photos`). Every image has a random stream of its own, so that it comes out the same alone, in any
order, on any number of workers. Source of the design: MaskTerial specification, section 5.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from segassets.formats import thin_film
from segassets.formats.maskterial import NAMESPACE
from segassets.formats.polygons import Mask, mask_of_crop
from segassets.formats.regions import regions

SHARD = 1000
"""Images of one session at the microscope: they share its exposure and white balance, and are one set."""

#: Crystals of about so many nm, and always more layers than are annotated, lie about on every wafer. Their codes in a
#: layer map are the places behind the annotated layers.
THICK_NM = (5, 7, 9, 12, 18, 28, 45, 70, 100, 130)


@dataclass(frozen=True)
class Recipe:
    """What a synthetic set looks like. Lengths on the wafer in nm, on the picture in pixels. ValueError names what is
    wrong with a field."""

    material: str = "Graphene"
    layer_nm: float | None = None
    indices: tuple[tuple[float, float, float], ...] = ()
    layers: int = 10
    oxide_nm: float = 90.0
    oxide_sd_nm: float = 5.0
    height: int = 1200
    width: int = 1920
    flakes: float = 9.0
    flake_radius: float = 34.0
    thick: float = 7.0
    decay: float = 2.0
    blur: float = 0.8
    shot_noise: float = 0.014
    read_noise: float = 0.6
    dead_pixels: float = 2e-6
    vignette: float = 0.04
    aperture: float = 0.45
    quality: int = 95
    seed: str = "42"

    def __post_init__(self):
        limits = {
            "layers": (1, 200), "oxide_nm": (1, 2000), "oxide_sd_nm": (0, 200), "height": (64, 8192),
            "width": (64, 8192), "flakes": (0, 500), "flake_radius": (2, 2000), "thick": (0, 500), "decay": (0.1, 100),
            "blur": (0, 10), "shot_noise": (0, 10), "read_noise": (0, 50), "dead_pixels": (0, 0.1),
            "vignette": (0, 0.9), "aperture": (0, 0.95), "quality": (1, 100), "layer_nm": (0.05, 50),
        }  # fmt: skip
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if value is None and name == "layer_nm":
                continue
            whole = name in ("layers", "height", "width", "quality")
            kinds = (int,) if whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
                kind = "a whole number" if whole else "a number"
                raise ValueError(f"{name}: {value!r}, expected {kind} from {least} to {most}")
        if not isinstance(self.seed, str) or not self.seed:
            raise ValueError(f"seed: {self.seed!r}, expected a text (in quotes when it is a number)")
        self.flake  # noqa: B018 - raises for a material without indices

    @cached_property
    def flake(self) -> thin_film.Material:
        """The crystal. ValueError when its indices are nowhere."""
        if not self.indices:
            try:
                known = thin_film.material(self.material)
            except KeyError:
                told = ", ".join(thin_film.MATERIALS)
                raise ValueError(
                    f"material: no refractive indices of {self.material!r} come with segassets (only of {told}): give "
                    "`indices`, rows [nm, n, k] over 400 to 700 nm, and `layer_nm`"
                ) from None
            return thin_film.Material(known.name, self.layer_nm or known.height_nm, known.table, known.source)
        return thin_film.Material(self.material, self.layer_nm or 0.0, _checked(self.indices, self.layer_nm))

    @cached_property
    def microscope(self) -> thin_film.Microscope:
        return thin_film.Microscope(aperture=float(self.aperture))

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def codes(self) -> tuple[int, ...]:
        """Layers of each code of a layer map; annotated are the codes 1 to `layers`."""
        thick = (self.layers + 1 + k + round(height / self.flake.height_nm) for k, height in enumerate(THICK_NM))
        return (*range(self.layers + 1), *thick)


def _checked(rows, height) -> tuple[tuple[float, float, float], ...]:
    """Indices of a user's own. ValueError."""
    if height is None:
        raise ValueError("indices: `layer_nm`, the height of one layer, belongs to them")
    good = all(isinstance(row, (list, tuple)) and len(row) == 3 for row in rows)
    if not good or not all(type(v) in (int, float) and math.isfinite(v) for row in rows for v in row):
        raise ValueError("indices: expected rows of three numbers [nm, n, k]")
    table = tuple(tuple(map(float, row)) for row in rows)
    wavelengths = [row[0] for row in table]
    if wavelengths != sorted(set(wavelengths)) or wavelengths[0] > 410 or wavelengths[-1] < 690:
        raise ValueError(
            f"indices: wavelengths {wavelengths[0]:g} to {wavelengths[-1]:g} nm; expected rising, 400 to 700"
        )
    if any(n <= 0 or k < 0 for _, n, k in table):
        raise ValueError("indices: n has to be more than 0 and k at least 0 (absorption)")
    return table


@dataclass(frozen=True)
class Frame:
    """Which image of a set: its random streams and its name hang on this and on the recipe's seed alone."""

    dataset: str
    split: str
    index: int

    def random(self, seed: str, what: str, of: int | None = None) -> np.random.Generator:
        """A random stream of this image, or (`of`) of its shard."""
        where = f"{self.dataset}|{self.split}|{self.index if of is None else f'shard {of}'}"
        digest = hashlib.sha256(f"segassets-flakes-v1|{seed}|{where}|{what}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))

    @property
    def shard(self) -> int:
        return self.index // SHARD

    def name(self, seed: str) -> str:
        """The published name of the photograph: a UUID, as all of MaskTerial's are."""
        return f"{uuid.uuid5(NAMESPACE, f'{self.dataset}/generated/{seed}/{self.split}/{self.index}')}.jpg"

    def set_name(self, seed: str) -> str:
        return f"Set_{self.dataset}-{self.split}-{seed}-{self.shard:04d}"


@dataclass
class Flake:
    """One crystal: its layer codes (uint8 h x w, 0 is outside) with the upper left pixel at (x, y)."""

    x: int
    y: int
    codes: np.ndarray
    thin: bool = True

    @property
    def window(self) -> tuple[slice, slice]:
        h, w = self.codes.shape
        return slice(self.y, self.y + h), slice(self.x, self.x + w)


@dataclass
class Scene:
    """A picture's layer codes (uint8 h x w, 0 is the wafer), and who owns a pixel (uint16, 0 nobody)."""

    codes: np.ndarray
    owners: np.ndarray
    flakes: list[Flake] = field(default_factory=list)

    def instances(self, layers: int) -> list[tuple[int, Mask]]:
        """(layers, mask) of every connected region of one crystal with one number of annotated layers: by crystal,
        by layers, by place."""
        found = []
        for number, flake in enumerate(self.flakes, 1):
            if not flake.thin:
                continue
            rows, columns = flake.window
            mine = np.where(self.owners[flake.window] == number, self.codes[flake.window], 0)
            for code in np.flatnonzero(np.bincount(mine.reshape(-1), minlength=1)[: layers + 1]).tolist():
                if code:
                    for part, (y, x) in regions(mine == code):
                        corner = (columns.start + x, rows.start + y)
                        found.append((code, mask_of_crop(part, corner, self.codes.shape)))
        return found


def scene(recipe: Recipe, frame: Frame) -> Scene:
    """The crystals of one image. Where two overlap the thicker one is seen."""
    random = frame.random(recipe.seed, "scene")
    h, w = recipe.size
    made = Scene(np.zeros((h, w), np.uint8), np.zeros((h, w), np.uint16))
    nests = random.uniform((0, 0), (w, h), (max(1, int(random.poisson(3))), 2))
    wanted = [True] * int(random.poisson(recipe.flakes)) + [False] * int(random.poisson(recipe.thick))
    crumbs = int(random.poisson(6 * recipe.thick))
    for thin in wanted + [None] * crumbs:
        made_flake = _flake(recipe, random, _place(random, nests, w, h), thin)
        if made_flake is not None:
            _lay(made, made_flake)
    return made


def _place(random: np.random.Generator, nests: np.ndarray, w: int, h: int) -> tuple[float, float]:
    """Crystals lie in nests where the tape left them, some anywhere."""
    if random.random() < 0.35:
        return random.uniform(0, w), random.uniform(0, h)
    x, y = nests[random.integers(len(nests))]
    return float(random.normal(x, 0.14 * w)), float(random.normal(y, 0.16 * h))


def _flake(recipe: Recipe, random: np.random.Generator, centre: tuple[float, float], thin: bool | None) -> Flake | None:
    """A crystal: thin, thick, or (None) a crumb. None when nothing of it is on the picture."""
    sizes = {True: (recipe.flake_radius, 0.55), False: (recipe.flake_radius * 0.9, 0.7), None: (2.6, 0.6)}
    middle, spread = sizes[thin]
    radius = float(np.clip(middle * math.exp(random.normal(0, spread)), 1.2, 0.3 * max(recipe.size)))
    points = outline(random, radius)
    count = int(random.integers(1, 5)) if radius > 8 else 0
    cuts = [(random.uniform(0, math.tau), random.normal(0, 0.35) * radius) for _ in range(count)]
    steps = random.choice([1, 1, 2, -1, -1, -2], count)
    if thin:
        share = np.exp(-np.arange(recipe.layers) / recipe.decay)
        base = 1 + int(random.choice(recipe.layers, p=share / share.sum()))
    else:
        # Crumbs are thin enough to be dark; what lies about in large pieces is mostly thick and white.
        first = recipe.layers + 1
        base = int(random.integers(first, first + 4 if thin is None else len(recipe.codes)))
    return _raster(recipe, points, centre, list(zip(cuts, steps.tolist(), strict=True)), base, bool(thin))


def outline(random: np.random.Generator, radius: float) -> np.ndarray:
    """A cleaved outline about the origin, float64 (n, 2): a few long edges, some of them torn."""
    corners = int(random.integers(4, 9))
    angles = (np.arange(corners) + random.uniform(-0.38, 0.38, corners)) * math.tau / corners
    reach = radius * random.uniform(0.6, 1.0, corners)
    stretch, turn = random.uniform(0.4, 1.0), random.uniform(0, math.tau)
    coarse = np.stack([reach * np.cos(angles), reach * np.sin(angles) * stretch], 1)
    points = []
    for start, end in zip(coarse, np.roll(coarse, -1, 0), strict=True):
        edge = end - start
        length = float(np.hypot(*edge))
        torn = random.random() < 0.4
        pieces = max(1, int(length / (3.0 if torn else 12)))
        at = np.arange(pieces) / pieces
        # A walk that begins and ends on the edge: torn crystals wander, cleaved ones are straight.
        walk = np.cumsum(random.normal(0, 1, pieces + 1))
        off = (walk[:-1] - walk[0] - at * (walk[-1] - walk[0])) * (0.9 if torn else 0.12)
        normal = np.array([-edge[1], edge[0]]) / (length or 1)
        points.append(start + at[:, None] * edge + off[:, None] * normal)
    flat = np.concatenate(points)
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return flat @ rotation


def _raster(recipe: Recipe, points: np.ndarray, centre, cuts, base: int, thin: bool) -> Flake | None:
    """The pixels of a crystal; each cut is a straight step, on one side of which there are more layers (or fewer)."""
    h, w = recipe.size
    xy = points + np.asarray(centre)
    x0, y0 = np.maximum(np.floor(xy.min(0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(xy.max(0)).astype(int) + 1, (w, h))
    if x0 >= x1 or y0 >= y1:
        return None
    canvas = Image.new("1", (int(x1 - x0), int(y1 - y0)))
    ImageDraw.Draw(canvas).polygon([(float(x - x0), float(y - y0)) for x, y in xy], fill=1)
    inside = np.asarray(canvas)
    level = np.full(inside.shape, base, np.int16)
    across = np.arange(x0, x1, dtype=np.float64)[None] - centre[0]
    down = np.arange(y0, y1, dtype=np.float64)[:, None] - centre[1]
    for (angle, distance), step in cuts:
        level += np.int16(step) * (across * math.cos(angle) + down * math.sin(angle) > distance)
    top = recipe.layers if thin else len(recipe.codes) - 1
    level = np.clip(level, 1 if thin else recipe.layers + 1, top)
    return Flake(int(x0), int(y0), np.where(inside, level, 0).astype(np.uint8), thin)


def _lay(made: Scene, flake: Flake) -> None:
    made.flakes.append(flake)
    codes, owners = made.codes[flake.window], made.owners[flake.window]
    wins = flake.codes > codes
    codes[wins] = flake.codes[wins]
    owners[wins] = len(made.flakes)
