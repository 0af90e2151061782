"""What is looked at before a run writes anything."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.scenes.imperfect import imperfect
from avloc.evaluation import protocols
from avloc.machine.devices import Devices
from avloc.naming import did_you_mean
from avloc.runs.checkpoints import example_batch, shapes
from avloc.runs.folder import RunFolder
from avloc.training.bounds import noise_split, require_bounds, require_split
from avloc.training.epoch import skips_nonfinite
from avloc.training.feature_cache import require_still
from avloc.training.methods import create, located
from avloc.training.resuming import Checkpoints, origin, refuse_another
from avloc.training.warm_start import first_phase, require_same_data, warm_start
from avloc.types import Method, Phase


def training_data(config: ConfigDict, dataset: Dataset) -> Dataset:
    """What is trained on: the data set with the gaps and the noise of the config, if any.

    Scores are of the data set itself.
    """
    return imperfect(
        dataset,
        singles=config.data.stage_one,
        scenes=noise_split(config),
        missing_categories=config.data.missing_categories,
        noise=config.data.noise,
        seed=config.seed,
    )


def check(config: ConfigDict, dataset: Dataset, run: RunFolder | None = None) -> None:
    """Finds what would fail later, before anything is written.

    Args:
      config: the experiment.
      dataset: what it trains on.
      run: its folder, which need not be there yet. Where it goes on from a checkpoint of its own,
        it needs no other run's.

    Raises:
      ValueError: a checkpoint of another config or other data, a split that is not there or is
        smaller than a batch, fewer clusters than categories or more than clips, stage two without a
        stage one, a checkpoint to start from that is not there or does not fit, an unknown method,
        protocol or way to treat losses that are not finite, a name that a loss does not know, a
        batch that does not divide over the devices, spectrograms where waveforms are mixed,
        stored views of a network that is trained, a number outside its bounds.
    """
    require_bounds(config)
    require_split(config, dataset)
    _require_validation(config, dataset)
    resumed = run is not None and Checkpoints.present(run)
    if resumed:
        refuse_another(run, origin(config, dataset.info))
    method = create(config, dataset.info)
    phases = list(method.phases())
    start = first_phase(config, phases, resumed=resumed)
    for phase in phases[start:]:
        items = len(dataset.source(phase.split))
        if items < config.batch_size:
            raise ValueError(
                f"split {phase.split} holds {items} items, fewer than config.batch_size, "
                f"{config.batch_size}: lower --config.batch_size, or add data"
            )
    if any(phase.epochs and phase.split == config.data.stage_one for phase in phases[start:]):
        _require_videos(config, dataset)
    _require_waveforms(config, dataset)
    _require_weights(config)
    require_still(config, method)
    one = config.stage_one
    # A method of one stage has nothing to learn from another.
    splits = {phase.split for phase in phases if phase.epochs or phase.refresh}
    second = config.stage_two.epochs and {config.data.stage_one, config.data.stage_two} <= splits
    if second and not (one.epochs or one.warmup_epochs or one.warmup_steps or start):
        raise ValueError(
            "stage two needs what a stage one learnt: set config.init_from to RUN/stages/NAME of "
            "another run, or config.stage_one.epochs"
        )
    names = dataset.info.class_names
    if config.get("clusters", len(names)) < len(names):
        raise ValueError(
            f"config.clusters is {config.clusters}, but {config.data.name} has {len(names)} "
            f"categories, of which each needs a cluster: set --config.clusters={len(names)} or more"
        )
    clips, split = len(dataset.source(config.data.stage_one)), config.data.stage_one
    if config.get("clusters", 0) > clips:
        raise ValueError(
            f"config.clusters is {config.clusters}, but split {split} has {clips} clips, of "
            f"which each cluster needs one: set --config.clusters={clips} or less, or add data"
        )
    if config.init_from and not resumed:
        warm_start(config, *shapes(method, config))
        require_same_data(config, dataset.info)
    protocols.get(config.evaluation.single_protocol)
    protocols.get(config.evaluation.scene_protocol)
    for name in config.evaluation.split_protocols.values():
        protocols.get(name)
    if config.negatives not in ("in_batch", "drawn"):
        raise ValueError(f"config.negatives is 'in_batch' or 'drawn', not {config.negatives!r}")
    Devices(config.parallel).require_even(config.batch_size, config.accumulate)
    skips_nonfinite(config)
    _trace(config, method, phases)


def _require_validation(config: ConfigDict, dataset: Dataset) -> None:
    """Refuses a misspelt split; without the usual one, training goes on as long as it may."""
    split, have = config.data.validation, dataset.info.num_examples
    if split and split not in have and split != "validation":
        raise ValueError(
            f"config.data.validation is {split!r}, which {config.data.name} does not have: set "
            f"--config.data.validation to one of {', '.join(have)}, or to nothing"
            + did_you_mean(split, have)
        )


def _require_videos(config: ConfigDict, dataset: Dataset) -> None:
    """Refuses clips of one video: a sound is told from those of others."""
    split = config.data.stage_one
    source = dataset.source(split)
    first = source[0]["video"]
    if all(source[place]["video"] == first for place in range(1, len(source))):
        name = first.decode(errors="replace") if isinstance(first, bytes) else first
        raise ValueError(
            f"split {split} of {config.data.name} has clips of one video only, {name}: networks "
            "learn by telling a sound from those of other videos, so add videos to it"
        )


def _require_weights(config: ConfigDict) -> None:
    """Refuses to freeze what nothing was learnt by."""
    if config.model.frozen and not config.init_from:
        raise ValueError(
            f"config.model.frozen names {', '.join(config.model.frozen)}, whose weights would stay "
            "random: set config.init_from, or --config.model.frozen='()'"
        )


def _require_waveforms(config: ConfigDict, dataset: Dataset) -> None:
    """Refuses to mix what cannot be mixed: a data set may have log-mels and no waveforms."""
    mixes = {
        "config.stage_one.mixtures": config.stage_one.mixtures,
        "config.hearing.epochs": config.hearing.epochs,
        "config.hearing.steps": config.hearing.steps,
    }
    if "identification" in config:
        mixes["config.identification.epochs"] = config.identification.epochs
    wanted = [(config.data.stage_one, name) for name, value in mixes.items() if value]
    if config.data.noise:  # among clips, whose sounds are waveforms
        wanted.append((noise_split(config), "config.data.noise"))
    for split, name in wanted:
        if "log_mel" in dataset.source(split)[0]:
            raise ValueError(
                f"split {split} has log-mel spectrograms and no waveforms, which {name} needs: set "
                f"--{name}=0, or train on a data set with waveforms"
            )


def _trace(config: ConfigDict, method: Method, phases: list[Phase]) -> None:
    """Goes through every loss and the prediction without computing them: bad names show."""
    batch = example_batch(config, 2 * config.accumulate)
    variables, aux = shapes(method, config)
    aux = {**aux, "step": jax.ShapeDtypeStruct((), jnp.int32)}
    with located(config.method):
        for phase in {phase.name: phase for phase in phases if phase.epochs}.values():
            jax.eval_shape(phase.loss, variables, aux, batch, jax.random.key(0))
        jax.eval_shape(method.predict, variables, aux, batch)
