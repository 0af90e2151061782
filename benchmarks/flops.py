"""Floating-point operations of a training step, by hand and by XLA, and peaks of devices."""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from avloc.inputs import PAPER_LOG_MEL

_HOPPER = {"float32": 67e12, "tf32": 494.5e12, "bf16": 989e12}
_AMPERE = {"float32": 19.5e12, "tf32": 156e12, "bf16": 312e12}

PEAKS = {
    "NVIDIA H200": _HOPPER,
    "NVIDIA H100 80GB HBM3": _HOPPER,
    "NVIDIA H100 PCIe": {"float32": 51e12, "tf32": 378e12, "bf16": 756.5e12},
    "NVIDIA A100-SXM4-40GB": _AMPERE,
    "NVIDIA A100-SXM4-80GB": _AMPERE,
    "NVIDIA A100 80GB PCIe": _AMPERE,
    "NVIDIA A100-PCIE-40GB": _AMPERE,
}
"""Operations a second of a device, by its name in JAX and what it multiplies in: NVIDIA's data
sheets of the H200, H100 and A100, without sparsity (half of what they print with it)."""


def mfu(flops: float, seconds: float, device_kind: str, precision: str) -> float | None:
    """Share of a device's peak that a step reaches; None: the peak is not known."""
    peak = PEAKS.get(device_kind, {}).get(precision)
    return None if peak is None else flops / seconds / peak


def counted(function: Any, *arguments: Any) -> float:
    """Operations of a jitted function as XLA counts them in its program, before optimization.

    Args:
      function: what `jax.jit` gives.
      arguments: arrays or their shapes.
    """
    return function.lower(*arguments).cost_analysis()["flops"]


def convolution(side: tuple[int, int], kernel: int, stride: int, c_in: int, c_out: int) -> float:
    """Operations of a padded convolution of one item: two for each weight on a cell that exists.

    Args:
      side: rows and columns of the input.
    """
    pairs = 1
    for cells in side:
        starts = range(-(kernel // 2), cells + kernel // 2 - kernel + 1, stride)
        pairs *= sum(0 <= start + k < cells for start in starts for k in range(kernel))
    return 2.0 * pairs * c_in * c_out


def backbone(
    side: tuple[int, int], channels: int, config: ConfigDict, pooled: bool
) -> tuple[float, float]:
    """Operations of the convolutions of a backbone on one item: of all, and of the first one.

    Args:
      side: rows and columns of the input.
      channels: of the input.
      config: the experiment's, with `model.width` and `model.blocks`.
      pooled: whether max-pooling follows the first convolution.
    """
    width = config.model.width
    first = total = convolution(side, 7, 2, channels, width)
    side = _halved(_halved(side)) if pooled else _halved(side)
    before = width
    for stage, (count, stride) in enumerate(zip(config.model.blocks, (1, 2, 2, 1), strict=True)):
        features = width * 2**stage
        for block in range(count):
            step = 1 if block else stride
            total += convolution(side, 3, step, before, features)
            if step > 1 or before != features:
                total += convolution(side, 1, step, before, features)
            side = _halved(side) if step == 2 else side
            total += convolution(side, 3, 1, features, features)
            before = features
    return total, first


def step_by_hand(config: ConfigDict, samples: int) -> float:
    """Operations per pair of a localization step: only convolutions, the bulk of it.

    The backward pass takes two for each one of the forward pass, except in the first convolution,
    whose input needs no gradient.

    Args:
      config: the experiment's.
      samples: of a clip's waveform.
    """
    sound = PAPER_LOG_MEL
    inputs = (
        ((config.image_size, config.image_size), 3, config.model.stem_pool),
        ((1 + samples // sound.hop, sound.n_mels), 1, True),
    )
    total = 0.0
    for side, channels, pooled in inputs:
        everything, first = backbone(side, channels, config, pooled)
        total += 3 * everything - first
    return total


def _halved(side: tuple[int, int]) -> tuple[int, int]:
    return tuple(-(-cells // 2) for cells in side)
