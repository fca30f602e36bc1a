"""What the sample consists of; `python -m segassets.sample.parts NAME` makes one part in a process of its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator

from segassets.sample import archives, cityscapes, evalsets, maskterial, matting, sa1b

PARTS: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
    "sa1b": sa1b.files,
    "evaluation_sets": evalsets.files,
    "maskterial": maskterial.files,
    "maggie": archives.files,
    "matting": matting.files,
    "cityscapes": cityscapes.files,
}
APART = "cityscapes"  # about as much work as all the others together


def made() -> Iterator[dict[str, bytes]]:
    """The files of each part. The largest part is made in a second process where there is a second core."""
    child = _start(APART) if (os.cpu_count() or 1) > 1 else None
    try:
        for name, make in PARTS.items():
            yield (_result(child) if child and name == APART else None) or dict(make())
    finally:
        if child:
            child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()


def _start(name: str) -> subprocess.Popen | None:
    """A plain child, not multiprocessing: that would import the caller's main module once more."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "segassets.sample.parts", name]
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
    except (OSError, ValueError):
        return None


def _result(child: subprocess.Popen) -> dict[str, bytes] | None:
    """What the child made; None when it failed, and the part is then made here."""
    data = child.communicate()[0]
    if child.returncode != 0:
        return None
    return pickle.loads(data)


if __name__ == "__main__":
    sys.stdout.buffer.write(pickle.dumps(dict(PARTS[sys.argv[1]]())))
