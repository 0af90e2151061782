"""Pure Flax modules; no input or output, no devices."""

from avloc.models.audiovisual import AudioVisualNet, Embeddings, Instances
from avloc.models.backbones.resnet import ResNet
from avloc.models.heads import CorrespondenceHead, pairwise_cosine
from avloc.models.identifier import DistinguishingSteps, InstanceNet
from avloc.models.unet import GuidedSeparator, Separator, UNet

__all__ = [
    "AudioVisualNet",
    "CorrespondenceHead",
    "DistinguishingSteps",
    "Embeddings",
    "GuidedSeparator",
    "InstanceNet",
    "Instances",
    "ResNet",
    "Separator",
    "UNet",
    "pairwise_cosine",
]
