"""Small versions of evaluation sets that ASAM reads: one for every way of storing masks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFilter
from pycocotools import mask as coco_mask

from segassets.sample.drawing import Canvas, Paint, jpeg_bytes, photograph, png_bytes, rng_for
from segassets.sample.scenes import ObjectMask, Scene, scene
from segassets.sample.vehicles import hull

SIZE = (120, 160)


def files() -> Iterator[tuple[str, bytes]]:
    """Every file below `sa1b/evaldata/`."""
    for make in (_binary, _coloured, _grey, _coco, _lvis, _nuclei):
        for path, data in make():
            yield f"sa1b/evaldata/{path}", data


def _view(kind: str, key: object, size: tuple[int, int] = SIZE) -> Scene:
    return scene(kind, *size, ("evaluation", key))


def _things(view: Scene, names: set[str]) -> list[ObjectMask]:
    """The objects with one of these names, largest first."""
    found = [m for m in view.masks(least=12, limit=400) if m.name in names]
    return sorted(found, key=lambda m: (-int(m.mask.sum()), m.number))


THINGS = {
    "car",
    "person",
    "tree",
    "house",
    "couch",
    "bookshelf",
    "window",
    "bottle",
    "bowl",
    "mug",
    "apple",
    "orange",
    "plate",
    "picture",
    "lamp",
    "potted plant",
    "curtain",
    "rug",
    "building",
}


def _binary() -> Iterator[tuple[str, bytes]]:
    """HRSOD, CAMO, BIG: one foreground object, 0/255."""
    for k, kind in enumerate(("landscape", "table", "room")):
        view = _view(kind, ("hrsod", k))
        yield f"HRSOD-TE/imgs/{k + 1}_thing.jpg", jpeg_bytes(view.rgb)
        yield f"HRSOD-TE/gts/{k + 1}_thing.png", _foreground(view)
    for k in range(2):
        view = _view("landscape", ("camo", k))
        yield f"CAMO/imgs/camourflage_{k + 1:05}.jpg", jpeg_bytes(view.rgb)
        yield f"CAMO/gts/camourflage_{k + 1:05}.png", _foreground(view)
    for k in range(2):
        view = _view("room", ("big", k))
        yield f"BIG/val/2007_00{k}129_sofa_im.jpg", jpeg_bytes(view.rgb)
        yield f"BIG/val/2007_00{k}129_sofa_gt.png", _foreground(view, {"couch"})


def _foreground(view: Scene, names: set[str] = THINGS - {"rug", "building"}) -> bytes:
    return png_bytes(_things(view, names)[0].mask.astype(np.uint8) * 255)


def _coloured() -> Iterator[tuple[str, bytes]]:
    """ADE20K, VOC, DRAM: every colour but black is a mask."""
    for k, kind in enumerate(("street", "room")):
        view = _view(kind, ("ade", k))
        folder = "ADE20K_2016_07_26/images/validation/" + ("s/street" if kind == "street" else "l/living_room")
        yield f"{folder}/ADE_val_0000000{k + 1}.jpg", jpeg_bytes(view.rgb)
        yield f"{folder}/ADE_val_0000000{k + 1}_seg.png", png_bytes(_colour_map(view, k))
    for k, kind in enumerate(("street", "table", "landscape")):
        view = _view(kind, ("voc", k))
        yield f"VOC2012/JPEGImages_val/2007_00003{k}.jpg", jpeg_bytes(view.rgb)
        yield f"VOC2012/SegmentationObject/2007_00003{k}.png", _voc(view)
    for k, kind in enumerate(("landscape", "table")):
        view = _view(kind, ("dram", k))
        brushed = Image.fromarray(view.rgb).filter(ImageFilter.ModeFilter(5)).filter(ImageFilter.EDGE_ENHANCE)
        yield f"DRAM_raw/test_images/impressionism/{k + 1:02}.jpg", jpeg_bytes(np.asarray(brushed))
        yield f"DRAM_raw/test_targets_color/impressionism/{k + 1:02}.png", png_bytes(_colour_map(view, k))


def _colour_map(view: Scene, seed: int) -> np.ndarray:
    """Each whole object in a colour of its own, what is left black."""
    out = np.zeros((*view.rgb.shape[:2], 3), np.uint8)
    rng = rng_for("colours", view.kind, seed)
    for thing in view.masks(least=20, limit=400):
        if thing.parent == 0:
            out[thing.mask] = rng.integers(10, 250, 3)
    return out


def _voc(view: Scene) -> bytes:
    """A palette PNG with numbered objects and the pale border colour (index 255) around them."""
    index = np.zeros(view.rgb.shape[:2], np.uint8)
    for k, thing in enumerate(_things(view, THINGS)[:8]):
        index[thing.mask] = k + 1
    edge = np.zeros(index.shape, bool)
    edge[1:] |= index[1:] != index[:-1]
    edge[:, 1:] |= index[:, 1:] != index[:, :-1]
    index[edge] = 255
    image = Image.fromarray(index)
    image.putpalette(_voc_palette())
    return png_bytes(image)


def _voc_palette() -> bytes:
    """VOC's palette: the bits of the index dealt out to red, green and blue."""
    colours = []
    for index in range(256):
        colour, rest = [0, 0, 0], index
        for bit in range(7, -1, -1):
            for channel in range(3):
                colour[channel] |= (rest >> channel & 1) << bit
            rest >>= 3
        colours += colour
    return bytes(colours)


def _grey() -> Iterator[tuple[str, bytes]]:
    """EgoHOS and ZeroWaste: every grey value but 0 is a mask."""
    for k in range(2):
        view = _view("table", ("ego", k))
        yield f"egohos/val/image/ego4d_{k:04}.jpg", jpeg_bytes(view.rgb)
        yield f"egohos/val/label/ego4d_{k:04}.png", png_bytes(_grey_map(view, {"mug", "bottle", "plate", "bowl"}))
    for k in range(2):
        view = _view("table", ("waste", k))
        name = f"0{k + 1}_frame_{17600 + 40 * k:06}.PNG"
        yield f"splits_final_deblurred/train/data/{name}", png_bytes(view.rgb)
        yield f"splits_final_deblurred/train/sem_seg/{name}", png_bytes(_grey_map(view, THINGS))


def _grey_map(view: Scene, names: set[str]) -> np.ndarray:
    out = np.zeros(view.rgb.shape[:2], np.uint8)
    for k, thing in enumerate(_things(view, names)[:6]):
        out[thing.mask] = k + 1
    return out


def _coco() -> Iterator[tuple[str, bytes]]:
    """COCO: polygons for single objects, RLE for a crowd; the third photograph has no annotation."""
    yield from _instances(
        "COCO2017-val/val2017",
        "COCO2017-val/instances_val2017.json",
        ("street", "room", "table"),
        (139, 285, 632),
        False,
    )


def _lvis() -> Iterator[tuple[str, bytes]]:
    """LVIS: as COCO, but photographs are named by their address."""
    yield from _instances(
        "LVIS/val2017", "LVIS/annotations/lvis_v1_val.json", ("street", "table", "room"), (397133, 37777, 252219), True
    )


def _instances(folder: str, listing: str, kinds: tuple, ids: tuple, by_address: bool) -> Iterator[tuple[str, bytes]]:
    images, annotations, names = [], [], sorted(THINGS)
    for k, (kind, image_id) in enumerate(zip(kinds, ids, strict=True)):
        view, name = _view(kind, (folder, k)), f"{image_id:012}.jpg"
        height, width = view.rgb.shape[:2]
        image = {"id": image_id, "width": width, "height": height}
        address = f"http://images.cocodataset.org/val2017/{name}"
        images.append(
            {**image, "coco_url": address} if by_address else {**image, "file_name": name, "coco_url": address}
        )
        yield f"{folder}/{name}", jpeg_bytes(view.rgb)
        for thing in _things(view, THINGS)[: 0 if k == 2 else 7]:
            annotation = _instance(
                thing,
                len(annotations) + 1,
                image_id,
                names.index(thing.name) + 1,
                not by_address and len(annotations) == 6,
            )
            annotations.append(annotation)
    categories = [{"id": k + 1, "name": name, "supercategory": "thing"} for k, name in enumerate(names)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    yield listing, json.dumps(document).encode("ascii")


def _instance(thing: ObjectMask, number: int, image_id: int, category: int, crowd: bool) -> dict:
    """One annotation: the outline's convex hull as a polygon, or a crowd's uncompressed RLE."""
    height, width = thing.mask.shape
    if crowd:
        flat = thing.mask.T.ravel()
        changes = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff(np.concatenate(([0], changes, [flat.size]))).tolist()
        segmentation: object = {"size": [height, width], "counts": [0, *runs] if flat[0] else runs}
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        ys, xs = np.nonzero(thing.mask)
        corners = [(float(x + a), float(y + b)) for x, y in zip(xs, ys, strict=True) for a in (0, 1) for b in (0, 1)]
        segmentation = [[v for point in hull(corners) for v in point]]
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "iscrowd": int(crowd),
        "area": float(coco_mask.area(rle)),
        "bbox": [float(v) for v in coco_mask.toBbox(rle)],
        "segmentation": segmentation,
    }


def _nuclei() -> Iterator[tuple[str, bytes]]:
    """BBBC038: fluorescent nuclei, a folder a picture and a PNG a nucleus."""
    for k in range(2):
        key = f"{rng_for('nuclei', k).bytes(32).hex()}"
        canvas, rng = Canvas(*SIZE, ("nuclei", k)), rng_for("nuclei shapes", k)
        canvas.rgb += np.float32(9)
        numbers = []
        for _ in range(9):
            with canvas.group("nucleus") as number:
                centre = (rng.uniform(4, SIZE[1] - 4), rng.uniform(4, SIZE[0] - 4))
                tone = rng.uniform(60, 170)
                paint = Paint((tone, tone, tone), 0.16, "leaf", across=-0.2)
                canvas.ellipse(centre, (rng.uniform(6, 11), rng.uniform(5, 9)), paint, "body", turn=rng.uniform(0, 3))
            numbers.append(number)
        picture = photograph(canvas.rgb, ("nuclei", k), 1.0, 2.5, 0.1)
        yield f"BBC038V1-Train/{key}/images/{key}.png", png_bytes(picture)
        for j, number in enumerate(numbers):
            mask = canvas.mask(number)
            if mask.any():
                name = rng_for("nucleus", k, j).bytes(32).hex()
                yield f"BBC038V1-Train/{key}/masks/{name}.png", png_bytes(mask.astype(np.uint8) * 255)
