"""The words of the command line: verbs, their arguments, their help. Nothing is run here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import takewhile
from textwrap import indent
from typing import Any, NoReturn

from avloc.naming import did_you_mean


class _Parser(argparse.ArgumentParser):
    """Tells of a wrong argument in one sentence, as of any other bad input.

    Args:
      known: the words of every verb, for hints.
    """

    def __init__(self, *args: Any, known: Iterable[str] = (), **more: Any):
        super().__init__(*args, **more)
        self._known = {words.split()[-1]: f"avloc {words}" for words in known}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # Before argparse misses the option that was meant.
        options = self._option_string_actions

        def own(word: str) -> bool:  # not of the verb that follows
            return word != "--" and (not self._subparsers or word.startswith("-"))

        words = takewhile(own, args or ())
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            if option not in options and " " not in option:
                field = option.partition(".")[2]
                there = [known.lstrip("-").replace("FIELD", field) for known in options]
                hint = did_you_mean(option.lstrip("-"), there, "; did you mean --{}?")
                raise ValueError(f"`{self.prog}` has no option {option}{hint or self._see()}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.metavar != "VERB" or value in action.choices:
            return super()._check_value(action, value)
        shown = self._known | {name: verb.prog for name, verb in action.choices.items()}
        hint = did_you_mean(value, shown, "; did you mean `{}`?", shown)
        there = f"; `{self.prog}` has {', '.join(action.choices)}{self._see()}"
        raise ValueError(f"there is no verb {value!r}{hint or there}")

    def _see(self) -> str:
        return f" (see `{self.prog} --help`)"

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}{self._see()}")


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
    made = partial(_Parser, known=[words for words in runs if not words.startswith("--")])
    parser = made(
        prog="avloc",
        description="Finds which objects in a scene sound, and what they are, without labels.\n"
        "Help on one verb: `avloc train --help`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[common],
    )
    parser.add_argument(
        "--version", action=_Tell, nargs=0, const=runs.get("--version"), help="print versions"
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=made)
    data_help = "build data sets; list, examine and look at them"
    data = verbs.add_parser(
        "data",
        help=data_help,
        description=_sentence(data_help),
        epilog="Help on one: `avloc data build --help`.",
        parents=[common],
        allow_abbrev=False,
    )
    data_verbs = data.add_subparsers(required=True, metavar="VERB", parser_class=made)

    def verb(words: str, short: str, example: str, more: str = "") -> argparse.ArgumentParser:
        """Adds a verb; `more` stands before the example."""
        parent = data_verbs if words.startswith("data ") else verbs
        added = parent.add_parser(
            words.split()[-1],
            help=short,
            description=_sentence(short),
            epilog=f"{more}\n\nexample:\n{indent(example, '  ')}".strip(),
            parents=[common],
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=runs.get(words))
        return added

    _data_verbs(verb)
    _train(verb)
    _scores(verb)
    _use(verb)
    _look(verb)
    _ablate(verb)
    _weights(verb)
    return parser


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _data_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    build = verb(
        "data build",
        "build a data set: read videos or files once, and store what training reads",
        "avloc data build toy_orchestra\navloc data build video_folder --source ~/my_videos",
        "`avloc data list` lists the names. A stopped build goes on where it was.",
    )
    build.add_argument("name", metavar="NAME", help="NAME or NAME/CONFIGURATION")
    build.add_argument("--source", metavar="DIR", help="folder of videos and the authors' files")
    _data_dir(build)
    _data_dir(
        verb(
            "data list",
            "list data sets: what each holds, what it is made from, whether it is built",
            "avloc data list",
        )
    )
    doctor = verb(
        "data doctor",
        "check a data set: what is there, missing or damaged",
        "avloc data doctor music --source ~/data/music",
        "With --source: what that folder holds of what the data set wants, before it is\n"
        "built. Without: the records of the built data set. Writes doctor.html and\n"
        "doctor.json. Exit status 1: some split cannot be built.",
    )
    doctor.add_argument("name", metavar="NAME", help="NAME or NAME/CONFIGURATION")
    doctor.add_argument("--source", metavar="DIR", help="folder of videos, lists and label files")
    doctor.add_argument("--out", metavar="DIR", help="default: doctor_NAME")
    doctor.add_argument(
        "--decode", action="store_true", help="decode every file to its end to find damage"
    )
    _data_dir(doctor)
    preview = verb(
        "data preview",
        "draw items of a built split in one picture: frames with boxes, spectrograms",
        "avloc data preview toy_orchestra --split cocktail_test",
    )
    preview.add_argument("name", metavar="NAME", help="NAME or NAME/CONFIGURATION")
    preview.add_argument("--split", metavar="S", required=True)
    preview.add_argument("--out", metavar="FILE", help="a PNG; default: preview_NAME_S.png")
    preview.add_argument("--items", type=int, default=12, metavar="N", help="default: 12")
    _data_dir(preview)


def _train(verb: Callable[..., argparse.ArgumentParser]) -> None:
    train = verb(
        "train",
        "train, evaluate and report; goes on where it was stopped",
        "avloc train --config csol_toy --workdir runs/demo --config.batch_size=16",
    )
    train.add_argument(
        "--config",
        metavar="FILE",
        help="a file, or the name of a shipped config (csol_toy); not needed to go on",
    )
    _workdir(train)
    train.add_argument(
        "--config.FIELD", metavar="VALUE", help="set a field of the config; may be repeated"
    )
    _data_dir(train)
    _processes(train)


def _scores(verb: Callable[..., argparse.ArgumentParser]) -> None:
    evaluate = verb(
        "evaluate",
        "score a run beside the untrained network and baselines",
        "avloc evaluate --workdir runs/demo",
    )
    _workdir(evaluate)
    evaluate.add_argument(
        "--data", metavar="NAME", help="other data with boxes; their scores lie in W/elsewhere"
    )
    evaluate.add_argument("--split", metavar="S", help="default: those that the config names")
    evaluate.add_argument("--protocol", metavar="P", help="threshold rules; default: the config's")
    evaluate.add_argument("--stage", metavar="S", help="score one stage alone, as stage_one")
    _data_dir(evaluate)
    _processes(evaluate)
    score = verb(
        "score",
        "score maps that any method made, by one rule or by all",
        "avloc score --maps my_maps --data toy_orchestra --split test --protocol all",
        "PATH: a folder of ID.npy or ID.png, an .npz or a .safetensors file, ID being an\n"
        "item's; a map is [h, w], or [h, w, N] with a map a class. `--protocol all` shows\n"
        "how much of a score is the rule.",
    )
    what = score.add_mutually_exclusive_group(required=True)
    what.add_argument("--maps", metavar="PATH")
    what.add_argument(
        "--annotations", metavar="DIR", help="annotation files alone: scores the model-free rows"
    )
    score.add_argument("--data", metavar="NAME", required=True, help="NAME or NAME/CONFIGURATION")
    score.add_argument("--split", metavar="S", required=True)
    score.add_argument("--protocol", metavar="P", required=True, help="its name, or all")
    score.add_argument("--out", metavar="DIR", help="for score.md, score.json, P/items.csv")
    _data_dir(score)


def _look(verb: Callable[..., argparse.ArgumentParser]) -> None:
    report = verb(
        "report",
        "write W/report.html again from what is in W",
        "avloc report --workdir runs/demo",
        "It shows the scores, curves of the training, and pictures of what was found.",
    )
    _workdir(report)
    _data_dir(report)
    info = verb(
        "info",
        "say what a run is: data, stages, scores, when it was trained",
        "avloc info runs/demo",
    )
    run = info.add_mutually_exclusive_group(required=True)
    run.add_argument(
        "run_folder",
        metavar="RUN",
        nargs="?",
        default=argparse.SUPPRESS,  # else it would hide what --workdir gives
        help="folder of the run",
    )
    run.add_argument("--workdir", metavar="W", dest="run_folder", help="the same")
    info.add_argument("--json", action="store_true", help="the same for programs")


def _use(verb: Callable[..., argparse.ArgumentParser]) -> None:
    localize = verb(
        "localize",
        "find what sounds in videos, or in an image with a sound",
        "avloc localize --workdir runs/demo --video band.mp4 --out found",
        "Writes each video or picture with what was found drawn over it, beside it\n"
        "NAME.localization.json with scores and boxes, and prints what it found.",
    )
    _workdir(localize)
    localize.add_argument(
        "--video", metavar="PATH", nargs="+", help="videos with sound, or folders of them"
    )
    localize.add_argument("--image", metavar="FILE", help="with --audio")
    localize.add_argument("--audio", metavar="FILE", help="with --image")
    localize.add_argument("--out", metavar="DIR", required=True, help="made if need be")
    localize.add_argument(
        "--threshold", type=float, metavar="T", help="score that sounds; default: the config's"
    )
    localize.add_argument(
        "--image-size", type=int, metavar="N", help="side seen, in pixels; default: as trained"
    )
    localize.add_argument(
        "--separate", action="store_true", help="take the sound of each video apart as well"
    )
    separate = verb(
        "separate",
        "take the sound of a video apart by what sounds in it",
        "avloc separate --workdir runs/sop --video a.mp4 --out apart --solo cello",
        "Writes NAME.KIND.wav for each kind that sounds, NAME.rest.wav with what is\n"
        "left, and NAME.separation.json with the loudness of each over time.",
    )
    _workdir(separate)
    separate.add_argument("--video", metavar="FILE", required=True, help="a video with sound")
    separate.add_argument("--out", metavar="DIR", required=True, help="made if need be")
    separate.add_argument(
        "--solo",
        metavar="NAME",
        action="append",
        default=[],
        help="write a video too in which this kind is heard alone; may be repeated",
    )
    separate.add_argument(
        "--threshold", type=float, metavar="T", help="score that sounds; default: the config's"
    )
    export = verb(
        "export",
        "write a trained model, with a card, for use without avloc",
        "avloc export --checkpoint runs/demo --out my_model",
        "Writes README.md, parameters as safetensors and by Orbax, and the function from\n"
        "picture and sound to maps, which loads with JAX alone.",
    )
    export.add_argument(
        "--checkpoint", metavar="C", required=True, help="folder of a run, or RUN/stages/NAME"
    )
    export.add_argument(
        "--out", metavar="DIR", required=True, help="new, empty, or an earlier export to replace"
    )


def _ablate(verb: Callable[..., argparse.ArgumentParser]) -> None:
    ablate = verb(
        "ablate",
        "train a grid of changes and seeds, and make a table of it",
        "avloc ablate --config csol_lambda --workdir runs/lambda --jobs 2",
        "Writes ablation.md and ablation.json; each cell is a run in W/CELL/seed_S.\n"
        "The same command goes on where it stopped.",
    )
    ablate.add_argument(
        "--config",
        metavar="FILE",
        required=True,
        help="a file, or a shipped one, as csol_lambda",
    )
    _workdir(ablate)
    ablate.add_argument(
        "--base",
        metavar="FILE",
        action="append",
        default=[],
        help="run it on this config, such as dsol_music; once for each method that it compares",
    )
    ablate.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at once, else 1")
    ablate.add_argument("--seeds", type=int, nargs="+", metavar="S", help="instead of the file's")
    ablate.add_argument("--cells", nargs="+", metavar="NAME", help="train these alone")
    _data_dir(ablate)


def _weights(verb: Callable[..., argparse.ArgumentParser]) -> None:
    weights = verb(
        "import-weights",
        "make a start for training of a ResNet-18 or -34 file",
        "avloc import-weights resnet18.safetensors --out weights/resnet18\n"
        "avloc train --config dsol_music --workdir runs/dsol_music \\\n"
        "  --config.init_from=weights/resnet18",
        "Training then starts with this visual backbone; sound starts from scratch.\n"
        "Nothing in FILE is run; a .pth needs torch (pip install 'avloc[torch]').\n"
        "Weights have licences of their own.",
    )
    weights.add_argument(
        "file", metavar="FILE", help=".safetensors, .pth, or equimo's NAME.tar.lz4"
    )
    weights.add_argument("--out", metavar="DIR", required=True, help="new, or empty")


def _workdir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", metavar="W", required=True, help="folder of the run")


def _processes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--distributed", choices=["auto"], help="one of several processes, as the cluster says"
    )
    parser.add_argument(
        "--coordinator", metavar="HOST:PORT", help="address of process 0, HOST:PORT"
    )
    parser.add_argument("--processes", type=int, metavar="N", help="how many there are")
    parser.add_argument("--process", type=int, metavar="I", help="which one this is, from 0")


def _data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", metavar="D", help="where data sets lie; else $TFDS_DATA_DIR, or TFDS's"
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
