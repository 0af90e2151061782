"""The words of the command line: verbs, their arguments, their help. Nothing is run here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NoReturn


class _Parser(argparse.ArgumentParser):
    """Tells of a wrong argument in one sentence, as of any other bad input."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see `{self.prog} --help`)")


class _Tell(argparse.Action):
    """Prints what its function gives, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(self.const())
        parser.exit()


def make_parser(runs: Mapping[str, Callable[[argparse.Namespace], Any]]) -> argparse.ArgumentParser:
    """The parser of the whole line; what it parses has `run`, the function of its verb.

    Args:
      runs: the function of each verb, by the verb's words: `train`, `data build`; and the one
        that gives the line of `--version`.
    """
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
    parser.add_argument(
        "--version", action=_Tell, nargs=0, const=runs.get("--version"), help="print versions"
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)

    def verb(parent: Any, words: str, short: str, **more: Any) -> argparse.ArgumentParser:
        made = parent.add_parser(
            words.split()[-1],
            help=short,
            description=short[0].upper() + short[1:] + ".",
            parents=[common],
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **more,
        )
        made.set_defaults(run=runs.get(words))
        return made

    data = verb(verbs, "data", "build data sets; list, examine and look at them")
    data_verbs = data.add_subparsers(required=True, metavar="VERB", parser_class=_Parser)
    build = verb(
        data_verbs,
        "data build",
        "build a data set",
        epilog="examples:\n  avloc data build toy_orchestra\n"
        "  avloc data build video_folder --source ~/my_videos\n"
        "  avloc data build music --source ~/data/music",
    )
    build.add_argument("name", metavar="NAME", help="NAME or NAME/CONFIGURATION")
    build.add_argument("--source", metavar="DIR", help="folder of videos and the authors' files")
    _data_dir(build)
    _data_dir(verb(data_verbs, "data list", "list data sets, built or not"))
    doctor = verb(
        data_verbs,
        "data doctor",
        "say what of a data set is there, missing or damaged",
        epilog="With --source: what that folder holds of what the data set wants, before it is\n"
        "built. Without: the records of the built data set. Writes doctor.html and doctor.json.\n"
        "Exit status 1: some split cannot be built.",
    )
    doctor.add_argument("name", metavar="NAME", help="NAME or NAME/CONFIGURATION")
    doctor.add_argument("--source", metavar="DIR", help="folder of videos, lists and label files")
    doctor.add_argument("--out", metavar="DIR", help="default: doctor_NAME")
    doctor.add_argument(
        "--decode", action="store_true", help="decode every file to its end to find damage"
    )
    _data_dir(doctor)
    preview = verb(
        data_verbs,
        "data preview",
        "draw items of a built split: frames with boxes, spectrograms",
    )
    preview.add_argument("name", metavar="NAME", help="NAME or NAME/CONFIGURATION")
    preview.add_argument("--split", metavar="S", required=True)
    preview.add_argument("--out", metavar="FILE", help="a PNG; default: preview_NAME_S.png")
    preview.add_argument("--items", type=int, default=12, metavar="N", help="default: 12")
    _data_dir(preview)

    train = verb(
        verbs,
        "train",
        "train, evaluate and report; goes on where it was stopped",
        epilog="example:\n  avloc train --config configs/csol_toy.py --workdir runs/demo \\\n"
        "    --config.batch_size=16 --config.stage_two.epochs=2",
    )
    train.add_argument("--config", metavar="FILE", help="not needed where W holds a run")
    _workdir(train)
    train.add_argument(
        "--config.FIELD", metavar="VALUE", help="set a field of the config; may be repeated"
    )
    _data_dir(train)
    _processes(train)

    evaluate = verb(
        verbs,
        "evaluate",
        "score a run beside the untrained network and baselines",
        epilog="writes items.csv and metrics.json to W/evaluation/SPLIT/PROTOCOL/ROW/",
    )
    _workdir(evaluate)
    evaluate.add_argument("--split", metavar="S", help="default: those that the config names")
    evaluate.add_argument("--protocol", metavar="P", help="threshold rules; default: the config's")
    evaluate.add_argument("--stage", metavar="S", help="score one stage alone, as stage_one")
    _data_dir(evaluate)
    _processes(evaluate)

    score = verb(
        verbs,
        "score",
        "score maps that any method made, by one rule or by all",
        epilog="PATH: a folder of ID.npy or ID.png, an .npz or a .safetensors file, ID being an\n"
        "item's; a map is [h, w], or [h, w, N] with a map a class. `--protocol all` shows how\n"
        "much of a score is the rule.",
    )
    score.add_argument("--maps", metavar="PATH", required=True)
    score.add_argument("--data", metavar="NAME", required=True, help="NAME or NAME/CONFIGURATION")
    score.add_argument("--split", metavar="S", required=True)
    score.add_argument("--protocol", metavar="P", required=True, help="its name, or all")
    score.add_argument("--out", metavar="DIR", help="for score.md, score.json, P/items.csv")
    _data_dir(score)

    localize = verb(
        verbs,
        "localize",
        "find what sounds in a video, or in an image with a sound",
        epilog="writes the video or picture with what was found drawn over it, and\n"
        "localization.json with scores and boxes",
    )
    _workdir(localize)
    localize.add_argument("--video", metavar="FILE", help="any video with sound")
    localize.add_argument("--image", metavar="FILE", help="with --audio")
    localize.add_argument("--audio", metavar="FILE", help="with --image")
    localize.add_argument("--out", metavar="DIR", required=True, help="made if need be")

    export = verb(
        verbs,
        "export",
        "write a trained model, with a card, for use without avloc",
        epilog="writes README.md, parameters as safetensors and by Orbax, and the function from\n"
        "picture and sound to maps, which loads with JAX alone",
    )
    export.add_argument(
        "--checkpoint", metavar="C", required=True, help="folder of a run, or RUN/stages/NAME"
    )
    export.add_argument(
        "--out", metavar="DIR", required=True, help="new, empty, or an earlier export to replace"
    )

    report = verb(verbs, "report", "write W/report.html again from what is in W")
    _workdir(report)
    _data_dir(report)

    info = verb(
        verbs,
        "info",
        "say what a run is, how far it has come and how good it is",
        epilog="method, data, stages, scores, version, commit, times, devices, parameters; at once",
    )
    info.add_argument("run_folder", metavar="RUN", help="folder of the run")
    info.add_argument("--json", action="store_true", help="the same for programs")

    ablate = verb(
        verbs,
        "ablate",
        "train a grid of config changes and seeds, and table it",
        epilog="writes ablation.md and ablation.json; each cell is a run in W/CELL/seed_S; the\n"
        "same command goes on where it stood",
    )
    ablate.add_argument("--config", metavar="FILE", required=True, help="of configs/ablations/")
    _workdir(ablate)
    ablate.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at once; default: 1")
    ablate.add_argument("--seeds", type=int, nargs="+", metavar="S", help="instead of the file's")
    ablate.add_argument("--cells", nargs="+", metavar="NAME", help="train these alone")
    _data_dir(ablate)

    weights = verb(
        verbs,
        "import-weights",
        "make a folder for init_from of a ResNet-18 or -34 file",
        epilog="Training then starts with this visual backbone; sound starts from scratch.\n"
        "Nothing in FILE is run; a .pth needs torch (pip install 'avloc[torch]').\n"
        "Weights have licences of their own.\n\n"
        "example:\n  avloc import-weights resnet18.safetensors --out weights/resnet18\n"
        "  avloc train --config configs/dsol_music.py --workdir runs/dsol_music \\\n"
        "    --config.init_from=weights/resnet18",
    )
    weights.add_argument("file", metavar="FILE", help=".safetensors or .pth, of any float type")
    weights.add_argument("--out", metavar="DIR", required=True, help="new, or empty")
    return parser


def _workdir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", metavar="W", required=True, help="folder of the run")


def _processes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--distributed", choices=["auto"], help="one of several processes, as the cluster says"
    )
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="or by hand: process 0's place")
    parser.add_argument("--processes", type=int, metavar="N", help="how many there are")
    parser.add_argument("--process", type=int, metavar="I", help="which one this is, from 0")


def _data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", metavar="D", help="where data sets lie; default: $TFDS_DATA_DIR, or TFDS's"
    )


def split_off_fields(arguments: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
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
