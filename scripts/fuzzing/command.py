"""Gives damaged files to avloc's commands, and counts what comes of them.

Every input is made from the seed and its number: `--seed 0 --only 17` makes number 17 again, and
`--keep DIR` leaves its files there. A good input is accepted, read with a report of what is wrong,
or refused in one sentence. Exit status 1 if any ends in a traceback or without a sentence, writes
outside of its folder, or takes more time or memory than a file may (docs/datasets.md).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path

from avloc import progress
from scripts.fuzzing import attempt, kinds, runner


def chosen(count: int, names: list[str], first: int) -> list[int]:
    """The numbers of the first inputs of some kinds."""
    numbers = (n for n in itertools.count(first) if kinds.kind_of(n) in names)
    return list(itertools.islice(numbers, count))


def table(verdicts: list[attempt.Verdict]) -> str:
    """Counts by kind, and the longest that one took."""
    columns = (*attempt.GOOD, *attempt.BAD)
    counts = Counter((verdict.kind, verdict.what) for verdict in verdicts)
    lines = [f"{'kind':12}" + "".join(f"{name:>15}" for name in columns) + f"{'slowest':>10}"]
    for kind in dict.fromkeys(kinds.ROUND):
        mine = [verdict for verdict in verdicts if verdict.kind == kind]
        if mine:
            cells = "".join(f"{counts[kind, name]:15}" for name in columns)
            lines.append(f"{kind:12}{cells}{max(v.seconds for v in mine):8.1f} s")
    return "\n".join(lines)


def failure(verdict: attempt.Verdict, seed: int) -> str:
    """A failed input: what happened, how to have it again, and the last lines."""
    words = shlex.join(verdict.words)
    short = words if len(words) < 600 else f"{words[:600]} ..."
    said = "\n".join(f"    {line[:400]}" for line in verdict.said.splitlines()[-12:])
    again = f"python scripts/fuzz.py --seed {seed} --only {verdict.index} --keep DIR"
    return f"{verdict.what}: {again}\n    avloc {short!r}\n{said}"


def fuzz(args: argparse.Namespace, folder: Path) -> int:
    """Makes the whole files, tries the inputs, tells of them."""
    whole = folder / "whole"
    print("making the whole files, and a run of the toy data ...", flush=True)
    with contextlib.redirect_stdout(None), progress.hidden():
        kinds.make_seeds(whole)
    indices = [args.only] if args.only is not None else chosen(args.inputs, args.kinds, args.first)
    found = runner.tried(indices, args.seed, min(args.jobs, len(indices)), folder)
    verdicts, bad = [], 0
    for verdict in progress.track(found, "inputs", len(indices), "input"):
        verdicts.append(verdict)
        if verdict.what in attempt.BAD:
            bad += 1
            progress.say(failure(verdict, args.seed))
        elif args.only is not None:
            print(f"{verdict.what}: avloc {shlex.join(verdict.words)!r}\n{verdict.said}")
    print(table(verdicts))
    if bad:
        print(f"{bad} of {len(verdicts)} inputs failed")
    return int(bad > 0)


def main() -> int:
    """Tries the inputs that the command line asks for; gives the exit status."""
    if sys.argv[1:2] == ["work"]:
        return work()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this input alone")
    parser.add_argument("--kinds", help=f"of {','.join(kinds.KINDS)}; else all")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave all files here")
    args = parser.parse_args()
    args.kinds = args.kinds.split(",") if args.kinds else list(kinds.KINDS)
    if unknown := set(args.kinds) - set(kinds.KINDS):
        parser.error(f"no kinds: {', '.join(unknown)}; there are {', '.join(kinds.KINDS)}")
    with tempfile.TemporaryDirectory(prefix="avloc_fuzz_") as temporary:
        folder = (args.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.update(compiled_once(folder))
        return fuzz(args, folder)


def compiled_once(folder: Path) -> dict[str, str]:
    """All processes compile in haste, and each program once."""
    return {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def work() -> int:
    """One of the processes, started by `runner.tried`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--job", type=int)
    args = parser.parse_args(sys.argv[2:])
    runner.work(args.seed, args.folder / "whole", args.folder / f"job_{args.job}")
    return 0
