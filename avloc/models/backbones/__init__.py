"""Backbones by name, behind one interface. Heads, losses and methods know their channels alone.

A name stands for a maker: `maker(model, axis_name=..., dtype=..., remat=...)` with `config.model`
and keyword arguments that `ResNet` explains. What it returns is a Flax module of the interfaces
below; its parameters stand under `visual` or `audio` in a method's variables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import flax.linen as nn
from jaxtyping import Array, Float

from avloc.inputs import FRONT_ENDS, LogMel, Scaling
from avloc.models.backbones import foundation
from avloc.models.backbones.crnn import CRNN
from avloc.models.backbones.efficientnet import EfficientNetLite0
from avloc.models.backbones.resnet import BLOCKS, ResNet
from avloc.naming import named


class VisualBackbone(Protocol):
    """From pictures to maps of features.

    Attributes:
      scaling: of the pixels that it takes.
      channels: C.
    """

    scaling: Scaling
    channels: int

    def __call__(self, image: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B h w C"]:
        """The map of each picture; `train` says which statistics BatchNorm uses."""


class AudioBackbone(Protocol):
    """From sounds to intermediate stages, and from the last of them to one vector.

    Attributes:
      front_end: what makes its input of a waveform.
      channels: C.
    """

    front_end: LogMel
    channels: int

    def stages(
        self, spectrogram: Float[Array, "B T F 1"], train: bool
    ) -> Sequence[Float[Array, "B _ _ _"]]:
        """Every stage's output, first to last."""

    def summary(self, stage: Float[Array, "B t m C"]) -> Float[Array, "B C"]:
        """The embedding `g` of each sound, from the last stage."""


Maker = Callable[..., nn.Module]
_VISUAL = ("scaling", "channels", "__call__")
_AUDIO = ("front_end", "channels", "stages", "summary")


def _family(model: Any, **common: Any) -> dict[str, Any]:
    return {"width": model.width, "blocks": tuple(model.blocks), **common}


def _heard(model: Any) -> dict[str, LogMel]:
    return {"front_end": named(model.front_end, FRONT_ENDS, "config.model.front_end")}


def _standard(name: str, own: Callable[[Any], dict[str, Any]] = lambda model: {}) -> Maker:
    """The network that torchvision and timm call so, of which there are weights."""
    return lambda model, **common: ResNet(blocks=BLOCKS[name], **own(model), **common)


# `resnet` is of the size that `config.model` says; the others are of their own.
VISUAL: Mapping[str, Maker] = {
    "resnet": lambda model, **common: ResNet(stem_pool=model.stem_pool, **_family(model, **common)),
    **{name: _standard(name) for name in BLOCKS},
    "efficientnet_lite0": lambda model, **common: EfficientNetLite0(**common),
    **{name: foundation.maker(name) for name in foundation.CHANNELS},
}
# Spectrograms are large enough to keep the pooling of the first layer.
AUDIO: Mapping[str, Maker] = {
    "resnet": lambda model, **common: ResNet(**_heard(model), **_family(model, **common)),
    **{name: _standard(name, _heard) for name in BLOCKS},
    "crnn": lambda model, **common: CRNN(width=model.width, **_heard(model), **common),
}


def visual_backbone(model: Any, **common: Any) -> nn.Module:
    """The backbone that `config.model.visual` names.

    Args:
      model: `config.model`.
      common: `axis_name`, `dtype` and `remat`, see `ResNet`.

    Raises:
      ValueError: there is none of that name, or it is no visual backbone.
    """
    return _made(model.visual, VISUAL, "config.model.visual", _VISUAL, model, common)


def audio_backbone(model: Any, **common: Any) -> nn.Module:
    """The backbone that `config.model.audio` names; as `visual_backbone`."""
    return _made(model.audio, AUDIO, "config.model.audio", _AUDIO, model, common)


def _made(
    name: str,
    ours: Mapping[str, Maker],
    field: str,
    wanted: Sequence[str],
    model: Any,
    common: Mapping[str, Any],
) -> nn.Module:
    maker = named(name, ours, field)
    made = maker(model, **common) if callable(maker) else None
    if not isinstance(made, nn.Module) or not all(hasattr(made, part) for part in wanted):
        raise ValueError(
            f"{field} is {name!r}, which makes {type(made).__name__}, no Flax module with "
            f"{', '.join(wanted)}: see docs/adding_a_backbone.md"
        )
    return made
