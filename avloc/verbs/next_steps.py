"""What to type next, behind what a verb found: commands that work when they are pasted."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_collections import ConfigDict

Words = list[str]
"""A command behind `avloc`."""

_SHOWN = ("cocktail_test", "test")  # the splits that are worth a first look
_TOY = "toy_orchestra"


def show(*commands: Sequence[object] | str) -> None:
    """Prints commands, a line each: words behind `avloc`, or a line as it is."""
    for place, command in enumerate(commands):
        line = command if isinstance(command, str) else f"avloc {shlex.join(map(str, command))}"
        print(f"{'' if place else 'next':12} {line}")


def where(data_dir: str | None) -> Words:
    """The option that says where data sets lie, if the user gave it."""
    return ["--data-dir", data_dir] if data_dir else []


def preview_of(spec: str, splits: Iterable[str], data_dir: str | None) -> Words:
    """Draws the split of a data set that shows most."""
    splits = list(splits)
    split = next((name for name in _SHOWN if name in splits), splits[0])
    return ["data", "preview", spec, "--split", split, *where(data_dir)]


def training_on(spec: str, data_dir: str | None) -> list[Words]:
    """What trains on a built data set, by a config that is shipped; empty where none is for it.

    If the config asks for a second data set that is not built, that is built first.
    """
    from avloc.data_pipelines import registry

    builder = registry.open_dataset(spec, data_dir)
    sizes = {split: part.num_examples for split, part in builder.info.splits.items()}
    found = _config_for(spec, sizes)
    if found is None:
        return []
    name, config = found
    words = ["train", "--config", name, "--workdir", free(Path("runs") / name)]
    parts = config.data.name.split("+")
    if len(parts) == 1:
        if spec not in (parts[0], f"{parts[0]}/default"):
            words.append(f"--config.data.name={spec}")
        classes = (builder.info.metadata or {}).get("class_names", ())
        words += _fitted(config, sizes, len(classes))
    lacking = [part for part in parts[1:] if _lacks(part, data_dir)]
    first = [["data", "build", part, *where(data_dir)] for part in lacking]
    return [*first, [*words, *where(data_dir)]]


def training_from(weights: Path, settings: Mapping[str, Any]) -> list[Words]:
    """What trains with imported weights: on a data set that is built, else on the toy one."""
    from avloc.data_pipelines import registry

    built = [listing.spec for listing in registry.list_datasets() if listing.splits]
    built.sort(key=lambda spec: spec.startswith(_TOY))  # what is real first
    steps = next(filter(None, (training_on(spec, None) for spec in built)), [])
    if not steps:
        config = "csol_toy"
        train = ["train", "--config", config, "--workdir", free(Path("runs") / config)]
        steps = [["data", "build", _TOY], train]
    train = steps[-1]
    train += [f"--config.model.{field}={value}" for field, value in settings.items()]
    return [*steps[:-1], [*train, f"--config.init_from={weights}"]]


def localizing(workdir: Path, metadata: Mapping[str, Any]) -> Words:
    """Applies a run to one of the user's videos, if its data set was made from some."""
    source = metadata.get("source")
    video = (source and _a_video(Path(source))) or "VIDEO.mp4"
    return ["localize", "--workdir", workdir, "--video", video, "--out", workdir / "localized"]


def _a_video(source: Path) -> Path | None:
    from avloc.data_pipelines.collection import VIDEO_ENDINGS

    return next((p for p in source.rglob("*") if p.suffix.lower()[1:] in VIDEO_ENDINGS), None)


def _config_for(spec: str, splits: Iterable[str]) -> tuple[str, ConfigDict] | None:
    """Name and content of the shipped config that trains on a data set, all stages if it can."""
    import avloc.configs
    from avloc.runs.config_files import files_with
    from avloc.runs.experiment import load_config

    shipped = files_with("get_config", Path(avloc.configs.__file__).parent)
    configs = {file.stem: load_config(file) for file in shipped}
    # Those that go on from another run are not for the first day.
    configs = {n: c for n, c in configs.items() if "/stages/" not in c.init_from}
    # CSOL first: its runs tell most about data that one does not know yet.
    configs = dict(sorted(configs.items(), key=lambda item: item[1].method != "csol"))
    same = [n for n, c in configs.items() if spec in (c.data.name, f"{c.data.name}/default")]
    name = spec.partition("/")[0]
    alike = [n for n, c in configs.items() if name == c.data.name.split("+")[0].partition("/")[0]]
    alike.sort(key=lambda n: configs[n].data.stage_two not in splits)
    return next(((n, configs[n]) for n in [*same, *alike]), None)


def _fitted(config: ConfigDict, sizes: Mapping[str, int], classes: int) -> Words:
    """The fields that a config needs set for a data set of so many items and classes."""
    clips, scenes = (sizes.get(config.data[stage], 0) for stage in ("stage_one", "stage_two"))
    words, second = [], config.stage_two.epochs > 0
    least = min(clips, scenes) if scenes and second else clips
    if least < config.batch_size:
        words.append(f"--config.batch_size={1 << (max(least, 1).bit_length() - 1)}")
    if not config.clusters >= classes or config.clusters > clips:
        words.append(f"--config.clusters={max(classes, min(config.clusters, clips))}")
    if second and not scenes:
        words.append("--config.stage_two.epochs=0")
    return words


def free(workdir: Path) -> str:
    """The folder, or one of a like name that holds no run yet."""
    number, free = 2, workdir
    while free.exists():
        free, number = workdir.with_name(f"{workdir.name}_{number}"), number + 1
    return str(free)


def _lacks(spec: str, data_dir: str | None) -> bool:
    from avloc.data_pipelines import registry

    try:
        registry.open_dataset(spec, data_dir)
    except ValueError:
        return True
    return False
