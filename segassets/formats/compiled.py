"""Compiled kernels: how they are made, and when a process loads them. Needs numba (extra `fast`); nothing else does.

Loading takes some tenths of a second, and compiling some seconds the first time: a process does it when it has so much
work that it pays. Whatever a kernel does can also be done without it; a test holds both against each other.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType


def compiled(function: Callable) -> Callable:
    """Compiled on the first call; kept on disk for the next process where there is a place for it."""
    import numba

    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder to keep it in
        return numba.njit(nogil=True)(function)


class Kernel:
    """A module of compiled functions. `patience`: pixels that a process works on before it spends time on loading.

    `agrees`: asked once, with the module; where it says no, the module is not used.
    """

    def __init__(self, name: str, patience: int, agrees: Callable[[ModuleType], bool] = lambda module: True):
        self.name, self.patience, self.agrees = name, patience, agrees
        self.wanted = True
        self._pixels = 0
        self._module: ModuleType | None = None
        self._asked = False

    def after(self, pixels: int) -> ModuleType | None:
        """The module, or None where the work is to be done without it; `pixels`: how many there are now."""
        self._pixels += pixels
        return self._loaded() if self.wanted and self._pixels > self.patience else None

    def load(self) -> bool:
        """Load it at once; whether it is there."""
        self._pixels = self.patience
        return self._loaded() is not None

    def _loaded(self) -> ModuleType | None:
        if not self._asked:
            self._asked = True
            try:
                module = importlib.import_module(self.name)
            except ImportError:
                return None
            self._module = module if self.agrees(module) else None
        return self._module
