"""Two small SA-1B shards with captions, links, and one adversarial run."""

from __future__ import annotations

import gzip
import io
import json
import math
import tarfile
from collections.abc import Iterator

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from segassets.sample.drawing import jpeg_bytes, rng_for
from segassets.sample.scenes import Scene, scene

TAR_TIME = 1680000000
RUN = "skip-ablation-01-mi-SD-7.5-50-SAM-sam-vit_b-140-ADV-0.2-10-0.02-0.5-100.0-100.0-1.0-2"
KINDS = ("street", "landscape", "room", "table", "street", "landscape")
SHAPES = ((500, 750), (750, 500), (500, 667), (500, 889), (600, 500), (500, 500))
SHARDS = {"sa_000000": (24, 1, "./"), "sa_000001": (10, 11188, "")}
FIRST_ANNOTATION = 333521560


def files() -> Iterator[tuple[str, bytes]]:
    """Every file below `sa1b/` but the evaluation sets."""
    kept: list[tuple[int, np.ndarray]] = []
    number = FIRST_ANNOTATION
    for shard, (count, first, prefix) in SHARDS.items():
        members: list[tuple[str, bytes]] = []
        captions: list[dict[str, str]] = []
        # Real shards have gaps in their ids.
        for k, image_id in enumerate(_ids(count, first)):
            view = scene(KINDS[k % len(KINDS)], *SHAPES[(k * 5 + k // 6) % len(SHAPES)], (shard, image_id))
            annotations = list(_annotations(view, image_id, number))
            number += len(annotations)
            members.append((f"sa_{image_id}.jpg", jpeg_bytes(view.rgb)))
            members.append((f"sa_{image_id}.json", _document(view, image_id, annotations)))
            captions.append({"img": f"sa_{image_id}.jpg", "prompt": view.caption})
            if shard == "sa_000000" and len(kept) < 4:
                kept.append((image_id, view.rgb))
        if shard == "sa_000000":
            # One photograph without a caption and one caption without a photograph: the demo has warnings to show.
            captions[-2]["img"] = f"sa_{first + 5 * count}.jpg"
            captions.sort(key=lambda row: int(row["img"][3:-4]))
        packed = _tar(members, prefix, shard)
        yield f"sa1b/{shard}.tar", gzip.compress(packed, 3, mtime=0) if shard == "sa_000001" else packed
        lines = "".join(json.dumps(row) + "\n" for row in captions)
        yield f"sa1b/captions/{shard}-blip2-caption.json", lines.encode()
    yield "sa1b/sa1b_links.txt", _links()
    yield from _adversarial(kept)


def _ids(count: int, first: int) -> list[int]:
    return [first + k + (k > 6) + 2 * (k > 15) for k in range(count)]


def _annotations(view: Scene, image_id: int, first: int) -> Iterator[dict]:
    """The annotations of a photograph, in SA-1B's shape, shuffled as the real ones are in no useful order either."""
    rng = rng_for("annotations", image_id)
    found = list(view.masks(least=70, limit=int(rng.integers(24, 61))))
    for k, at in enumerate(rng.permutation(len(found))):
        mask = found[at].mask
        rle = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
        crop, point = _prompt(mask, rng)
        ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = [xs[0], ys[0], xs[-1] - xs[0], ys[-1] - ys[0]]  # inclusive maximum: one less than COCO's width
        yield {
            "bbox": [float(v) for v in box],
            "area": int(np.count_nonzero(mask)),
            "segmentation": {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode("ascii")},
            "predicted_iou": _score(0.88 + 0.17 * rng.beta(4, 2.2)),
            "point_coords": [point],
            "crop_box": crop,
            "id": first + k,
            "stability_score": _score(min(1.0, 0.95 + 0.05 * rng.beta(2.5, 2))),
        }


def _score(value: float) -> float:
    """Scores are float32 numbers printed as doubles."""
    return float(np.float32(value))


def crop_boxes(width: int, height: int, layer: int) -> list[list[float]]:
    """The crops of a layer of the mask generator: 1, 2 x 2 or 4 x 4 overlapping windows."""
    side = 2**layer
    overlap = int(512 / 1500 * min(width, height) * 2 / side) if layer else 0
    wide = math.ceil((overlap * (side - 1) + width) / side)
    tall = math.ceil((overlap * (side - 1) + height) / side)
    boxes = []
    for x0 in (k * (wide - overlap) for k in range(side)):
        for y0 in (k * (tall - overlap) for k in range(side)):
            boxes.append([x0, y0, min(x0 + wide, width) - x0, min(y0 + tall, height) - y0])
    return [[float(v) for v in box] for box in boxes]


def _prompt(mask: np.ndarray, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """A crop and a point of its grid that lies in the mask; finer grids for what the coarse ones miss."""
    height, width = mask.shape
    for layer, grid in enumerate((32, 16, 8)):
        boxes = crop_boxes(width, height, layer)
        for at in rng.permutation(len(boxes)):
            x0, y0, wide, tall = boxes[at]
            xs = x0 + (2 * np.arange(grid) + 1) / (2 * grid) * wide
            ys = y0 + (2 * np.arange(grid) + 1) / (2 * grid) * tall
            inside = np.argwhere(
                mask[np.minimum(ys, height - 1).astype(int)[:, None], np.minimum(xs, width - 1).astype(int)]
            )
            if len(inside):
                row, column = inside[rng.integers(len(inside))]
                return boxes[at], [float(xs[column]), float(ys[row])]
    # Slivers can slip through all grids; the real file then has a point beside the mask.
    y, x = np.argwhere(mask)[0]
    grid_x, grid_y = ((2 * int(v * 32 / size) + 1) / 64 * size for v, size in ((x, width), (y, height)))
    return crop_boxes(width, height, 0)[0], [grid_x, grid_y]


def _document(view: Scene, image_id: int, annotations: list[dict]) -> bytes:
    height, width = view.rgb.shape[:2]
    image = {"image_id": image_id, "width": width, "height": height, "file_name": f"sa_{image_id}.jpg"}
    return json.dumps({"image": image, "annotations": annotations}).encode("ascii")


def _tar(members: list[tuple[str, bytes]], prefix: str, key: str) -> bytes:
    """A plain tar with its members in random order, as the real shards have them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for at in rng_for("tar order", key).permutation(len(members)):
            name, data = members[at]
            info = tarfile.TarInfo(prefix + name)
            info.size, info.mtime, info.mode, info.uname, info.gname = len(data), TAR_TIME, 0o644, "user", "user"
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _links() -> bytes:
    """A links file like the real one: scrambled, a row that is no shard, an expired link, no newline at the end."""
    rows = [
        ("file_name", "cdn_link"),
        ("sa_000020.tar", _url("20", "644E0B7F")),
        ("sa_000001.tar", _url("01", "7FFFFFF0")),
        ("sa_images_ids.txt", _url("ids", "7FFFFFF0")),
        ("sa_000000.tar", _url("00", "7FFFFFF0")),
    ]
    return "\n".join("\t".join(row) for row in rows).encode("ascii")


def _url(name: str, expiry: str) -> str:
    return f"https://cdn.example.invalid/m1/v/t6/An_{name}.tar?ccb=10-5&oh=00_A&oe={expiry}&_nc_sid=0"


def _adversarial(kept: list[tuple[int, np.ndarray]]) -> Iterator[tuple[str, bytes]]:
    """The attack's output for a few photographs: squashed to 512 x 512, with a faint structured disturbance."""
    root = f"sa1b/advdata/sa_000000-Grad/{RUN}"
    for image_id, rgb in kept:
        rng = rng_for("adversarial", image_id)
        clean = np.asarray(Image.fromarray(rgb).resize((512, 512), Image.Resampling.BICUBIC))
        ripple = np.asarray(
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).resize((512, 512), Image.Resampling.BICUBIC),
            np.float32,
        )
        adv = np.clip(clean + (ripple - 127.5) * 0.16, 0, 255).astype(np.uint8)
        yield f"{root}/adv/sa_{image_id}.jpg", jpeg_bytes(adv, 92)
        yield f"{root}/pair/sa_{image_id}.jpg", jpeg_bytes(np.hstack([clean, adv]), 92)
        yield f"{root}/record/sa_{image_id}.txt", repr(float(rng.uniform(0.3, 0.9))).encode("ascii")
