"""The methods, by name; and anyone's, by `package.module:Class`."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import TypeVar

import jax
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from avloc.naming import named
from avloc.training.methods.coarse_to_fine import CoarseToFine
from avloc.training.methods.csol import Csol
from avloc.training.methods.csol_separation import CsolSeparation
from avloc.training.methods.ier import Ier
from avloc.training.methods.sound_of_pixels import SoundOfPixels
from avloc.types import Aux, Batch, DatasetInfo, Embeds, Method, Separates, Variables

METHODS: dict[str, type[Method]] = {
    "c2f": CoarseToFine,
    "csol": Csol,
    "csol_separation": CsolSeparation,
    "ier": Ier,
    "sop": SoundOfPixels,
}

# What a method can give beside predictions, in words.
_ABILITIES = MappingProxyType({Embeds: "embed pictures and sounds", Separates: "separate sounds"})
Able = TypeVar("Able")


def method_class(name: str) -> type[Method]:
    """The class that `config.method` names: a key of `METHODS`, or `package.module:Class`.

    Raises:
      ValueError: there is none, or it is no method.
    """
    found = named(name, METHODS, "config.method")
    lacks = [part for part in ("init", "phases") if not hasattr(found, part)]
    if not inspect.isclass(found) or lacks:
        raise ValueError(
            f"config.method is {name!r}, which is no class with {', '.join(lacks or ['init'])}: "
            "see docs/adding_a_method.md"
        )
    return found


def method_title(name: str) -> str:
    """A method's name in tables: the class's `title`, else its own name.

    The report of another's run is read where the method is not installed, too.
    """
    own = name.upper() if name in METHODS else name.rpartition(":")[2]
    try:
        return getattr(method_class(name), "title", own)
    except (ValueError, ImportError):
        return own


def create(config: ConfigDict, info: DatasetInfo, axis_name: str | None = None) -> Method:
    """The method that `config.method` names.

    Raises:
      ValueError: there is no such method, the config lacks a field that it reads, or it has a
        fault; the sentence says where.
    """
    kind = method_class(config.method)
    with located(config.method):
        method = kind(config, info, axis_name)
        list(method.phases())
    return method


@contextmanager
def located(name: str) -> Iterator[None]:
    """Makes one sentence of a wrong attribute or name inside a method: what and where.

    Raises:
      ValueError: instead of `AttributeError` and `NameError`.
    """
    try:
        yield
    except (AttributeError, NameError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        if "ml_collections" in frames[-1].filename:  # a field of the config that is not there
            raise ValueError(
                f"config.method, {name!r}, reads a field that the config lacks "
                f"({str(error).strip(chr(34))}): add the field; or the config is of another "
                "version of avloc: train again"
            ) from error
        file = inspect.getfile(method_class(name))
        place = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
        raise ValueError(
            f"config.method, {name!r}, fails at {place.filename}:{place.lineno}: {error}"
        ) from error


def require(method: Method, ability: type[Able], name: str) -> Able:
    """The method itself, if it has an optional ability (`Embeds`, `Separates`).

    Args:
      method: any.
      ability: the protocol.
      name: `config.method`, for the sentence.

    Raises:
      ValueError: it has not.
    """
    if not isinstance(method, ability):
        raise ValueError(f"method {name!r} cannot {_ABILITIES[ability]}: choose one that can")
    return method


def initialize(method: Method, key: PRNGKeyArray, batch: Batch) -> tuple[Variables, Aux]:
    """`method.init`, compiled."""
    # It runs once, and is little but random numbers: to optimize it takes longer than it saves.
    quickly = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    return jax.jit(method.init, compiler_options=quickly)(key, batch)
