"""DailyLife: 100 real scenes of two events of VGGSound's categories (CSOL 4.1)."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.builders.plain_frames import collection
from avloc.data_pipelines.builders.recordings import RecordingsBuilder


class Builder(RecordingsBuilder):
    """DailyLife: real scenes of two everyday events, for testing."""

    VERSION = tfds.core.Version("1.1.0")
    collection = staticmethod(collection)
