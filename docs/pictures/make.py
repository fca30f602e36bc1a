"""Draw the README's picture from the demo's store: photograph, masks, control image. Run it after `make demo`."""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from segassets import previews
from segassets.formats import rle
from segassets.store.store import Store

SHOWN = ("sa_000000", 3)


def main(store: str) -> None:
    """One row a picture: as it is, with its masks, and as ControlNet gets it."""
    shard, count = SHOWN
    table = Store(store).handle("sa1b/mask_table", shard)
    folder = Path(store, "sam-1b", shard)
    tiles, by_image = [], {}
    for row in table.records(["image", "height", "width", "counts"]):
        by_image.setdefault(row["image"], []).append(row)
    wide = [image for image, rows in by_image.items() if rows[0]["width"] > rows[0]["height"]]
    for image in wide[:: max(1, len(wide) // count)][:count]:
        rows = by_image[image]
        photograph = np.asarray(Image.open(folder / f"{image}.jpg").convert("RGB"))
        ids = rle.paint_ranks([row["counts"] for row in rows], (rows[0]["height"], rows[0]["width"]))
        control = np.asarray(Image.open(folder / f"{image}.png").convert("RGB"))
        tiles += [photograph, previews.overlay(photograph, ids, 0.5), control]
    sheet = previews.contact_sheet(tiles, width=330, columns=3)
    sink = io.BytesIO(previews.small_png(sheet, limit=300_000))
    Path(__file__).with_name("masks.png").write_bytes(sink.getvalue())


if __name__ == "__main__":
    main(sys.argv[1])
