"""Training that starts after a stage of another run (`config.init_from`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from avloc.training.checkpoints import read_stage
from avloc.types import Aux, Phase, Variables


class WarmStart(NamedTuple):
    """What another run's stage gives.

    Attributes:
      variables: the stage's, and fresh ones of modules that it has not.
      aux: the same.
      fresh: names of those modules and entries of aux.
    """

    variables: Variables
    aux: Aux
    fresh: tuple[str, ...]


def first_phase(config: ConfigDict, phases: Sequence[Phase]) -> int:
    """Place of the phase that training starts with: 0, or that behind the stage to start after.

    Raises:
      ValueError: `config.init_from` names no stage of the method, or one with nothing behind it.
    """
    if not config.init_from:
        return 0
    places = {phase.checkpoint_name: n for n, phase in enumerate(phases) if phase.checkpoint_name}
    name = Path(config.init_from).name
    if name not in places:
        raise ValueError(
            f"config.init_from, {config.init_from}, ends with no stage of {config.method}: give "
            f"RUN/stages/NAME with a NAME of {', '.join(places)}"
        )
    if places[name] + 1 == len(phases):
        raise ValueError(
            f"config.init_from, {config.init_from}, is the last stage of this config: nothing is "
            "left to train"
        )
    return places[name] + 1


def warm_start(config: ConfigDict, variables: Variables, aux: Aux) -> WarmStart:
    """Reads the stage that `config.init_from` names.

    A module or an entry of aux that the stage lacks as a whole stays fresh, as when a method has a
    head more than the other's. Nothing else may differ.

    Args:
      config: the experiment.
      variables: fresh ones of the method, or their shapes.
      aux: fresh, or its shapes.

    Raises:
      ValueError: no such folder, a damaged checkpoint, an array that is not finite, or one that
        is missing, left over or of another shape or type.
    """
    folder = Path(config.init_from).expanduser().absolute()
    if not folder.is_dir():
        raise ValueError(
            f"config.init_from: there is no {folder}: give RUN/stages/NAME of a run that has "
            "finished its stage NAME"
        )
    wanted, structure = jax.tree_util.tree_flatten_with_path({"variables": variables, "aux": aux})
    here = {_name(path): x for path, x in wanted}
    stored = jax.tree_util.tree_flatten_with_path(read_stage(folder))[0]
    there = {_name(path): x for path, x in stored}
    known = {_part(name) for name in there}
    fresh = {_part(name) for name in here} - known
    for name in sorted(here.keys() | there.keys()):
        a, b = _shape(there.get(name)), _shape(here.get(name))
        if a != b and _part(name) not in fresh:
            raise ValueError(
                f"config.init_from: {name} is {a} in {folder}, but {b} here: start from a run "
                "with the same data, network and number of clusters"
            )
    for name, x in there.items():
        if np.issubdtype(x.dtype, np.floating) and not np.isfinite(x).all():
            raise ValueError(
                f"config.init_from: {name} in {folder} holds NaN or infinity: start from a run "
                "that did not diverge"
            )
    tree = jax.tree.unflatten(structure, [there.get(name, x) for name, x in here.items()])
    return WarmStart(
        tree["variables"], tree["aux"], tuple(" ".join(part) for part in sorted(fresh))
    )


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _part(name: str) -> tuple[str, str]:
    """A module, whatever the collection, or an entry of aux."""
    where, first, *rest = name.split("/")
    return ("aux", first) if where == "aux" else ("module", rest[0])


def _shape(x: Any) -> str:
    return "absent" if x is None else f"{x.dtype}[{', '.join(map(str, x.shape))}]"
