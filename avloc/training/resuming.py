"""What a stopped run goes on from: Orbax checkpoints that are checked and can be done without."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import grain
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from avloc.json_files import parse_json
from avloc.progress import say
from avloc.runs.checkpoints import abstract, first_line, storable
from avloc.runs.digests import digest_of, seal, unseal
from avloc.runs.experiment import differences, with_later_fields
from avloc.runs.folder import RunFolder
from avloc.runs.unwritable import writing
from avloc.types import DatasetInfo, TrainState


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

    A checkpoint's number counts saves, not steps, as phases may end without a step. It has the
    state, the cursor, the data loader's place where an epoch was broken off, and the config and the
    data that it is of; each with a digest, so that damage shows.

    Args:
      run: the folder.
      config: of the run.
      info: of the data set that it trains on.

    Raises:
      ValueError: the folder cannot be written.
    """

    def __init__(self, run: RunFolder, config: ConfigDict, info: DatasetInfo):
        self._run = run
        self._origin = origin(config, info)
        self._damaged: list[int] = []
        self._place: dict[str, Any] | None = None
        with writing(run.checkpoints):
            self._manager = ocp.CheckpointManager(
                run.checkpoints,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=2, create=True, cleanup_tmp_directories=True
                ),
                item_names=("state", "progress", "origin", "iterator"),
            )

    @staticmethod
    def present(run: RunFolder) -> bool:
        """Whether the run has one to resume from."""
        return bool(_numbers(run))

    def save(
        self, state: TrainState, progress: Progress, iterator: grain.DatasetIterator | None = None
    ) -> None:
        """Saves in the background; the state is copied first.

        Raises:
          ValueError: this one or the one before it could not be written.
        """
        state = storable(state)
        cursor = asdict(progress) | {"rows": len(self._run.epochs())}
        items = {
            "state": ocp.args.StandardSave(state),
            "progress": ocp.args.JsonSave(seal({"cursor": cursor, "state": digest_of(state)})),
            "origin": ocp.args.JsonSave(seal(self._origin)),
        }
        if progress.mid_epoch:
            # The same on every process, so that any number of them goes on from it.
            items["iterator"] = ocp.args.JsonSave(seal(iterator.get_state()))
        number = (self._manager.latest_step() or 0) + 1
        with writing(self._run.checkpoints):
            while self._damaged:  # else they would be kept for the two newest
                self._manager.delete(self._damaged.pop())
            self._manager.save(number, args=ocp.args.Composite(**items))

    def restore(self, like: TrainState) -> tuple[TrainState, Progress] | None:
        """The newest state and its cursor, on the host; None where nothing was saved.

        A damaged checkpoint is passed over, with a word, for the one before it.

        Raises:
          ValueError: there are checkpoints, but none can be read; or they are of another config or
            other data.
        """
        self._manager.wait_until_finished()
        refuse_another(self._run, self._origin)
        numbers = sorted(self._manager.all_steps(), reverse=True)
        for number in numbers:
            try:
                restored = self._read(number, like)
            except Exception as error:  # Orbax has no one error for a damaged checkpoint
                where = f"checkpoint {number} in {self._run.checkpoints}"
                say(f"{where} is damaged: {first_line(error)}")
                self._damaged.append(number)
                continue
            return restored
        if numbers:
            raise ValueError(
                f"no checkpoint in {self._run.checkpoints} can be read: remove the workdir and "
                "train again"
            )
        return None

    def _read(self, number: int, like: TrainState) -> tuple[TrainState, Progress]:
        _read_origin(self._run, number)

        def item(name: str, how: Any) -> Any:
            return self._manager.restore(number, args=ocp.args.Composite(**{name: how}))[name]

        stored = unseal(item("progress", ocp.args.JsonRestore()))
        progress = Progress(**stored["cursor"])
        if progress.mid_epoch:
            self._place = unseal(item("iterator", ocp.args.JsonRestore()))
        known = self._optimizers(number)
        own = {name: x for name, x in like.optimizers.items() if name in known}
        part = abstract(like._replace(optimizers=own))
        state = item("state", ocp.args.StandardRestore(part))
        if digest_of(state) != stored["state"]:
            raise ValueError("its arrays are not those that were saved")
        return state._replace(optimizers={**like.optimizers, **state.optimizers}), progress

    def _optimizers(self, number: int) -> set[str]:
        """Names of those in a checkpoint: the run may have begun before there was another."""
        folder = self._run.checkpoints / str(number) / "state"
        return set(ocp.StandardCheckpointHandler().metadata(folder).tree["optimizers"])

    def restore_iterator(self, iterator: grain.DatasetIterator) -> None:
        """Puts the iterator where it stood at the restored checkpoint."""
        iterator.set_state(self._place)

    def close(self) -> None:
        """Waits for saves under way.

        Raises:
          ValueError: the last one could not be written.
        """
        with writing(self._run.checkpoints):
            self._manager.wait_until_finished()
            self._manager.close()


def origin(config: ConfigDict, info: DatasetInfo) -> dict[str, Any]:
    """What a checkpoint is of: the config, and the data wherever they lie. Plain JSON."""
    data = asdict(info)
    del data["extra"]
    today = with_later_fields(ConfigDict(config.to_dict())).to_dict()
    return json.loads(json.dumps({"config": today, "data": data}))


def refuse_another(run: RunFolder, here: dict[str, Any]) -> None:
    """Raises ValueError where the newest checkpoint is of another config or of other data.

    Args:
      run: the folder.
      here: the `origin` of what is to go on.
    """
    for number in sorted(_numbers(run), reverse=True):
        try:
            there = _read_origin(run, number)
        except (OSError, ValueError):  # damaged: `restore` says so
            continue
        config = differences(there["config"], here["config"])
        # What a trained network is used with may be changed at any time.
        config = [line for line in config if not line.startswith("config.inference.")]
        if config:
            raise ValueError(
                f"{run.path} holds a run of another config; name another workdir, or undo: "
                + "; ".join(config)
            )
        data = differences(*_plain_data(there["data"], here["data"]), "data")
        if data:
            raise ValueError(
                f"{run.path} holds a run on other data; name another workdir, or bring those back: "
                + "; ".join(data)
            )
        return


def _plain_data(there: dict[str, Any], here: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Both without how the data are stored; that is the fingerprint of earlier versions."""
    there, here = dict(there), dict(here)
    there.pop("stored", None)
    stored = here.pop("stored", "")
    if stored and stored == there.get("fingerprint"):
        there["fingerprint"] = here.get("fingerprint", "")
    return there, here


def _read_origin(run: RunFolder, number: int) -> dict[str, Any]:
    # Not by Orbax, whose manager clears the folder up: this is asked before anything is written.
    file = run.checkpoints / str(number) / "origin" / "metadata"
    there = unseal(parse_json(file.read_text()))
    there["config"] = with_later_fields(ConfigDict(there["config"])).to_dict()
    return there


def _numbers(run: RunFolder) -> list[int]:
    return [int(path.name) for path in run.checkpoints.glob("*") if path.name.isdigit()]
