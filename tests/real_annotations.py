"""Where the authors' annotation files lie, for tests that read them whole."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDERS = (
    os.environ.get("AVLOC_ANNOTATIONS", ""),
    Path(__file__).parents[2] / "shared" / "annotations",
)

REAL: Path | None = next((Path(f) for f in _FOLDERS if f and Path(f).is_dir()), None)
"""Folder with `music`, `vggsound` and `audioset_instrument`, or None; they are not ours to ship."""
