"""Small SA-1B shards for tests, sound ones and broken ones."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
from PIL import Image
from pycocotools import mask as coco

SIZE = (48, 64)


def picture(number: int, size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG of (h, w) pixels."""
    y, x = np.mgrid[: size[0], : size[1]]
    sink = io.BytesIO()
    Image.fromarray(np.stack([x * 3, y * 5, x + y + number * 9], -1).astype(np.uint8)).save(sink, "JPEG")
    return sink.getvalue()


def annotation(mask: np.ndarray, number: int) -> dict:
    """An annotation as SAM writes it: the box is xmax - xmin, not COCO's one more."""
    run_lengths = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    x, y, w, h = coco.toBbox(run_lengths).tolist()
    return {
        "bbox": [x, y, max(w - 1, 0.0), max(h - 1, 0.0)],
        "area": int(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": run_lengths["counts"].decode()},
        "predicted_iou": 0.95,
        "point_coords": [[x + 0.5, y + 0.5]],
        "crop_box": [0.0, 0.0, float(mask.shape[1]), float(mask.shape[0])],
        "id": number,
        "stability_score": 0.97,
    }


def document(number: int, masks: int = 3, size: tuple[int, int] = SIZE) -> dict:
    """The JSON of an image with nested rectangles."""
    found = []
    for k in range(masks):
        mask = np.zeros(size, bool)
        mask[2 + 3 * k : size[0] - 4 * k - 1, 3 + 2 * k : size[1] - 5 * k - 1] = True
        found.append(annotation(mask, 1000 * number + k))
    head = {"image_id": number, "width": size[1], "height": size[0], "file_name": f"sa_{number}.jpg"}
    return {"image": head, "annotations": found}


def sound(count: int = 5) -> dict[str, bytes]:
    """The members of a sound shard."""
    members = {}
    for number in range(1, count + 1):
        members[f"sa_{number}.json"] = json.dumps(document(number)).encode()
        members[f"sa_{number}.jpg"] = picture(number)
    return members


def changed(members: dict[str, bytes], number: int, change) -> dict[str, bytes]:
    """The shard with `change(document)` done to one image's JSON."""
    content = json.loads(members[f"sa_{number}.json"])
    change(content)
    return {**members, f"sa_{number}.json": json.dumps(content).encode()}


def tar(members: dict[str, bytes] | list[tuple[str, bytes]]) -> bytes:
    """A plain tar of the members, in the given order."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as file:
        for name, data in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return sink.getvalue()
