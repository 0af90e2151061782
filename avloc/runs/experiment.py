"""Reads an experiment's config file and its overrides."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from avloc.naming import did_you_mean
from avloc.runs.config_files import call, failed

# Top fields that came after the first runs, with what those did: old runs stay usable.
LATER = {
    "precision": "float32",
    "remat": False,
    "accumulate": 1,
    "on_nonfinite": "stop",
    "stored_views": 0,
    "sound_views": {"offset": False, "semitones": 0.0, "hiss_db": 0.0},
    "representation_sound": 0.0,
    "mask": {"threshold": 0.05, "dilated": True},
    "hearing": {
        "steps": 0,
        "epochs": 0,
        "share": 0.0,
        "sources": 2,
        "gain_db": 0.0,
        "localization_weight": 0.0,
    },
}
# The same of groups that were there; `group.field` is one that has this field (IEr's stage two).
LATER_OF = {
    "model": {
        "visual": "resnet",
        "audio": "resnet",
        "frozen": (),
        "front_end": "paper",
        "standardized": False,
        "visual_layers": 2,
    },
    "data": {"validation": "", "noise_split": ""},
    "stage_one": {"warmup_steps": 0, "patience": 0, "head_deviation": 0.0},
    "stage_two.similarity": {"maps": "softmax", "affine": False, "negative_side": 1},
    "stage_two.silent_filter": {"heard_filter": False},
    "identification": {
        "levelled": False,
        "steps": 0,
        "correspondence_weight": 0.0,
        "curriculum": "rounded",
        "count": "up_to",
    },
    "evaluation": {"scene_size": 0, "centre_crop": False},
    "inference": {"image_size": 0},
    "optimizers.localization": {
        "hearing": {
            "learning_rates": {"default": 1e-4, "audio_classifier": 1e-3},
            "weight_decay": 1e-4,
            "clip_norm": 0.0,
            "half_life": 0,
            "decay_from": 0,
        }
    },
}


def load_config(path: str | Path) -> ConfigDict:
    """The config that a file's `get_config()` gives.

    A path that does not exist, with or without `.py`, is also looked for among the configs that
    come with the package.

    Raises:
      ValueError: there is no such file, it cannot be imported, or it has no `get_config` that
        gives a config.
    """
    import avloc.configs

    try:
        config = call(path, "get_config", Path(avloc.configs.__file__).parent)
    except TypeError as error:
        raise ValueError(failed(error, path)) from error
    if not isinstance(config, ConfigDict):
        raise ValueError(
            f"{path} is not a config: its get_config() gives {type(config).__name__}, not the "
            "ConfigDict that avloc.configs.csol.base() is"
        )
    return config


def override(config: ConfigDict, assignments: Iterable[tuple[str, str]]) -> ConfigDict:
    """Sets fields by dotted name from text, each kept to the type it has.

    Raises:
      ValueError: a field is unknown, or its text does not fit.
    """
    for name, text in assignments:
        *parents, leaf = name.split(".")
        node: Any = config
        try:
            for parent in parents:
                node = node[parent]
            old = node[leaf]
        except (KeyError, TypeError):
            known = [field for field, _ in fields(config)]
            # A field without its group is half of the name.
            hint = did_you_mean(name, known, "; did you mean config.{}?", near=0.5)
            raise ValueError(f"there is no field config.{name}{hint}") from None
        if isinstance(old, ConfigDict):
            raise ValueError(f"config.{name} is a group of fields: name one of {sorted(old)}")
        node[leaf] = _parse(name, text, old)
    return config


def _parse(name: str, text: str, old: Any) -> Any:
    if isinstance(old, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    if type(value) is not type(old):
        raise ValueError(
            f"config.{name} must be of type {type(old).__name__}, like {old!r}, not {text!r}"
        )
    return value


def with_later_fields(config: ConfigDict) -> ConfigDict:
    """The unlocked config of a run, with the fields that were not there yet when it began."""
    config.update({name: value for name, value in LATER.items() if name not in config})
    for where, later in LATER_OF.items():
        group, _, beside = where.partition(".")
        fields = config.get(group)
        if isinstance(fields, ConfigDict) and (not beside or beside in fields):
            fields.update({name: value for name, value in later.items() if name not in fields})
    return config


def fields(config: ConfigDict | dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its dotted name."""
    for name, value in config.items():
        if isinstance(value, ConfigDict | dict):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def differences(a: ConfigDict | dict, b: ConfigDict | dict, what: str = "config") -> list[str]:
    """The fields in which two configs, or two other records, differ, one line each."""
    left, right = dict(fields(a)), dict(fields(b))
    return [
        f"{what}.{name}: {left.get(name, 'absent')!r} there, {right.get(name, 'absent')!r} here"
        for name in sorted(left.keys() | right.keys())
        if _plain(left.get(name)) != _plain(right.get(name))
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
