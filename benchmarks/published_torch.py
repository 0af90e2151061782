"""Training steps in PyTorch, organised as the published code organises them.

DSOL's code sends, for each pair, the pair's image, an image of another video and the sound twice
through the networks: 32 images and 32 spectrograms for 16 pairs. In stage two the frozen networks
get all of these as well, though only the class logits of 16 sounds are used. IEr's code was never
published: its steps here do the paper's arithmetic in that organisation, with each cluster's
feature and map computed separately, as the equations are written.

`all_pairs` does the library's own work instead, for GPUs: each image and sound once, all pairs.

Written from the papers' descriptions, with the library's weights, so that losses can be compared.
Layers have the library's names. Only this file imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avloc.inputs import IMAGENET
from avloc.types import Variables
from benchmarks.step_task import Task


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, features: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.plain = stride == 1 and inputs == features
        if not self.plain:
            self.conv_shortcut = nn.Conv2d(inputs, features, 1, stride, bias=False)
            self.bn_shortcut = nn.BatchNorm2d(features)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.plain else self.bn_shortcut(self.conv_shortcut(x))))


class ResNet(nn.Module):
    """ResNet-18 whose last stage keeps the resolution; returns every stage's output."""

    def __init__(self, channels: int, width: int, blocks: tuple[int, ...]):
        super().__init__()
        self.conv_stem = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn_stem = nn.BatchNorm2d(width)
        self.names, self.channels, inputs = [], [], width
        for stage, (count, stride) in enumerate(zip(blocks, (1, 2, 2, 1), strict=True)):
            features = width * 2**stage
            self.names.append([f"stage{stage + 1}_block{block + 1}" for block in range(count)])
            for block, name in enumerate(self.names[-1]):
                self.add_module(name, BasicBlock(inputs, features, 1 if block else stride))
                inputs = features
            self.channels.append(inputs)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu(self.bn_stem(self.conv_stem(x)))
        x, outputs = F.max_pool2d(x, 3, 2, 1), []
        for names in self.names:
            for name in names:
                x = self.get_submodule(name)(x)
            outputs.append(x)
        return outputs


class Correspondence(nn.Module):
    """Both modalities in one space."""

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.visual1 = nn.Conv2d(channels, features, 1)
        self.visual2 = nn.Conv2d(features, features, 1)
        self.audio1 = nn.Linear(channels, features)
        self.audio2 = nn.Linear(features, features)
        self.scale = nn.Parameter(torch.tensor(5.0))

    def see(self, f: Tensor) -> Tensor:
        return F.normalize(self.visual2(F.relu(self.visual1(f))), dim=1)

    def hear(self, g: Tensor) -> Tensor:
        return F.normalize(self.audio2(F.relu(self.audio1(g))), dim=-1)


class Identifier(nn.Module):
    """IEr's distinguishing steps, a matrix for each cluster."""

    def __init__(self, clusters: int, stages: list[int], features: int, middle: int):
        super().__init__()
        self.stages = nn.Parameter(torch.zeros(len(stages)))
        for i, channels in enumerate(stages):
            self.add_module(f"stage{i + 1}", nn.Linear(channels, middle))
        self.matrices = nn.Parameter(torch.zeros(clusters, middle, features))
        self.biases = nn.Parameter(torch.zeros(clusters, features))

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        weights = self.stages.softmax(0)
        f_m = sum(
            weights[i] * self.get_submodule(f"stage{i + 1}")(stage.amax((2, 3)))
            for i, stage in enumerate(stages)
        )
        return [
            f_m @ matrix + bias for matrix, bias in zip(self.matrices, self.biases, strict=True)
        ]


class Heard(NamedTuple):
    """Of a batch: visual map, audio embedding, both in one space, class logits, audio stages."""

    f: Tensor
    g: Tensor
    v: Tensor
    a: Tensor
    audio_logits: Tensor
    stages: list[Tensor]


class Net(nn.Module):
    """Both backbones and all heads of a task's network."""

    def __init__(self, task: Task):
        super().__init__()
        model, clusters = task.config.model, task.config.clusters
        channels = 8 * model.width
        self.visual = ResNet(3, model.width, model.blocks)
        self.audio = ResNet(1, model.width, model.blocks)
        self.correspondence = Correspondence(channels, model.embedding)
        self.visual_classifier = nn.Linear(channels, clusters)
        self.audio_classifier = nn.Linear(channels, clusters)
        if task.config.method == "ier":
            middle = task.config.identifier.middle
            self.identifier = Identifier(clusters, self.audio.channels[:-1], channels, middle)
            self.presence_scale = nn.Parameter(torch.zeros(()))
            self.presence_bias = nn.Parameter(torch.zeros(()))
        load(self, task.state.variables)
        for name, rate in task.learning_rates.items():
            part = getattr(self, name)
            part.requires_grad_(rate > 0)

    def forward(self, images: Tensor, sounds: Tensor) -> Heard:
        f, stages = self.visual(images)[-1], self.audio(sounds)
        g = stages[-1].amax((2, 3))
        v, a = self.correspondence.see(f), self.correspondence.hear(g)
        self.visual_classifier(f.mean((2, 3)))
        return Heard(f, g, v, a, self.audio_classifier(g), stages)

    def maps(self, v: Tensor, a: Tensor) -> Tensor:
        """Localization of each image with one sound."""
        return torch.sigmoid(self.correspondence.scale * torch.einsum("bdhw,bd->bhw", v, a))

    def expanded(self, out: Heard) -> list[Tensor]:
        """IEr's feature of the sounds for each cluster."""
        return [out.g + step for step in self.identifier(out.stages[:-1])]

    def presence(self, feature: Tensor, prototype: Tensor) -> Tensor:
        """Logit that the source of a prototype is present in a feature."""
        return (
            self.presence_scale * F.cosine_similarity(feature, prototype, -1) + self.presence_bias
        )


def load(net: nn.Module, variables: Variables) -> None:
    """Loads the library's weights and statistics into a network."""
    names = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    for path, value in jax.tree_util.tree_flatten_with_path(dict(variables))[0]:
        _, *module, leaf = [part.key for part in path]
        owner = net.get_submodule(".".join(module))
        target = getattr(owner, leaf) if hasattr(owner, leaf) else getattr(owner, names[leaf])
        array = np.asarray(value)
        if leaf == "kernel":
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        with torch.no_grad():
            target.copy_(torch.tensor(array).reshape(target.shape))


Inputs = Mapping[str, Tensor]


def match(net: Net, out: Heard) -> Tensor:
    """BCE of the largest value of each map; the first half are the matching images."""
    found = net.maps(out.v, out.a).amax((1, 2))
    half = len(found) // 2
    target = torch.cat([torch.ones(half), torch.zeros(half)]).to(found)
    return F.binary_cross_entropy(found, target)


def both(net: Net, inputs: Inputs) -> Heard:
    """The pair's images and the others, and the sounds twice."""
    images = torch.cat([inputs["images"], inputs["negatives"]])
    return net(images, torch.cat([inputs["sounds"], inputs["sounds"]]))


def localization(net: Net, inputs: Inputs, aux: Inputs, frozen: Net | None = None) -> Tensor:
    """DSOL, stage one."""
    return match(net, both(net, inputs))


def matching(net: Net, inputs: Inputs, aux: Inputs, frozen: Net) -> Tensor:
    """DSOL, stage two."""
    size = len(inputs["sounds"])
    with torch.no_grad():
        heard = both(frozen, inputs).audio_logits[:size].log_softmax(-1)
    out = both(net, inputs)
    m = torch.einsum("bchw,kc->bkhw", out.f[:size], aux["dictionary"])
    s = m * net.maps(out.v[:size], out.a[:size])[:, None]
    seen = s.mean((2, 3)).log_softmax(-1)
    distance = (seen.exp() * (seen - heard)).sum(-1).mean()
    return distance + 0.5 * match(net, out)


def identification(net: Net, inputs: Inputs, aux: Inputs, frozen: Net | None = None) -> Tensor:
    """IEr, stage one: single clips by their own embedding, mixtures by each cluster's feature."""
    stages = net.audio(inputs["sounds"])
    g = stages[-1].amax((2, 3))
    steps, logits = net.identifier(stages[:-1]), []
    for step, prototype in zip(steps, aux["audio_prototypes"], strict=True):
        single, mixed = net.presence(g, prototype), net.presence(g + step, prototype)
        logits.append(torch.where(inputs["mixed"], mixed, single))
    present = inputs["present"].to(g)
    return F.binary_cross_entropy_with_logits(torch.stack(logits, 1), present)


def referral(net: Net, inputs: Inputs, aux: Inputs, frozen: Net | None = None) -> Tensor:
    """IEr, stage two."""
    out, size = both(net, inputs), len(inputs["sounds"])
    f, v = out.f[:size], out.v[:size]
    seen, shares, heard = [], [], []
    for k, feature in enumerate(net.expanded(out)):
        feature = feature[:size]
        visual = F.cosine_similarity(f, aux["dictionary"][k][:, None, None], 1).clamp(0, 1)
        av = net.maps(v, net.correspondence.hear(feature)) * visual
        seen.append(av.mean((1, 2)))
        shares.append((visual > visual.mean()).to(f).mean((1, 2)))
        heard.append(torch.sigmoid(net.presence(feature, aux["audio_prototypes"][k])))
    product = torch.stack(shares, 1).detach() * torch.stack(heard, 1)
    referred = product / product.sum(-1, keepdim=True).clamp_min(1e-6)
    p, q = torch.stack(seen, 1).log_softmax(-1), referred.log_softmax(-1)
    return _distilled(p, q) + _distilled(q, p) + 0.5 * match(net, out)


def _distilled(target: Tensor, found: Tensor) -> Tensor:
    """Half the divergence from a fixed distribution."""
    target = target.detach()
    return 0.5 * (target.exp() * (target - found)).sum(-1).mean()


LOSSES = {
    "localization": localization,
    "matching": matching,
    "identification": identification,
    "referral": referral,
}
"""Of each phase, by the library's name of it."""


def step(task: Task) -> Callable[[], Tensor]:
    """A function that takes one step, and gives the loss before it.

    It uses as many threads as this process has cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(cores)
    net, frozen = Net(task).train(), Net(task).eval()
    inputs = {name: _tensor(value) for name, value in task.inputs.items()}
    aux = {
        name: torch.tensor(np.asarray(value))
        for name, value in task.state.aux.items()
        if name in ("dictionary", "audio_prototypes")
    }
    loss_of = LOSSES[task.phase.name]
    return _taking(net, task, lambda: loss_of(net, inputs, aux, frozen))


def _taking(net: Net, task: Task, loss_of: Callable[[], Tensor]) -> Callable[[], Tensor]:
    moving = [parameter for parameter in net.parameters() if parameter.requires_grad]
    rate = max(task.learning_rates.values())
    optimizer = torch.optim.Adam(moving, lr=rate, weight_decay=task.weight_decay)

    def take() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return take


class AllPairs(nn.Module):
    """The loss of the library's localization step: BCE of all pairs, of images from 0 to 255."""

    def __init__(self, task: Task):
        super().__init__()
        self.net = Net(task)
        for name, values in (("mean", IMAGENET.mean), ("std", IMAGENET.deviation)):
            self.register_buffer(name, 255 * torch.tensor(values)[:, None, None])

    def forward(self, images: Tensor, sounds: Tensor) -> Tensor:
        out = self.net((images.float() - self.mean) / self.std, sounds)
        with torch.autocast(images.device.type, enabled=False):
            v, a = out.v.float(), out.a.float()
            best = torch.einsum("idhw,jd->ijhw", v, a).amax((2, 3))
            logits = self.net.correspondence.scale * best
            own = torch.eye(len(best), dtype=torch.bool, device=best.device)
            return 0.5 * (F.softplus(-logits[own]).mean() + F.softplus(logits[~own]).mean())


def all_pairs(task: Task, precision: str, compiled: bool) -> Callable[[], Tensor]:
    """A function that takes one step of the library's own work, and returns the loss before it.

    On a GPU, if there is one, with channels-last layouts and without waiting for steps.

    Args:
      task: a localization step, with log-mels in its batch.
      precision: `float32`, `tf32` or `bf16`, which is torch's autocast.
      compiled: whether `torch.compile` makes the loss.
    """
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = {"memory_format": torch.channels_last} if device == "cuda" else {}
    module = AllPairs(task).to(device, **layout).train()
    sounds = np.asarray(task.batch.log_mel)[..., None]
    images, sounds = (_tensor(x).to(device, **layout) for x in (task.batch.image, sounds))
    loss = torch.compile(module) if compiled else module

    def value() -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            return loss(images, sounds)

    return _taking(module.net, task, value)


def wait() -> None:
    """Waits until the GPU has finished all work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _tensor(value: Any) -> Tensor:
    """Channels first, where there are channels."""
    value = np.asarray(value)
    return torch.tensor(
        np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if value.ndim == 4 else value
    )
