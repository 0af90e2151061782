"""An exported model, applied like the run that it was made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
from jaxtyping import Array, Float, Int16, UInt8

from avloc.inference.localizer import Localizer
from avloc.reports.model_card import FORMAT

FUNCTION, ABOUT = "localize.jax_export", "model.json"


class ExportedModel(Localizer):
    """The function of a folder that `avloc export` wrote.

    Attributes:
      about: the content of `model.json`.
    """

    def __init__(self, folder: str | Path, threshold: float | None = None) -> None:
        """See `avloc.load`.

        Raises:
          ValueError: a folder that lacks the function, or that this version of JAX cannot read; a
            threshold that is not between 0 and 1.
        """
        super().__init__(str(folder), threshold)
        self.about: dict[str, Any] = json.loads((Path(folder) / ABOUT).read_text(encoding="utf-8"))
        file = Path(folder) / FUNCTION
        if not file.is_file():
            raise ValueError(f"{file}: no such file; export the model again")
        self._packed = file.read_bytes()
        self._function  # noqa: B018  # refused now, not at the first picture

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in vars(self).items() if name != "_function"}

    @cached_property
    def _function(self) -> Callable[..., Any]:
        try:
            return jax.jit(jax.export.deserialize(bytearray(self._packed)).call)
        except Exception as fault:  # whatever JAX's reader meets in bytes that are not its own
            file, made = Path(self.checkpoint) / FUNCTION, self.about["function"]["jax"]
            raise ValueError(
                f"{file} is damaged, or too new for this JAX ({jax.__version__}; it was made with "
                f"{made}): export the model again"
            ) from fault

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the categories."""
        return tuple(self.about["classes"])

    @property
    def image_size(self) -> int:
        """Side of the views that the network sees."""
        return self.about["inputs"]["image"]["shape"][1]

    @property
    def _configured(self) -> float:
        return float(self.about["sounding_from"])

    def digest(self) -> str:
        """That of the model that was exported."""
        return self.about["digest"]

    def _predict(
        self, image: UInt8[np.ndarray, "B S S 3"], waveform: Int16[np.ndarray, "B T"]
    ) -> tuple[Float[Array, "B h w N"], Float[Array, "B N"]]:
        return self._function(image, waveform)


def is_export(folder: Path) -> bool:
    """Whether `avloc export` wrote the folder."""
    try:
        return json.loads((folder / ABOUT).read_text(encoding="utf-8"))["format"] == FORMAT
    except (OSError, ValueError, TypeError, KeyError):
        return False
