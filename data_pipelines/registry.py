"""Builds, finds and opens the data sets of the catalogue.

A data set is named by a spec: `NAME`, or `NAME/CONFIG` where it has several configurations.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import io
import logging
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from google.protobuf import json_format
from tensorflow_datasets.core.constants import get_default_data_dir

from avloc.data_pipelines.builders.shuffling import bounded
from avloc.data_pipelines.catalogue import DATASETS, Entry
from avloc.data_pipelines.collection import Collection
from avloc.data_pipelines.records.opening import open_folder
from avloc.json_files import parse_json
from avloc.naming import did_you_mean, plain_name
from avloc.progress import in_terminal


class Listing(NamedTuple):
    """A data set, built or not.

    Attributes:
      spec: what `open_dataset` takes.
      entry: what the catalogue says of it.
      path: folder of the built data set, None if it is not built.
      splits: number of items of each split; empty if not built, or damaged.
      size: bytes on disk.
      build_command: how to build it.
    """

    spec: str
    entry: Entry
    path: Path | None
    splits: Mapping[str, int]
    size: int
    build_command: str


def data_root(data_dir: str | Path | None = None) -> Path:
    """The folder of data sets: `data_dir`, else `TFDS_DATA_DIR`, else TFDS's own default."""
    return Path(data_dir or get_default_data_dir()).expanduser()


def build(
    spec: str,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    config: str | None = None,
) -> tfds.core.DatasetBuilder:
    """Builds a data set, or finds it already built, and prints what was built and skipped.

    An interrupted build leaves nothing that could be mistaken for a data set; run again, it
    continues where decoding stopped.

    Args:
      spec: `NAME` or `NAME/CONFIG`.
      source: folder of what it is made from, for a data set made from one.
      data_dir: see `data_root`.
      config: name of the configuration, if the spec gives none. For a folder of your own videos
        it is any name you choose; by default that of the folder.

    Raises:
      ValueError: an unknown name, no usable video in the source, a source that is not the one
        built before, a damaged data set, a data set that it is made from and that is not built, or
        a build of the same data set going on elsewhere.
    """
    name, _, given = spec.partition("/")
    entry = _entry(name)
    _check_config(given or config)
    if entry.needs_source and source is None:
        raise ValueError(
            f"{name} needs a folder of {entry.needs}: run `{_command(spec, data_dir)}`"
        )
    if source is not None and not entry.needs:
        raise ValueError(f"{name} is not built from a folder: leave out --source")
    root, cls = data_root(data_dir), builder_class(entry)
    if entry.declared:
        chosen = _static_config(cls, name, given or config)
    elif source is not None:
        chosen = cls.config_of(source, given or config)
    else:
        chosen = cls.config_from(open_dataset(entry.made_from, data_dir), given or config)
    folder = root / name / chosen.name
    state = "already built in"
    with _sole_builder(folder):
        if _version(folder, entry) is None:
            state = "in"
            with _quiet(), bounded():
                if not in_terminal():
                    tfds.disable_progress_bar()
                builder = cls(config=chosen, data_dir=root)
                with contextlib.redirect_stdout(io.StringIO()):  # TFDS's own announcements
                    builder.download_and_prepare(file_format="array_record")
    built = open_dataset(f"{name}/{chosen.name}", data_dir)
    if not entry.declared and built.info.metadata.get("fingerprint") != chosen.fingerprint():
        other = (
            "give the folder another name" if entry.named_by_folder else "use another --data-dir"
        )
        before = built.info.metadata.get("source") or built.info.metadata.get("made_from")
        raise ValueError(
            f"{name}/{chosen.name} was built from an earlier state of "
            f"{before}, not from {chosen.source} as it is now: remove {folder} and run "
            f"`{_command(spec, data_dir, source)}`, or {other}"
        )
    if summary := built.info.metadata.get("summary"):
        print(summary)
    sizes = ", ".join(f"{split} {part.num_examples}" for split, part in built.info.splits.items())
    print(f"{name}/{chosen.name} {state} {built.data_path}: {sizes}")
    return built


def open_dataset(spec: str, data_dir: str | Path | None = None) -> tfds.core.DatasetBuilder:
    """Opens a built data set. Its source is not needed any more.

    Args:
      spec: `NAME/CONFIG`, or `NAME`: its default configuration, or the only one built of a data
        set made from a folder or another data set.
      data_dir: see `data_root`.

    Raises:
      ValueError: unknown, not built, ambiguous or damaged; the sentence says how to fix it.
    """
    name, _, config = spec.partition("/")
    entry, root = _entry(name), data_root(data_dir)
    _check_config(config)
    if entry.declared:
        config = _static_config(builder_class(entry), name, config or None).name
    elif not config:
        built = _configs_built(root / name, entry)
        if "default" in built:
            built = ["default"]
        if len(built) > 1:
            choices = ", ".join(f"{name}/{choice}" for choice in built)
            raise ValueError(f"{spec} is ambiguous in {root}: name one of {choices}")
        config = built[0] if built else ""
    folder = root / name / config
    version = _version(folder, entry) if config else None
    if version is None:
        older = _versions(folder) if config else []
        there = [] if entry.declared else _configs_built(root / name, entry)
        known = f" (only version {older[-1]}, from an earlier avloc)" if older else ""
        raise ValueError(
            f"data set {spec} is not built in {root}{known}: run `{_command(spec, data_dir)}`"
            + did_you_mean(config, there, f"; did you mean {name}/{{}}, which is?")
        )
    return _opened(version, spec, data_dir)


def list_datasets(data_dir: str | Path | None = None) -> list[Listing]:
    """Every data set that can be built or is: each known configuration, each folder built."""
    root, listings = data_root(data_dir), []
    for name, entry in DATASETS.items():
        if entry.declared:
            configs = [config.name for config in builder_class(entry).BUILDER_CONFIGS]
        else:
            configs = _configs_built(root / name, entry)
        specs = [f"{name}/{config}" for config in configs] or [name]
        for spec in specs:
            version = _version(root / spec, entry) if configs else None
            splits: Mapping[str, int] = {}
            if version is not None:
                with contextlib.suppress(ValueError):  # damaged: listed without splits
                    info = _opened(version, spec, data_dir).info
                    splits = {split: part.num_examples for split, part in info.splits.items()}
            size = sum(f.stat().st_size for f in version.iterdir()) if version else 0
            command = _command(spec, data_dir, _source_of(version) if version else None)
            listings.append(Listing(spec, entry, version, splits, size, command))
    return listings


def collection(spec: str, source: str | Path) -> Collection:
    """What a data set wants from a user's folder, and which of it was found.

    Args:
      spec: `NAME` or `NAME/CONFIG`.
      source: the folder.

    Raises:
      ValueError: an unknown name, a data set without a list of wanted files, no such folder, or
        annotation files that are missing or wrong.
    """
    name, _, config = spec.partition("/")
    _check_config(config)
    cls = builder_class(_entry(name))
    if not hasattr(cls, "collection"):
        raise ValueError(
            f"{name} has no list of files to check a folder against: build it, then check the "
            f"result with `avloc data doctor {spec}`"
        )
    return cls.config_of(source, config or None).collection


def _entry(name: str) -> Entry:
    if name not in DATASETS:
        raise ValueError(
            f"no data set is called {name!r}; there are {', '.join(DATASETS)}"
            + did_you_mean(name, DATASETS)
        )
    return DATASETS[name]


def _check_config(config: str | None) -> None:
    """Raises ValueError for a configuration that would lead to another folder."""
    if config:
        plain_name(config, "a configuration")


def builder_class(entry: Entry) -> type[tfds.core.DatasetBuilder]:
    """The class that builds a data set, imported when it is asked for."""
    module, _, name = entry.builder.partition(":")
    return getattr(importlib.import_module(module), name)


def _static_config(
    cls: type[tfds.core.DatasetBuilder], name: str, config: str | None
) -> tfds.core.BuilderConfig:
    """A configuration that the builder declares, the first by default."""
    known = {known.name: known for known in cls.BUILDER_CONFIGS}
    config = config or next(iter(known))
    if config not in known:
        raise ValueError(
            f"{name} has no configuration {config!r}; it has {', '.join(known)}"
            + did_you_mean(config, known)
        )
    return known[config]


def _command(spec: str, data_dir: str | Path | None, source: str | Path | None = None) -> str:
    """The command that builds a data set."""
    name = spec.partition("/")[0]
    entry = DATASETS[name]
    command = f"avloc data build {name if entry.named_by_folder else spec}"
    if entry.needs_source or source is not None:
        command += f" --source {shlex.quote(str(source or 'FOLDER'))}"
    return command + (f" --data-dir {shlex.quote(str(data_dir))}" if data_dir else "")


def _configs_built(folder: Path, entry: Entry) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if _version(path, entry) is not None)


def _version(folder: Path, entry: Entry) -> Path | None:
    """Folder of a built configuration in the current layout, if there is one."""
    version = str(builder_class(entry).VERSION)
    return folder / version if version in _versions(folder) else None


def _versions(folder: Path) -> list[str]:
    """Versions built in a configuration's folder, oldest first."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    found = [name for name in names if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    return sorted(found, key=lambda name: [int(n) for n in name.split(".")])


def _opened(version: Path, spec: str, data_dir: str | Path | None) -> tfds.core.DatasetBuilder:
    """Opens a version's folder after checking every shard."""
    try:
        with _quiet():
            builder = open_folder(version)
        for split in builder.info.splits.values():
            for shard, length in zip(split.filepaths, split.shard_lengths, strict=True):
                if not shard.exists():
                    raise OSError(f"{shard.name} is missing")
                if _records(shard) != length:
                    raise OSError(f"{shard.name} is cut off or damaged")
        if not builder.info.splits:
            raise OSError("it has no splits")
    except (OSError, RuntimeError, ValueError, KeyError, json_format.Error) as fault:
        source = _source_of(version)
        raise ValueError(
            f"data set {spec} in {version} is damaged ({fault}): remove that folder and run "
            f"`{_command(spec, data_dir, source)}`"
        ) from fault
    return builder


def _records(shard: Path) -> int:
    reader = ArrayRecordReader(str(shard))
    try:
        return reader.num_records()
    finally:
        reader.close()


def _source_of(version: Path) -> str | None:
    """The folder that a data set was made from, if it is recorded."""
    try:
        return parse_json((version / "metadata.json").read_text())["source"]
    except (OSError, ValueError, KeyError, TypeError):  # of a list, or of nothing
        return None


@contextlib.contextmanager
def _sole_builder(folder: Path) -> Iterator[None]:
    """Locks a configuration's folder while it is built; removes what dead builds left."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise ValueError(f"{folder} is being built by another process") from fault
        for left_over in folder.glob("incomplete.*"):
            shutil.rmtree(left_over)
        try:
            yield
        finally:
            path.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS from logging anything but errors."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
