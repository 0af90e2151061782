"""Imports pretrained weights: from another library's file to a folder for `config.init_from`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from avloc.json_files import as_count, read_json, take, take_texts
from avloc.models.backbones.resnet import BLOCKS
from avloc.models.weight_import import ImportedWeights, from_torch, some
from avloc.runs.folder import write_atomically
from avloc.runs.foundation_files import foundation_file, read_foundation
from avloc.runs.legacy_torch import is_legacy, read_legacy
from avloc.runs.recorded import restorable
from avloc.runs.unwritable import reason
from avloc.safetensors import Safetensors
from avloc.whole_files import made_folder

RECORD, TREE = "weights.json", "weights"
"""Content of the folder: the origin of the weights, and the weights."""

_OLDEST_TORCH = (2, 10)  # in older versions even `weights_only=True` can be made to run code


class Record(NamedTuple):
    """The origin of imported weights.

    Attributes:
      source, sha256: name of the file, and digest of its bytes.
      architecture, width, blocks: of the network; see `ResNet`. One of `foundation.CHANNELS` has
        its channels as width, and no blocks.
      unused: names of the file's arrays that were not taken.
    """

    source: str
    sha256: str
    architecture: str
    width: int
    blocks: tuple[int, ...]
    unused: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of `config.model` that make the network which these weights are for."""
        if self.architecture in BLOCKS:
            return {"width": self.width, "blocks": self.blocks}
        return {"visual": self.architecture, "frozen": ("visual",)}


def import_weights(file: str | Path, out: str | Path) -> str:
    """Makes the folder `out` from a file of weights; tells what was used and what was not.

    The file is of a ResNet, or one that equimo wrote. The folder is complete or does not exist. It
    holds `{"variables": {"params": {"visual"}, "batch_stats": {"visual"}}}` as an Orbax tree, as a
    run's stages do, and `weights.json`.

    Raises:
      ValueError: `out` exists and is not empty, the file cannot be read, or contains no network
        that matches ours.
    """
    file, out = Path(file), Path(os.path.abspath(out))
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} already exists: name another folder, or remove it")
    content = foundation_file(file)
    made = read_foundation(file) if content else _resnet(file)
    with (content or file).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    record = Record(
        file.name, digest, made.architecture, made.width, made.blocks, tuple(sorted(made.unused))
    )
    _write(out, made, record)
    return _summary(made, record, out)


def _resnet(file: Path) -> ImportedWeights:
    arrays = read_arrays(file)
    try:
        return from_torch(arrays)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def read_record(folder: Path) -> Record | None:
    """The origin of a folder's weights; None if `import_weights` did not make it.

    Raises:
      ValueError: its `weights.json` cannot be read.
    """
    if not (folder / RECORD).is_file():
        return None
    file = folder / RECORD
    with restorable(file, "import the weights again"):
        fields, place = read_json(file, dict), str(file)
        source, sha256, architecture = (
            take(fields, name, str, place) for name in ("source", "sha256", "architecture")
        )
        width = as_count(fields.get("width"), f'{place}, "width"', 1)
        blocks = [as_count(x, f'{place}, "blocks"') for x in take(fields, "blocks", list, place)]
        unused = take_texts(fields, "unused", place)
        if more := fields.keys() - set(Record._fields):
            raise ValueError(f'there is no field "{min(more)}"')
        return Record(source, sha256, architecture, width, tuple(blocks), unused)


def read_arrays(file: Path) -> Mapping[str, np.ndarray]:
    """The arrays of a `.safetensors` or `.pth` file, by name; runs no code in it.

    Raises:
      ValueError: another kind of file, no such file, a damaged one, one with more than arrays, or
        a `.pth` of today's format while torch is missing or too old.
    """
    if file.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise ValueError(f"{file} is not a .safetensors or .pth file, nor one of equimo's")
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    if file.suffix == ".safetensors":
        return Safetensors(file)
    return read_legacy(file) if is_legacy(file) else _read_torch(file)


def _read_torch(file: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"{file} needs torch, which is not installed: pip install 'avloc[torch]', or use "
            "a .safetensors file"
        ) from None
    version = tuple(map(int, re.findall(r"\d+", torch.__version__)[:2]))
    if version < _OLDEST_TORCH:
        raise ValueError(
            f"torch {torch.__version__} cannot read untrusted files safely: pip install "
            f"'torch>={'.'.join(map(str, _OLDEST_TORCH))}', or use a .safetensors file"
        )
    size = file.stat().st_size
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
        for name in ("state_dict", "model"):
            if isinstance(held, dict) and isinstance(held.get(name), dict):
                held = held[name]
        tensors = {
            name: tensor.detach()
            for name, tensor in (held.items() if isinstance(held, dict) else ())
            if isinstance(name, str) and isinstance(tensor, torch.Tensor)
        }
        if any(t.numel() * t.element_size() > size for t in tensors.values()):
            raise ValueError("an array larger than the file")
        return {
            name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
            for name, tensor in tensors.items()
        }
    except Exception as error:  # torch has no single error for a damaged or hostile file
        raise ValueError(
            f"{file} is damaged, or contains more than arrays, and was not read ({_why(error)}): "
            "save only model.state_dict(), or use a .safetensors file"
        ) from None


def _why(error: Exception) -> str:
    words = str(error).strip()
    if found := re.search(r"GLOBAL ([\w.]+)", words):
        return f"it holds {found[1]}"
    if not words or "weights_only" in words:  # torch explains how to load it unsafely
        return type(error).__name__
    return words.split("\n")[0][:100]


def _write(out: Path, made: ImportedWeights, record: Record) -> None:
    tree = {"variables": {kind: {"visual": x} for kind, x in made.variables.items()}}
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with made_folder(draft):  # Orbax tries for minutes where it may not write
            try:
                _require_room(draft, tree)
                with ocp.StandardCheckpointer() as checkpointer:
                    checkpointer.save(draft / TREE, tree)
                write_atomically(draft / RECORD, json.dumps(record._asdict(), indent=2) + "\n")
                draft.rename(out)  # over nothing, or an empty folder
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    except Exception as error:  # Orbax has no single error for this
        raise ValueError(
            f"{out} cannot be written ({reason(error)}): fix that, or name another folder by --out"
        ) from error


def _require_room(folder: Path, tree: Any) -> None:
    needed = sum(np.asarray(x).nbytes for x in jax.tree.leaves(tree)) + 2**20
    if (free := shutil.disk_usage(folder).free) < needed:
        raise ValueError(
            f"the disk has {free / 1e6:.0f} MB free, and {needed / 1e6:.0f} MB are needed"
        )


def _summary(made: ImportedWeights, record: Record, out: Path) -> str:
    counters = [name for name in record.unused if name.endswith("num_batches_tracked")]
    rest = [name for name in record.unused if name not in set(counters)]
    words = [some(rest, len(rest))] if rest else []
    words += [f"{len(counters)} counts of batches (num_batches_tracked)"] if counters else []
    prefix = f", by the prefix {some([made.prefix])}" if made.prefix else ""
    rows = {
        "network": f"{record.architecture} of width {record.width}{prefix}",
        "taken": f"{len(jax.tree.leaves(made.variables))} arrays",
        "unused": ", ".join(words) or "none",
        "missing": "none",
        "written": out,
        "use it with": f"--config.init_from={out}",
    }
    return "\n".join(f"{what:12} {value}" for what, value in rows.items())
