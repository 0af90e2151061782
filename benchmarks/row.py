"""A row of the table: seconds of our code and of the alternative, measured in turn.

A topic is a module with `rows(quick: bool) -> Iterator[Row | Curve]`, listed in `__main__.TOPICS`.
It yields each row as soon as it is measured, so that a run that is stopped keeps it:

    def rows(quick):
        times = in_turn({"ours": lambda: step(batch), "theirs": lambda: theirs(batch)}, rounds=5)
        yield Row(
            "stage-one step", "PyTorch", times["ours"], times["theirs"], target=1.5,
            equality=Equality("relative difference of the loss", 3e-7, 1e-4),
            amount=16, unit="pairs",
        )

If the alternative cannot run, the row is still yielded, with `beside_seconds=()` and
`missing="torch is not installed"`. `quick` asks for tiny sizes, for a test.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax

from avloc.drawing.table import Cell


class Spread(NamedTuple):
    """Median and extremes of several values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Equality:
    """How the results of both were compared.

    Attributes:
      what: the difference that was taken, such as "relative difference of the inertia".
      found: its value.
      limit: the largest value at which results count as equal.
    """

    what: str
    found: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within its limit; False if it is nan."""
        return self.found <= self.limit

    def __str__(self) -> str:
        sign = "≤" if self.holds else "NOT ≤"
        return f"{self.what} {self.found:.2g} {sign} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
      name: what is measured, with its sizes.
      beside: what a user would run instead.
      seconds: of ours, one value per round.
      beside_seconds: of the alternative in the same rounds; empty if it could not run.
      target: how many times faster ours must be; None: reported only.
      equality: of both results; None if there is nothing to compare.
      amount: how many `unit`s one call works on; 0: times are shown as seconds, not as a rate.
      unit: what is counted, in the plural.
      note: of sizes, scaling and conditions.
      missing: why there is no alternative.
    """

    name: str
    beside: str
    seconds: tuple[float, ...]
    beside_seconds: tuple[float, ...] = ()
    target: float | None = None
    equality: Equality | None = None
    amount: float = 0
    unit: str = ""
    note: str = ""
    missing: str = ""

    def __post_init__(self) -> None:
        if not self.seconds:
            raise ValueError(f"row {self.name!r} has no times")
        if len(self.beside_seconds) not in (0, len(self.seconds)):
            raise ValueError(
                f"row {self.name!r} has {len(self.seconds)} times of ours and "
                f"{len(self.beside_seconds)} beside: both are measured in each round"
            )
        if bool(self.beside_seconds) == bool(self.missing):
            raise ValueError(f"row {self.name!r} needs times beside or why they are missing")

    @property
    def ratio(self) -> Spread | None:
        """How many times faster ours is, over the rounds; None without an alternative."""
        pairs = zip(self.seconds, self.beside_seconds, strict=False)
        ratios = [theirs / ours for ours, theirs in pairs]
        return Spread.of(ratios) if ratios else None

    @property
    def met(self) -> bool | None:
        """Whether the median ratio reaches the target and results are equal; None: no target."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio.median >= self.target and (self.equality is None or self.equality.holds)

    def cells(self) -> list[Cell]:
        """As `COLUMNS` of the table."""
        ratio = self.ratio
        return [
            Cell(self.name),
            Cell(_digits(ratio.median), f"({_digits(ratio.low)} to {_digits(ratio.high)})")
            if ratio
            else Cell("-"),
            Cell("reported" if self.target is None else f"{self.target:,g}"),
            Cell({None: "-", True: "yes", False: "NO"}[self.met]),
            self._shown(self.seconds),
            self._shown(self.beside_seconds, self.beside),
        ]

    def remarks(self) -> list[str]:
        """As `REMARKS` of the table below it."""
        return [self.name, str(self.equality or "-"), self.note]

    def _shown(self, seconds: Sequence[float], what: str = "") -> Cell:
        median = statistics.median(seconds) if seconds else 0
        rate = f"{self.amount / median:,.4g} {self.unit}/s" if self.amount and median else ""
        aside = "; ".join(filter(None, (what, rate)))
        return Cell(_duration(median) if median else self.missing, f"({aside})" if aside else "")

    def to_json(self) -> dict[str, Any]:
        """As JSON, including the ratio."""
        ratio = self.ratio
        return asdict(self) | {"ratio": ratio and ratio._asdict(), "met": self.met}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """The inverse of `to_json`."""
        fields = {name: data[name] for name in cls.__dataclass_fields__}
        fields["seconds"], fields["beside_seconds"] = (
            tuple(fields[name]) for name in ("seconds", "beside_seconds")
        )
        equality = fields["equality"]
        return cls(**fields | {"equality": equality and Equality(**equality)})


COLUMNS = ("what", "times faster", "target", "met", "ours", "beside")
REMARKS = ("what", "equal", "note")
"""Column headings of the tables."""


def in_turn(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int, warm: int = 1
) -> dict[str, tuple[float, ...]]:
    """Seconds of each call in each round, by name; all are called once a round, in rotating order.

    So other load on the machine affects all of them equally. A call ends when the JAX arrays that
    it returns are ready; a call of another library must wait for its own result.

    Args:
      calls: to be measured.
      rounds: at least 1.
      warm: earlier calls of each, which compile and fill caches.
    """
    names = list(calls)
    for name in names * warm:
        jax.block_until_ready(calls[name]())
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            jax.block_until_ready(calls[name]())
            seconds[name].append(time.perf_counter() - start)
    return {name: tuple(values) for name, values in seconds.items()}


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{_digits(seconds)} s"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
