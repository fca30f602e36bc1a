"""The compiled part of `label_map`: two maps' runs are merged. Needs numba (extra `fast`)."""

from __future__ import annotations

import numpy as np

from segassets.formats.compiled import compiled


@compiled
def join(first, second, starts, of_first, of_second):
    """Where either list of starts (int64, ascending, both from 0 on) has one; there the index of the run in each list.

    The last three have room for both lists: how many places were filled in. 0 when a list is empty.
    """
    i = j = count = 0
    n, m = first.size, second.size
    if n == 0 or m == 0:
        return 0
    end = np.int64(np.iinfo(np.int64).max)
    at = first[0]
    while at != end:
        starts[count], of_first[count], of_second[count] = at, i, j
        count += 1
        a = first[i + 1] if i + 1 < n else end
        b = second[j + 1] if j + 1 < m else end
        at = min(a, b)
        i += a == at
        j += b == at
    return count
