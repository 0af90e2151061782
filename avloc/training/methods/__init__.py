"""The methods, by name."""

from __future__ import annotations

import jax
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from avloc.training.methods.csol import Csol
from avloc.training.methods.ier import Ier
from avloc.types import Aux, Batch, DatasetInfo, Method, Variables

METHODS = {"csol": Csol, "ier": Ier}


def method_title(method: str) -> str:
    """A method's name in tables, as its paper writes it."""
    return {"ier": "IEr"}.get(method, method.upper())


def create(config: ConfigDict, info: DatasetInfo, axis_name: str | None = None) -> Method:
    """The method that `config.method` names.

    Raises:
      ValueError: there is no such method, or the config lacks a field that it reads.
    """
    if config.method not in METHODS:
        raise ValueError(f"config.method is one of {sorted(METHODS)}, not {config.method!r}")
    try:
        method = METHODS[config.method](config, info, axis_name)
        list(method.phases())
    except AttributeError as error:  # ml_collections' own, for a field that is not there
        raise ValueError(
            f"the config is of another version of avloc ({str(error).strip(chr(34))}): train anew"
        ) from None
    return method


def initialize(method: Method, key: PRNGKeyArray, batch: Batch) -> tuple[Variables, Aux]:
    """`method.init`, compiled."""
    # It runs once, and is little but random numbers: to optimize it takes longer than it saves.
    quickly = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    return jax.jit(method.init, compiler_options=quickly)(key, batch)
