"""Which numbers a config may hold: others fail late, or train something that nobody asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from avloc.data_pipelines.dataset import Dataset

SMALLEST, LARGEST = 32, 2048
"""Sides in pixels at which `localize` sees pictures; the greater is that of training too."""

_MANY = math.inf
_SHARE = (0, 1)
_SIDE = (1, LARGEST)
_COUNT = (1, _MANY)
_NONE_OR_MORE = (0, _MANY)
# A training lists its epochs before it begins: of 10^18 it would never end.
_EPOCHS, _STEPS = (0, 10**5), (0, 10**6)

# Least and greatest value of each field; a config without the field has nothing to check.
_BOUNDS = {
    "seed": _NONE_OR_MORE,
    "image_size": _SIDE,
    "batch_size": (2, _MANY),  # what matches is told from what does not
    "accumulate": _COUNT,
    "stored_views": _NONE_OR_MORE,
    "log_every": _COUNT,
    "checkpoint_every": _COUNT,
    "data.threads": _NONE_OR_MORE,
    "data.workers": _NONE_OR_MORE,
    "sound_views.semitones": (0, 24),
    "sound_views.hiss_db": _NONE_OR_MORE,
    "model.width": _COUNT,
    "model.embedding": _COUNT,
    "clusters": _COUNT,
    "kmeans.restarts": _COUNT,
    "kmeans.iterations": _COUNT,
    "representation_sound": _NONE_OR_MORE,
    "mask.threshold": _SHARE,
    "stage_one.warmup_epochs": _EPOCHS,
    "stage_one.warmup_steps": _STEPS,
    "stage_one.patience": _NONE_OR_MORE,
    "stage_one.epochs": _EPOCHS,
    "stage_one.zoom_out": _SHARE,
    "stage_one.mixtures": _SHARE,
    "stage_one.mixtures_after": _NONE_OR_MORE,
    "stage_one.classification_after": _NONE_OR_MORE,
    "stage_one.classification_passes": _NONE_OR_MORE,
    "stage_one.head_deviation": _NONE_OR_MORE,
    "hearing.epochs": _EPOCHS,
    "hearing.steps": _STEPS,
    "hearing.share": _SHARE,
    "hearing.sources": (2, _MANY),
    "hearing.gain_db": _NONE_OR_MORE,
    "hearing.localization_weight": _NONE_OR_MORE,
    "identification.epochs": _EPOCHS,
    "identification.steps": _STEPS,
    "identification.gain_db": _NONE_OR_MORE,
    "identification.zoom_out": _SHARE,
    "identification.correspondence_weight": _NONE_OR_MORE,
    "identification.localization_weight": _NONE_OR_MORE,
    "stage_two.epochs": _EPOCHS,
    "stage_two.negative_side": (1, 8),
    "inference.sounding": _SHARE,
}


def require_bounds(config: ConfigDict) -> None:
    """Refuses numbers that mean nothing.

    Raises:
      ValueError: a field is outside its bounds, a side of scenes is smaller than that of clips, or
        a mixture has more kinds than there are.
    """
    known = dict(_leaves(config))
    for name, (low, high) in _BOUNDS.items():
        if name in known:
            _require(name, known[name], low, high)
    for name, value in known.items():
        if name.startswith("optimizers."):
            _require(name, value, *_NONE_OR_MORE)
    for group in ("warmup", "correspondence"):
        if (warmth := known.get(f"{group}.temperature", 1.0)) <= 0:
            raise ValueError(
                f"config.{group}.temperature is {warmth}: set --config.{group}.temperature above 0"
            )
    if known.get("evaluation.centre_crop") and known.get("stored_views"):
        raise ValueError(
            "config.evaluation.centre_crop scores the middle of pictures, but the maps that "
            "config.stored_views stores are of whole ones: set --config.stored_views=0 or "
            "--config.evaluation.centre_crop=False"
        )
    _require_sides(known)
    kinds, sources = known.get("clusters", _MANY), known.get("hearing.sources", 0)
    hears = known.get("hearing.epochs") or known.get("hearing.steps")
    if hears and known["hearing.share"] and sources > (most := max(2, kinds)):
        raise ValueError(
            f"config.hearing.sources asks for mixtures of {sources} clips of different clusters, "
            f"but config.clusters is {kinds}: set --config.hearing.sources={most} or less"
        )


def require_split(config: ConfigDict, dataset: Dataset) -> None:
    """Refuses to train on what is not there, before its size is asked for."""
    have = dataset.info.num_examples
    if config.data.stage_one not in have:
        raise ValueError(
            f"config.data.stage_one is {config.data.stage_one!r}, which {config.data.name} does "
            f"not have: set --config.data.stage_one to one of {', '.join(have)}"
        )


def noise_split(config: ConfigDict) -> str:
    """The split that noise among the clips of stage one is drawn from."""
    return config.data.noise_split or config.data.stage_two


def _require_sides(known: Mapping[str, Any]) -> None:
    """Sides for scenes and for `localize`, where 0 stands for `image_size`."""
    clips = known["image_size"]
    for name, least in (("evaluation.scene_size", clips), ("inference.image_size", SMALLEST)):
        side = known.get(name, 0)
        if side and not least <= side <= LARGEST:
            why = " (config.image_size)" if least == clips else ""
            raise ValueError(
                f"config.{name} is {side}: set --config.{name}=0, or from {least}{why} to {LARGEST}"
            )


def _require(name: str, value: float, low: float, high: float) -> None:
    if low <= value <= high and math.isfinite(value):
        return
    fix = f"{low} or more" if high == _MANY else f"a number from {low} to {high}"
    raise ValueError(f"config.{name} is {value}: set --config.{name} to {fix}")


def _leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
