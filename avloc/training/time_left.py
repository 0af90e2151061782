"""How long a run still takes, by the pace of the steps that it took."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from avloc.types import Phase


class TimeLeft:
    """Measures steps and refreshes, and tells the seconds that those to come will take.

    Phases of one loss and optimizer go at one pace; phases that no step was taken of yet, at the
    mean pace. A phase may end before its last epoch, so that this is the most that it takes.

    Args:
      phases: of the run.
      steps: that an epoch of a split has.
      clock: the time, in seconds.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        steps: Callable[[str], int],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._phases = phases
        self._steps = cache(steps)
        self._clock = clock
        self._last = clock()
        self._begun: set[Any] = set()
        self._seconds: dict[Any, float] = defaultdict(float)
        self._count: dict[Any, int] = defaultdict(int)
        self._refreshes: list[float] = []

    def begin(self) -> None:
        """An epoch or a refresh begins."""
        self._last = self._clock()

    def stepped(self, phase: Phase) -> None:
        """A step ends. The first one of its kind is not counted, as it is compiled."""
        took, kind = self._lap(), _kind(phase)
        if kind in self._begun:
            self._seconds[kind] += took
            self._count[kind] += 1
        self._begun.add(kind)

    def refreshed(self) -> None:
        """A refresh ends."""
        self._refreshes.append(self._lap())

    def left(self, number: int, done: int) -> tuple[float, float] | None:
        """Seconds that a phase still takes, and the run; None where no step was measured yet.

        Args:
          number: of the phase, from 0.
          done: steps taken in it.
        """
        if not self._count:
            return None
        phase, *later = self._phases[number:]
        this = self._whole(phase) - done * self._pace(phase)
        refresh = sum(self._refreshes) / max(1, len(self._refreshes))
        rest = sum(self._whole(p) + refresh * (p.refresh is not None) for p in later)
        return this, this + rest

    def _whole(self, phase: Phase) -> float:
        return phase.epochs * self._steps(phase.split) * self._pace(phase)

    def _pace(self, phase: Phase) -> float:
        kind = _kind(phase)
        if kind in self._count:
            return self._seconds[kind] / self._count[kind]
        return sum(self._seconds.values()) / sum(self._count.values())

    def _lap(self) -> float:
        before, self._last = self._last, self._clock()
        return self._last - before


def _kind(phase: Phase) -> tuple[Any, str]:
    return phase.loss, phase.optimizer
