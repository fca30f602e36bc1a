"""What the UI shows of Cityscapes-VPS: pictures beside maps in colour, strips of a clip, class histograms."""

import io
import json

import numpy as np
from PIL import Image

from segassets import previews
from segassets.defs.cityscapes.show import bars, score_table, spread
from segassets.files.ref import files_at
from segassets.formats import cityscapes_vps as vps
from segassets.formats.cityscapes import BY_NAME
from segassets.formats.panoptic import grey_runs, read_ids
from segassets.sources.zip_members import find

SHOWN = 4
LOOKED_AT = 30
POLE_GROUP = BY_NAME["polegroup"].id
NAMES = {record["id"]: record["name"] for record in vps.REPAIRED_CATEGORIES}
_COLOURS = np.zeros((256, 3), np.uint8)
for _record in vps.CATEGORIES:
    _COLOURS[_record["id"]] = _record["color"]


def _decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def _some(view, count=SHOWN):
    rows = list(zip(view.files["item"].to_pylist(), view.files["path"].to_pylist(), strict=True))
    return rows[:: max(1, len(rows) // count)][:count]


def pictures(view, **inputs):
    """Published pictures as they are."""
    tiles = [_decoded(view.read(path))[..., :3] for _, path in _some(view, 6)]
    return {"preview": previews.contact_sheet(tiles, columns=3)}


def masks(view, frame_list, raw):
    """Published masks as they are; how much of them is a group of poles, which the colour of poles hides."""
    return {**pictures(view), **_pole_groups(view, raw)}


def _pole_groups(view, raw):
    """Pixels of pole groups in some of the 20th frames, for which Cityscapes' labelIds are there."""
    labels = {path.rsplit("/", 1)[1]: ref for path, ref in find(raw, "gtFine/val/*").refs.items()}
    central = [item for item, path in _some(view, 1 << 30) if item and path.endswith("_gtFine_color.png")]
    names = [f"{vps.FrameName.from_image_id(item).cityscapes_name}_gtFine_labelIds.png" for item in central]
    refs = spread([labels[name] for name in names if name in labels], LOOKED_AT)
    maps = [grey_runs(ref.read(), (8,), "a map of labelIds") for ref in refs]
    if not maps:
        return {}
    pixels = sum(int(runs.lengths[runs.values == POLE_GROUP].sum()) for runs in maps)
    return {"pole group pixels, here poles": pixels, "20th frames looked at for them": len(maps)}


def _picture(cls, frame):
    """The frame's photograph where `img` is published, else its colour mask."""
    mask = cls.paths[frame]
    name = vps.FrameName.from_file_name(mask.rsplit("/", 1)[1], "colour_mask").file_name("photograph")
    photo, files = mask.rsplit("/", 2)[0] + f"/img/{name}", files_at(cls.root)
    return _decoded(files.read(photo) if files.stat(photo) else cls.read(mask))[..., :3]


def label_maps(view, cls):
    """Photographs beside label maps in the categories' colours, and the pixels of every class."""
    tiles = []
    for frame, path in _some(view):
        tiles += [_picture(cls, frame), _COLOURS[_decoded(view.read(path))]]
    totals = np.zeros(len(NAMES) + 1, np.int64)
    for row in view.records(["pixels"]):
        totals += np.array(row["pixels"])
    counts = dict(zip([*NAMES.values(), "void"], totals.tolist(), strict=True))
    share = round(float(totals[-1]) / max(1, int(totals.sum())), 4)
    return {
        "preview": previews.contact_sheet(tiles, columns=4),
        "classes": bars(counts, "pixels"),
        "void share": share,
    }


def panoptic_maps(view, frame_list, cls, inst):
    """Photographs and their instances in colour; how many tracks of each class, how many instances, the void share."""
    tiles = []
    for frame, path in _some(view):
        picture = _picture(cls, frame)
        pan = _decoded(view.read(path)).astype(np.int64)
        tiles += [picture, previews.overlay(picture, np.where(pan >= 1000, pan, 0))]
    tracks, instances, void, pixels = set(), 0, 0, 0
    for row in view.records(["frame", "values", "areas"]):
        things = [value for value in row["values"] if value >= 1000]
        tracks |= {(row["frame"][:4], value) for value in things}
        instances += len(things)
        areas = dict(zip(row["values"], row["areas"], strict=True))
        void, pixels = void + areas.get(vps.VOID, 0), pixels + sum(row["areas"])
    counts = {NAMES[c]: sum(value // 1000 == c for _, value in tracks) for c in range(11, 19)}
    return {
        "preview": previews.contact_sheet(tiles, columns=4),
        "clips": len({row["frame"][:4] for row in view.records(["frame"])}),
        "instances": instances,
        "tracks": len(tracks),
        "tracks by class": bars(counts, "tracks"),
        "void share": round(void / max(1, pixels), 4),
    }


def strip(view, panoptic_inst):
    """The frames of the first clip, in order: a tracked instance has the same colour in all of them.

    Stuff has its category's colour, void is black.
    """
    rows = sorted((frame, path) for frame, path in _some(view, 1 << 30) if frame)
    clip = [path for frame, path in rows if frame[:4] == rows[0][0][:4]] if rows else []
    frames = [read_ids(view.read(path)) for path in clip]
    known = np.unique(np.concatenate([np.unique(ids) for ids in frames])) if frames else np.zeros(1, np.uint32)
    palette = previews.colours(len(known))
    palette[known == 0] = 0
    counts = dict.fromkeys(NAMES.values(), 0)
    for row in view.records(["segments"]):
        for segment in json.loads(row["segments"]):
            category = segment["category_id"]
            counts[NAMES[category]] += 1
            if not vps.CATEGORIES[category]["isthing"]:
                palette[known == segment["id"]] = _COLOURS[category]
    tiles = [palette[np.searchsorted(known, ids)] for ids in frames]
    return {
        "preview": previews.contact_sheet(tiles, columns=6),
        "segments": sum(counts.values()),
        "segments by class": bars(counts, "segments"),
    }


def instances(view, panoptic_inst):
    """How many instances, and how many frames have none."""
    counts = [row["instances"] for row in view.records(["instances"])]
    return {"instances": sum(counts), "frames without instances": sum(count == 0 for count in counts)}


def scores(view, raw, panoptic_video):
    """VPQ and its windows as numbers that are plotted, and a table of classes of the shortest window."""
    path = next(path for path in view.files["path"].to_pylist() if path.endswith("vpq_stats.json"))
    result = json.loads(view.read(path))
    numbers = {f"VPQ {group}": value for group, value in result["final"].items() if value is not None}
    windows = {
        f"PQ of windows k={window['k']}": 100 * window["All"]["pq"]
        for window in result["per_window"].values()
        if window["All"]["pq"] is not None
    }
    names = {str(category): name for category, name in NAMES.items()}
    return {**numbers, **windows, "classes": score_table(result["per_window"]["1"]["per_class"], names)}
