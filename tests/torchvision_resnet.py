"""torchvision's ResNet-18 and -34 in NumPy: random weights by its names, and what they give.

Written from the published layout, [N, C, H, W] and float64 throughout; torchvision itself is
compared with where it is installed.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


def state_dict(name: str = "resnet18", width: int = 64, classes: int = 5) -> dict[str, np.ndarray]:
    """Random float32 arrays by name; statistics are far from those that a network starts with."""
    rng, state = np.random.default_rng(width), {}

    def conv(layer: str, outputs: int, inputs: int, kernel: int) -> None:
        shape = (outputs, inputs, kernel, kernel)
        state[f"{layer}.weight"] = rng.normal(0, np.sqrt(1 / (inputs * kernel**2)), shape)

    def norm(layer: str, features: int) -> None:
        state[f"{layer}.weight"] = rng.uniform(0.5, 1.5, features)
        state[f"{layer}.bias"] = rng.normal(0, 0.2, features)
        state[f"{layer}.running_mean"] = rng.normal(0, 0.3, features)
        state[f"{layer}.running_var"] = rng.uniform(0.5, 2, features)
        state[f"{layer}.num_batches_tracked"] = np.array(7)

    conv("conv1", width, 3, 7)
    norm("bn1", width)
    before = width
    for stage, count in enumerate(BLOCKS[name]):
        features = width * 2**stage
        for block in range(count):
            layer = f"layer{stage + 1}.{block}"
            conv(f"{layer}.conv1", features, before, 3)
            norm(f"{layer}.bn1", features)
            conv(f"{layer}.conv2", features, features, 3)
            norm(f"{layer}.bn2", features)
            if before != features:
                conv(f"{layer}.downsample.0", features, before, 1)
                norm(f"{layer}.downsample.1", features)
            before = features
    state["fc.weight"], state["fc.bias"] = rng.normal(size=(classes, before)), np.zeros(classes)
    return {k: x if x.dtype == np.int64 else x.astype(np.float32) for k, x in state.items()}


def forward(state: dict[str, np.ndarray], images: np.ndarray, last_stride: int) -> np.ndarray:
    """What comes out of `layer4`, whose first block has this stride; torchvision's is 2."""
    x = conv(state, "conv1", images.astype(np.float64), stride=2, padding=3)
    x = np.maximum(norm(state, "bn1", x), 0)
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    x = sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2].max((-1, -2))
    for stage in range(1, 5):
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in state:
            layer = f"layer{stage}.{block}"
            stride = {1: 1, 4: last_stride}.get(stage, 2) if block == 0 else 1
            y = conv(state, f"{layer}.conv1", x, stride, padding=1)
            y = np.maximum(norm(state, f"{layer}.bn1", y), 0)
            y = norm(state, f"{layer}.bn2", conv(state, f"{layer}.conv2", y, 1, padding=1))
            if f"{layer}.downsample.0.weight" in state:
                x = conv(state, f"{layer}.downsample.0", x, stride, padding=0)
                x = norm(state, f"{layer}.downsample.1", x)
            x, block = np.maximum(x + y, 0), block + 1
    return x


def conv(state, layer: str, x: np.ndarray, stride: int, padding: int) -> np.ndarray:
    weight = state[f"{layer}.weight"].astype(np.float64)
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    return np.moveaxis(np.tensordot(windows, weight, ((1, 4, 5), (1, 2, 3))), 3, 1)


def norm(state, layer: str, x: np.ndarray) -> np.ndarray:
    weight, bias, mean, var = (
        state[f"{layer}.{kind}"].astype(np.float64)[:, None, None]
        for kind in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias
