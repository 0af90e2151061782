"""The one order of metrics: of columns in every table, and of entries in every file."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ORDER = (
    # With another sound.
    r"called sounding",
    # Places.
    r"(source |c|C)?IoU(_class)?@.+",
    r"AUC",
    r"level \d+ .+",
    r"AP50",
    r"NSA",
    r"AUROC",
    r"off-screen false alarms",
    r"off-screen AUROC",
    r"named precision",
    r"named recall",
    # What is heard.
    r"mAP",
    r"all heard most",
    r"precision",
    r"recall",
    r"macro precision",
    r"macro recall",
    r"quiet recall",
    r"quiet recall at precision .+",
    # Boxes of scenes.
    r"sounding mAP\d+",
    r"mAP\d+",
    # Clusters.
    r"NMI",
    r"purity",
    r"audio NMI",
)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of metrics, each once, as tables show them; unknown ones last, as they came."""
    return sorted(dict.fromkeys(names), key=place)


def place(name: str) -> tuple[int, ...]:
    """Where a metric stands; those of a level in the order of those of all levels."""
    kinds = (kind for kind, pattern in enumerate(_ORDER) if re.fullmatch(pattern, name))
    kind = next(kinds, len(_ORDER))
    level = re.fullmatch(r"level (\d+) (.+)", name)
    return (kind, int(level[1]), *place(level[2])) if level else (kind,)
