"""The weights and state of a run after a stage, as a permanent Orbax checkpoint."""

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

# Next to a stage's arrays; missing in stages written by an earlier version.
_DIGEST = "digest"


def save_stage(run: RunFolder, name: str, state: TrainState) -> None:
    """Saves a stage's variables and aux under its name, permanently."""
    folder, tree = run.stages / name, storable({"variables": state.variables, "aux": state.aux})
    with writing(folder), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, tree, force=True)
    write_atomically(folder / _DIGEST, digest_of(tree))


def read_stage(folder: Path, like: Any = None) -> Any:
    """A stage's `{"variables", "aux"}` as host arrays.

    Args:
      folder: that `save_stage` wrote.
      like: arrays or shapes that it must have; by default those it was saved with.

    Raises:
      ValueError: it is damaged, or does not match.
    """
    # Every process reads on its own, whether or not the others do.
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
            raise ValueError("its arrays differ from those that were saved")
        return tree
    except Exception as error:  # Orbax has no single error for a damaged checkpoint
        raise ValueError(
            f"checkpoint {folder} is damaged or of another version "
            f"({first_line(error)}): train it again, or restore the folder"
        ) from None


def finished_stages(run: RunFolder, method: Method) -> list[str]:
    """Names of the finished stages of a run, first to last."""
    names = (phase.checkpoint_name for phase in method.phases())
    return [name for name in names if name and (run.stages / name).is_dir()]


def record_info(run: RunFolder, info: DatasetInfo) -> None:
    """Stores a description of the data set in the run, so that it loads without the data."""
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
    """A copy of the arrays that the step cannot reuse, for Orbax."""
    return jax.tree.map(lambda x: np.asarray(x) if jax.process_count() == 1 else x, tree)


def abstract(tree: Any) -> Any:
    """Arrays of the same shapes and types, to restore as NumPy arrays."""
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tree)


def first_line(error: Exception) -> str:
    """The first line of an error, shortened."""
    return str(error).strip().split("\n")[0][:200]
