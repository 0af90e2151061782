"""Classes of two data sets, matched by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class ClassMatch:
    """Which class of another data set is which of a run's.

    Names are equal if they differ only in case, and in blanks, `_` and `-`.

    Attributes:
      own: names of the run's classes.
      theirs: names of the data set's classes.
      to_own: for each of theirs, the index in `own`, or -1.
    """

    own: tuple[str, ...]
    theirs: tuple[str, ...]
    to_own: tuple[int, ...]

    @classmethod
    def by_name(cls, own: Sequence[str], theirs: Sequence[str]) -> ClassMatch:
        """The match of two lists of names."""
        places = {_plain(name): place for place, name in enumerate(own)}
        return cls(
            tuple(own), tuple(theirs), tuple(places.get(_plain(name), -1) for name in theirs)
        )

    def labels(self, labels: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        """Labels of the data set as those of the run; -1 where the run has no such class."""
        table = np.array([*self.to_own, -1], np.int32)  # -1 picks the last
        return table[np.asarray(labels)]

    @property
    def unmatched(self) -> list[str]:
        """Their classes that the run does not have."""
        return [name for name, own in zip(self.theirs, self.to_own, strict=True) if own < 0]

    def sentence(self) -> str:
        """How many match, and which do not."""
        if not self.own or not self.theirs:
            who = "the run" if not self.own else "the data set"
            return f"No classes are compared: {who} has no class names."
        left = self.unmatched
        told = f"{len(self.theirs) - len(left)} of {len(self.theirs)} classes match by name"
        told += f"; not among the run's: {_brief(left)}" if left else ""
        alone = [name for place, name in enumerate(self.own) if place not in self.to_own]
        told += f"; only among the run's: {_brief(alone)}" if alone else ""
        return f"{told}."


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _brief(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" * (len(names) > most))
