"""The sensor that makes everything of every new archive."""

from segassets.automation.arrivals import arrivals
from segassets.defs.maggie.archives import ARCHIVES

new_maggie_archives = arrivals(
    "new_maggie_archives",
    ARCHIVES,
    "maggie",
    "maggie/archive_index",
    "Looks into the raw folder's maggie/ every minute. A new archive there, in one piece or in parts, becomes a "
    "partition, and a run reads its index, extracts its members and merges its parts; at most 20 runs are started at a "
    "time. An archive whose run failed, because a part is missing or damaged, is started again when its files have "
    "changed and then stayed as they are for a minute. Put parts there under another name and rename them when they "
    "are complete.",
)
