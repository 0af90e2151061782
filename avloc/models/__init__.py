"""Pure Flax modules; no input or output, no devices."""

from avloc.models.audiovisual import AudioVisualNet, Embeddings
from avloc.models.heads import CorrespondenceHead, pairwise_cosine
from avloc.models.resnet import ResNet

__all__ = ["AudioVisualNet", "CorrespondenceHead", "Embeddings", "ResNet", "pairwise_cosine"]
