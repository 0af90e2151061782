"""Bars are for terminals: a real one is opened here, and read as a log is."""

import os
import pty
import re
import subprocess
import sys
import termios

import pytest

from avloc.progress import spell

JOB = """
import sys, time
from avloc.progress import bar, hidden, say, track
for item in track("abc", "reading", 3, "batch"):
    say(f"letter {item}")
with bar("counting", 10, "step", 9, told=False) as shown:
    shown.note("loss 0.5")
    time.sleep(0.2)  # tqdm draws ten times a second at most
    shown.update()
with bar("one", None, "step") as shown:
    shown.update()
with hidden():
    list(track("abc", "in secret", 3, "letter"))
list(track("abc", "unseen", 3, "letter", shown=False))
try:
    for item in track("abc", "cut short", 3, "letter"):
        raise ValueError
except ValueError:
    print("stopped", file=sys.stderr)
"""


def test_a_log_has_one_plain_line_a_job():
    done = subprocess.run([sys.executable, "-c", JOB], capture_output=True, text=True, check=True)
    assert done.stdout == "letter a\nletter b\nletter c\n"
    lines = [re.sub(r"\d+ s$", "N s", line) for line in done.stderr.splitlines()]
    assert lines == ["reading: 3 batches in N s", "one: 1 step in N s", "stopped"]
    assert "\r" not in done.stderr and "%" not in done.stderr


def in_terminal(code: str, columns: int = 80) -> str:
    """What a terminal gets of a program whose both outputs it is."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:  # Linux's way to say that the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0, seen
    return seen.decode()


def test_a_terminal_has_bars_and_lines_above_them():
    seen = in_terminal(JOB)
    for part in (
        "reading:   0%|",
        "counting:  90%|",
        "loss 0.5",
        "letter b\r\n",
        "cut short:   0%|",
    ):
        assert part in seen, part
    assert "secret" not in seen and "unseen" not in seen and " in 0 s" not in seen
    # No bar is left behind: what stands on each line when all is done.
    final = [line.split("\r")[-1].strip() for line in seen.replace("\r\n", "\n").split("\n")]
    assert [line for line in final if line] == ["letter a", "letter b", "letter c", "stopped"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (750, "12 min"),
        (5970, "1 h 40 min"),
        (19_200, "5 h 20 min"),
    ],
)
def test_lengths_of_time(seconds, words):
    assert spell(seconds) == words
