"""Tells TFDS where a builder's own file is."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds


class Placed:
    """A base class to list before TFDS's own.

    TFDS looks for a builder's folder below the `avloc` folder. When the package is installed from a
    checkout (`pip install -e`), it is not there: `data_pipelines` is beside `avloc`.
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        cls.pkg_dir_path = tfds.core.Path(Path(inspect.getfile(cls)).parent)
        super().__init_subclass__(**settings)
