"""Realistic MUSIC: 70 real scenes of three or four instruments, sounding or silent (CSOL 4.1)."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.builders.plain_frames import collection
from avloc.data_pipelines.builders.recordings import RecordingsBuilder


class Builder(RecordingsBuilder):
    """Realistic MUSIC: real scenes of several instruments, some of them silent, for testing."""

    VERSION = tfds.core.Version("1.1.0")
    collection = staticmethod(collection)
