"""What becomes of one SA-1B image: the functions that run in workers. Bytes and columns in, `Made` out.

Rules: SA-1B specification, section 2. An image arrives with its masks in rank order, so a mask's position is its rank.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace

from segassets.findings import BadItem, error
from segassets.formats import jpeg, png, sa1b
from segassets.formats.control_image import control_png
from segassets.items import File, Made

INDEX_ROWS = {
    "image": "string",
    "image_id": "int64",
    "width": "int32",
    "height": "int32",
    "masks": "int32",
    "jpg_member": "string",
    "jpg_offset": "int64",
    "jpg_size": "int64",
    "json_member": "string",
    "json_offset": "int64",
    "json_size": "int64",
}

MASK_ROWS = {
    "image": "string",
    "image_id": "int64",
    "height": "int32",
    "width": "int32",
    "rank": "int32",
    "source_index": "int32",
    "annotation_id": "int64",
    "counts": "binary",
    "area": "int64",
    "bbox": "list<double>",
    "coco_bbox": "list<int32>",
    "predicted_iou": "double",
    "stability_score": "double",
    "crop_box": "list<double>",
    "point_coords": "list<list<double>>",
}


def index_image(
    image: str, image_id: int, jpg: bytes, annotations: bytes, place: dict, path: str, decode: bool
) -> Made:
    """Check an image and its JSON; one row when both can be used. An image without annotations has no row.

    `place`: the members' names, offsets and sizes, which go into the row. Raises BadItem with the reasons otherwise.
    """
    where = {"path": path, "image": image, "member": place["jpg_member"]}
    try:
        size = jpeg.check(jpg, decode=decode)
    except jpeg.JpegTruncated as problem:
        raise BadItem(error("jpg_truncated", f"{problem}", **where)) from None
    except jpeg.JpegUnreadable as problem:
        raise BadItem(error("jpg_unreadable", f"{problem}", **where)) from None
    read, findings = sa1b.read_annotations(annotations, image_id, size)
    findings = [replace(finding, path=path, member=place["json_member"]) for finding in findings]
    if read is None:
        raise BadItem(*findings)
    if len(read) == 0:
        return Made(findings=findings)
    row = {"image": image, "image_id": image_id, "width": size[0], "height": size[1], "masks": len(read), **place}
    return Made(rows={name: [row[name]] for name in INDEX_ROWS}, findings=findings)


def mask_rows(image: str, image_id: int, annotations: bytes) -> Made:
    """One row a mask, in rank order: the run lengths as they are, never decoded."""
    read, findings = sa1b.read_annotations(annotations, image_id)
    if read is None:  # the index accepted it: the archive has changed since
        raise BadItem(*findings)
    order = sa1b.rank_order(read.bbox)
    columns = {
        "source_index": order,
        "annotation_id": [read.ids[i] for i in order],
        "counts": [read.counts[i] for i in order],
        "area": [int(read.area[i]) for i in order],
        "bbox": [read.bbox[i] for i in order],
        "coco_bbox": [read.coco_bbox[i].tolist() for i in order],
        "predicted_iou": [read.predicted_iou[i] for i in order],
        "stability_score": [read.stability_score[i] for i in order],
        "crop_box": [read.crop_box[i] for i in order],
        "point_coords": [read.point_coords[i] for i in order],
    }
    same = {"image": image, "image_id": image_id, "height": read.height, "width": read.width}
    count = len(order)
    rows = {name: [value] * count for name, value in same.items()} | {"rank": list(range(count))} | columns
    return Made(rows={name: rows[name] for name in MASK_ROWS})


def mask_files(
    image: str,
    height: list[int],
    width: list[int],
    source_index: list[int],
    counts: list[bytes],
    folder: str,
    depth: int,
) -> Made:
    """`sa_N/segmentation_J.png` for every rank J, and nothing else: ASAM's loaders count the files of the folder."""
    size = (height[0], width[0])
    head = b"%d %d " % size
    files = [
        File(
            f"{folder}{image}/segmentation_{rank}.png",
            data,
            hashlib.sha256(head + run_lengths).digest(),
            f"{image}.json#annotations/{index}",
        )
        for rank, (data, run_lengths, index) in enumerate(
            zip(png.mask_pngs(counts, size, depth), counts, source_index, strict=True)
        )
    ]
    return Made(files)


def control_file(image: str, height: list[int], width: list[int], counts: list[bytes]) -> Made:
    """The RGB control image `sa_N.png` beside `sa_N.jpg` (upstream's `utils/sam_control_signal.py`)."""
    data, content = control_png(counts, (height[0], width[0]))
    return Made([File(f"{image}.png", data, bytes.fromhex(content), f"{image}.json")])


def webdataset_shard(number: int, name: str, images: list[dict]) -> Made:
    """One WebDataset tar: `sa_N.jpg`, `.json`, `.control.png` and, where there is a caption, `.txt`, key by key.

    `images`: dictionaries with `image`, references `jpg`, `json`, `control`, and `caption` (or None). Headers are fixed,
    so the same members give the same bytes.
    """
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry in images:
            parts = [("jpg", entry["jpg"].read()), ("json", entry["json"].read())]
            parts.append(("control.png", entry["control"].read()))
            if entry["caption"] is not None:
                parts.append(("txt", entry["caption"].encode()))
            for suffix, data in parts:
                info = tarfile.TarInfo(f"{entry['image']}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return Made([File(name, sink.getvalue(), source=f"images {images[0]['image']} to {images[-1]['image']}")])


def coco_pieces(images, masks):
    """A shard as one COCO JSON, streamed: `images` (index rows) and `masks` (mask rows, a table at a time).

    Category 1 is "object"; bboxes are COCO's (one more in w and h than SA-1B's), areas are counted. Yields bytes.
    """
    yield b'{"info": {"description": "SA-1B"}, "licenses": [], "categories": [{"id": 1, "name": "object"}],\n"images": ['
    comma = ""
    for row in images:
        record = {"id": row["image_id"], "file_name": f"{row['image']}.jpg"}
        record |= {"width": row["width"], "height": row["height"]}
        yield f"{comma}\n{json.dumps(record)}".encode()
        comma = ","
    yield b'],\n"annotations": ['
    comma = ""
    for table in masks:
        lines = [json.dumps(_coco_annotation(row)) for row in table.to_pylist()]
        if lines:
            yield (comma + "\n" + ",\n".join(lines)).encode()
            comma = ","
    yield b"]}\n"


def _coco_annotation(row: dict) -> dict:
    return {
        "id": row["annotation_id"],
        "image_id": row["image_id"],
        "category_id": 1,
        "segmentation": {"size": [row["height"], row["width"]], "counts": row["counts"].decode("ascii")},
        "area": row["area"],
        "bbox": [float(value) for value in row["coco_bbox"]],
        "iscrowd": 0,
    }
