"""Training steps against the same steps in the published code's organisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from ml_collections import ConfigDict

from avloc.configs import dsol_music, ier_music
from benchmarks import published_jax
from benchmarks.row import Equality, Row, in_turn
from benchmarks.step_task import Task

PAIRS = 16

PHASES = {
    "localization": ("stage-one localization step", dsol_music, 1.5),
    "matching": ("stage-two step", dsol_music, 2.0),
    "identification": ("IEr stage-one step", ier_music, None),
    "referral": ("IEr stage-two step", ier_music, 2.0),
}
"""Name, config and target of each phase's step. IEr's stage one has no images and no pairs, so
both sides do the same work there, and the ratio is reported only."""

PUBLISHED = (
    "beside: two images per pair and the sound twice, images and log-mel ready; "
    "ours: from uint8 and int16, each once; "
)
NOTES = {
    "localization": PUBLISHED,
    "matching": PUBLISHED + "beside: all frozen networks run, ours: only the audio network; ",
    "identification": "both: only mixtures of sounds; beside: each cluster's feature separately, "
    "mixtures and log-mel ready; ours: from int16",
    "referral": PUBLISHED
    + "IEr published no code: beside is its arithmetic in DSOL's organisation, "
    "each cluster separately; ",
}
NEGATIVES = {
    "in_batch": "negatives: all other pairs of the batch",
    "drawn": "negatives: the same drawn images, so two images per pair here too",
}


def rows(quick: bool) -> Iterator[Row]:
    """16 pairs at 224x224 and 201x64, full width; `quick`: 4 at 32x32, narrow."""
    for phase in PHASES:
        yield from phase_rows(phase, quick)


def phase_rows(phase: str, quick: bool) -> Iterator[Row]:
    """A phase against PyTorch and JAX, and with drawn negatives against PyTorch."""
    title, module, target = PHASES[phase]
    config = module.get_config()
    size, unit = PAIRS, "sounds" if phase == "identification" else "pairs"
    if quick:
        size = 4
        narrow(config)
    task = Task.of(config, phase, size)
    calls: dict[str, Callable[[], Any]] = {
        "in_batch": task.ours("in_batch"),
        "drawn": task.ours("drawn"),
        "JAX": published_jax.step(task),
    }
    if find_spec("torch"):
        from benchmarks import published_torch

        calls["PyTorch"] = published_torch.step(task)
    first = {name: float(call()) for name, call in calls.items()}
    times = in_turn(calls, rounds=1 if quick else 5)

    def row(ours: str, beside: str, target: float | None) -> Row:
        found = abs(first[beside] / first["drawn"] - 1) if beside in first else 0.0
        equality = Equality("relative difference of the first loss, negatives drawn", found, 1e-4)
        return Row(
            f"{title}, {size} {unit}" + (", drawn negatives" if ours == "drawn" else ""),
            f"published organisation, {beside}",
            times[ours],
            times.get(beside, ()),
            target=target,
            equality=equality if beside in times else None,
            amount=size,
            unit=unit,
            note=NOTES[phase] + ("" if phase == "identification" else NEGATIVES[ours]),
            missing="" if beside in times else "torch is not installed",
        )

    yield row("in_batch", "PyTorch", target)
    yield row("in_batch", "JAX", target)
    if phase != "identification":  # it has no negatives
        yield row("drawn", "PyTorch", None)


def narrow(config: ConfigDict) -> None:
    """A tiny size, for a test."""
    with config.unlocked():
        config.image_size = 32
        config.model.update(width=4, blocks=(0, 1, 0, 1), embedding=8)
        config.clusters = 4
        if config.method == "ier":
            config.identifier.middle = 8
