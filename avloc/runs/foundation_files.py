"""Reads equimo's files of weights: `NAME.tar.lz4`, or a folder `NAME` with `weights.eqx`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from avloc.models.backbones.foundation import CHANNELS, arrays_of, skeleton, with_arrays
from avloc.models.weight_import import ImportedWeights
from avloc.naming import did_you_mean

_ENDING, _WEIGHTS = ".tar.lz4", "weights.eqx"


def foundation_file(file: Path) -> Path | None:
    """The one file that the weights are in, if equimo wrote them."""
    if file.name.endswith(_ENDING) and file.is_file():
        return file
    return file / _WEIGHTS if (file / _WEIGHTS).is_file() else None


def read_foundation(file: Path) -> ImportedWeights:
    """Variables of `Foundation` from a file of equimo; it is named after its network.

    Raises:
      ValueError: the name is none of a network that avloc takes, equimo is not installed, or the
        file is damaged or of another network.
    """
    name = file.name.removesuffix(_ENDING)
    if name not in CHANNELS:
        raise ValueError(
            f"{file} is not named after a network of equimo that avloc takes: rename it to one of "
            f"{', '.join(CHANNELS)}{did_you_mean(name, CHANNELS)}"
        )
    described = skeleton(name, any_size=False)
    try:
        arrays = arrays_of(_loaded(file, described))
    # equimo and what it reads with have no single error for a damaged file.
    except (ValueError, RuntimeError, OSError, EOFError, LookupError, TypeError) as fault:
        raise ValueError(
            f"{file} is damaged, or not of {name}, and was not read "
            f"({str(fault).splitlines()[0][:150] if str(fault) else type(fault).__name__})"
        ) from None
    weights = {place: np.asarray(x, np.float32) for place, x in arrays.items()}
    if bad := [place for place, x in weights.items() if not np.isfinite(x).all()]:
        raise ValueError(f"{file}: {bad[0]} holds NaN or infinity: take another file")
    return ImportedWeights({"params": {"weights": weights}}, name, CHANNELS[name], "", ())


def _loaded(file: Path, described: Any) -> Any:
    try:
        from equimo import serialization
    except ImportError:  # before version 2
        from equimo import io as serialization

    serialization.logger.disable("equimo")
    with tempfile.TemporaryDirectory() as folder:
        # It unpacks an archive beside the archive, where we leave nothing.
        link = Path(folder) / file.name
        link.symlink_to(file.absolute())
        faults = []
        for dtype in (jnp.float32, jnp.bfloat16):
            blank = {place: jnp.zeros(x.shape, dtype) for place, x in arrays_of(described).items()}
            try:
                return serialization.load_weights(with_arrays(described, blank), path=link)
            except (ValueError, RuntimeError) as fault:
                faults.append(fault)
        raise faults[0]
