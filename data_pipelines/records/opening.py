"""Opens the folder of a built data set, which may come from anyone.

TFDS imports whatever module a folder's `features.json` names, and reads whatever files its
`dataset_info.json` names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from google.protobuf import json_format
from tensorflow_datasets.core.proto import feature_pb2

from avloc.data_pipelines.records.features import clip_features
from avloc.naming import plain_name


def open_folder(folder: Path) -> tfds.core.DatasetBuilder:
    """The data set of a version's folder, in the layout of `features.clip_features`.

    Raises:
      ValueError: its layout is another one, or it names files that are not in the folder.
      OSError: a file of it cannot be read.
    """
    _check_layout(folder / "features.json")
    try:
        builder = tfds.builder_from_directory(folder)
        _check_metadata(dict(builder.info.metadata or {}))
    except (TypeError, AttributeError, AssertionError) as fault:
        raise ValueError(f"dataset_info.json or metadata.json is wrong: {fault}") from fault
    form = builder.info.file_format
    if form is not tfds.core.FileFormat.ARRAY_RECORD:
        raise ValueError(f"its records are {form and form.value}, not array_record")
    for name, split in builder.info.splits.items():
        plain_name(name, "a split")
        for shard in split.filepaths:
            if Path(shard).parent != folder:
                raise ValueError(f"split {name} lies in {shard}, outside of the folder")
    return builder


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Raises ValueError where a field that avloc reads is of another type."""
    for field, kind in _FIELDS.items():
        value = metadata.get(field, kind())
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"metadata.json: {field!r} is {value!r}, not of type {kind.__name__}")
    if not all(isinstance(name, str) for name in metadata.get("class_names", ())):
        raise ValueError("metadata.json: 'class_names' holds something that is no name")


_FIELDS = {"class_names": list, "max_objects": int, "notes": list, "summary": str}


def _check_layout(file: Path) -> None:
    """Raises ValueError where the features are not those that avloc writes; imports nothing."""
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        found = json_format.ParseDict(given, feature_pb2.Feature())
    except (ValueError, RecursionError, AttributeError, json_format.Error) as fault:
        raise ValueError(f"{file.name} cannot be read: {fault}") from fault
    ours = clip_features(log_mel=(1, 1)).to_proto()
    if strange := set(_classes(found)) - set(_classes(ours)):
        raise ValueError(f"{file.name} names {min(strange)!r}, which no data set of avloc has")
    wanted, there = (set(features.features_dict.features) for features in (ours, found))
    if not wanted - {"log_mel"} <= there <= wanted:
        raise ValueError(f"{file.name} has the fields {sorted(there)}, not {sorted(wanted)}")


def _classes(feature: feature_pb2.Feature) -> Iterator[str]:
    """The names of the classes of a feature and of all that are in it."""
    yield feature.python_class_name
    kind = feature.WhichOneof("content")
    if kind == "features_dict":
        for inner in feature.features_dict.features.values():
            yield from _classes(inner)
    elif kind == "sequence":
        yield from _classes(feature.sequence.feature)
    elif kind not in ("text", "image", "tensor"):
        yield str(kind)
