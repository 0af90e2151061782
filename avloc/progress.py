"""How far a long job is: one live bar in a terminal, one plain line in a log.

By tqdm, because TFDS draws its own bars by it, and the bars of one library share a terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_hidden = False


class Bar:
    """What the body of `bar` moves on.

    Attributes:
      done: how much is done.
    """

    def __init__(self, drawn: tqdm, done: int):
        self._drawn, self.done = drawn, done

    def update(self, count: int = 1) -> None:
        """So much more is done."""
        self.done += count
        self._drawn.update(count)

    def note(self, text: str) -> None:
        """What stands behind the bar from its next drawing on."""
        self._drawn.set_postfix_str(text, refresh=False)


@contextmanager
def bar(
    what: str,
    total: int | None,
    unit: str,
    done: int = 0,
    *,
    shape: str = "",
    told: bool = True,
    shown: bool = True,
) -> Iterator[Bar]:
    """Shows how far a job is, and in a log says when it is done.

    Args:
      what: is done.
      total: of units; None: not known.
      unit: one of what is counted.
      done: units that an earlier call did.
      shape: of the bar, as tqdm's `bar_format`, where its own says too little.
      told: whether a log gets a line; False where the caller writes one, or the job is a small part
        of one that is told.
      shown: whether to show or say anything at all.
    """
    began = time.monotonic()
    with tqdm(
        desc=what,
        total=total,
        initial=done,
        unit=f" {unit}",
        leave=False,
        dynamic_ncols=True,
        disable=not (shown and in_terminal()),
        bar_format=shape or None,
    ) as drawn:
        made = Bar(drawn, done)
        yield made
    if told and shown and not _hidden and not sys.stderr.isatty():
        ending = "" if made.done == 1 else "es" if unit.endswith("ch") else "s"
        say(f"{what}: {made.done} {unit}{ending} in {spell(time.monotonic() - began)}", sys.stderr)


def track(
    items: Iterable[Item],
    what: str,
    total: int | None,
    unit: str,
    *,
    told: bool = True,
    shown: bool = True,
) -> Iterator[Item]:
    """The items, behind a `bar`."""
    with bar(what, total, unit, told=told, shown=shown) as made:
        for item in items:
            yield item
            made.update()


def say(text: str, file: TextIO | None = None) -> None:
    """Prints a line, above the bar if there is one; on standard output unless `file` is given."""
    tqdm.write(text, file=file)
    (file or sys.stdout).flush()  # a log is read while it grows


def in_terminal() -> bool:
    """Whether bars are drawn: someone watches standard error."""
    return sys.stderr.isatty() and not _hidden


@contextmanager
def hidden() -> Iterator[None]:
    """Neither bars nor lines."""
    global _hidden
    before, _hidden = _hidden, True
    try:
        yield
    finally:
        _hidden = before


def spell(seconds: float) -> str:
    """A length of time in words: `48 s`, `12 min`, `5 h 20 min`."""
    if round(seconds) < 100:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
