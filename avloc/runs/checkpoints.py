"""What a run has learnt after a stage, as an Orbax checkpoint that stays."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from avloc.models.backbones import audio_backbone
from avloc.runs.digests import digest_of
from avloc.runs.folder import RunFolder, write_atomically
from avloc.runs.unwritable import writing
from avloc.types import Batch, DatasetInfo, Method, TrainState

# Beside a stage's arrays; not in stages that an earlier version wrote.
_DIGEST = "digest"


def save_stage(run: RunFolder, name: str, state: TrainState) -> None:
    """Saves a stage's variables and aux under its name, to be kept and used."""
    folder, tree = run.stages / name, storable({"variables": state.variables, "aux": state.aux})
    with writing(folder), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, tree, force=True)
    write_atomically(folder / _DIGEST, digest_of(tree))


def read_stage(folder: Path, like: Any = None) -> Any:
    """A stage's `{"variables", "aux"}` as host arrays.

    Args:
      folder: that `save_stage` wrote.
      like: arrays or shapes that it must have; by default those that it has.

    Raises:
      ValueError: it is damaged, or not like that.
    """
    # Every process reads by itself, whether or not the others do.
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix=f"process_{jax.process_index()}",
    )
    try:
        with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
            if like is None:
                like = checkpointer.metadata(folder).item_metadata.tree
            tree = checkpointer.restore(folder, abstract(like))
        digest = folder / _DIGEST
        if digest.is_file() and digest.read_text() != digest_of(tree):
            raise ValueError("its arrays are not those that were saved")
        return tree
    except Exception as error:  # Orbax has no one error for a damaged checkpoint
        raise ValueError(
            f"checkpoint {folder} is damaged or of another version "
            f"({first_line(error)}): train it again, or restore the folder"
        ) from None


def finished_stages(run: RunFolder, method: Method) -> list[str]:
    """Names of the stages of a run that are there, first to last."""
    names = (phase.checkpoint_name for phase in method.phases())
    return [name for name in names if name and (run.stages / name).is_dir()]


def record_info(run: RunFolder, info: DatasetInfo) -> None:
    """Notes in the run what its data set was, so that it loads without the data."""
    write_atomically(run.path / "data.json", json.dumps(asdict(info), indent=2))


def shapes(method: Method, config: ConfigDict) -> tuple[Any, Any]:
    """Shapes of a method's variables and aux."""
    batch = example_batch(config)
    return jax.eval_shape(lambda: method.init(jax.random.key(0), batch))


def example_batch(config: ConfigDict, size: int = 2) -> Batch:
    """A blank batch of the config's shapes; sounds are as long as its audio backbone needs."""
    side, sound = config.image_size, audio_backbone(config.model).front_end
    samples = round((sound.seconds or 1.0) * sound.sample_rate)
    return Batch.of(np.zeros((size, side, side, 3), np.uint8), np.zeros((size, samples), np.int16))


def storable(tree: Any) -> Any:
    """A copy of the arrays that the step may not reuse, as Orbax takes it."""
    return jax.tree.map(lambda x: np.asarray(x) if jax.process_count() == 1 else x, tree)


def abstract(tree: Any) -> Any:
    """Arrays of the same shapes and types, to restore as NumPy arrays."""
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tree)


def first_line(error: Exception) -> str:
    """What an error says first, cut short."""
    return str(error).strip().split("\n")[0][:200]
