"""Data sets and processes, opened as the arguments of a verb say."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avloc.data_pipelines.dataset import Dataset
    from avloc.runs.folder import RunFolder


def joined(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Makes this process one of several where the arguments say so, before JAX is used."""
    from avloc.machine import hosts

    return hosts.joined(args.distributed, args.coordinator, args.processes, args.process)


def open_dataset(name: str, run: RunFolder, data_dir: str | None) -> Dataset:
    """Opens a data set: in `data_dir`, else `TFDS_DATA_DIR`, else where the run had it.

    Its `info.extra` tells where it lies, for the run to remember.
    """
    from avloc.data_pipelines import registry
    from avloc.data_pipelines.dataset import Dataset
    from avloc.runs.recorded import read_info

    file = run.path / "data.json"
    if data_dir is None and "TFDS_DATA_DIR" not in os.environ and file.is_file():
        data_dir = read_info(file).extra.get("data_dir")
    dataset = Dataset.open(name, data_dir)
    root = str(registry.data_root(data_dir).absolute())
    dataset.info = replace(dataset.info, extra={"data_dir": root})
    return dataset
