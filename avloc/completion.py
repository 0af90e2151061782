"""What the shell offers behind TAB, where argcomplete is installed and switched on."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Completer = Callable[..., list[str]]

# Offered for nothing but to be typed out: `--config.seed=1` is no option of the parser's.
_NOT_OFFERED = ["--config.FIELD"]


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and ends the process; returns where argcomplete is not installed."""
    try:
        import argcomplete
        from argcomplete.completers import DirectoriesCompleter, FilesCompleter
    except ImportError:
        return
    files, folders = FilesCompleter(["py"]), DirectoriesCompleter()
    by_name: dict[str, Completer] = {
        "config": lambda prefix, **k: [*_configs(**k), *files(prefix, **k)],
        "name": _data_sets,
        "data": _data_sets,
        "protocol": _protocols,
        "split": _splits,
        "stage": _stages,
    }
    for action in _actions(parser):
        if action.dest in by_name:
            action.completer = by_name[action.dest]
        elif action.metavar in ("W", "D", "DIR", "RUN"):
            action.completer = folders
    argcomplete.autocomplete(parser, exclude=_NOT_OFFERED)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of all verbs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _actions(verb)
        else:
            yield action


def _configs(parser: argparse.ArgumentParser, **_: Any) -> list[str]:
    """Names of the shipped configs that the verb takes."""
    import avloc.configs

    folder, function = Path(avloc.configs.__file__).parent, "def get_config("
    if parser.prog.endswith("ablate"):
        folder, function = folder / "ablations", "def get_ablation("
    return [file.name for file in folder.glob("*.py") if function in file.read_text("utf-8")]


def _data_sets(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Those of the catalogue, and the configurations of them that are built."""
    from avloc.data_pipelines.catalogue import DATASETS

    # As `registry.data_root`, which takes seconds to import.
    root = getattr(parsed_args, "data_dir", None) or os.environ.get("TFDS_DATA_DIR")
    folder = Path(root or "~/tensorflow_datasets").expanduser()
    built = [file.relative_to(folder).parts for file in folder.glob("*/*/*/dataset_info.json")]
    return [*DATASETS, *{f"{name}/{config}" for name, config, *_ in built if name in DATASETS}]


def _protocols(**_: Any) -> list[str]:
    from avloc.evaluation.protocols import PROTOCOLS

    return list(PROTOCOLS)


def _splits(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Those of the run's data set."""
    file = _run(parsed_args) / "data.json"
    return list(json.loads(file.read_text())["num_examples"]) if file.is_file() else []


def _stages(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Those that the run has finished."""
    return [path.name for path in (_run(parsed_args) / "stages").glob("*") if path.is_dir()]


def _run(parsed_args: argparse.Namespace) -> Path:
    return Path(getattr(parsed_args, "workdir", None) or ".").expanduser()
