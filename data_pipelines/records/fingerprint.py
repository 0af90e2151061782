"""A short hash of what a built data set contains, to check that a run still has its data."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from google.protobuf.message import DecodeError
from tensorflow_datasets.core.example_parser import tf_example_pb2

from avloc.json_files import parse_json
from avloc.whole_files import replacing

NOTE = "fingerprint.json"
"""In the data set's folder: its fingerprint, and the shards that this was computed of."""

_AT_ONCE = 64  # records in memory
_VERSION = 1  # of what is hashed

# Of the bytes of a shard that an earlier avloc looked at.
_BLOCK, _BLOCKS = 4096, 16


def fingerprint(builder: tfds.core.DatasetBuilder) -> str:
    """A hash of the content of a built data set; the same wherever and whenever it was built.

    It covers the version, the names of the classes, and every field of every item, in order. The
    fields of an item are hashed by name, as they are stored in an order that differs from one
    process to the next. Reading it all takes about 1 s for 10,000 items of 40 kB. The result is
    kept in the data set's folder, where that can be written, and holds until a shard changes in
    size or time.

    A data set with an item that cannot be read has that of its bytes, `stored_fingerprint`.

    Args:
      builder: of a built data set.
    """
    note, files = Path(str(builder.data_path), NOTE), _files(builder)
    if (known := _noted(note, files)) is not None:
        return known
    try:
        made = _of_items(builder)
    except (DecodeError, ValueError, RuntimeError, OSError, IndexError):
        return stored_fingerprint(builder)  # reading the item says what is wrong
    _write(note, {"version": _VERSION, "fingerprint": made, "files": files})
    return made


def stored_fingerprint(builder: tfds.core.DatasetBuilder) -> str:
    """A hash of bytes spread over the shards: the fingerprint that runs of before recorded.

    It changes when the same data set is built again.
    """
    known = hashlib.sha256(str(builder.info.version).encode())
    for name, split in sorted(builder.info.splits.items()):
        known.update(repr((name, list(split.shard_lengths))).encode())
        for shard in split.filepaths:
            _look_at(Path(shard), known)
    return known.hexdigest()[:24]


def of_parts(parts: tuple[str, ...]) -> str:
    """The fingerprint of joined data sets, from those of the parts."""
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:24]


def _of_items(builder: tfds.core.DatasetBuilder) -> str:
    names = list((builder.info.metadata or {}).get("class_names", ()))
    known = hashlib.sha256(repr((str(builder.info.version), names)).encode())
    for name, split in sorted(builder.info.splits.items()):
        known.update(repr((name, split.num_examples)).encode())
        for record in _records(split):
            fields = tf_example_pb2.Example.FromString(record).features.feature
            for field in sorted(fields):
                value = fields[field].SerializeToString()
                known.update(f"{field} {len(value)} ".encode())
                known.update(value)
    return known.hexdigest()[:24]


def _records(split: tfds.core.SplitInfo) -> Iterator[bytes]:
    for shard in split.filepaths:
        reader = ArrayRecordReader(str(shard))
        try:
            count = reader.num_records()
            for first in range(0, count, _AT_ONCE):
                yield from reader.read(first, min(first + _AT_ONCE, count))
        finally:
            reader.close()


def _files(builder: tfds.core.DatasetBuilder) -> dict[str, list[int]]:
    """Size and time of change, in ns, of each file that holds content."""
    shards = [shard for split in builder.info.splits.values() for shard in split.filepaths]
    files = [Path(str(file)) for file in (*shards, builder.data_path / "metadata.json")]
    states = {file.name: file.stat() for file in sorted(files) if file.exists()}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}


def _noted(note: Path, files: dict[str, list[int]]) -> str | None:
    try:
        content = parse_json(note.read_text(encoding="utf-8"))
        same = (content["version"], content["files"]) == (_VERSION, files)
        return str(content["fingerprint"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(note: Path, content: dict[str, object]) -> None:
    """Keeps the note where that is possible: a folder that cannot be written is read again."""
    with contextlib.suppress(OSError), replacing(note) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _look_at(shard: Path, known: hashlib._Hash) -> None:
    size = shard.stat().st_size
    known.update(f"{size} ".encode())
    last = max(size - _BLOCK, 0)
    with shard.open("rb", buffering=0) as file:
        for place in sorted({last * n // (_BLOCKS - 1) for n in range(_BLOCKS)}):
            known.update(os.pread(file.fileno(), _BLOCK, place))
