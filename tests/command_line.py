"""How the tests of the command line call it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

CONFIG = (
    "--config=csol_toy.py",
    "--config.data.name=toy_orchestra/tiny",
    "--config.batch_size=8",
    "--config.image_size=32",
    "--config.model.width=4",
    "--config.stage_one.warmup_epochs=0",
    "--config.stage_one.epochs=1",
    "--config.stage_two.epochs=1",
    "--config.clusters=10",
)


def command(*arguments) -> subprocess.Popen:
    """`avloc ...` in a process of its own, compiled in haste."""
    # A shell starts background jobs deaf to Ctrl-C, and so is what they start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [sys.executable, "-m", "avloc", *map(str, arguments)],
        env=os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def train(workdir, place, *more):
    return ("train", *CONFIG, "--workdir", workdir, "--data-dir", place / "data", *more)


def suggested(said: str) -> list[list[str]]:
    """The words of the commands that a verb said to type next."""
    lines = said[said.index("\nnext  ") + 5 :].splitlines()
    return [shlex.split(line) for line in lines if line.startswith(" " * 8)]


def contents(folder: Path) -> dict[str, int]:
    """Every file with the time of its last change."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path): path.stat().st_mtime_ns for path in files}
