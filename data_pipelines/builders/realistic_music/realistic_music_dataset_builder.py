"""Realistic MUSIC: 70 real scenes of three or four instruments, sounding or silent (CSOL 4.1)."""

from __future__ import annotations

import tensorflow_datasets as tfds

from data_pipelines.builders import plain_frames
from data_pipelines.builders.recordings import RecordingsBuilder
from data_pipelines.collection import Collection, Folder

AUTHORS = "the authors of CSOL (github.com/GeWu-Lab/CSOL_TPAMI2021): no download is public"


def collection(folder: Folder) -> Collection:
    """One frame and one second of each video. The authors' layout is not public: the plain one."""
    return plain_frames.collection(folder, authors=AUTHORS)


class Builder(RecordingsBuilder):
    """Realistic MUSIC: real scenes of several instruments, some of them silent, for testing."""

    VERSION = tfds.core.Version("1.0.0")
    collection = staticmethod(collection)
