"""Where a builder's own file lies, for TFDS."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds


class Placed:
    """To stand before TFDS's class among a builder's bases.

    TFDS looks for a builder's folder below that of `avloc`, where it is not when the package is
    installed from a checkout (`pip install -e`): `data_pipelines` lies beside it there.
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        cls.pkg_dir_path = tfds.core.Path(Path(inspect.getfile(cls)).parent)
        super().__init_subclass__(**settings)
