"""An exported model, applied like the run that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
from jaxtyping import Array, Float, Int16, UInt8

from avloc.inference.localizer import Localizer
from avloc.json_files import as_count, as_number, read_json, take, take_texts
from avloc.reports.model_card import FORMAT
from avloc.runs.recorded import restorable

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
        about = Path(folder) / ABOUT
        with restorable(about, "export the model again"):
            self.about: dict[str, Any] = read_json(about, dict)
            _require_fields(self.about, str(about))
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
    def _told(self) -> str:
        data = self.about.get("data") or {}
        return f"export of {self.about.get('row')}, trained on {data.get('name')}"

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


def _require_fields(about: Mapping[str, Any], place: str) -> None:
    """Looks at the fields that a model is applied with."""
    take_texts(about, "classes", place)
    take(about, "digest", str, place)
    take(take(about, "function", dict, place), "jax", str, f'{place}, "function"')
    as_number(about.get("sounding_from"), f'{place}, "sounding_from"')
    inputs = take(about, "inputs", dict, place)
    image = take(inputs, "image", dict, f'{place}, "inputs"')
    shape = take(image, "shape", list, f'{place}, "inputs", "image"')
    if len(shape) != 4:
        raise ValueError(f'{place}, "inputs", "image", "shape": must have four sides')
    as_count(shape[1], f'{place}, "inputs", "image", "shape"', 1)


def is_export(folder: Path) -> bool:
    """Whether `avloc export` wrote the folder."""
    try:
        return read_json(folder / ABOUT, dict).get("format") == FORMAT
    except (OSError, ValueError):
        return False
