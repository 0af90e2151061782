"""A trained run, loaded: its method, and what that has learnt."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from avloc.clustering.assignment import CategoryMap
from avloc.naming import did_you_mean
from avloc.runs.checkpoints import example_batch, finished_stages, read_stage, shapes
from avloc.runs.folder import RunFolder
from avloc.runs.recorded import read_categories, read_info, restorable
from avloc.runs.thresholds import stored_threshold
from avloc.training.methods import create
from avloc.types import Aux, DatasetInfo, Method, Variables


class LoadedRun(NamedTuple):
    """A trained method, ready to predict."""

    config: ConfigDict
    method: Method
    variables: Variables
    aux: Aux
    categories: CategoryMap
    info: DatasetInfo


def load_run(workdir: str | Path, stage: str | None = None) -> LoadedRun:
    """The run in `workdir`, after its last finished stage or the one named.

    `categories` is the identity, `object 0` and on, where the run was not fitted to class names.
    `config.inference.sounding` is the threshold that was chosen for the stage, where one was.

    Raises:
      ValueError: the folder holds no run, no finished stage, or a damaged one.
    """
    run = RunFolder(workdir)
    config = run.config()
    info = recorded_info(run)
    method = create(config, info)
    finished = finished_stages(run, method)
    if not finished:
        raise ValueError(
            f"{run.path} has no finished stage yet: go on with `avloc train --workdir {run.path}`"
        )
    stage = finished[-1] if stage is None else stage
    if chosen := stored_threshold(run, stage):
        with config.unlocked():
            config.inference.sounding = chosen.value
    if stage not in finished:
        raise ValueError(
            f"{run.path} has no stage {stage!r}; finished: {', '.join(finished)}"
            + did_you_mean(stage, finished)
        )
    variables, aux = shapes(method, config)
    tree = read_stage(run.stages / stage, {"variables": variables, "aux": aux})
    made = jax.eval_shape(method.predict, variables, aux, example_batch(config))
    clusters = made.scores.shape[-1]
    if run.categories.is_file():
        categories = read_categories(run.categories, clusters)
    else:
        categories = CategoryMap.unnamed(clusters)
    return LoadedRun(config, method, tree["variables"], tree["aux"], categories, info)


def recorded_info(run: RunFolder) -> DatasetInfo:
    """What the run was trained on.

    Raises:
      ValueError: it never started, or its `data.json` is damaged.
    """
    file = run.path / "data.json"
    if not file.is_file():
        raise ValueError(f"{run.path} has no data.json: the run never started; train it again")
    info, split = read_info(file), run.config().data.stage_one
    if split not in info.num_examples:
        with restorable(file):
            raise ValueError(
                f'{file}, "num_examples": the run trained on {split}, which is missing'
            )
    return info
