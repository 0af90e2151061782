"""The builder of data sets that are made from recordings and their annotation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from avloc.data_pipelines.builders.accounts import SplitAccount, total_summary
from avloc.data_pipelines.builders.decoding import ClipStore, StoredClips, store_of
from avloc.data_pipelines.builders.placed import Placed
from avloc.data_pipelines.collection import Collection, Folder, Object, Offscreen, Recording
from avloc.data_pipelines.records.features import clip_example, clip_features

_NOWHERE = (0.0, 0.0, 0.0, 0.0)


@dataclass(kw_only=True)
class RecordingsConfig(tfds.core.BuilderConfig):
    """What a data set is made from.

    Attributes:
      source: the user's folder.
      collection: what the data set wants from it.
      workers: processes that decode; 0: only this one.
    """

    source: str
    collection: Collection = field(repr=False)
    workers: int = min(4, os.cpu_count() or 1)

    def fingerprint(self) -> str:
        """Changes whenever a recording of the folder, or what is wanted from it, changes."""
        return self.collection.fingerprint()


class RecordingsBuilder(Placed, tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builds what `collection` finds in a folder; a data set declares both that and `VERSION`.

    A record is a clip of `Collection.clip_seconds`. An annotated moment gives one with one frame,
    the decoded one that is nearest in time, and the moment's objects; where it has none, an object
    without a place for each known label. A recording that is not annotated gives a record for each
    whole clip, with four frames and an object without a place for each known label. `video` is the
    id of the recording; the record's own is the moment's name, or `ID@SECOND`: `ID#2@SECOND` for
    the second recording of that id in a split.

    Attributes:
      VARIANTS: configurations, each with the arguments that `collection` gets beside the folder.
    """

    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"default": {}})

    @staticmethod
    def collection(folder: Folder, **options: Any) -> Collection:
        """What the data set wants, and what of it is in the folder."""
        raise NotImplementedError

    @classmethod
    def config_of(cls, source: str | Path, name: str | None = None) -> RecordingsConfig:
        """The configuration of that name (`default`), for a folder.

        Raises:
          ValueError: there is no such configuration or folder, or an annotation file is missing or
            wrong.
        """
        name = name or "default"
        if name not in cls.VARIANTS:
            known = ", ".join(cls.VARIANTS)
            raise ValueError(f"{cls.name} has no configuration {name!r}; it has {known}")
        folder = Folder(source)
        collection = cls.collection(folder, **cls.VARIANTS[name])
        return RecordingsConfig(name=name, source=str(folder.root), collection=collection)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=clip_features(clip_seconds=self.builder_config.collection.clip_seconds),
            metadata=tfds.core.MetadataDict(),
        )

    @property
    def _store(self) -> ClipStore:
        return store_of(self, seconds=self.builder_config.collection.clip_seconds)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        config, store = self.builder_config, self._store
        splits = config.collection.splits
        _check_names(config.source, splits)
        store.fill(chain.from_iterable(splits.values()), config.workers)
        accounts = {split: SplitAccount(config.collection.classes) for split in splits}
        for split, recordings in splits.items():
            for recording in recordings:
                stored = store.load(recording) if recording.path else None
                accounts[split].add(recording, stored)
        summary = total_summary(accounts, config.collection.notes)
        if not any(account.clips for account in accounts.values()):
            store.discard()
            raise ValueError(f"{config.source}: nothing in it can be used. {summary}")
        self._describe(accounts, summary)
        return {
            split: self._examples(recordings)
            for split, recordings in splits.items()
            if accounts[split].clips
        }

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        raise NotImplementedError("splits come from _examples")

    def _post_download_and_prepare_hook(self) -> None:
        self._store.discard()

    def _describe(self, accounts: Mapping[str, SplitAccount], summary: str) -> None:
        """Records what happened to the recordings."""
        config = self.builder_config
        collection = config.collection
        moments = (r.moments for r in chain.from_iterable(collection.splits.values()))
        boxed = any(o.box for found in moments for m in found or () for o in m.objects)
        self.info.metadata.update(
            class_names=list(collection.classes),
            boxes="annotated" if boxed else "none",
            max_objects=max(account.max_objects for account in accounts.values()),
            accounts={split: account.metadata() for split, account in accounts.items()},
            notes=list(collection.notes),
            summary=summary,
            source=config.source,
            fingerprint=collection.fingerprint(),
        )

    def _examples(self, recordings: Sequence[Recording]) -> Iterator[tuple[str, dict]]:
        seen: Counter[str] = Counter()
        for recording in recordings:
            seen[recording.id] += 1
            if recording.path is None:
                continue
            count = seen[recording.id]
            name = recording.id if count == 1 else f"{recording.id}#{count}"
            stored = self._store.load(recording)
            for clip in stored.clips:
                example = self._example(recording, name, stored, clip)
                yield example["id"], example

    def _example(self, recording: Recording, name: str, stored: StoredClips, clip: int) -> dict:
        """The record of a clip of a recording that has that name in its split."""
        seconds = self.builder_config.collection.clip_seconds
        nowhere = tuple(Object(None, label) for label in recording.labels or (-1,))
        if recording.moments is None:
            second = int(recording.start) + clip * seconds
            id, objects = f"{name}@{second}", nowhere
        else:
            moment = recording.moments[clip]
            second, id, objects = int(moment.start), moment.name, moment.objects or nowhere
        example = clip_example(
            id=id,
            video=recording.id,
            second=second,
            frames=(),
            waveform=stored.waveform(clip),
            boxes=np.array([o.box or _NOWHERE for o in objects]),
            labels=np.array([o.label for o in objects]),
            sounding=np.array([o.sounding for o in objects]),
            offscreen=np.array([isinstance(o, Offscreen) for o in objects]),
        )
        return example | {"frames": stored.frames(clip)}


def _check_names(source: str, splits: Mapping[str, Sequence[Recording]]) -> None:
    """Raises ValueError if two annotated moments of a split have the same name."""
    for split, recordings in splits.items():
        names = Counter(m.name for recording in recordings for m in recording.moments or ())
        for name, count in names.items():
            if count > 1:
                raise ValueError(f"{source}: {name} is annotated {count} times in split {split}")
