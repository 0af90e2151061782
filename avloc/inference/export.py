"""Exports a trained model for use without this library: parameters, a function, a description."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import Array, Float, Int16, UInt8
from safetensors.numpy import save

from avloc.data_pipelines.records.features import CLIP_SECONDS, SAMPLE_RATE
from avloc.inference.category_maps import by_category
from avloc.inference.exported import ABOUT, FUNCTION, is_export
from avloc.inference.model import Model
from avloc.reports.model_card import FORMAT, card, describe
from avloc.runs.checkpoints import finished_stages
from avloc.runs.folder import RunFolder
from avloc.training.loading import LoadedRun, load_run
from avloc.types import Batch

PLATFORMS = ("cpu", "cuda", "tpu")
"""Where the exported function runs."""

PARAMETERS, TREE = "parameters.safetensors", "orbax"
EXAMPLE, CARD = "load_example.py", "README.md"
_OURS = (FUNCTION, PARAMETERS, TREE, EXAMPLE, CARD, ABOUT)


def export_model(checkpoint: str | Path, out: str | Path) -> Path:
    """Writes a stage of a run to a folder that needs neither the run nor this library.

    The folder is never incomplete: it is written beside `out` and renamed.

    Args:
      checkpoint: a workdir, of which the last finished stage is taken, or `RUN/stages/NAME`.
      out: a folder that does not exist, is empty, or contains only an earlier export.

    Returns:
      The folder's absolute path.

    Raises:
      ValueError: no run, no such finished stage, weights that are not finite, a folder of
        something else.
    """
    out = Path(out).expanduser().resolve()
    _require_free(out)
    folder = Path(checkpoint).expanduser().absolute()
    workdir, stage = folder, None
    if folder.parent.name == "stages":
        workdir, stage = folder.parents[1], folder.name
    run, loaded = RunFolder(workdir), load_run(workdir, stage)
    stage = stage or finished_stages(run, loaded.method)[-1]
    tree = {**loaded.variables, "aux": loaded.aux}
    arrays = named(tree)
    _require_finite(arrays, run.stages / stage)
    function = exported(loaded)
    about = describe(run, stage, loaded, Model(*loaded).digest(), function)

    out.parent.mkdir(parents=True, exist_ok=True)
    made = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        made.mkdir()
        (made / FUNCTION).write_bytes(function.serialize())
        # Not by `save_file`, whose error of a full disk is no OSError. One entry of metadata: the
        # library writes several in any order, and equal models give equal files.
        (made / PARAMETERS).write_bytes(save(arrays, {"format": FORMAT}))
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(made / TREE, tree)
        shutil.copyfile(Path(__file__).with_name(EXAMPLE), made / EXAMPLE)
        about["files"] = {path.name: _facts(path) for path in sorted(made.iterdir())}
        (made / CARD).write_text(card(run, about), encoding="utf-8")
        (made / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        _move(made, out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return out


def exported(loaded: LoadedRun) -> jax.export.Exported:
    """The function from pictures and sounds to maps and scores of categories, parameters inside.

    `image [batch, S, S, 3]` uint8 and `waveform [batch, T]` int16 give `maps [batch, h, w, N]` and
    `scores [batch, N]`, as `Model.predict` does for views of size S; `batch` is symbolic.
    """
    side, samples = loaded.config.image_size, CLIP_SECONDS * SAMPLE_RATE

    def one(
        image: UInt8[Array, "S S 3"], waveform: Int16[Array, " T"]
    ) -> tuple[Float[Array, "h w K"], Float[Array, " K"]]:
        batch = Batch.of(image[None], waveform[None])
        found = loaded.method.predict(loaded.variables, loaded.aux, batch)
        return found.maps[0], found.scores[0]

    def localize(
        image: UInt8[Array, "batch S S 3"], waveform: Int16[Array, "batch T"]
    ) -> tuple[Float[Array, "batch h w N"], Float[Array, "batch N"]]:
        # Mapped over items, so that no method sees a symbolic shape.
        return by_category(loaded.categories, *jax.vmap(one)(image, waveform), waveform)

    (batch,) = jax.export.symbolic_shape("batch")
    image = jax.ShapeDtypeStruct((batch, side, side, 3), np.uint8)
    waveform = jax.ShapeDtypeStruct((batch, samples), np.int16)
    with _no_source_lines():
        return jax.export.export(jax.jit(localize), platforms=PLATFORMS)(image, waveform)


@contextmanager
def _no_source_lines() -> Iterator[None]:
    """Keeps the paths of this machine out of the export."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)


def named(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree by path: `params/visual/conv_stem/kernel`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf, order="C")
        for path, leaf in leaves
    }


def _require_finite(arrays: dict[str, np.ndarray], stage: Path) -> None:
    for name, x in arrays.items():
        if jax.numpy.issubdtype(x.dtype, np.inexact) and not np.isfinite(x).all():
            raise ValueError(
                f"{name} in {stage} holds NaN or infinity: export a stage of a run that did not "
                "diverge"
            )


def _require_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: name a folder with --out")
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if there and (ABOUT not in there or not there <= {*_OURS} or not is_export(out)):
        other = min(there - {*_OURS}, default=ABOUT)
        raise ValueError(
            f"{out} contains something other than an earlier export ({other}): name another folder "
            "with --out, or empty it"
        )


def _facts(path: Path) -> dict[str, Any]:
    """Bytes of a file or folder; of a file the digest too."""
    if path.is_dir():
        return {"bytes": sum(p.stat().st_size for p in path.rglob("*") if p.is_file())}
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _move(made: Path, out: Path) -> None:
    """Replaces a folder by another; the old one is removed last."""
    _require_free(out)
    if not out.is_dir():
        made.rename(out)
        return
    old = made.with_name(f"{made.name}.old")
    out.rename(old)
    try:
        made.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old)
