"""The pinhole camera that looks down the streets, and what all painters of a street share."""

from __future__ import annotations

from dataclasses import dataclass

from segassets.sample.drawing import Colour, Point

ROAD, SIDEWALK, BUILDING, POLE, SIGN, LAMP, VEGETATION, TERRAIN, SKY, PERSON, CAR = (
    7,
    8,
    11,
    17,
    20,
    17,
    21,
    22,
    23,
    24,
    26,
)
WALLS: tuple[Colour, ...] = (
    (198, 184, 158), (176, 132, 104), (206, 200, 190), (158, 156, 152), (196, 160, 116), (148, 92, 76), (214, 206, 176),
    (164, 172, 176), (186, 150, 140),
)  # fmt: skip
NEAR = 1.6


@dataclass(frozen=True)
class Camera:
    """A camera looking along +z; x to the right, y up, in metres."""

    width: int
    height: int
    focal: float
    above: float = 1.5
    x: float = 0.0
    z: float = 0.0
    horizon: float = 0.45

    def point(self, x: float, y: float, z: float) -> Point:
        """Where a point in the world is seen."""
        depth = max(z - self.z, 0.3)
        scale = self.focal / depth
        return (self.width / 2 + scale * (x - self.x), self.height * self.horizon - scale * (y - self.above))

    def size(self, metres: float, z: float) -> float:
        """How many pixels a length has at a depth."""
        return self.focal * metres / max(z - self.z, 0.3)
