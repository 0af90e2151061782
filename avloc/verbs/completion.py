"""What the shell offers at the Tab key, by argcomplete; without JAX, so that it is quick."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and ends the process; nothing where argcomplete is not installed."""
    try:
        import argcomplete
    except ImportError:
        return
    for verb, action in _actions(parser):
        completer = {
            "name": data_sets,
            "data": data_sets,
            "split": splits,
            "protocol": protocols,
            "stage": stages,
            "config": ablations if verb == "avloc ablate" else configs,
            "base": configs,
        }.get(action.dest)
        if completer is not None:
            action.completer = completer
        elif action.metavar in ("W", "DIR", "D", "RUN"):
            action.completer = argcomplete.DirectoriesCompleter()
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """Every argument of every verb, with the verb."""
    for action in list(parser._actions):
        if action.metavar == "VERB":
            for verb in action.choices.values():
                yield from _actions(verb)
        elif action.option_strings == ["--config.FIELD"]:
            action.help = argparse.SUPPRESS
            _add_fields(parser)
        else:
            yield parser.prog, action


def _add_fields(train: argparse.ArgumentParser) -> None:
    """The fields of the shipped configs, as options."""
    from avloc.configs import csol, ier
    from avloc.runs.experiment import fields

    for name in sorted({name for config in (csol, ier) for name, _ in fields(config.base())}):
        train.add_argument(f"--config.{name}", metavar="VALUE")


def data_sets(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Names of data sets, and those built of each."""
    from avloc.data_pipelines.catalogue import DATASETS

    root = _root(parsed_args)
    built = {
        str(info.parents[1].relative_to(root))
        for name in DATASETS
        for info in root.glob(f"{name}/*/*/dataset_info.json")
    }
    return [*DATASETS, *sorted(built)]


def splits(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The splits of the data set that stands on the line, or of the run's."""
    if workdir := getattr(parsed_args, "workdir", None):
        return list(_json(Path(workdir) / "data.json").get("num_examples", ()))
    spec = getattr(parsed_args, "name", None) or getattr(parsed_args, "data", None) or ""
    name, _, config = spec.partition("/")
    found = sorted(_root(parsed_args).glob(f"{name}/{config or 'default'}/*/dataset_info.json"))
    return [split["name"] for split in _json(found[-1])["splits"]] if name and found else []


def stages(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The finished stages of the run that stands on the line."""
    return [path.name for path in Path(parsed_args.workdir or "", "stages").glob("*")]


def protocols(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Names of protocols, read off the source: to import it takes seconds."""
    source = Path(__file__).parents[1] / "evaluation" / "protocols.py"
    names = re.findall(r'Protocol\(\s*"([\w-]+)"', source.read_text(encoding="utf-8"))
    return [*names, *(["all"] if hasattr(parsed_args, "maps") else [])]


def configs(prefix: str, **_: object) -> list[str]:
    """Shipped configs, and files."""
    import avloc.configs

    return _files("get_config", Path(avloc.configs.__file__).parent, prefix)


def ablations(prefix: str, **_: object) -> list[str]:
    """Shipped ablations, and files."""
    import avloc.configs.ablations

    return _files("get_ablation", Path(avloc.configs.ablations.__file__).parent, prefix)


def _files(function: str, shipped: Path, prefix: str) -> list[str]:
    from argcomplete import FilesCompleter

    from avloc.runs.config_files import files_with

    names = [file.stem for file in files_with(function, shipped)]
    return [*names, *FilesCompleter(allowednames=("py",))(prefix)]


def _root(args: argparse.Namespace) -> Path:
    """Where data sets lie; see `registry.data_root`, which takes TFDS to say it."""
    given = getattr(args, "data_dir", None) or os.environ.get("TFDS_DATA_DIR")
    return Path(given or "~/tensorflow_datasets").expanduser()


def _json(file: Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
