"""The command line: `avloc data | train | evaluate | localize | report | ablate`.

The only file that knows every room. Each verb imports what it needs when it runs, so that help
is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from avloc.training.run_folder import RunFolder
    from data_pipelines.dataset import Dataset

OK, INCOMPLETE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status.

    0, 1 where cells of an ablation failed, 2 for bad input, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("AVLOC_DEBUG", "") not in ("", "0")
    try:
        arguments, assignments = _split_off_fields(arguments)
        args = _parser().parse_args(arguments)
        if assignments and args.run is not _train:
            raise ValueError("--config.FIELD=VALUE goes with `avloc train` only")
        args.assignments = assignments
        _quiet_libraries()
        return args.run(args) or OK
    except KeyboardInterrupt as stop:
        words = str(stop) or "stopped"
        again = (
            "goes on from there"
            if arguments[:1] in (["train"], ["data"], ["ablate"])
            else "starts again"
        )
        return _fail(f"{words}; the same command {again}", INTERRUPTED, debug)
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


class _Parser(argparse.ArgumentParser):
    """Tells of a wrong argument in one sentence, as of any other bad input."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see `{self.prog} --help`)")


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    parser = _Parser(
        prog="avloc",
        description="Finds which objects in a scene make the sound, and what they are; "
        "learns it from videos without labels.",
        epilog="Help on one: `avloc train --help`.",
        allow_abbrev=False,
        parents=[common],
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)

    def verb(parent: Any, name: str, run: Any, short: str, **more: Any) -> argparse.ArgumentParser:
        made = parent.add_parser(
            name,
            help=short,
            description=short[0].upper() + short[1:] + ".",
            parents=[common],
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **more,
        )
        made.set_defaults(run=run)
        return made

    data = verb(verbs, "data", None, "build data sets, or list them")
    data_verbs = data.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)
    build = verb(
        data_verbs,
        "build",
        _data_build,
        "build a data set",
        epilog="examples:\n  avloc data build toy_orchestra\n"
        "  avloc data build video_folder --source ~/my_videos",
    )
    build.add_argument("name", metavar="NAME", help="NAME or NAME/CONFIGURATION")
    build.add_argument("--source", metavar="DIR", help="folder of CLASS/*.mp4, or of *.mp4")
    _data_dir(build)
    _data_dir(verb(data_verbs, "list", _data_list, "list data sets, built or not"))

    train = verb(
        verbs,
        "train",
        _train,
        "train, evaluate and report; goes on where a stopped run stood",
        epilog="example:\n  avloc train --config configs/csol_toy.py --workdir runs/demo \\\n"
        "    --config.batch_size=16 --config.stage_two.epochs=2",
    )
    train.add_argument("--config", metavar="FILE", help="not needed where W holds a run")
    _workdir(train)
    train.add_argument(
        "--config.FIELD", metavar="VALUE", help="set a field of the config; may be repeated"
    )
    _data_dir(train)

    evaluate = verb(
        verbs,
        "evaluate",
        _evaluate,
        "score a run beside the untrained network and baselines",
        epilog="writes items.csv and metrics.json to W/evaluation/SPLIT/PROTOCOL/ROW/",
    )
    _workdir(evaluate)
    evaluate.add_argument("--split", metavar="S", help="default: those that the config names")
    evaluate.add_argument("--protocol", metavar="P", help="threshold rules; default: the config's")
    evaluate.add_argument("--stage", metavar="S", help="score one stage alone, as stage_one")
    _data_dir(evaluate)

    localize = verb(
        verbs,
        "localize",
        _localize,
        "find what sounds in a video, or in an image with a sound",
        epilog="writes the video or picture with what was found drawn over it, and\n"
        "localization.json with scores and boxes",
    )
    _workdir(localize)
    localize.add_argument("--video", metavar="FILE", help="any video with sound")
    localize.add_argument("--image", metavar="FILE", help="with --audio")
    localize.add_argument("--audio", metavar="FILE", help="with --image")
    localize.add_argument("--out", metavar="DIR", required=True, help="made if need be")

    report = verb(verbs, "report", _report, "write W/report.html again from what is in W")
    _workdir(report)
    _data_dir(report)

    ablate = verb(
        verbs,
        "ablate",
        _ablate,
        "train a grid of config changes and seeds, and table it; goes on where it stood",
        epilog="writes ablation.md and ablation.json; each cell is a run in W/CELL/seed_S",
    )
    ablate.add_argument("--config", metavar="FILE", required=True, help="of configs/ablations/")
    _workdir(ablate)
    ablate.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at once; default: 1")
    ablate.add_argument("--seeds", type=int, nargs="+", metavar="S", help="instead of the file's")
    ablate.add_argument("--cells", nargs="+", metavar="NAME", help="train these alone")
    _data_dir(ablate)
    return parser


def _workdir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", metavar="W", required=True, help="folder of the run")


def _data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", metavar="D", help="where data sets lie; default: $TFDS_DATA_DIR, or TFDS's"
    )


def _split_off_fields(arguments: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The arguments without `--config.FIELD=VALUE` (or `--config.FIELD VALUE`), and those."""
    rest, fields = [], []
    pending = iter(arguments)
    for argument in pending:
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        name, equals, value = argument.removeprefix("--config.").partition("=")
        if not equals:
            value = next(pending, None)
            if value is None or value.startswith("--"):
                raise ValueError(f"--config.{name} needs a value: --config.{name}=VALUE")
        fields.append((name, value))
    return rest, fields


def _quiet_libraries() -> None:
    import logging

    for name in ("absl", "libav", "orbax", "jax"):
        logging.getLogger(name).setLevel(logging.ERROR)


# The verbs.


def _data_build(args: argparse.Namespace) -> None:
    from data_pipelines import registry

    registry.build(args.name, source=args.source, data_dir=args.data_dir)


def _data_list(args: argparse.Namespace) -> None:
    from data_pipelines import registry

    print(f"data sets in {registry.data_root(args.data_dir)}")
    for entry in registry.list_datasets(args.data_dir):
        sizes = ", ".join(f"{split} {count}" for split, count in entry.splits.items())
        state = "not built" if entry.path is None else "damaged"
        if sizes:
            state = f"{sizes}; {entry.size / 1e6:.1f} MB"
        print(f"\n{entry.spec}: {entry.description}\n  {state}")
        if not sizes:
            print(f"  build it with `{entry.build_command}`")


def _train(args: argparse.Namespace) -> None:
    from avloc.training import experiment
    from avloc.training.checkpoints import Checkpoints
    from avloc.training.loop import Interrupted, train
    from avloc.training.preflight import check, training_data
    from avloc.training.run_folder import RunFolder

    run = RunFolder(args.workdir)
    if args.config:
        config = experiment.load_config(args.config)
    elif (run.path / "config.json").is_file():
        config = run.config()
    else:
        raise ValueError(f"{run.path} holds no run to go on with: name a config by --config FILE")
    config = experiment.override(config, args.assignments)
    config.lock()
    dataset = _open(config.data.name, run, args.data_dir)
    lessons = training_data(config, dataset)
    check(config, lessons, resumed=Checkpoints.present(run))
    run.open_for_training(config)
    try:
        train(config, run, lessons)
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None
    try:
        _score(run, dataset)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped while scoring, training is done") from None


def _score(run: RunFolder, dataset: Dataset) -> None:
    """Scores a finished run, writes its report, and says where everything is."""
    import jax

    from avloc.inference.run_report import write_run_report
    from avloc.inference.scoring import Scorer

    first = jax.process_index() == 0
    scorer = Scorer(run, dataset, writes=first)
    scores = scorer.score()
    if not first:
        return
    report = write_run_report(run, scores, scorer)
    print(f"\n{scores.text()}\n")
    for what, path in (
        ("checkpoints", run.stages),
        ("scores", run.path / "metrics.json"),
        ("report", report),
    ):
        print(f"{what:12} {path}")


def _evaluate(args: argparse.Namespace) -> None:
    from avloc.inference.scoring import Scorer
    from avloc.training.run_folder import RunFolder

    run = RunFolder(args.workdir)
    scorer = Scorer(run, _open(run.config().data.name, run, args.data_dir))
    scores = scorer.score(args.split, args.protocol, args.stage)
    print(f"{scores.text()}\n\neach item's scores are in {run.evaluation}")


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


def _report(args: argparse.Namespace) -> None:
    from avloc.inference.run_report import write_run_report
    from avloc.inference.scores import stored_scores
    from avloc.inference.scoring import Scorer
    from avloc.training.run_folder import RunFolder

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


def _ablate(args: argparse.Namespace) -> int:
    import jax

    from avloc.ablation.grid import Grid, check_stage, load_ablation
    from avloc.ablation.runner import train_all
    from avloc.ablation.table import write
    from avloc.training.preflight import check, training_data
    from avloc.training.run_folder import RunFolder

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
    print(write(grid, title))
    for file in ("ablation.md", "ablation.json"):
        print(f"{file:14} {grid.workdir / file}")
    return INCOMPLETE if failed else OK


def _open(name: str, run: RunFolder, data_dir: str | None) -> Dataset:
    """Opens a data set: in `data_dir`, else `TFDS_DATA_DIR`, else where the run had it.

    Its `info.extra` tells where it lies, for the run to remember.
    """
    import json
    from dataclasses import replace

    from data_pipelines import registry
    from data_pipelines.dataset import Dataset

    file = run.path / "data.json"
    if data_dir is None and "TFDS_DATA_DIR" not in os.environ and file.is_file():
        data_dir = json.loads(file.read_text()).get("extra", {}).get("data_dir")
    dataset = Dataset(registry.open_dataset(name, data_dir))
    root = str(registry.data_root(data_dir).absolute())
    dataset.info = replace(dataset.info, extra={"data_dir": root})
    return dataset
