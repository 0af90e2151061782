# PYTHON_ARGCOMPLETE_OK
"""The command line: `avloc VERB ...`, see `avloc --help`.

The only file that knows every room. Each verb imports what it needs when it runs, so that help
is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avloc.command_line import make_parser, split_off_fields

if TYPE_CHECKING:
    from avloc.data_pipelines.dataset import Dataset
    from avloc.runs.folder import RunFolder

OK, INCOMPLETE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status.

    0, 1 where cells of an ablation failed or a split cannot be built, 2 for bad input, 130 after
    Ctrl-C. 0 also where SIGTERM took the machine away from a training, which was saved.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:  # the shell asks, see `avloc.completion`
        from avloc.completion import complete

        complete(_parser())
    debug = "--debug" in arguments or os.environ.get("AVLOC_DEBUG", "") not in ("", "0")
    try:
        arguments, assignments = split_off_fields(arguments)
        args = _parser().parse_args(arguments)
        if assignments and args.run is not _train:
            raise ValueError("--config.FIELD=VALUE goes with `avloc train` only")
        args.assignments = assignments
        _quiet_libraries()
        return args.run(args) or OK
    except KeyboardInterrupt as stop:
        from avloc.machine.stopping import Terminated

        status = OK if isinstance(stop, Terminated) else INTERRUPTED
        words = str(stop) or "stopped"
        again = (
            "goes on from there"
            if arguments[:1] in (["train"], ["data"], ["ablate"])
            else "starts again"
        )
        return _fail(f"{words}; the same command {again}", status, debug)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"error: {where}{(error.strerror or str(error)).lower()}", BAD_INPUT, debug)
    except ValueError as error:
        return _fail(f"error: {error}", BAD_INPUT, debug)


def _fail(sentence: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print("avloc:", " ".join(sentence.split()), file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    return make_parser(
        {
            "data build": _data_build,
            "data list": _data_list,
            "data doctor": _data_doctor,
            "data preview": _data_preview,
            "train": _train,
            "evaluate": _evaluate,
            "score": _score_maps,
            "localize": _localize,
            "export": _export,
            "report": _report,
            "info": _info,
            "ablate": _ablate,
            "import-weights": _import_weights,
            "--version": _version,
        }
    )


def _version() -> str:
    from importlib.metadata import version
    from platform import python_version

    from avloc import __version__

    return f"avloc {__version__} (Python {python_version()}, jax {version('jax')})"


def _quiet_libraries() -> None:
    import logging

    for name in ("libav", "orbax", "jax"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Orbax logs by these what it raises too; files that it gives up reading or writing at the first
    # fault tell of themselves later, to nobody.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _tell_unraisable


def _tell_unraisable(unraisable: Any) -> None:
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


# The verbs.


def _data_build(args: argparse.Namespace) -> None:
    from avloc.data_pipelines import registry

    registry.build(args.name, source=args.source, data_dir=args.data_dir)


def _data_list(args: argparse.Namespace) -> None:
    from avloc.data_pipelines import registry

    print(f"data sets in {registry.data_root(args.data_dir)}")
    for listing in registry.list_datasets(args.data_dir):
        entry = listing.entry
        sizes = ", ".join(f"{split} {count}" for split, count in listing.splits.items())
        state = "not built" if listing.path is None else "damaged"
        if sizes:
            state = f"{sizes}; {listing.size / 1e6:.1f} MB"
        print(f"\n{listing.spec}: {entry.description}\n  {state}")
        sources = [f"the built {entry.made_from}"] if entry.made_from else []
        if sources := [*sources, *filter(None, [entry.needs])]:
            print(f"  made from {', or '.join(sources)}")
        if entry.publisher:
            print(f"  published at {entry.publisher}")
        if not sizes:
            print(f"  build it with `{listing.build_command}`")


def _data_doctor(args: argparse.Namespace) -> int:
    from avloc.data_pipelines import registry
    from avloc.data_pipelines.dataset import Dataset
    from avloc.drawing.table import terminal_width
    from avloc.reports import data as data_report
    from avloc.reports.data_tables import built_table, source_summary

    out = Path(args.out or f"doctor_{args.name.replace('/', '_')}")
    if not args.source:
        if args.decode:
            raise ValueError("--decode goes with --source: a built data set is decoded")
        dataset = Dataset(registry.open_dataset(args.name, args.data_dir))
        built, page = data_report.examine_built(args.name, dataset, out)
        print(f"{built_table(built).text(terminal_width())}\n\npage         {page}")
        return OK
    wanted = registry.collection(args.name, args.source)
    findings, page = data_report.examine_source(
        args.name, args.source, wanted, out, decode=args.decode
    )
    print(f"{source_summary(findings, terminal_width())}\n\npage         {page}")
    return INCOMPLETE if findings.blocked else OK


def _data_preview(args: argparse.Namespace) -> None:
    from avloc.data_pipelines.dataset import Dataset
    from avloc.reports.data import write_preview

    out = Path(args.out or f"preview_{args.name.replace('/', '_')}_{args.split}.png")
    dataset = Dataset.open(args.name, args.data_dir)
    print(f"drawn        {write_preview(args.name, dataset, args.split, args.items, out)}")


def _train(args: argparse.Namespace) -> None:
    from avloc.machine.stopping import preemptible

    with preemptible(), _joined(args):
        _train_and_score(args)


def _joined(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Makes this process one of several where the arguments say so, before JAX is used."""
    from avloc.machine import hosts

    return hosts.joined(args.distributed, args.coordinator, args.processes, args.process)


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
        dataset = _open(config.data.name, run, args.data_dir)
        lessons = training_data(config, dataset)
        check(config, lessons, run)
        if hosts.first():
            run.open_for_training(config)
    hosts.require_same("config", config.to_json(sort_keys=True))
    hosts.require_same("data", str(replace(lessons.info, extra={})))
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


def _evaluate(args: argparse.Namespace) -> None:
    with _joined(args):
        from avloc.drawing.table import terminal_width
        from avloc.machine import hosts
        from avloc.runs.folder import RunFolder
        from avloc.scoring.run import Scorer

        run = RunFolder(args.workdir)
        with hosts.together():
            scorer = Scorer(run, _open(run.config().data.name, run, args.data_dir))
        hosts.require_same("data", str(replace(scorer.dataset.info, extra={})))
        scores = scorer.score(args.split, args.protocol, args.stage)
        print(f"{scores.text(terminal_width())}\n\neach item's scores are in {run.evaluation}")


def _score_maps(args: argparse.Namespace) -> None:
    from avloc.data_pipelines.dataset import Dataset
    from avloc.drawing.table import terminal_width
    from avloc.scoring.map_scores import score_maps

    dataset = Dataset.open(args.data, args.data_dir)
    source = dataset.source(args.split)
    title = f"{Path(args.maps).name} on {args.data}, split {args.split}"
    scores = score_maps(args.maps, source, dataset.info, args.protocol, title)
    print(scores.text(terminal_width()))
    if args.out:
        scores.write(args.out)
        print(f"\nwritten to {args.out}")


def _localize(args: argparse.Namespace) -> None:
    if bool(args.video) == bool(args.image):
        raise ValueError("give either --video FILE, or --image FILE with --audio FILE")
    if args.image and not args.audio:
        raise ValueError("--image needs its sound: add --audio FILE")
    if args.video and args.audio:
        raise ValueError("--audio goes with --image: a video brings its own sound")
    for file in filter(None, (args.video, args.image, args.audio)):
        if not Path(file).is_file():
            raise ValueError(f"{file}: no such file")
    from avloc.inference.model import load
    from avloc.inference.video import localize_image, localize_video

    model = load(args.workdir)
    if args.video:
        target = localize_video(model, args.video, args.out)
    else:
        target = localize_image(model, args.image, args.audio, args.out)
    print(f"drawn        {target}\nin numbers   {target.parent / 'localization.json'}")


def _export(args: argparse.Namespace) -> None:
    from avloc.inference.export import export_model

    print(f"exported     {export_model(args.checkpoint, args.out)}")


def _report(args: argparse.Namespace) -> None:
    from avloc.reports.run import write_run_report
    from avloc.runs.folder import RunFolder
    from avloc.scoring.run import Scorer
    from avloc.scoring.scores import stored_scores

    run = RunFolder(args.workdir)
    scores, scorer, missing = stored_scores(run), None, ""
    name = run.config().data.name
    try:
        scorer = Scorer(run, _open(name, run, args.data_dir))
    except ValueError as error:
        if scores is None:
            raise
        missing = str(error)
    if scores is None:
        scores = scorer.score()
    print(f"report       {write_run_report(run, scores, scorer, missing)}")


def _info(args: argparse.Namespace) -> None:
    import json

    from avloc.reports.info import info, text

    facts = info(args.run_folder)
    print(json.dumps(facts, indent=2) if args.json else text(facts))


def _ablate(args: argparse.Namespace) -> int:
    import jax

    from avloc.ablation.grid import Grid, check_stage, load_ablation
    from avloc.ablation.runner import train_all
    from avloc.ablation.table import write
    from avloc.drawing.table import terminal_width
    from avloc.runs.folder import RunFolder
    from avloc.training.preflight import check, training_data

    if args.jobs < 1:
        raise ValueError(f"--jobs is 1 or more, not {args.jobs}")
    # An accelerator's memory is for the runs.
    jax.config.update("jax_platforms", "cpu")
    title = Path(args.config).stem
    grid = Grid(load_ablation(args.config), args.workdir, args.seeds)
    runs, datasets = grid.choose(args.cells), {}
    for run in runs:
        run.check_folder()
    # Runs of a row differ in their seed alone.
    for run in {run.folder.parent: run for run in runs if not run.finished}.values():
        name = run.config.data.name
        if name not in datasets:
            datasets[name] = _open(name, RunFolder(run.folder), args.data_dir)
        lessons = training_data(run.config, datasets[name])
        check(run.config, lessons)
        check_stage(run, lessons.info)
    failed = train_all(runs, args.jobs, args.data_dir)
    print(write(grid, title, terminal_width()))
    for file in ("ablation.md", "ablation.json"):
        print(f"{file:14} {grid.workdir / file}")
    return INCOMPLETE if failed else OK


def _import_weights(args: argparse.Namespace) -> None:
    from avloc.runs.weight_files import import_weights

    print(import_weights(args.file, args.out))


def _open(name: str, run: RunFolder, data_dir: str | None) -> Dataset:
    """Opens a data set: in `data_dir`, else `TFDS_DATA_DIR`, else where the run had it.

    Its `info.extra` tells where it lies, for the run to remember.
    """
    import json

    from avloc.data_pipelines import registry
    from avloc.data_pipelines.dataset import Dataset

    file = run.path / "data.json"
    if data_dir is None and "TFDS_DATA_DIR" not in os.environ and file.is_file():
        data_dir = json.loads(file.read_text()).get("extra", {}).get("data_dir")
    dataset = Dataset.open(name, data_dir)
    root = str(registry.data_root(data_dir).absolute())
    dataset.info = replace(dataset.info, extra={"data_dir": root})
    return dataset
