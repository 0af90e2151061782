"""Orbax checkpoints: to resume from, and to use."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from avloc.clustering.assignment import CategoryMap
from avloc.training.methods import create
from avloc.training.run_folder import RunFolder, write_atomically
from avloc.types import Aux, Batch, DatasetInfo, Method, TrainState, Variables


@dataclass
class Progress:
    """Where a run stands: the phase cursor.

    Attributes:
      phase: place of the phase in `method.phases()`.
      epoch: epochs of it that are done.
      refreshed: whether its refresh has run.
      history: epoch metrics of this phase so far.
      mid_epoch: whether the checkpoint holds an iterator to go on with.
      logs: metrics of the steps of the broken-off epoch.
      rows: lines of the history that were written when this was saved.
    """

    phase: int = 0
    epoch: int = 0
    refreshed: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    mid_epoch: bool = False
    logs: list[dict[str, float]] = field(default_factory=list)
    rows: int = 0


class Checkpoints:
    """A run's checkpoints to resume from; the two newest are kept.

    A checkpoint's number counts saves, not steps, as phases may end without a step.
    """

    def __init__(self, run: RunFolder):
        self._run = run
        self._manager = ocp.CheckpointManager(
            run.checkpoints,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=2, create=True, cleanup_tmp_directories=True
            ),
            item_names=("state", "progress", "iterator"),
        )

    @staticmethod
    def present(run: RunFolder) -> bool:
        """Whether the run has one to resume from."""
        return any(path.name.isdigit() for path in run.checkpoints.glob("*"))

    def save(
        self, state: TrainState, progress: Progress, iterator: grain.DatasetIterator | None = None
    ) -> None:
        """Saves in the background; the state is copied first."""
        items = {
            "state": ocp.args.StandardSave(_storable(state)),
            "progress": ocp.args.JsonSave(asdict(progress) | {"rows": len(self._run.epochs())}),
        }
        if progress.mid_epoch:
            items["iterator"] = grain.checkpoint.CheckpointSave(iterator)
        number = (self._manager.latest_step() or 0) + 1
        self._manager.save(number, args=ocp.args.Composite(**items))

    def restore(self, like: TrainState) -> tuple[TrainState, Progress] | None:
        """The newest state and its cursor, on the host; None where nothing was saved.

        A damaged checkpoint is passed over, with a word, for the one before it.

        Raises:
          ValueError: there are checkpoints, but none can be read.
        """
        numbers = sorted(self._manager.all_steps(), reverse=True)
        for number in numbers:
            try:
                restored = self._manager.restore(
                    number,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(_abstract(like)),
                        progress=ocp.args.JsonRestore(),
                    ),
                )
                if restored["progress"]["mid_epoch"]:
                    self._check_iterator(number)
            except Exception as error:  # Orbax has no one error for a damaged checkpoint
                print(f"checkpoint {number} in {self._run.checkpoints} is damaged: {_first(error)}")
                continue
            self._restored = number
            return restored["state"], Progress(**restored["progress"])
        if numbers:
            raise ValueError(
                f"no checkpoint in {self._run.checkpoints} can be read: remove the workdir and "
                "train anew"
            )
        return None

    def _check_iterator(self, number: int) -> None:
        """Raises where the iterator's state, which is read only later, is damaged."""
        folder = self._run.checkpoints / str(number) / "iterator"
        (file,) = folder.glob(f"process_{jax.process_index()}-of-*.json")
        json.loads(file.read_text())

    def restore_iterator(self, iterator: grain.DatasetIterator) -> None:
        """Puts the iterator where it stood at the restored checkpoint."""
        self._manager.restore(
            self._restored,
            args=ocp.args.Composite(iterator=grain.checkpoint.CheckpointRestore(iterator)),
        )

    def close(self) -> None:
        """Waits for saves under way."""
        self._manager.wait_until_finished()
        self._manager.close()


def save_stage(run: RunFolder, name: str, state: TrainState) -> None:
    """Saves a stage's variables and aux under its name, to be kept and used."""
    with ocp.StandardCheckpointer() as checkpointer:
        tree = _storable({"variables": state.variables, "aux": state.aux})
        checkpointer.save(run.stages / name, tree, force=True)


def read_stage(folder: Path, like: Any = None) -> Any:
    """A stage's `{"variables", "aux"}` as host arrays.

    Args:
      folder: that `save_stage` wrote.
      like: arrays or shapes that it must have; by default those that it has.

    Raises:
      ValueError: it is damaged, or not like that.
    """
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            if like is None:
                like = checkpointer.metadata(folder).item_metadata.tree
            return checkpointer.restore(folder, _abstract(like))
    except Exception as error:  # Orbax has no one error for a damaged checkpoint
        raise ValueError(
            f"checkpoint {folder} is damaged or of another version "
            f"({_first(error)}): train it again, or restore the folder"
        ) from None


class LoadedRun(NamedTuple):
    """A trained method, ready to predict."""

    config: ConfigDict
    method: Method
    variables: Variables
    aux: Aux
    categories: CategoryMap


def load_run(workdir: str | Path, stage: str | None = None) -> LoadedRun:
    """The run in `workdir`, after its last finished stage or the one named.

    `categories` is the identity, `object 0` and on, where the run was not fitted to class names.

    Raises:
      ValueError: the folder holds no run, no finished stage, or a damaged one.
    """
    run = RunFolder(workdir)
    config = run.config()
    method = create(config, _recorded_info(run))
    finished = [
        phase.checkpoint_name
        for phase in method.phases()
        if phase.checkpoint_name and (run.stages / phase.checkpoint_name).is_dir()
    ]
    if not finished:
        raise ValueError(
            f"{run.path} has no finished stage yet: go on with `avloc train --workdir {run.path}`"
        )
    stage = finished[-1] if stage is None else stage
    if stage not in finished:
        raise ValueError(f"{run.path} has no stage {stage!r}; finished: {', '.join(finished)}")
    variables, aux = shapes(method, config)
    tree = read_stage(run.stages / stage, {"variables": variables, "aux": aux})
    if run.categories.is_file():
        categories = CategoryMap.from_json(json.loads(run.categories.read_text()))
    else:
        made = jax.eval_shape(method.predict, variables, aux, example_batch(config))
        categories = CategoryMap.unnamed(made.scores.shape[-1])
    return LoadedRun(config, method, tree["variables"], tree["aux"], categories)


def record_info(run: RunFolder, info: DatasetInfo) -> None:
    """Notes in the run what its data set was, so that it loads without the data."""
    write_atomically(run.path / "data.json", json.dumps(asdict(info), indent=2))


def _recorded_info(run: RunFolder) -> DatasetInfo:
    file = run.path / "data.json"
    if not file.is_file():
        raise ValueError(f"{run.path} has no data.json: the run never started; train it anew")
    info = json.loads(file.read_text())
    return DatasetInfo(**{**info, "class_names": tuple(info["class_names"])})


def shapes(method: Method, config: ConfigDict) -> tuple[Any, Any]:
    """Shapes of a method's variables and aux."""
    batch = example_batch(config)
    return jax.eval_shape(lambda: method.init(jax.random.key(0), batch))


def example_batch(config: ConfigDict, size: int = 2) -> Batch:
    """A blank batch of the config's shapes."""
    side = config.image_size
    return Batch.of(np.zeros((size, side, side, 3), np.uint8), np.zeros((size, 16000), np.int16))


def _storable(tree: Any) -> Any:
    return jax.tree.map(lambda x: np.asarray(x) if jax.process_count() == 1 else x, tree)


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tree)


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
