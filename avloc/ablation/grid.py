"""The runs of an ablation: the config and folder of each one, and their order."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from avloc.ablation.bases import Bases
from avloc.ablation.declaration import SHARED, Ablation, check_seeds
from avloc.naming import did_you_mean
from avloc.runs.config_files import call
from avloc.runs.experiment import differences, load_config, override
from avloc.runs.folder import RunFolder
from avloc.training.methods import create
from avloc.types import DatasetInfo

# Baselines are the same in every cell, and take most of the scoring time.
DEFAULTS = {"evaluation.baselines": False}


@dataclass(frozen=True, eq=False)
class Run:
    """One cell, or shared run, from one seed.

    Attributes:
      name: of the cell, or of the shared run.
      seed: its `config.seed`.
      folder: its workdir; absolute.
      file: its config file.
      changes: fields set on it, by dotted name, without the seed and the start.
      config: the resulting config; its `init_from` is not used where there is an `after`.
      after: the shared run that must be finished first.
      stage: of a shared run, the checkpoint that others start from; else empty.
    """

    name: str
    seed: int
    folder: Path
    file: str
    changes: Mapping[str, Any]
    config: ConfigDict = field(repr=False)
    after: Run | None = None
    stage: str = ""

    @property
    def finished(self) -> bool:
        """Whether it has been trained and scored."""
        return (self.folder / "metrics.json").is_file()

    @property
    def init_from(self) -> str:
        """What it starts from: a checkpoint of another run, or what its config says."""
        if self.after:
            return str(RunFolder(self.after.folder).stages / self.after.stage)
        return self.config.init_from

    def command(self, data_dir: str | None = None) -> list[str]:
        """The command that trains or continues it."""
        values = self.changes | {"seed": self.seed}
        if self.after:
            values |= {"init_from": self.init_from}
        words = [sys.executable, "-m", "avloc", "train", "--config", self.file]
        words += ["--workdir", str(self.folder)]
        words += [f"--config.{name}={_text(value)}" for name, value in values.items()]
        return [*words, "--data-dir", data_dir] if data_dir else words

    def check_folder(self) -> None:
        """Raises a ValueError if its folder has a run of another config.

        Fields that only one of the two has are ignored: they belong to another version. The
        location of the start is ignored too, as long as it has the same name.
        """
        if not (self.folder / "config.json").is_file():
            return
        there, here = RunFolder(self.folder).config(), self.config.copy_and_resolve_references()
        with here.unlocked():
            here.init_from = self.init_from
            old = there.get("init_from", "")
            if Path(old).parts[-5:] == Path(self.init_from).parts[-5:]:
                here.init_from = old
        changed = [line for line in differences(there, here) if "'absent'" not in line]
        if changed:
            raise ValueError(
                f"{self.folder} holds a run of another config; name another workdir, or undo: "
                + "; ".join(changed)
            )


class Grid:
    """All runs of an ablation in a workdir.

    Args:
      ablation: the declaration.
      workdir: where runs are.
      seeds: instead of the declaration's.
      bases: config files in place of the declaration's, one for each method: its runs get that one.
        All have the data and the number of clusters of the first.

    Attributes:
      ablation: the declaration.
      config: its config file, or the first base.
      workdir: absolute.
      seeds: the seeds.
      shared: the shared runs, by name and seed.
      cells: the cells, by name and seed, without the shared runs that are shown.
      rows: the rows of the table: the shared runs that are shown, then the cells.

    Raises:
      ValueError: a change that does not fit its config, two rows that are the same run, or a
        method without a base.
    """

    def __init__(
        self,
        ablation: Ablation,
        workdir: str | Path,
        seeds: Sequence[int] | None = None,
        bases: Sequence[str] = (),
    ):
        self.ablation = ablation
        self._bases = Bases(bases)
        self.config = bases[0] if bases else ablation.config
        self.workdir = Path(os.path.abspath(workdir))
        self.seeds = tuple(ablation.seeds if seeds is None else seeds)
        check_seeds(self.seeds)
        self.shared: dict[str, dict[int, Run]] = {}
        self.cells: dict[str, dict[int, Run]] = {}
        for name, shared in ablation.shared.items():
            starts = self.shared[shared.start] if shared.start else {}
            self.shared[name] = self._runs(name, shared, f"{SHARED}/{name}", starts, shared.stage)
        for name, cell in ablation.cells.items():
            starts = self.shared[cell.start] if cell.start else {}
            self.cells[name] = self._runs(name, cell, name, starts)
        shown = {run.shown_as: self.shared[name] for name, run in ablation.shared.items()}
        shown.pop("", None)
        self.rows = shown | self.cells
        self._check_different()
        self._check_columns()

    def choose(self, names: Iterable[str] | None = None) -> list[Run]:
        """The runs of these rows, all by default, after the shared runs that they still need.

        Raises:
          ValueError: there is no such row.
        """
        names = list(self.rows if names is None else names)
        for name in names:
            if name not in self.rows:
                raise ValueError(
                    f"there is no cell {name!r}; there are {', '.join(self.rows)}"
                    + did_you_mean(name, self.rows)
                )
        chosen = [run for name in names for run in self.rows[name].values()]
        waiting = [run for run in chosen if not run.finished]
        depths: list[list[Run]] = []
        while waiting := [run.after for run in waiting if run.after]:
            depths.insert(0, waiting)
            waiting = [run for run in waiting if not run.finished]
        return list(dict.fromkeys([*(run for starts in depths for run in starts), *chosen]))

    def _runs(
        self,
        name: str,
        declared: Any,
        folder: str,
        starts: Mapping[int, Run] | None = None,
        stage: str = "",
    ) -> dict[int, Run]:
        file = declared.config or self.ablation.config
        file, shared = self._bases.of(file, name)
        changes = DEFAULTS | shared | dict(declared.changes)
        config = changed(load_config(file), changes, name, starts=bool(starts))
        runs = {}
        for seed in self.seeds:
            own = override(config.copy_and_resolve_references(), [("seed", str(seed))])
            place = self.workdir / folder / f"seed_{seed}"
            after = (starts or {}).get(seed)
            runs[seed] = Run(name, seed, place, file, changes, own, after, stage)
        return runs

    def _check_different(self) -> None:
        seen: dict[str, str] = {}
        for name, runs in self.rows.items():
            run = runs[self.seeds[0]]
            start = run.after.name if run.after else ""
            key = json.dumps([run.config.to_dict(), start], sort_keys=True)
            if key in seen:
                raise ValueError(f"cells {seen[key]} and {name} are the same run: leave one out")
            seen[key] = name

    def _check_columns(self) -> None:
        data = [runs[self.seeds[0]].config.data for runs in self.rows.values()]
        scored = {split for d in data for split in (d.single_test, *d.scene_tests)}
        for split, _ in self.ablation.columns:
            if split not in scored | {"*"}:
                raise ValueError(
                    f"no cell is scored on split {split!r}, which the ablation's columns name; "
                    f"cells are on {', '.join(sorted(scored))}"
                )


def load_ablation(path: str | Path) -> Ablation:
    """The ablation that a file's `get_ablation()` returns; shipped ones also by file name.

    Raises:
      ValueError: there is no such file, it has no such function, or its declaration is wrong.
    """
    import avloc.configs

    try:
        return call(path, "get_ablation", Path(avloc.configs.__file__).parent / "ablations")
    except TypeError as error:
        raise ValueError(f"{path} is not an ablation: {error}") from None


def changed(
    config: ConfigDict, changes: Mapping[str, Any], name: str, starts: bool = True
) -> ConfigDict:
    """The config with fields set by dotted name; `name` is used in messages.

    `starts`: whether it starts from a shared run, which then sets `init_from`.

    Raises:
      ValueError: an unknown field, a value of another type, or a field that the runner sets.
    """
    for dotted, value in changes.items():
        if dotted == "seed" or (dotted == "init_from" and starts):
            raise ValueError(f"cell {name}: config.{dotted} is set by the runner; leave it out")
        try:
            override(config, [(dotted, _text(value))])
        except ValueError as error:
            raise ValueError(f"cell {name}: {error}") from None
        node: Any = config
        for part in dotted.split("."):
            node = node[part]
        if node != value:
            kind = type(node).__name__
            raise ValueError(f"cell {name}: config.{dotted} must be of type {kind}, not {value!r}")
    return config


def check_stage(run: Run, info: DatasetInfo) -> None:
    """Raises a ValueError if a shared run never reaches the stage that others start from."""
    names = [phase.checkpoint_name for phase in create(run.config, info).phases()]
    if run.stage and run.stage not in names:
        there = ", ".join(filter(None, names)) or "none"
        hint = did_you_mean(run.stage, filter(None, names))
        raise ValueError(
            f"shared run {run.name} has no stage {run.stage!r}; its stages: {there}{hint}"
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
