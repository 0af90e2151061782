"""`avloc train`, `avloc ablate`, and the weights that a training can start from."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from avloc.verbs import next_steps
from avloc.verbs.opening import joined, open_dataset

if TYPE_CHECKING:
    from avloc.data_pipelines.dataset import Dataset
    from avloc.runs.folder import RunFolder


def train(args: argparse.Namespace) -> None:
    """`avloc train`."""
    from avloc.machine.stopping import preemptible

    with preemptible(), joined(args):
        _train_and_score(args)


def _train_and_score(args: argparse.Namespace) -> None:
    from avloc.machine import hosts
    from avloc.machine.stopping import Interrupted, Preempted, Terminated
    from avloc.runs import experiment
    from avloc.runs.folder import RunFolder
    from avloc.training.loop import train
    from avloc.training.preflight import check, training_data

    run = RunFolder(args.workdir)
    with hosts.together():
        if args.config:
            config = experiment.load_config(args.config)
        elif (run.path / "config.json").is_file():
            config = run.config()
        else:
            raise ValueError(
                f"{run.path} holds no run to go on with: name a config by --config FILE"
            )
        config = experiment.override(config, args.assignments)
        config.lock()
        dataset = open_dataset(config.data.name, run, args.data_dir)
        lessons = training_data(config, dataset)
        check(config, lessons, run)
        if hosts.first():
            run.open_for_training(config)
    hosts.require_same("config", config.to_json(sort_keys=True))
    hosts.require_same("data", str(replace(lessons.info, extra={}, stored="")))
    with hosts.together():
        run.require_shared()
    try:
        train(config, run, lessons)
        _score(run, dataset)
    except Preempted as stop:
        raise Terminated(f"{stop} and saved") from None
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None
    finally:
        run.release()


def _score(run: RunFolder, dataset: Dataset) -> None:
    """Scores a finished run, writes its report, and says where everything is."""
    from avloc.drawing.table import terminal_width
    from avloc.machine import hosts
    from avloc.reports.run import write_run_report
    from avloc.scoring.run import Scorer

    try:
        scorer = Scorer(run, dataset)
        scores = scorer.score()
        if not hosts.first():
            return
        report = write_run_report(run, scores, scorer.by_itself())
    except KeyboardInterrupt as stop:
        raise type(stop)("stopped while scoring, training is done") from None
    print(f"\n{scores.text(terminal_width())}\n")
    for what, path in (
        ("checkpoints", run.stages),
        ("scores", run.path / "metrics.json"),
        ("report", report),
    ):
        print(f"{what:12} {path}")
    next_steps.show(next_steps.localizing(run.path, dataset.metadata))


def ablate(args: argparse.Namespace) -> int:
    """`avloc ablate`: exit status 1 where cells failed."""
    import jax

    from avloc.ablation.grid import Grid, check_stage, load_ablation
    from avloc.ablation.runner import train_all
    from avloc.ablation.same_data import require_same_data
    from avloc.ablation.table import write
    from avloc.drawing.table import terminal_width
    from avloc.runs.folder import RunFolder
    from avloc.training.preflight import check, training_data

    if args.jobs < 1:
        raise ValueError(f"--jobs is 1 or more, not {args.jobs}")
    # An accelerator's memory is for the runs.
    jax.config.update("jax_platforms", "cpu")
    title = " on ".join(Path(file).stem for file in (args.config, *args.base[:1]))
    grid = Grid(load_ablation(args.config), args.workdir, args.seeds, args.base)
    runs, datasets = grid.choose(args.cells), {}
    for run in runs:
        run.check_folder()
    # Runs of a row differ in their seed alone.
    for run in {run.folder.parent: run for run in runs if not run.finished}.values():
        name = run.config.data.name
        if name not in datasets:
            datasets[name] = open_dataset(name, RunFolder(run.folder), args.data_dir)
        lessons = training_data(run.config, datasets[name])
        check(run.config, lessons)
        check_stage(run, lessons.info)
    table = [run for row in (*grid.shared.values(), *grid.rows.values()) for run in row.values()]
    require_same_data(dict.fromkeys(table), {name: d.info for name, d in datasets.items()})
    failed = train_all(runs, args.jobs, args.data_dir)
    print(write(grid, title, terminal_width()))
    for file in ("ablation.md", "ablation.json"):
        print(f"{file:14} {grid.workdir / file}")
    if failed:
        next_steps.show(args.words)  # what failed is tried again
        return 1
    next_steps.show(["info", runs[-1].folder])
    return 0


def import_weights(args: argparse.Namespace) -> None:
    """`avloc import-weights`."""
    from avloc.runs import weight_files

    print(weight_files.import_weights(args.file, args.out))
    folder = Path(args.out).absolute()
    record = weight_files.read_record(folder)
    next_steps.show(*next_steps.training_from(folder, record.settings))
